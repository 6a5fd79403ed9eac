"""Sharing as set intersections: which apps share how much, all sets at once.

The form is UpSet (Lex and others, "UpSet: Visualization of Intersecting Sets", 2014): one column per
set of apps that share bytes nobody else needs, its members marked below it.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.gridspec import GridSpec

from spincache_nb import analysis
from spincache_nb.analysis.inputs import rows
from spincache_nb.analysis.schemas import SHARING_SETS_SCHEMA
from spincache_nb.plots import theme
from spincache_nb.plots.inputs import FrameOrSource, frame_of
from spincache_nb.plots.text import names_for
from spincache_nb.show import size_text, unit_for

MOST_COLUMNS = 24


@dataclass(frozen=True)
class _Sets:
    """What is drawn: columns of sets, rows of users, and what is left out of both."""

    columns: list[tuple[frozenset[str], int]]
    more_columns: int
    more_bytes: int
    users: list[str]
    more_users: int
    shared: dict[str, int]
    alone: dict[str, int]


def sharing(
    given: FrameOrSource, *, min_users: int = 2, fig: Figure | SubFigure | None = None
) -> dict[str, Axes]:
    """Draw which apps share how many bytes.

    Parameters
    ----------
    given
        The frame of `analysis.sharing_sets`, or a cache, or loaded frames.
    min_users
        Users that a set must have to get a column; 1 adds what one app alone needs.
    fig
        Where to draw; None for a new figure.

    Returns
    -------
    dict of str to matplotlib.axes.Axes
        ``sets``: bytes that exactly the marked users need, largest first; ``members``: the marks;
        ``users``: bytes of each user, shared and on its own. Beyond 24 sets, a
        note says how many more there are; beyond 36 users, a last row does, and counts them per set.

    Raises
    ------
    ValueError
        If a frame is given that is none of these.
    """
    table = frame_of(given, SHARING_SETS_SCHEMA, "sharing_sets", analysis.sharing_sets)
    sets = _read(table, min_users)
    width, height = theme.figure_size("sharing", len(sets.users))
    fig = theme.figure_or_new(fig, (width - 0.22 * max(0, 16 - len(sets.columns)), height))
    rows_high = len(sets.users) + bool(sets.more_users)
    grid = fig.add_gridspec(
        2, 2, width_ratios=(1, 3.2), height_ratios=(2.4, max(1.0, 0.24 * rows_high)), wspace=0.02, hspace=0.02
    )
    if not sets.columns:
        return _empty(fig, grid, bool(len(table)))
    members = fig.add_subplot(grid[1, 1])
    panels = {
        "sets": fig.add_subplot(grid[0, 1], sharex=members),
        "members": members,
        "users": fig.add_subplot(grid[1, 0], sharey=members),
    }
    _draw_members(members, sets)
    _draw_sets(panels["sets"], sets)
    _draw_users(panels["users"], sets)
    corner = fig.add_subplot(grid[0, 0])
    corner.set_axis_off()
    handles = panels["users"].get_legend_handles_labels()[0]
    corner.legend(handles=handles, loc="lower right", frameon=False, fontsize="small")
    return panels


def _read(table: pd.DataFrame, min_users: int) -> _Sets:
    members: dict[int, set[str]] = {}
    sizes: dict[int, int] = {}
    for number, user, size in rows(table, "set", "user", "stored_bytes"):
        members.setdefault(number, set()).add(user)
        sizes[number] = size or 0
    shared: dict[str, int] = {}
    alone: dict[str, int] = {}
    for number, names in members.items():
        found = shared if len(names) > 1 else alone
        for user in names:
            found[user] = found.get(user, 0) + sizes[number]
    every = [
        (frozenset(names), sizes[number]) for number, names in members.items() if len(names) >= min_users
    ]
    every.sort(key=lambda column: (-column[1], sorted(column[0])))
    fits = len(every) <= MOST_COLUMNS + 1
    columns = every if fits else every[:MOST_COLUMNS]
    weights: dict[str, float] = {user: 0.0 for names, _ in every for user in names}
    for together, size in columns:
        for user in together:
            weights[user] += size / len(together) + 1
    ranked = sorted(weights, key=lambda user: (-weights[user], user))
    most = theme.MOST_SHOWN["sharing"]
    users = sorted(ranked if len(ranked) <= most + 1 else ranked[:most])
    return _Sets(
        columns,
        len(every) - len(columns),
        sum(size for _, size in every[len(columns) :]),
        users,
        len(ranked) - len(users),
        shared,
        alone,
    )


def _empty(fig: Figure | SubFigure, grid: GridSpec, has_users: bool) -> dict[str, Axes]:
    why = "No two apps share any bytes." if has_users else "Nothing is stored in this cache."
    panels = {"sets": theme.say_empty(fig.add_subplot(grid[:, :]), why)}
    for name in ("members", "users"):
        panels[name] = fig.add_subplot(grid[1, 1])
        panels[name].set_visible(False)
    return panels


def _draw_members(ax: Axes, sets: _Sets) -> None:
    """Mark who is in each set; users that have no row of their own are counted in the last row."""
    place = {user: number for number, user in enumerate(sets.users)}
    rows_high = len(place) + bool(sets.more_users)
    for number in range(0, rows_high, 2):
        ax.axhspan(number - 0.5, number + 0.5, color=theme.grey(ax, 0.07), linewidth=0, zorder=0)
    marked_x, marked_y, free_x, free_y = [], [], [], []
    for column, (users, _) in enumerate(sets.columns):
        marked = sorted(place[user] for user in users if user in place)
        marked_x += [column] * len(marked)
        marked_y += marked
        free = [number for number in range(len(place)) if number not in set(marked)]
        free_x += [column] * len(free)
        free_y += free
        hidden = len(users) - len(marked)
        if hidden:
            ax.text(column, len(place), f"+{hidden}", ha="center", va="center", fontsize="x-small")
        ends = [*marked, len(place)] if hidden else marked
        if len(ends) > 1:
            ax.plot([column] * 2, [ends[0], ends[-1] - 0.3 * bool(hidden)], color=theme.BLUE, linewidth=1.6)
    ax.scatter(free_x, free_y, s=14, color=theme.grey(ax, 0.18), linewidth=0, zorder=1)
    ax.scatter(marked_x, marked_y, s=34, color=theme.BLUE, linewidth=0, zorder=3, label="in the set")
    _name_members(ax, sets, rows_high)


def _name_members(ax: Axes, sets: _Sets, rows_high: int) -> None:
    names = names_for(sets.users)
    labels = [names[user] for user in sets.users]
    if sets.more_users:
        labels.append(f"+{sets.more_users} more")
    ax.set_yticks(range(rows_high), labels, fontsize="small")
    ax.set_ylim(rows_high - 0.5, -0.5)
    spare = max(0, 4 - len(sets.columns)) / 2
    ax.set_xlim(-0.7 - spare, len(sets.columns) - 0.3 + spare)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _draw_sets(ax: Axes, sets: _Sets) -> None:
    sizes = [size for _, size in sets.columns]
    unit, divisor = unit_for(max(sizes))
    heights = [size / divisor for size in sizes]
    bars = ax.bar(range(len(sizes)), heights, width=0.62, color=theme.BLUE)
    if sets.more_columns:
        note = f"+{sets.more_columns} more sets, {size_text(sets.more_bytes)}"
        ax.text(1, 0.98, note, transform=ax.transAxes, ha="right", va="top")
    texts = [size_text(size) for size in sizes]
    upright = len(sizes) <= 8
    ax.bar_label(bars, texts, padding=3, fontsize="small", rotation=0 if upright else 90, color=theme.ink())
    ax.set_ylim(0, max(max(heights), 1 / divisor) * (1.15 if upright else 1.6))
    ax.set_ylabel(f"{unit} shared")
    ax.tick_params(bottom=False, labelbottom=False)
    ax.set_title("Bytes that exactly the apps marked below need", loc="left")
    theme.quiet_frame(ax)


def _draw_users(ax: Axes, sets: _Sets) -> None:
    shared = [sets.shared.get(user, 0) for user in sets.users]
    alone = [sets.alone.get(user, 0) for user in sets.users]
    unit, divisor = unit_for(max(a + b for a, b in zip(shared, alone, strict=True)))
    places = range(len(shared))
    widths = [size / divisor for size in shared]
    ax.barh(places, widths, height=0.62, color=theme.BLUE, label="shared")
    rest = [size / divisor for size in alone]
    ax.barh(places, rest, left=widths, height=0.62, color=theme.grey(ax, 0.35), label="on its own")
    ax.invert_xaxis()
    ax.set_xlabel(f"{unit} per app")
    ax.tick_params(left=False, labelleft=False)
    ax.spines[["top", "left", "right"]].set_visible(False)
