"""Sharing as set intersections: which apps share how much, all sets at once.

The form is UpSet (Lex and others, "UpSet: Visualization of Intersecting Sets", 2014): one column per
set of apps that share bytes nobody else needs, its members marked below it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from spincache_nb import analysis
from spincache_nb.analysis.headlines import headline, sharing_headline
from spincache_nb.analysis.inputs import PLURALS, Group, bundle
from spincache_nb.analysis.schemas import SHARING_SCHEMA, SHARING_SETS_SCHEMA
from spincache_nb.fleet import Fleet
from spincache_nb.frames.schemas import USES_SCHEMA
from spincache_nb.frames.tables import Frames
from spincache_nb.plots import style
from spincache_nb.plots.style import FrameOrSource, names_for
from spincache_nb.show import count_text, rows, short_digest, size_text, unit_for

MOST_COLUMNS = 24
_FEW = 8


@dataclass(frozen=True)
class _Sets:
    """What is drawn: columns of sets, rows of users, and what is left out of both."""

    columns: list[tuple[frozenset[str], int]]
    more: list[tuple[frozenset[str], int]]
    users: list[str]
    more_users: list[str]
    shared: Counter[str]
    alone: Counter[str]

    @property
    def row_count(self) -> int:
        """Rows of users, the one for those left out included."""
        return len(self.users) + bool(self.more_users)


def sharing(
    given: FrameOrSource, *, min_users: int = 2, fig: Figure | SubFigure | None = None
) -> dict[str, Axes]:
    """Draw which apps share how many bytes, or which files save most.

    Parameters
    ----------
    given
        What `analysis.sharing` or `analysis.sharing_sets` returns, or ``frames.uses(cache)``, or a cache,
        or loaded frames, or a fleet (its `Fleet.sharing`).
    min_users
        Users that a set must have to get a column; 1 adds what one app alone needs.
    fig
        Where to draw; None for a new figure.

    Returns
    -------
    dict of str to matplotlib.axes.Axes
        ``sets``: bytes that exactly the marked users need, largest first; ``members``: the marks;
        ``users``: bytes of each user, shared and on its own. Sets under 1 % of what is shared, and those
        beyond 24, are told in a note; users beyond 36 in a last row; the labels of the axes name both. Of
        more than 30 apps, repositories are drawn. Of what `analysis.sharing` or a fleet gives: ``files``,
        a bar for each file that saves most, stored once and needed again.

    Raises
    ------
    ValueError
        If a frame is given that is none of these.
    """
    if isinstance(given, Fleet):
        return {"files": _draw_files(given.sharing(top=MOST_COLUMNS), *given.saving(), fig)}
    if isinstance(given, pd.DataFrame):
        if set(SHARING_SCHEMA) <= set(given.columns):
            saved = given["saved_bytes"]
            return {"files": _draw_files(given, int((saved > 0).sum()), int(saved.sum()), fig)}
        if set(USES_SCHEMA) <= set(given.columns):
            given = Frames(uses=given)
    by: Group = "app"
    if not isinstance(given, pd.DataFrame):
        frames = bundle(given, "apps", "uses")
        by = style.group_of(frames)
        given = analysis.sharing_sets(frames, by=by)
    table = style.frame_of(given, SHARING_SETS_SCHEMA, "analysis.sharing_sets", lambda frame: frame)
    return _draw_panels(table, min_users, (by, PLURALS[by]), fig)


def _draw_panels(
    table: pd.DataFrame, min_users: int, nouns: tuple[str, str], fig: Figure | SubFigure | None
) -> dict[str, Axes]:
    """Draw sets, their members and what each of these needs."""
    sets = _read(table, min_users)
    width, height = style.figure_size("sharing", len(sets.users))
    fig = style.figure_or_new(fig, (width - 0.22 * max(0, 16 - len(sets.columns)), height))
    heights = (2.4, max(1.0, 0.24 * sets.row_count))
    grid = fig.add_gridspec(2, 2, width_ratios=(1, 3.2), height_ratios=heights, wspace=0.02, hspace=0.02)
    if not sets.columns:
        why = f"No two {nouns[1]} share any bytes." if len(table) else "Nothing is stored in this cache."
        panels = {name: fig.add_subplot(grid[1, 1], visible=False) for name in ("members", "users")}
        return {"sets": style.say_empty(fig.add_subplot(grid[:, :]), why), **panels}
    members = fig.add_subplot(grid[1, 1])
    panels = {
        "sets": fig.add_subplot(grid[0, 1], sharex=members),
        "members": members,
        "users": fig.add_subplot(grid[1, 0], sharey=members),
    }
    _draw_members(members, sets)
    _draw_sets(panels["sets"], sets)
    style.title(panels["sets"], headline(table, nouns=nouns), room=0.6)
    if sets.more:
        sizes = size_text(sum(size for _, size in sets.more))
        every = (" + ".join(sorted(users)) for users, _ in sets.more)
        style.leave_out(panels["sets"], f"+{len(sets.more)} more sets, {sizes}", every)
    if sets.more_users:
        style.leave_out(members, f"+{len(sets.more_users)} more", sets.more_users)
    _draw_users(panels["users"], sets, nouns[0])
    corner = fig.add_subplot(grid[0, 0])
    corner.set_axis_off()
    handles = panels["users"].get_legend_handles_labels()[0]
    corner.legend(handles=handles, loc="lower right", frameon=False, fontsize="small")
    return panels


def _draw_files(table: pd.DataFrame, count: int, saves: int, fig: Figure | SubFigure | None) -> Axes:
    """Draw the files that save most of all that some number of them do; the table may hold these alone."""
    order = table.sort_values(["saved_bytes", "digest"], ascending=[False, True], ignore_index=True)
    saving = order[order["saved_bytes"].fillna(0) > 0]
    worth = int((saving["saved_bytes"] >= saves / 100).sum())
    shown = saving.head(min(max(worth, _FEW), MOST_COLUMNS))
    size = style.figure_size("breakdown", len(shown))
    ax = style.figure_or_new(fig, size).add_subplot()
    if not len(shown):
        return style.say_empty(ax, "No file is needed by more than one.")
    stored, saved = (style.numbers(shown, name) for name in ("stored_bytes", "saved_bytes"))
    unit, divisor = unit_for(float((stored + saved).max()))
    texts = [
        f"{size_text(one)}, {count_text(users, 'user')}"
        for one, users in rows(shown, "stored_bytes", "user_count")
    ]
    called = [name or short_digest(digest) for digest, name in rows(shown, "digest", "names")]
    names = [
        style.harmless(name if called.count(name) == 1 else f"{name}, {short_digest(digest)}", longest=40)
        for name, digest in zip(called, shown["digest"], strict=True)
    ]
    again = saved / divisor, style.grey(ax, 0.3), "needed again, not stored again"
    style.stacked(ax, names, ((stored / divisor, style.BLUE, "stored"), again), texts, 1.3)
    more = count - len(shown)
    ax.set_xlabel(unit + (f"; +{more} more files save less" if more else ""))
    style.title_and_legend(ax, sharing_headline(table, count, saves))
    if more:
        rest = size_text(saves - int(shown["saved_bytes"].sum()))
        known = saving["digest"].iloc[len(shown) :] if len(saving) == count else ()
        style.leave_out(ax, f"+{more} more files save {rest}", known)
    return ax


def _read(table: pd.DataFrame, min_users: int) -> _Sets:
    members: dict[tuple[int, int], set[str]] = {}
    for number, user, size in rows(table, "set", "user", "stored_bytes"):
        members.setdefault((number, size or 0), set()).add(user)
    shared, alone = Counter[str](), Counter[str]()
    for (_, size), names in members.items():
        (shared if len(names) > 1 else alone).update(dict.fromkeys(names, size))
    every = [(frozenset(names), size) for (_, size), names in members.items() if len(names) >= min_users]
    every.sort(key=lambda column: (-column[1], sorted(column[0])))
    least = sum(size for _, size in every) / 100
    worth = every if len(every) <= _FEW else [column for column in every if column[1] >= least]
    worth = worth or every[:_FEW]
    columns = worth if len(worth) <= MOST_COLUMNS + 1 else worth[:MOST_COLUMNS]
    users = _worth_a_row(every, columns)
    unnamed = sorted({user for names, _ in every for user in names}.difference(users))
    return _Sets(columns, every[len(columns) :], users, unnamed, shared, alone)


def _worth_a_row(
    every: list[tuple[frozenset[str], int]], columns: list[tuple[frozenset[str], int]]
) -> list[str]:
    """Choose the users that the columns say most about."""
    weights: dict[str, float] = {user: 0.0 for names, _ in every for user in names}
    for together, size in columns:
        for user in together:
            weights[user] += size / len(together) + 1
    ranked = sorted(weights, key=lambda user: (-weights[user], user))
    most = style.MOST_SHOWN["sharing"]
    return sorted(ranked if len(ranked) <= most + 1 else ranked[:most])


def _draw_members(ax: Axes, sets: _Sets) -> None:
    """Mark who is in each set; users that have no row of their own are counted in the last row."""
    place = {user: number for number, user in enumerate(sets.users)}
    for number in range(0, sets.row_count, 2):
        ax.axhspan(number - 0.5, number + 0.5, color=style.grey(ax, 0.07), linewidth=0, zorder=0)
    marks: list[tuple[int, int]] = []
    for column, (users, _) in enumerate(sets.columns):
        marked = sorted(place[user] for user in users if user in place)
        marks += [(column, row) for row in marked]
        hidden = len(users) - len(marked)
        if hidden:
            ax.text(column, len(place), f"+{hidden}", ha="center", va="center", fontsize="x-small")
        ends = [*marked, len(place) - 0.3] if hidden else marked
        if len(ends) > 1:
            ax.plot([column] * 2, [ends[0], ends[-1]], color=style.BLUE, linewidth=1.6)
    every = {(column, row) for column in range(len(sets.columns)) for row in range(len(place))}
    free = sorted(every - set(marks))
    for places, size, colour, order, label in (
        (free, 14, style.grey(ax, 0.18), 1, None),
        (marks, 34, style.BLUE, 3, "in the set"),
    ):
        x, y = zip(*places, strict=True) if places else ((), ())
        ax.scatter(x, y, s=size, color=colour, linewidth=0, zorder=order, label=label)
    _name_members(ax, sets)


def _name_members(ax: Axes, sets: _Sets) -> None:
    names = names_for(sets.users)
    labels = [names[user] for user in sets.users]
    if sets.more_users:
        labels.append(f"+{len(sets.more_users)} more")
    ax.set_yticks(range(sets.row_count), labels, fontsize="small")
    ax.set_ylim(sets.row_count - 0.5, -0.5)
    style.leave_room(ax, len(sets.columns))
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _draw_sets(ax: Axes, sets: _Sets) -> None:
    sizes = [size for _, size in sets.columns]
    unit, divisor = unit_for(max(sizes))
    heights = [size / divisor for size in sizes]
    bars = ax.bar(range(len(sizes)), heights, width=0.62, color=style.BLUE)
    if sets.more:
        note = f"+{len(sets.more)} more sets, {size_text(sum(size for _, size in sets.more))}"
        ax.text(1, 0.98, note, transform=ax.transAxes, ha="right", va="top")
    texts = [size_text(size) for size in sizes]
    upright = len(sizes) <= 8
    ax.bar_label(bars, texts, padding=3, fontsize="small", rotation=0 if upright else 90, color=style.ink())
    ax.set_ylim(0, max(max(heights), 1 / divisor) * (1.15 if upright else 1.6))
    ax.set_ylabel(f"{unit} that exactly\nthose marked need")
    ax.tick_params(bottom=False, labelbottom=False)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_users(ax: Axes, sets: _Sets, noun: str) -> None:
    shared, alone = ([sizes[user] for user in sets.users] for sizes in (sets.shared, sets.alone))
    unit, divisor = unit_for(max(a + b for a, b in zip(shared, alone, strict=True)))
    places = range(len(shared))
    widths = [size / divisor for size in shared]
    ax.barh(places, widths, height=0.62, color=style.BLUE, label="shared")
    rest = [size / divisor for size in alone]
    ax.barh(places, rest, left=widths, height=0.62, color=style.grey(ax, 0.35), label="on its own")
    ax.invert_xaxis()
    ax.set_xlabel(f"{unit} per {noun}")
    ax.tick_params(left=False, labelleft=False)
    ax.spines[["top", "left", "right"]].set_visible(False)
