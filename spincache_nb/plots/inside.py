"""Below the whole file: re-use by grain, chunk sizes, and maps of what a binary consists of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch, Rectangle

from spincache_nb.analysis.inputs import rows
from spincache_nb.analysis.inside.schemas import CHUNK_SWEEP_SCHEMA, GRAINS_SCHEMA, SECTION_MAP_SCHEMA
from spincache_nb.frames.schemas import Schema
from spincache_nb.plots import theme
from spincache_nb.plots.text import harmless, share_text, size_text, unit_for

_KINDS: Final = {
    "code": theme.BLUE,
    "data": theme.GREEN,
    "custom": theme.PURPLE,
    "declarations": theme.SKY,
    "component wiring": theme.YELLOW,
}
_CODE_AND_DATA: Final = {"code": "code", "data": "data", "custom": "custom"}
_NESTED: Final = frozenset({"core module", "component"})
_NARROWEST: Final = 1 / 4000
_WIDTH_PER_LETTER: Final = 1 / 100
_DEEPEST: Final = 12


def grains(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw what a new version would re-use at each grain.

    Parameters
    ----------
    frame
        What `analysis.inside.grains` or `analysis.inside.cache_grains` returns.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A bar per grain, the coarsest at the top: re-used bytes, then the rest, with the share
        re-used and, as a number, what an index of the pieces takes.

    Raises
    ------
    ValueError
        If the frame is another.
    """
    _check(frame, GRAINS_SCHEMA, "grains")
    ax = theme.axes_or_new(ax, (9.0, 1.4 + 0.32 * len(frame)))
    if not len(frame) or not frame["total_bytes"].max():
        return theme.say_empty(ax, "There are no bytes to compare.")
    unit, divisor = unit_for(float(frame["total_bytes"].max()))
    names, reused, rest, labels = [], [], [], []
    for name, total, part, count, index, share in rows(frame, *GRAINS_SCHEMA):
        names.append(name)
        reused.append(part / divisor)
        rest.append((total - part) / divisor)
        pieces = "" if count == 1 else f"{count:,} pieces, ".replace(",", "\N{NARROW NO-BREAK SPACE}")
        labels.append(f"{share_text(share or 0)} re-used ({pieces}index {size_text(index)})")
    places = range(len(names))
    ax.barh(places, reused, color=theme.REUSED, label="re-used")
    bars = ax.barh(places, rest, left=reused, color=theme.FETCHED, label="new")
    ax.bar_label(bars, labels, padding=5, fontsize="small", color=theme.ink())
    ax.set_yticks(places, names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, max(a + b for a, b in zip(reused, rest, strict=True)) * 1.55)
    ax.set_xlabel(unit)
    theme.legend_above(ax, ax.get_legend_handles_labels()[0])
    ax.set_title("What finer grains would re-use", loc="left", pad=26)
    theme.quiet_frame(ax)
    return ax


def chunk_sweep(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how the re-use by content-defined chunks depends on their size.

    Parameters
    ----------
    frame
        What `analysis.inside.chunk_sweep` returns.
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
    _check(frame, CHUNK_SWEEP_SCHEMA, "chunk_sweep")
    ax = theme.axes_or_new(ax, (7.5, 4.2))
    if not len(frame) or not frame["total_bytes"].max():
        return theme.say_empty(ax, "There are no bytes to compare.")
    sizes, shares, net = [], [], []
    columns = ("average_bytes", "total_bytes", "reused_bytes", "index_bytes")
    for size, total, part, index in sorted(rows(frame, *columns)):
        sizes.append(size)
        shares.append(100 * part / total)
        net.append(100 * (part - index) / total)
    ax.plot(sizes, shares, marker="o", color=theme.REUSED, label="re-used")
    ax.plot(sizes, net, marker="s", linestyle="--", color=theme.VERMILION, label="less the index")
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [_round_size(size) for size in sizes])
    ax.minorticks_off()
    ax.set_ylim(min(0.0, *net), 105)
    ax.set_xlabel("average size of a chunk")
    ax.set_ylabel("per cent of the new version")
    ax.grid(axis="y", color=theme.grey(ax, 0.15))
    theme.legend_above(ax, ax.get_legend_handles_labels()[0])
    ax.set_title("Re-use by chunk size", loc="left", pad=26)
    theme.quiet_frame(ax)
    return ax


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
        Each level of nesting is a row; grey is what goes on in the row below. Sections narrower
        than a four-thousandth of the whole are too narrow to be drawn.

    Raises
    ------
    ValueError
        If the frame is another.
    """
    _check(frame, SECTION_MAP_SCHEMA, "section_map")
    boxes = _boxes(frame, "new")
    ax = theme.axes_or_new(ax, (10.0, 2.0 + 0.55 * _levels(boxes)))
    if not boxes:
        return theme.say_empty(ax, "There are no sections to draw.")
    colours = [_KINDS.get(box.kind) or theme.grey(ax, 0.15) for box in boxes]
    _draw(ax, boxes, boxes, colours)
    present = {box.kind for box in boxes}
    handles = [Patch(color=colour, label=kind) for kind, colour in _KINDS.items() if kind in present]
    theme.legend_above(ax, handles)
    ax.set_title(f"{size_text(_end(boxes))} by section", loc="left", pad=26)
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
        ``old`` and ``new``, each a `section_map` to the same scale. The part of a section's width
        that is shared is drawn at its left, whichever functions or segments it is.

    Raises
    ------
    ValueError
        If the frame is another.
    """
    _check(frame, SECTION_MAP_SCHEMA, "section_maps")
    boxes = {version: _boxes(frame, version) for version in ("old", "new")}
    levels = max(map(_levels, boxes.values()))
    fig = theme.figure_or_new(fig, (10.0, 2.4 + 1.1 * levels))
    axes = dict(zip(boxes, fig.subplots(2, 1, sharex=True), strict=True))
    for version, ax in axes.items():
        if not boxes[version]:
            theme.say_empty(ax, "There are no sections to draw.")
            continue
        _draw_shared(ax, boxes[version])
        shared, total = sum(box.shared for box in boxes[version]), _end(boxes[version])
        title = f"{version}: {size_text(total)}, {share_text(shared / total)} in the other version too"
        ax.set_title(title, loc="left", fontsize="medium")
    if boxes["old"] and boxes["new"]:
        axes["new"].set_xlim(0, max(map(_end, boxes.values())) / _scale(boxes.values())[1])
        axes["old"].set_xlabel("")
        theme.legend_above(axes["old"], _shared_handles())
        axes["old"].set_title(axes["old"].get_title(loc="left"), loc="left", fontsize="medium", pad=26)
    return axes


class _Box(NamedTuple):
    """A run of neighbouring sections of one kind, or something nested with all that is in it."""

    depth: int
    start: int
    size: int
    kind: str
    name: str
    shared: int


def _check(frame: pd.DataFrame, schema: Schema, name: str) -> None:
    missing = [column for column in schema if column not in frame.columns]
    if missing:
        raise ValueError(f"this plot draws what analysis.inside.{name}() gives; the frame has no {missing}")


def _boxes(frame: pd.DataFrame, version: str) -> list[_Box]:
    """Make the boxes of one version, containers before what is in them."""
    boxes: list[_Box] = []
    open_at: list[int] = []  # containers around the section, by their place in the list
    last: dict[int, int] = {}
    columns = ("depth", "section", "name", "offset", "section_bytes", "shared_bytes", "layer")
    chosen = frame[frame["version"] == version]
    for depth, section, name, start, size, shared, layer in rows(chosen, *columns):
        while len(open_at) > depth:
            place = open_at.pop()
            boxes[place] = boxes[place]._replace(size=start - boxes[place].start)
        kind = _kind(section, layer)
        before = boxes[last[depth]] if depth in last else None
        if section in _NESTED:
            open_at.append(len(boxes))
            boxes.append(_Box(depth, start, size, "nested", name or section, 0))
            last.pop(depth, None)
        elif before and before.kind == kind and before.start + before.size == start:
            boxes[last[depth]] = before._replace(
                size=before.size + size, shared=before.shared + (shared or 0)
            )
        else:
            last[depth] = len(boxes)
            boxes.append(_Box(depth, start, size, kind, section, shared or 0))
        end = start + size
    for place in open_at:
        boxes[place] = boxes[place]._replace(size=end - boxes[place].start)
    return boxes


def _kind(section: str, layer: str) -> str:
    if section in _CODE_AND_DATA:
        return _CODE_AND_DATA[section]
    if section in ("preamble", "other"):
        return section
    return "declarations" if layer == "module" else "component wiring"


def _levels(boxes: Iterable[_Box]) -> int:
    return min(max((box.depth for box in boxes), default=0) + 1, _DEEPEST)


def _end(boxes: Sequence[_Box]) -> int:
    return max(box.start + box.size for box in boxes)


def _scale(many: Iterable[Sequence[_Box]]) -> tuple[str, int]:
    return unit_for(max(_end(boxes) for boxes in many if boxes))


def _draw(ax: Axes, boxes: Sequence[_Box], drawn: Sequence[_Box], colours: Sequence[object]) -> None:
    """Draw boxes in given colours, and the names of those in `boxes` that are wide enough."""
    total = _end(boxes)
    unit, divisor = unit_for(total)
    patches, faces = [], []
    for box, colour in zip(drawn, colours, strict=True):
        if box.size >= total * _NARROWEST and box.depth < _DEEPEST:
            patches.append(Rectangle((box.start / divisor, box.depth - 0.42), box.size / divisor, 0.84))
            faces.append(colour)
    edge = theme.paper(ax)
    ax.add_collection(PatchCollection(patches, facecolors=faces, edgecolors=[edge], linewidths=0.4))
    for box in boxes:
        _name(ax, box, total, divisor)
    ax.set_xlim(0, total / divisor)
    ax.set_ylim(_levels(boxes) - 0.4, -0.6)
    ax.set_yticks([])
    ax.set_xlabel(f"offset in {unit}")
    ax.spines[["top", "right", "left"]].set_visible(False)


def _name(ax: Axes, box: _Box, total: int, divisor: int) -> None:
    letters = int(box.size / total / _WIDTH_PER_LETTER)
    if letters < 4 or box.depth >= _DEEPEST:
        return
    text = harmless(f"{box.name}, {size_text(box.size)}", longest=80)
    if len(text) > letters:
        text = harmless(box.name, longest=letters)
    ax.text(
        (box.start + box.size / 2) / divisor,
        box.depth,
        text,
        ha="center",
        va="center",
        fontsize="small",
        color=theme.ink() if box.kind == "nested" else _text_on(box.kind),
        clip_on=True,
    )


def _text_on(kind: str) -> str:
    from matplotlib.colors import to_rgb

    return theme.ink_on(to_rgb(_KINDS.get(kind, "grey")))


def _draw_shared(ax: Axes, boxes: Sequence[_Box]) -> None:
    drawn: list[_Box] = []
    colours: list[object] = []
    for box in boxes:
        if box.kind == "nested":
            drawn.append(box)
            colours.append(theme.grey(ax, 0.15))
            continue
        own = box.size - box.shared
        drawn += [
            box._replace(size=box.shared),
            box._replace(start=box.start + box.shared, size=own),
        ]
        colours += [theme.REUSED, theme.FETCHED]
    named = [box if box.kind == "nested" else box._replace(kind=_half(box)) for box in boxes]
    _draw(ax, named, drawn, colours)


def _half(box: _Box) -> str:
    """Give a kind whose text colour fits the larger part of the box."""
    return "code" if box.shared * 2 >= box.size else "component wiring"


def _shared_handles() -> list[Patch]:
    return [
        Patch(color=theme.REUSED, label="in both versions"),
        Patch(color=theme.FETCHED, label="in this version only"),
    ]


def _round_size(size: int) -> str:
    unit, divisor = unit_for(size)
    return f"{size // divisor} {unit}"
