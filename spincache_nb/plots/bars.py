"""Bars: where the bytes on disk go, and what each version costs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from spincache_nb import analysis
from spincache_nb.analysis.disk import KINDS, LABELS
from spincache_nb.analysis.replay import Rules
from spincache_nb.analysis.schemas import VERSION_SAVINGS_SCHEMA
from spincache_nb.fleet import Fleet
from spincache_nb.plots import style
from spincache_nb.plots.style import FrameOrSource, harmless
from spincache_nb.show import rows, share_text, size_text, unit_for

_HUES = {
    "exclusive": style.BLUE,
    "shared": style.GREEN,
    "archive": style.ORANGE,
    "projects": style.SKY,
    "unreferenced": style.VERMILION,
    "temporary": style.PURPLE,
    "misnamed": style.YELLOW,
}
_IN_WORDS = {"exclusive": "needed by one app only", "shared": "shared by the apps named"}
_MORE = {"exclusive": "+{} more, each needed by one app", "shared": "+{} more sets of apps"}
_GREY = 0.7
"""Of the rows without a hue; far enough from every hue for colour-blind readers, on light and dark."""
_MOST_TICKS = 40


class _Bar(NamedTuple):
    """One bar of the breakdown; ``rest`` if it stands for rows that are not drawn themselves."""

    kind: str
    label: str
    size: int
    rest: bool = False


def breakdown(given: FrameOrSource | Fleet, *, ax: Axes | None = None) -> Axes:
    """Draw where the bytes on disk go.

    Parameters
    ----------
    given
        What `analysis.breakdown` or `Fleet.breakdown` returns, or a cache, or loaded frames, or a fleet.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A bar per row, in the order of the kinds, the largest of each kind first; they sum to the total.
        Beyond 24 rows, the smallest of a kind are one bar that says how many they are. A fleet has a
        bar per kind, all hosts together.

    Raises
    ------
    ValueError
        If a frame is given that is no breakdown.
    """
    schema = dict.fromkeys(("kind", "stored_bytes"), "")
    table = style.frame_of(
        given,
        schema,
        "analysis.breakdown",
        lambda source: source.breakdown() if isinstance(source, Fleet) else analysis.breakdown(source),
    )
    ax = style.axes_or_new(ax, style.figure_size("breakdown", len(table)))
    if not len(table):
        return style.say_empty(ax, "Nothing is stored in this cache.")
    lines = _elided(_bars(table))
    total = sum(line.size for line in lines)
    unit, divisor = unit_for(max(line.size for line in lines))
    sizes = [line.size / divisor for line in lines]
    colours = [_HUES.get(line.kind, style.grey(ax, _GREY)) for line in lines]
    bars = ax.barh(range(len(lines)), sizes, color=colours, edgecolor=style.grey(ax, 0.6), linewidth=0.5)
    for bar, line in zip(bars, lines, strict=True):
        bar.set_hatch("///" if line.rest else None)
    ax.set_yticks(range(len(lines)), [line.label for line in lines])
    ax.set_ylim(len(lines) - 0.4, -0.6)
    parts = [f"{size_text(line.size)}  {share_text(line.size / total if total else 0)}" for line in lines]
    ax.bar_label(bars, parts, padding=4, fontsize="small", color=style.ink())
    ax.set_xlim(0, max(max(sizes), 1 / divisor) * 1.28)
    ax.set_xlabel(f"{unit} on disk")
    kinds = {line.kind for line in lines}
    handles = [Patch(color=_HUES[kind], label=text) for kind, text in _IN_WORDS.items() if kind in kinds]
    style.title_and_legend(ax, f"{size_text(total)} on disk", handles)
    return ax


def _bars(table: pd.DataFrame) -> list[_Bar]:
    """Give one bar per row; of a fleet, whose rows have no labels, one per kind."""
    if "label" not in table.columns:
        table = table.groupby("kind", observed=True)["stored_bytes"].sum().reset_index()
        table["label"] = [LABELS.get(kind, kind) for kind in table["kind"]]
    found = [
        _Bar(kind, harmless(label or "", longest=46), size or 0)
        for kind, label, size in rows(table, "kind", "label", "stored_bytes")
    ]
    return sorted(found, key=lambda bar: (KINDS.index(bar.kind), -bar.size, bar.label))


def _elided(lines: list[_Bar]) -> list[_Bar]:
    """Let the smallest rows of a kind become one."""
    many = [number for number, line in enumerate(lines) if line.kind in _MORE]
    room = max(2, style.MOST_SHOWN["breakdown"] - (len(lines) - len(many)) - len(_MORE))
    if len(many) <= room + len(_MORE):
        return lines
    kept = set(sorted(many, key=lambda number: (-lines[number].size, lines[number].label))[:room])
    bars = []
    for kind in KINDS:
        here = [number for number, line in enumerate(lines) if line.kind == kind]
        shown = [number for number in here if kind not in _MORE or number in kept]
        rest = [lines[number].size for number in here if number not in shown]
        bars += [lines[number] for number in shown]
        if rest:
            bars.append(_Bar(kind, _MORE[kind].format(len(rest)), sum(rest), True))
    return bars


def version_savings(
    given: FrameOrSource,
    repository: str | None = None,
    *,
    rules: Rules = "spin",
    order: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what each version of a repository costs: reused and fetched bytes, and the saving so far.

    Parameters
    ----------
    given
        What `analysis.version_savings` or `analysis.remote_savings` returns, or a cache, or loaded frames.
    repository, rules, order
        As for `analysis.version_savings`; not used if a frame is given.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Stacked bars; the line, on a second axis to the right, is the part of all bytes so far that
        did not have to be fetched.

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
        return analysis.version_savings(source, repository, rules=rules, order=order)

    table = style.frame_of(given, VERSION_SAVINGS_SCHEMA, "analysis.version_savings", analyse)
    ax = style.axes_or_new(ax, style.figure_size("version_savings", len(table)))
    if not len(table):
        return style.say_empty(ax, "No versions to compare.")
    total, fetched = (style.numbers(table, name) for name in ("total_bytes", "fetch_bytes"))
    unknown = (table["total_bytes"].isna() | table["fetch_bytes"].isna()).to_numpy()
    total[unknown] = fetched[unknown] = 0
    unit, divisor = unit_for(float(total.max()))
    places = list(range(len(table)))
    width = 0.8 if len(table) < 80 else 1.0
    reused = (total - fetched) / divisor
    ax.bar(places, reused, width, color=style.REUSED, label="reused")
    ax.bar(places, fetched / divisor, width, bottom=reused, color=style.FETCHED, label="fetched")
    ax.set_ylabel(f"{unit} per version")
    _version_ticks(ax, table)
    line = _saving_line(ax, table, places)
    handles = [handle for axes in (ax, line) for handle in axes.get_legend_handles_labels()[0]]
    style.title_and_legend(ax, _savings_title(table, int(total.sum()), int(fetched.sum())), handles)
    line.spines["top"].set_visible(False)
    return ax


def _version_ticks(ax: Axes, table: pd.DataFrame) -> None:
    references = [reference or "" for (reference,) in rows(table, "reference")]
    labels = style.version_names(references)
    names = [labels[reference] for reference in references]
    step = -(-len(names) // _MOST_TICKS)
    shown = list(range(0, len(names), step))
    steep = len(shown) > 20
    tilted = not steep and (len(names) > 6 or max(map(len, names)) > 8)
    ax.set_xticks(
        shown,
        [names[place] for place in shown],
        rotation=90 if steep else 40 if tilted else 0,
        ha="right" if tilted else "center",
        rotation_mode="anchor" if tilted else "default",
        fontsize="small" if len(shown) > 12 else None,
    )
    note = f"; one in {step} is named" if step > 1 else ""
    ax.set_xlabel(f"versions, in the order pulled{note}")
    spare = max(0, 4 - len(names)) / 2
    ax.set_xlim(-0.7 - spare, len(names) - 0.3 + spare)


def _saving_line(ax: Axes, table: pd.DataFrame, places: Sequence[int]) -> Axes:
    twin = ax.twinx()
    shares = [
        100 * (saved or 0) / total if total else 0.0
        for saved, total in rows(table, "cumulative_saved_bytes", "cumulative_total_bytes")
    ]
    twin.plot(
        places,
        shares,
        color=style.ink(),
        linewidth=1.6,
        marker="o" if len(places) <= 60 else None,
        markersize=4,
        markerfacecolor=style.paper(ax),
        label="saved so far, per cent (right)",
    )
    twin.set_ylim(0, 105)
    twin.set_ylabel("per cent saved so far")
    return twin


def _savings_title(table: pd.DataFrame, total: int, fetched: int) -> str:
    share = share_text((total - fetched) / total if total else 0)
    count = f"{len(table)} version" + ("s" if len(table) != 1 else "")
    repositories = {re.sub("[:@][^/]*$", "", reference or "") for (reference,) in rows(table, "reference")}
    of_what = f" of {harmless(repositories.pop())}" if len(repositories) == 1 else ""
    return f"{count}{of_what}: {size_text(fetched)} fetched instead of {size_text(total)}, {share} saved"
