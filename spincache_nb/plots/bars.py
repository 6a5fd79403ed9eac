"""Bars: where the bytes on disk go, and what each version costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from spincache_nb import analysis
from spincache_nb.analysis.disk import KINDS, LABELS, NEEDED
from spincache_nb.analysis.headlines import FLAT, headline
from spincache_nb.analysis.inputs import PLURALS, Group, bundle
from spincache_nb.analysis.schemas import VERSION_SAVINGS_SCHEMA
from spincache_nb.analysis.versions import Rules, repository_totals
from spincache_nb.fleet import Fleet
from spincache_nb.plots import style
from spincache_nb.plots.style import FrameOrSource, harmless
from spincache_nb.show import count_text, rows, share_text, size_text, unit_for

_HUES = {
    "exclusive": style.BLUE,
    "shared": style.GREEN,
    "archive": style.ORANGE,
    "projects": style.SKY,
    "unreferenced": style.VERMILION,
    "temporary": style.PURPLE,
    "misnamed": style.YELLOW,
}
_MANY = ("exclusive", "shared")
_GREY = 0.7
"""Of the rows without a hue; far enough from every hue for colour-blind readers, on light and dark."""
_MOST_TICKS = 40
_MOST_LABELS = 30
_FEW = 8


class _Bar(NamedTuple):
    """One bar of the breakdown; `rest` names the rows that it stands for, if they are not drawn."""

    kind: str
    label: str
    size: int
    rest: tuple[str, ...] = ()


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
        The smallest of a kind, those under 1 % and those beyond 24 rows, are one bar that says how many
        they are; the label of the axes, a text to go with the picture, names them. More than 30 apps are
        drawn by repository, more than 30 repositories by registry, and a fleet by kind.

    Raises
    ------
    ValueError
        If a frame is given that is no breakdown.
    """
    by: Group = "app"
    if isinstance(given, Fleet):
        given = given.breakdown()
    elif not isinstance(given, pd.DataFrame):
        frames = bundle(given, *NEEDED)
        by = style.group_of(frames, style.MOST_APPS)
        given = analysis.breakdown(frames, by=by)
    schema = dict.fromkeys(("kind", "stored_bytes"), "")
    table = style.frame_of(given, schema, "analysis.breakdown", lambda frame: frame)
    lines = _elided(_bars(table), PLURALS[by])
    ax = style.axes_or_new(ax, style.figure_size("breakdown", len(lines)))
    if not lines:
        return style.say_empty(ax, "Nothing is stored in this cache.")
    total = sum(line.size for line in lines)
    unit, divisor = unit_for(max(line.size for line in lines))
    sizes = np.array([line.size / divisor for line in lines])
    colours = [_HUES.get(line.kind, style.grey(ax, _GREY)) for line in lines]
    texts = [f"{size_text(line.size)}  {share_text(line.size / total if total else 0)}" for line in lines]
    style.stacked(ax, [line.label for line in lines], [(sizes, colours, "")], texts, 1.28)
    for bar, line in zip(ax.patches, lines, strict=True):
        bar.set(edgecolor=style.grey(ax, 0.6), linewidth=0.5, hatch="///" if line.rest else None)
    ax.set_xlabel(f"{unit} on disk")
    kinds = {line.kind for line in lines}
    words = {"exclusive": f"needed by one {by} only", "shared": f"shared by the {PLURALS[by]} named"}
    handles = [Patch(color=_HUES[kind], label=text) for kind, text in words.items() if kind in kinds]
    style.title_and_legend(ax, headline(table, nouns=(by, PLURALS[by])), handles)
    for line in lines:
        if line.rest:
            style.leave_out(ax, f"{line.label}, {size_text(line.size)}", line.rest)
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


def _elided(lines: list[_Bar], nouns: str) -> list[_Bar]:
    """Let the smallest rows of a kind become one: those under 1 %, and those that there is no room for."""
    many = [number for number, line in enumerate(lines) if line.kind in _MANY]
    room = max(2, style.MOST_SHOWN["breakdown"] - (len(lines) - len(many)) - len(_MANY))
    least = sum(line.size for line in lines) / 100
    large = [number for number in many if lines[number].size >= least]
    if len(many) > _FEW and len(large) < len(many) - len(_MANY):
        room = min(room, len(large))
    elif len(many) <= room + len(_MANY):
        return lines
    kept = set(sorted(many, key=lambda number: (-lines[number].size, lines[number].label))[:room])
    bars = []
    for kind in KINDS:
        here = [number for number, line in enumerate(lines) if line.kind == kind]
        shown = [number for number in here if kind not in _MANY or number in kept]
        rest = [lines[number] for number in here if number not in shown]
        bars += [lines[number] for number in shown]
        if len(rest) == 1:
            bars += rest
        elif rest:
            more = f"+{len(rest):,} more" if shown else f"{len(rest):,}"
            label = (
                f"{more} sets of {nouns}" if kind == "shared" else f"{more} {nouns}, what each needs alone"
            )
            bars.append(_Bar(kind, label, sum(line.size for line in rest), tuple(one.label for one in rest)))
    return bars


def version_savings(
    given: FrameOrSource,
    repository: str | None = None,
    *,
    rules: Rules = "spin",
    order: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what versions cost: of one repository version by version, of many repository by repository.

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
        Stacked bars of reused and fetched bytes, each labelled with the share that was reused. Of many
        repositories, those that save under 4 % are told in one line below; the label of the axes names them.

    Raises
    ------
    ValueError
        If a frame is given that is none of these.
    NotInCacheError
        If the cache holds no such repository.
    """

    def analyse(source: analysis.Source) -> pd.DataFrame:
        return analysis.version_savings(source, repository, rules=rules, order=order)

    table = style.frame_of(given, VERSION_SAVINGS_SCHEMA, "analysis.version_savings", analyse)
    if "repository" in table.columns and table["repository"].nunique() > 1:
        return _repositories(table, ax)
    ax = style.axes_or_new(ax, style.figure_size("version_savings", len(table)))
    if not len(table):
        return style.say_empty(ax, "No versions to compare.")
    total, fetched = _costs(table)
    unit, divisor = unit_for(float(total.max()))
    places = list(range(len(table)))
    width = 0.8 if len(table) < 80 else 1.0
    reused = (total - fetched) / divisor
    ax.bar(places, reused, width, color=style.REUSED, label="reused")
    bars = ax.bar(places, fetched / divisor, width, bottom=reused, color=style.FETCHED, label="fetched")
    if len(table) <= _MOST_LABELS:
        shares = [share_text((t - f) / t) if t else "" for t, f in zip(total, fetched, strict=True)]
        ax.bar_label(bars, shares, padding=2, fontsize="small", color=style.ink())
    ax.set_ylim(0, max(float(total.max()) / divisor, 1 / divisor) * 1.08)
    ax.set_ylabel(f"{unit} per version")
    _version_ticks(ax, table)
    style.title_and_legend(ax, headline(table))
    return ax


def _costs(table: pd.DataFrame) -> tuple[style.Numbers, style.Numbers]:
    """Total and fetched bytes per version; where one is missing, as too large for a column, both are 0."""
    total, fetched = (style.numbers(table, name) for name in ("total_bytes", "fetch_bytes"))
    unknown = (table["total_bytes"].isna() | table["fetch_bytes"].isna()).to_numpy()
    total[unknown] = fetched[unknown] = 0
    return total, fetched


def _repositories(table: pd.DataFrame, ax: Axes | None) -> Axes:
    """Draw a bar per repository, those that save most first; flat ones are counted in one line."""
    columns = ["repository", "versions", "total_bytes", "saved", "fetch_bytes", "share"]
    summed = pd.DataFrame(repository_totals(table), columns=columns)
    order = summed.sort_values("saved", ascending=False, kind="stable", ignore_index=True)
    worth = order["saved"] >= FLAT * order["total_bytes"].clip(lower=1)
    shown = order[worth].head(style.MOST_SHOWN["breakdown"])
    flat, more = int((~worth).sum()), int(worth.sum()) - len(shown)
    ax = style.axes_or_new(ax, style.figure_size("breakdown", len(shown) + 1))
    if not len(shown):
        return style.say_empty(ax, f"{headline(table)}." if len(order) else "No versions to compare.")
    unit, divisor = unit_for(float(order["total_bytes"].max()))
    names = style.names_for(shown["repository"])
    texts = [
        f"{share_text(saved / whole)} saved, {count_text(int(count), 'version')}"
        for saved, whole, count in rows(shown, "saved", "total_bytes", "versions")
    ]
    parts = (
        (shown["saved"].to_numpy() / divisor, style.REUSED, "reused"),
        (shown["fetch_bytes"].to_numpy() / divisor, style.FETCHED, "fetched"),
    )
    style.stacked(ax, [names[name] for name in shown["repository"]], parts, texts, 1.4)
    notes = [f"{flat} of {len(order)} repositories saved under 4 %"] if flat else []
    notes += [f"+{more} more save less"] if more else []
    ax.set_xlabel("; ".join([f"{unit}, all versions one after the other", *notes]))
    style.title_and_legend(ax, headline(table))
    for what, rest in (("Under 4 % saved", order[~worth]), ("Not drawn", order[worth].iloc[len(shown) :])):
        if len(rest):
            size = size_text(int(rest["total_bytes"].sum()))
            style.leave_out(ax, f"{what}, {size}", rest["repository"])
    return ax


def _version_ticks(ax: Axes, table: pd.DataFrame) -> None:
    references = [reference or "" for (reference,) in rows(table, "reference")]
    labels = style.version_names(references)
    names = [labels[reference] for reference in references]
    step = -(-len(names) // _MOST_TICKS)
    shown = list(range(0, len(names), step))
    angle = 90 if len(shown) > 20 else 40 if len(names) > 6 or max(map(len, names)) > 8 else 0
    fontsize = "small" if len(shown) > 12 else None
    style.name_below(ax, shown, [names[place] for place in shown], angle=angle, fontsize=fontsize)
    ax.set_xlabel("versions, in the order pulled" + (f"; one in {step} is named" if step > 1 else ""))
    style.leave_room(ax, len(names))
