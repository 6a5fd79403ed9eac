"""Below the whole file: re-use by grain and by size of chunks, maps of what a binary consists of, trees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch, Rectangle

from spincache_nb.analysis.headlines import headline
from spincache_nb.analysis.schemas import CHUNK_SWEEP_SCHEMA, GRAINS_SCHEMA, SECTION_MAP_SCHEMA
from spincache_nb.frames.schemas import Schema
from spincache_nb.plots import style
from spincache_nb.plots.style import exact_share, harmless
from spincache_nb.show import rows, size_text, unit_for

_SECTION_HUES = {
    "code": style.BLUE,
    "data": style.GREEN,
    "custom": style.PURPLE,
    "declarations": style.SKY,
    "component wiring": style.YELLOW,
}
_NESTED = frozenset({"core module", "component"})
_NARROWEST = 1 / 4000
_WIDTH_OF_A_LETTER = 1 / 100
_DEEPEST = 12
_NO_BYTES = "There are no bytes to compare."
_NO_SECTIONS = "There are no sections to draw."


def _checked(frame: pd.DataFrame, schema: Schema, name: str) -> pd.DataFrame:
    return style.frame_of(frame, schema, f"analysis.{name}", lambda frame: frame)  # type: ignore[no-any-return]


def grains(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw what a new version would re-use at each grain.

    Parameters
    ----------
    frame
        What `analysis.grains` or `analysis.cache_grains` returns.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A bar per grain, the coarsest at the top: bytes re-used, the others, and on top of these what
        an index of the pieces takes; beside it the share re-used.

    Raises
    ------
    ValueError
        If the frame is another.
    """
    _checked(frame, GRAINS_SCHEMA, "grains")
    ax = style.axes_or_new(ax, (9.0, 1.4 + 0.32 * len(frame)))
    if not len(frame) or not frame["total_bytes"].max():
        return style.say_empty(ax, _NO_BYTES)
    unit, divisor = unit_for(float(frame["total_bytes"].max()))
    total, reused, index = (
        style.numbers(frame, name) / divisor for name in ("total_bytes", "reused_bytes", "index_bytes")
    )
    texts = [
        f"{exact_share(share)} of {size_text(size)}, {_pieces(count)}"
        for share, size, count in rows(frame, "reused_share", "total_bytes", "piece_count")
    ]
    parts = (
        (reused, style.REUSED, "re-used"),
        (total - reused, style.FETCHED, "new"),
        (index, style.PURPLE, "index, 32 bytes per piece"),
    )
    style.stacked(ax, frame["grain"].astype(str).tolist(), parts, texts, 1.4)
    ax.set_xlabel(unit)
    style.title_and_legend(ax, headline(frame))
    return ax


def _pieces(count: int) -> str:
    return "1 piece" if count == 1 else f"{count:,} pieces".replace(",", "\N{NARROW NO-BREAK SPACE}")


def chunk_sweep(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how the re-use by content-defined chunks depends on their size.

    Parameters
    ----------
    frame
        What `analysis.chunk_sweep` returns.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Two lines over the average size: the share of the new version re-used, and the same less
        what an index of the chunks takes.

    Raises
    ------
    ValueError
        If the frame is another.
    """
    _checked(frame, CHUNK_SWEEP_SCHEMA, "chunk_sweep")
    ax = style.axes_or_new(ax, (7.5, 4.2))
    if not len(frame) or not frame["total_bytes"].max():
        return style.say_empty(ax, _NO_BYTES)
    frame = frame.sort_values("average_bytes")
    total, reused, index = (
        style.numbers(frame, name) for name in ("total_bytes", "reused_bytes", "index_bytes")
    )
    sizes = frame["average_bytes"].astype(int).tolist()
    net = 100 * (reused - index) / total
    ax.plot(sizes, 100 * reused / total, marker="o", color=style.REUSED, label="re-used")
    ax.plot(sizes, net, marker="s", linestyle="--", color=style.VERMILION, label="less the index")
    ax.set_xscale("log", base=2)
    units = [unit_for(size) for size in sizes]
    names = [f"{size // unit[1]} {unit[0]}" for size, unit in zip(sizes, units, strict=True)]
    ax.set_xticks(sizes, names)
    ax.minorticks_off()
    ax.set_ylim(min(0.0, *net), 105)
    ax.set_xlabel("average size of a chunk")
    ax.set_ylabel("per cent of the new version")
    ax.grid(axis="y", color=style.grey(ax, 0.15))
    style.title_and_legend(ax, headline(frame))
    return ax


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
        What `analysis.section_map` returns; of two versions, the new one is drawn.
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
    _checked(frame, SECTION_MAP_SCHEMA, "section_map")
    boxes = _boxes(frame, "new")
    ax = style.axes_or_new(ax, (10.0, 2.0 + 0.55 * _levels(boxes)))
    if not boxes:
        return style.say_empty(ax, _NO_SECTIONS)
    total = _end(boxes)
    _draw(ax, [(box, _SECTION_HUES.get(box.kind) or style.grey(ax, 0.15)) for box in boxes], total)
    _name(ax, [(box, _SECTION_HUES.get(box.kind)) for box in boxes], total)
    present = {box.kind for box in boxes}
    handles = [Patch(color=hue, label=kind) for kind, hue in _SECTION_HUES.items() if kind in present]
    style.title_and_legend(ax, headline(frame[frame["version"] == "new"]), handles)
    return ax


def section_maps(frame: pd.DataFrame, *, fig: Figure | SubFigure | None = None) -> dict[str, Axes]:
    """Draw two versions one above the other, what they share marked.

    Parameters
    ----------
    frame
        What `analysis.section_maps` returns.
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
    _checked(frame, SECTION_MAP_SCHEMA, "section_maps")
    boxes = {version: _boxes(frame, version) for version in ("old", "new")}
    fig = style.figure_or_new(fig, (10.0, 2.4 + 1.1 * max(map(_levels, boxes.values()))))
    panels = fig.subplots(2, 1)
    axes = {"old": panels[0], "new": panels[1]}
    total = max(map(_end, boxes.values()))
    for version, ax in axes.items():
        if not boxes[version]:
            style.say_empty(ax, _NO_SECTIONS)
            continue
        _draw(ax, [part for box in boxes[version] for part in _halves(ax, box)], total)
        _name(ax, [(box, _larger_half(box)) for box in boxes[version]], total)
        ax.set_title(_title(frame, version), loc="left", fontsize="medium")
    if boxes["old"]:
        axes["old"].set_xlabel("")
        both = Patch(color=style.REUSED, label="in both versions")
        handles = [both, Patch(color=style.FETCHED, label="in this version only")]
        style.title_and_legend(axes["old"], axes["old"].get_title(loc="left"), handles)
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
    if section in _SECTION_HUES or section in ("preamble", "other"):
        return section
    return "declarations" if layer == "module" else "component wiring"


def _levels(boxes: Iterable[_Box]) -> int:
    return min(max((box.depth for box in boxes), default=0) + 1, _DEEPEST)


def _end(boxes: Sequence[_Box]) -> int:
    return max((box.start + box.size for box in boxes), default=0)


def _draw(ax: Axes, coloured: Sequence[tuple[_Box, str | style.Colour]], total: int) -> None:
    """Draw boxes on axes that reach to a total number of bytes."""
    unit, divisor = unit_for(total)
    patches, faces = [], []
    for box, colour in coloured:
        if box.size and box.size >= total * _NARROWEST and box.depth < _DEEPEST:
            patches.append(Rectangle((box.start / divisor, box.depth - 0.42), box.size / divisor, 0.84))
            faces.append(colour)
    edges = [style.paper(ax)]
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
        ink = style.ink() if colour is None else style.ink_on(to_rgb(colour))
        ax.text(middle, box.depth, text, ha="center", va="center", fontsize="small", color=ink, clip_on=True)


def _halves(ax: Axes, box: _Box) -> list[tuple[_Box, str | style.Colour]]:
    """Split a box into what is shared and what is not."""
    if box.kind == "nested":
        return [(box, style.grey(ax, 0.15))]
    rest = box._replace(start=box.start + box.shared, size=box.size - box.shared)
    return [(box._replace(size=box.shared), style.REUSED), (rest, style.FETCHED)]


def _larger_half(box: _Box) -> str | None:
    if box.kind == "nested":
        return None
    return style.REUSED if box.shared * 2 >= box.size else style.FETCHED


Node = tuple[int, str, str, str, int]
"""Depth, what it is, short digest, what people call it, size in bytes."""

_NODE_HUES = {"manifest": style.VERMILION, "member": style.SKY, "archive layer": style.ORANGE}


def tree(title: str, nodes: Sequence[Node], *, ax: Axes | None = None) -> Axes:
    """Draw a tree top down, one line per node in their order, joined to the node above it."""
    axes = style.axes_or_new(ax, (9.5, 0.9 + 0.34 * max(1, len(nodes))))
    axes.set_axis_off()
    axes.set_title(harmless(title), loc="left", fontsize="medium")
    axes.set_xlim(-0.3, 12)
    axes.set_ylim(len(nodes) - 0.4, -0.7)
    if not nodes:
        axes.text(0, 0, "nothing to show", va="center")
    above: dict[int, int] = {}
    for row, (depth, what, digest, names, size) in enumerate(nodes):
        left = 0.55 * depth
        if depth:
            top = above[depth - 1]
            joint = left - 0.55
            axes.plot([joint, joint, left - 0.12], [top + 0.22, row, row], color="0.6", lw=1, zorder=1)
        axes.plot([left], [row], "o", color=_NODE_HUES.get(what, style.BLUE), ms=7, zorder=2)
        axes.text(left + 0.18, row, harmless(what), va="center", fontsize="small")
        if digest:
            axes.text(4.3, row, digest, va="center", family="monospace", fontsize="x-small")
        axes.text(8.2, row, size_text(size), va="center", ha="right", fontsize="small")
        axes.text(8.4, row, harmless(names), va="center", fontsize="small")
        above[depth] = row
    return axes
