"""Maps of what a binary consists of, from its first byte to its last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch, Rectangle

from spincache_nb.analysis.inputs import rows
from spincache_nb.analysis.inside.schemas import SECTION_MAP_SCHEMA
from spincache_nb.plots import theme
from spincache_nb.plots.inside import check_frame, exact_share
from spincache_nb.plots.text import harmless
from spincache_nb.show import size_text, unit_for

_HUES: Final = {
    "code": theme.BLUE,
    "data": theme.GREEN,
    "custom": theme.PURPLE,
    "declarations": theme.SKY,
    "component wiring": theme.YELLOW,
}
_NESTED: Final = frozenset({"core module", "component"})
_NARROWEST: Final = 1 / 4000
_WIDTH_OF_A_LETTER: Final = 1 / 100
_DEEPEST: Final = 12
_NOTHING: Final = "There are no sections to draw."


class _Box(NamedTuple):
    """A run of neighbouring sections of one kind, or something nested with all that is in it."""

    depth: int
    start: int
    size: int
    kind: str
    name: str
    shared: int = 0


def section_map(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw a module or component from its first byte to its last, what is nested below.

    Parameters
    ----------
    frame
        What `analysis.inside.section_map` returns; of two versions, the new one is drawn.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Each level of nesting is a row, the first twelve; grey is what goes on in the row below.
        What is narrower than a four-thousandth of the whole is too narrow to be drawn.

    Raises
    ------
    ValueError
        If the frame is another.
    """
    check_frame(frame, SECTION_MAP_SCHEMA, "section_map")
    boxes = _boxes(frame, "new")
    ax = theme.axes_or_new(ax, (10.0, 2.0 + 0.55 * _levels(boxes)))
    if not boxes:
        return theme.say_empty(ax, _NOTHING)
    total = _end(boxes)
    _draw(ax, [(box, _HUES.get(box.kind) or theme.grey(ax, 0.15)) for box in boxes], total)
    _name(ax, [(box, _HUES.get(box.kind)) for box in boxes], total)
    present = {box.kind for box in boxes}
    theme.legend_above(ax, [Patch(color=hue, label=kind) for kind, hue in _HUES.items() if kind in present])
    ax.set_title(f"{size_text(total)} by section", loc="left", pad=26)
    return ax


def section_maps(frame: pd.DataFrame, *, fig: Figure | SubFigure | None = None) -> dict[str, Axes]:
    """Draw two versions one above the other, what they share marked.

    Parameters
    ----------
    frame
        What `analysis.inside.section_maps` returns.
    fig
        Where to draw; None for a new figure.

    Returns
    -------
    dict of str to matplotlib.axes.Axes
        ``old`` and ``new``, each as `section_map` and to the same scale. The shared part of a
        section is drawn at its left, whichever of its functions or data segments are shared.

    Raises
    ------
    ValueError
        If the frame is another.
    """
    check_frame(frame, SECTION_MAP_SCHEMA, "section_maps")
    boxes = {version: _boxes(frame, version) for version in ("old", "new")}
    fig = theme.figure_or_new(fig, (10.0, 2.4 + 1.1 * max(map(_levels, boxes.values()))))
    panels = fig.subplots(2, 1)
    axes = {"old": panels[0], "new": panels[1]}
    total = max(map(_end, boxes.values()))
    for version, ax in axes.items():
        if not boxes[version]:
            theme.say_empty(ax, _NOTHING)
            continue
        _draw(ax, [part for box in boxes[version] for part in _halves(ax, box)], total)
        _name(ax, [(box, _larger_half(box)) for box in boxes[version]], total)
        ax.set_title(
            _title(frame, version), loc="left", fontsize="medium", pad=26 if ax is panels[0] else None
        )
    if boxes["old"]:
        axes["old"].set_xlabel("")
        both = Patch(color=theme.REUSED, label="in both versions")
        theme.legend_above(axes["old"], [both, Patch(color=theme.FETCHED, label="in this version only")])
    return axes


def _title(frame: pd.DataFrame, version: str) -> str:
    chosen = frame[frame["version"] == version]
    total, shared = int(chosen["section_bytes"].sum()), int(chosen["shared_bytes"].sum())
    share = exact_share(shared / total if total else 0)
    return f"{version}: {size_text(total)}, {share} in the other version too"


def _boxes(frame: pd.DataFrame, version: str) -> list[_Box]:
    """Make the boxes of one version, containers before what is in them."""
    boxes: list[_Box] = []
    around: list[int] = []  # the containers that are open, by their place in the list
    last: dict[int, int] = {}  # the box that may grow, by depth
    columns = ("depth", "section", "layer", "name", "offset", "section_bytes", "shared_bytes")
    end = 0
    for depth, section, layer, name, start, size, shared in rows(
        frame[frame["version"] == version], *columns
    ):
        while len(around) > depth:
            _close(boxes, around.pop(), start)
        end = start + size
        box = _Box(depth, start, size, _kind(section, layer), section, shared or 0)
        if section in _NESTED:
            around.append(len(boxes))
            last.pop(depth, None)
            boxes.append(box._replace(kind="nested", name=name or section))
        elif depth in last and (grown := _grown(boxes[last[depth]], box)):
            boxes[last[depth]] = grown
        else:
            last[depth] = len(boxes)
            boxes.append(box)
    for place in around:
        _close(boxes, place, end)
    return boxes


def _close(boxes: list[_Box], place: int, end: int) -> None:
    boxes[place] = boxes[place]._replace(size=end - boxes[place].start)


def _grown(before: _Box, box: _Box) -> _Box | None:
    """Join a box to its neighbour of the same kind, if it is one."""
    if before.kind != box.kind or before.start + before.size != box.start:
        return None
    return before._replace(size=before.size + box.size, name=before.kind, shared=before.shared + box.shared)


def _kind(section: str, layer: str) -> str:
    if section in _HUES or section in ("preamble", "other"):
        return section
    return "declarations" if layer == "module" else "component wiring"


def _levels(boxes: Iterable[_Box]) -> int:
    return min(max((box.depth for box in boxes), default=0) + 1, _DEEPEST)


def _end(boxes: Sequence[_Box]) -> int:
    return max((box.start + box.size for box in boxes), default=0)


def _draw(ax: Axes, coloured: Sequence[tuple[_Box, str | theme.Colour]], total: int) -> None:
    """Draw boxes on axes that reach to a total number of bytes."""
    unit, divisor = unit_for(total)
    patches, faces = [], []
    for box, colour in coloured:
        if box.size and box.size >= total * _NARROWEST and box.depth < _DEEPEST:
            patches.append(Rectangle((box.start / divisor, box.depth - 0.42), box.size / divisor, 0.84))
            faces.append(colour)
    edges = [theme.paper(ax)]
    ax.add_collection(PatchCollection(patches, facecolors=faces, edgecolors=edges, linewidths=0.4))
    ax.set_xlim(0, total / divisor)
    ax.set_ylim(_levels([box for box, _ in coloured]) - 0.4, -0.6)
    ax.set_yticks([])
    ax.set_xlabel(f"offset in {unit}")
    ax.spines[["top", "right", "left"]].set_visible(False)


def _name(ax: Axes, named: Iterable[tuple[_Box, str | None]], total: int) -> None:
    """Write into the boxes that are wide enough; each comes with the colour it has there."""
    divisor = unit_for(total)[1]
    for box, colour in named:
        letters = int(box.size / total / _WIDTH_OF_A_LETTER)
        if letters < 4 or box.depth >= _DEEPEST:
            continue
        text = harmless(f"{box.name}, {size_text(box.size)}", longest=200)
        if len(text) > letters:
            text = harmless(box.name, longest=letters)
        middle = (box.start + box.size / 2) / divisor
        ink = theme.ink() if colour is None else theme.ink_on(to_rgb(colour))
        ax.text(middle, box.depth, text, ha="center", va="center", fontsize="small", color=ink, clip_on=True)


def _halves(ax: Axes, box: _Box) -> list[tuple[_Box, str | theme.Colour]]:
    """Split a box into what is shared and what is not."""
    if box.kind == "nested":
        return [(box, theme.grey(ax, 0.15))]
    rest = box._replace(start=box.start + box.shared, size=box.size - box.shared)
    return [(box._replace(size=box.shared), theme.REUSED), (rest, theme.FETCHED)]


def _larger_half(box: _Box) -> str | None:
    if box.kind == "nested":
        return None
    return theme.REUSED if box.shared * 2 >= box.size else theme.FETCHED
