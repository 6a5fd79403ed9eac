"""Heat maps: what pairs of apps or hosts share, and what going from one version to another costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.patches import Rectangle

from spincache_nb import analysis
from spincache_nb.analysis.headlines import headline
from spincache_nb.analysis.inputs import bundle
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
        nouns = style.NOUNS[by][1]
        columns = ["registry"] if by == "registry" else ["registry", "repository"]
        apps = frames.need("apps")
        count = len(apps) if by == "app" else len(apps[columns].drop_duplicates())
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
    more = (
        f"{len(kept)} of {count} {nouns}; +{count - len(kept)} more share less; " if count > len(kept) else ""
    )
    ax.set_xlabel(f"{more}blank where nothing is shared")
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
    steep = count > 16
    tilted = not steep and (count > 4 or max(map(len, labels)) > 10)
    ax.set_xticks(
        range(count),
        labels,
        rotation=90 if steep else 45 if tilted else 0,
        ha="right" if tilted else "center",
        rotation_mode="anchor" if tilted else "default",
        fontsize=size,
    )
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
    return (
        f"{value:.0f}" if value in (0, int(value)) or value >= 100 else f"{value:.{1 if value >= 1 else 2}f}"
    )
