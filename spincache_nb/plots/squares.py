"""Heat maps of what pairs share and what going from one version to another costs; a treemap of a cache."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from spincache_nb import analysis
from spincache_nb.analysis.headlines import headline
from spincache_nb.analysis.inputs import PLURALS, bundle, group_names
from spincache_nb.analysis.schemas import SHARED_BYTES_SCHEMA, UPGRADE_MATRIX_SCHEMA
from spincache_nb.analysis.versions import Rules
from spincache_nb.fleet import Fleet
from spincache_nb.fleet.schemas import HOST_PAIRS_SCHEMA
from spincache_nb.plots import style
from spincache_nb.plots.style import FrameOrSource, harmless, names_for, version_names
from spincache_nb.show import rows, unit_for

_Square = npt.NDArray[np.float64]
_MOST_NUMBERS = 12


def shared_bytes(given: FrameOrSource | Fleet, *, ax: Axes | None = None) -> Axes:
    """Draw what each pair of apps shares, apps that share much side by side.

    Parameters
    ----------
    given
        What `analysis.shared_bytes` returns, or a cache, or loaded frames, or a fleet.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A square heat map; the diagonal is grey, and pairs that share nothing are blank. Of a cache of
        more than 30 apps, repositories are drawn (of more than 200 repositories, registries); of more
        than 60 of them, those that share most.

    Raises
    ------
    ValueError
        If a frame is given that is none of these.
    """
    most = style.MOST_SHOWN["shared_bytes"]
    nouns, count = "apps", 0
    if isinstance(given, Fleet):
        given = given.shared_bytes(top=most)
    elif not isinstance(given, pd.DataFrame):
        frames = bundle(given, "apps", "uses")
        by = style.group_of(frames)
        groups = group_names(frames, by)
        nouns, count = PLURALS[by], len(set(groups.values())) if groups else len(frames.need("apps"))
        given = analysis.shared_bytes(frames, top=most, by=by)
    table = style.frame_of(given, SHARED_BYTES_SCHEMA, "analysis.shared_bytes", lambda frame: frame)
    names, square = _square_of(table, "reference_a", "reference_b", "shared_bytes")
    count = max(count, len(names))
    ax = style.axes_or_new(ax, style.figure_size("shared_bytes", count))
    if not names:
        return style.say_empty(ax, f"Fewer than two {nouns}: nothing can be shared.")
    ranked = sorted(range(len(names)), key=lambda number: (-square[number].sum(), number))
    kept = sorted(ranked[:most])
    cells = square[np.ix_(kept, kept)]
    if not cells.any():
        known = len(names) == count and not square.any()
        those = f"No two {nouns}" if known else f"No two of the {len(kept)} {nouns} that share most"
        return style.say_empty(ax, f"{those} share any bytes.")
    short = names_for(names, longest=28)
    _draw_pairs(ax, cells, [short[names[number]] for number in kept], headline(table))
    more = count - len(kept)
    note = f"{len(kept)} of {count} {nouns}; +{more} more share less; " if more else ""
    ax.set_xlabel(f"{note}blank where nothing is shared")
    if len(names) > len(kept):
        style.leave_out(ax, "Not drawn", (names[number] for number in ranked[most:]))
    return ax


def host_overlap(given: pd.DataFrame | Fleet, *, ax: Axes | None = None) -> Axes:
    """Draw what each pair of hosts has in common, hosts that have much side by side.

    Parameters
    ----------
    given
        What `Fleet.host_pairs` returns, or a fleet: then of its 60 largest hosts.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A square heat map; the diagonal is grey, and pairs that have nothing in common are blank.

    Raises
    ------
    ValueError
        If a frame is given that is none of these.
    """
    most = style.MOST_SHOWN["host_overlap"]
    analyse = partial(Fleet.host_pairs, top=most)
    table = style.frame_of(given, HOST_PAIRS_SCHEMA, "Fleet.host_pairs", analyse)
    hosts, square = _square_of(table, "host_a", "host_b", "shared_bytes")
    ax = style.axes_or_new(ax, style.figure_size("host_overlap", len(hosts)))
    if not hosts:
        return style.say_empty(ax, "Fewer than two hosts: nothing can be shared.")
    names = {name: harmless(name, longest=28) for name in hosts}
    _draw_pairs(ax, square, list(names.values()), headline(table))
    return ax


def upgrade_matrix(
    given: FrameOrSource,
    repository: str | None = None,
    *,
    rules: Rules = "spin",
    order: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what pulling each version costs where only one other version is there.

    Parameters
    ----------
    given
        What `analysis.upgrade_matrix` returns, or a cache, or loaded frames.
    repository, rules, order
        As for `analysis.upgrade_matrix`; not used if a frame is given.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        One row per version that is there, one column per version that is pulled, both in the
        frame's order; a second pull of the same version, the diagonal, is grey. Of more than 60 versions,
        the last ones are drawn.

    Raises
    ------
    ValueError
        If a frame is given that is none of these, or a source without a repository.
    NotInCacheError
        If the cache holds no such repository.
    """

    def analyse(source: analysis.Source) -> pd.DataFrame:
        if repository is None:
            raise ValueError("name the repository whose versions to draw")
        return analysis.upgrade_matrix(source, repository, rules=rules, order=order)

    table = style.frame_of(given, UPGRADE_MATRIX_SCHEMA, "analysis.upgrade_matrix", analyse)
    start, end = list(UPGRADE_MATRIX_SCHEMA)[:2]
    versions = list(dict.fromkeys(name for pair in rows(table, start, end) for name in pair))
    ax = style.axes_or_new(ax, style.figure_size("upgrade_matrix", len(versions)))
    if not versions:
        return style.say_empty(ax, "No versions to compare.")
    shown = versions[-style.MOST_SHOWN["upgrade_matrix"] :]
    place = {name: number for number, name in enumerate(shown)}
    square = np.full((len(shown), len(shown)), np.nan)
    for one, other, size in rows(table, start, end, "fetch_bytes"):
        if one in place and other in place:
            square[place[one], place[other]] = size
    names, cells = version_names(versions), np.ma.masked_invalid(square)
    _draw_square(ax, cells, [names[name] for name in shown], headline(table))
    ax.set_ylabel("version that is there")
    more = len(versions) - len(shown)
    note = f"\nthe last {len(shown)} of {len(versions)}; +{more} more before" if more else ""
    ax.set_xlabel(f"version that is pulled{note}")
    if more:
        style.leave_out(ax, "Not drawn", versions[:more])
    return ax


def _square_of(table: pd.DataFrame, *columns: str) -> tuple[list[str], _Square]:
    """Make a table of what pairs have in common, alike on both sides of its diagonal, and its names."""
    pairs: Iterable[tuple[str, str, int | None]] = list(rows(table, *columns))
    names = sorted({name for one, other, _ in pairs for name in (one, other)})
    place = {name: number for number, name in enumerate(names)}
    square = np.zeros((len(names), len(names)))
    for one, other, size in pairs:
        square[place[one], place[other]] = square[place[other], place[one]] = size or 0
    return names, square


def clustered(square: _Square) -> list[int]:
    """Order things so that similar ones are neighbours (average linkage)."""
    most = np.sqrt(np.maximum(square.max(axis=1, initial=0), 1))
    likeness = square / np.outer(most, most)
    np.fill_diagonal(likeness, -1.0)
    groups = {number: [number] for number in range(len(square))}
    while len(groups) > 1:
        first, second = sorted(map(int, np.unravel_index(int(likeness.argmax()), likeness.shape)))
        weights = len(groups[first]), len(groups[second])
        merged = np.average(likeness[[first, second]], axis=0, weights=weights)
        likeness[first], likeness[:, first] = merged, merged
        likeness[second], likeness[:, second] = -1.0, -1.0
        gone = [number for number in range(len(square)) if number not in groups]
        likeness[first, [first, second, *gone]] = likeness[[first, second, *gone], first] = -1.0
        groups[first] += groups.pop(second)
    return next(iter(groups.values()), [])


def _draw_pairs(ax: Axes, square: _Square, labels: Sequence[str], title: str) -> None:
    """Draw what pairs share, similar ones side by side; nothing shared, and the diagonal, stay blank."""
    order = clustered(square)
    arranged = square[np.ix_(order, order)]
    blank = np.eye(len(arranged), dtype=bool) | (arranged == 0)
    _draw_square(ax, np.ma.masked_array(arranged, blank), [labels[number] for number in order], title)


def _draw_square(ax: Axes, cells: np.ma.MaskedArray, labels: Sequence[str], title: str) -> None:
    """Draw a square of bytes with names on both sides and a scale in MiB or KiB."""
    most = float(cells.max()) if cells.count() else 0.0
    unit, divisor = unit_for(most)
    # Shapes, not an image: a page whose policy forbids data: addresses shows them all the same.
    edges = np.arange(len(labels) + 1) - 0.5
    top = max(most, 1) / divisor
    image = ax.pcolormesh(edges, edges, cells / divisor, cmap=style.colour_map(ax), vmin=0, vmax=top)
    for place in range(len(labels)):
        ax.add_patch(Rectangle((place - 0.5, place - 0.5), 1, 1, facecolor=style.grey(ax, 0.15), linewidth=0))
    ax.set_aspect("equal")
    ax.set_xlim(-0.5, len(labels) - 0.5)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    _name_both_sides(ax, labels)
    style.title(ax, title)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, aspect=30)
    bar.set_label(unit)
    bar.outline.set_visible(False)
    if bar.solids is not None:
        bar.solids.set_rasterized(False)
    if len(labels) <= _MOST_NUMBERS:
        _write_numbers(ax, cells / divisor, image)


def _name_both_sides(ax: Axes, labels: Sequence[str]) -> None:
    count = len(labels)
    high = ax.get_window_extent().height / ax.figure.dpi
    size = float(np.clip(72 * high / count * 0.72, 4.5, 10.0))
    angle = 90 if count > 16 else 45 if count > 4 or max(map(len, labels)) > 10 else 0
    style.name_below(ax, range(count), labels, angle=angle, fontsize=size)
    ax.set_yticks(range(count), labels, fontsize=size)
    ax.set_xticks(np.arange(0.5, count - 1), minor=True)
    ax.set_yticks(np.arange(0.5, count - 1), minor=True)
    ax.grid(which="minor", color=style.paper(ax), linewidth=1.2 if count <= 16 else 0.4)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)


def _write_numbers(ax: Axes, cells: np.ma.MaskedArray, image: QuadMesh) -> None:
    for row, column in zip(*np.nonzero(~np.ma.getmaskarray(cells)), strict=True):
        value = float(cells[row, column])
        red, green, blue, _ = (float(part) for part in image.to_rgba(np.array([value]))[0])
        colour = style.ink() if row == column else style.ink_on((red, green, blue))
        text = _number_text(value)
        ax.text(column, row, text, ha="center", va="center", fontsize="small", color=colour)


def _number_text(value: float) -> str:
    if 0 < value < 0.005:
        return "<0.01"
    digits = 0 if value == int(value) or value >= 100 else 1 if value >= 1 else 2
    return f"{value:.{digits}f}"


Box = tuple[float, float, float, float]
"""Left, bottom, width, height."""

_LOOKS = {
    "here": ("#8fbfe0", "", "only here"),
    "shared": ("#0b4f7d", "", "shared"),
    "idle": ("#f6dc9a", "///", "nothing needs it"),
    "damaged": ("#a3161f", "xxx", "damaged"),
    "other": ("#c9c9c9", "", "other"),
}
"""Colour, hatching and name of each state; as in the explorer's style sheet."""

_LETTER = 0.0075


def treemap(parts: Sequence[Mapping[str, Any]], *, ax: Axes) -> Axes:
    """Draw parts, each with a name, a text of its size and its sizes by state, within a square of 1 by 1."""
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    shown = [part for part in parts if part["size"] > 0]
    if not shown:
        return style.say_empty(ax, "Nothing is stored in this cache.")
    for part, (x, y, w, h) in zip(
        shown, squarified([part["size"] for part in shown], (0, 0, 1, 1)), strict=True
    ):
        inner = [one for one in part.get("parts", ()) if one["size"] > 0]
        if inner and w > 0.08 and h > 0.12:
            ax.add_patch(Rectangle((x, y), w, h, facecolor="none", edgecolor=style.ink(), linewidth=0.8))
            room = (x + 0.003, y + 0.005, w - 0.006, h - 0.055)
            for one, box in zip(inner, squarified([one["size"] for one in inner], room), strict=True):
                _draw_part(ax, one, box, size="x-small")
            name = style.harmless(part["name"], longest=max(4, int(w / _LETTER)))
            ax.text(x + 0.005, y + h - 0.012, name, va="top", fontsize="small", weight="bold", clip_on=True)
        else:
            _draw_part(ax, part, (x, y, w, h), size="small")
    present = [any(part["sizes"][place] for part in shown) for place in range(len(_LOOKS))]
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor=style.ink(), linewidth=0.4, label=name)
        for (colour, hatch, name), is_there in zip(_LOOKS.values(), present, strict=True)
        if is_there
    ]
    ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, -0.01), ncols=5, frameon=False, fontsize="small"
    )
    return ax


def _draw_part(ax: Axes, part: Mapping[str, Any], box: Box, *, size: str) -> None:
    """Draw one part, its states side by side, and its name where that fits."""
    x, y, w, h = box
    left = x
    for (colour, hatch, _), amount in zip(_LOOKS.values(), part["sizes"], strict=True):
        if amount:
            wide = w * amount / part["size"]
            look: dict[str, Any] = {
                "facecolor": colour,
                "hatch": hatch,
                "edgecolor": style.paper(ax),
                "linewidth": 0.6,
            }
            ax.add_patch(Rectangle((left, y), wide, h, **look))
            left += wide
    most = list(_LOOKS)[max(range(len(_LOOKS)), key=lambda place: part["sizes"][place])]
    letters = int(w / _LETTER)
    if letters >= 5 and h > 0.035:
        colour = style.ink_on(to_rgb(_LOOKS[most][0]))
        text = style.harmless(part["name"], longest=letters)
        ax.text(x + 0.004, y + h - 0.008, text, va="top", fontsize=size, color=colour, clip_on=True)


def squarified(sizes: Sequence[int], box: Box) -> list[Box]:
    """Lay out sizes, none of them 0, as rectangles that are as square as they can be, in their order."""
    order = sorted(range(len(sizes)), key=lambda place: -sizes[place])
    found: list[Box] = [box] * len(sizes)
    x, y, w, h = box
    rest = float(sum(sizes))
    while order:
        side, area = min(w, h), w * h / rest
        count = 1
        while count < len(order) and _worst(sizes, order[: count + 1], side, area) <= _worst(
            sizes, order[:count], side, area
        ):
            count += 1
        row, order = order[:count], order[count:]
        total = sum(sizes[place] for place in row)
        thick, along = total * area / side, 0.0
        for place in row:
            long = sizes[place] * area / thick
            found[place] = (x, y + along, thick, long) if w >= h else (x + along, y, long, thick)
            along += long
        x, y, w, h = (x + thick, y, w - thick, h) if w >= h else (x, y + thick, w, h - thick)
        rest -= total
    return found


def _worst(sizes: Sequence[int], row: Sequence[int], side: float, area: float) -> float:
    """How far the least square rectangle of a row is from a square."""
    thick = sum(sizes[place] for place in row) * area / side
    longs = (sizes[row[0]] * area / thick, sizes[row[-1]] * area / thick)
    return max(max(long / thick, thick / long) for long in longs)


def png(parts: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """Draw parts as a PNG."""
    figure = Figure(figsize=(9.0, 5.2), layout="constrained")
    ax = treemap(parts, ax=figure.add_subplot())
    ax.set_title(style.harmless(title, longest=100), loc="left")
    with io.BytesIO() as out:
        figure.savefig(out, format="png", dpi=100, metadata={"Software": None})
        return out.getvalue()
