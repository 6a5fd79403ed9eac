from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from spincache_nb import analysis, plots
from spincache_nb.analysis.inputs import short_references
from spincache_nb.analysis.schemas import SHARING_SETS_SCHEMA
from spincache_nb.frames.schemas import build, empty
from tests.analysis.worlds import two_versions
from tests.plots.samples import cache_of

UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20}


def sets_of(panels):
    """Members (labels) and hidden members of every column, with its bytes."""
    labels = [tick.get_text() for tick in panels["members"].get_yticklabels()]
    marks = next(c for c in panels["members"].collections if c.get_label() == "in the set")
    hidden = {round(t.get_position()[0]): int(t.get_text()) for t in panels["members"].texts}
    divisor = UNITS[panels["sets"].get_ylabel().split()[0]]
    columns = []
    for number, bar in enumerate(panels["sets"].containers[0]):
        members = {labels[round(y)] for x, y in marks.get_offsets() if round(x) == number}
        columns.append((frozenset(members), hidden.get(number, 0), bar.get_height() * divisor))
    return columns


def expected_sets(table):
    short = short_references(set(table["user"]))
    found = {}
    for line in table.itertuples():
        found.setdefault(line.set, (set(), line.stored_bytes))[0].add(short[line.user])
    return [(frozenset(users), size) for users, size in found.values() if len(users) > 1]


def test_sharing_draws_each_set_with_its_members_and_bytes():
    panels = plots.sharing(two_versions().frames(), fig=Figure())
    assert sets_of(panels) == [
        (frozenset({"api:1.0.0", "web:1.0.0", "web:1.1.0"}), 0, pytest.approx(1000)),
        (frozenset({"web:1.0.0", "web:1.1.0"}), 0, pytest.approx(40)),
    ]
    shared, alone = panels["users"].containers
    labels = [tick.get_text() for tick in panels["members"].get_yticklabels()]
    divisor = UNITS[panels["users"].get_xlabel().split()[0]]
    widths = [(a.get_width() * divisor, b.get_width() * divisor) for a, b in zip(shared, alone, strict=True)]
    assert dict(zip(labels, widths, strict=True)) == {
        "api:1.0.0": pytest.approx((1000, 0)),
        "web:1.0.0": pytest.approx((1040, 7)),
        "web:1.1.0": pytest.approx((1040, 9)),
    }
    assert labels == sorted(labels)


@pytest.mark.parametrize("count", [3, 12, 60, 200])
def test_sharing_hides_nothing_without_counting_it(count):
    table = analysis.sharing_sets(cache_of(count).frames())
    panels = plots.sharing(table, fig=Figure())
    drawn, expected = sets_of(panels), expected_sets(table)
    expected.sort(key=lambda one: -one[1])
    assert [size for *_, size in drawn] == pytest.approx([size for _, size in expected[: len(drawn)]])
    for (members, hidden, _), (users, _) in zip(drawn, expected, strict=False):
        assert members <= users
        assert len(members) + hidden == len(users)
    more = len(expected) - len(drawn)
    notes = [text.get_text() for text in panels["sets"].texts if text.get_text().startswith("+")]
    assert notes == [] if not more else notes[0].startswith(f"+{more} more sets, ")
    labels = [tick.get_text() for tick in panels["members"].get_yticklabels()]
    users = {user for users, _ in expected for user in users}
    if len(users) > 37:
        assert labels[-1] == f"+{len(users) - 36} more"
    else:
        assert set(labels) == users


def test_sharing_with_one_user_sets_adds_what_each_needs_alone():
    panels = plots.sharing(two_versions().frames(), min_users=1, fig=Figure())
    assert [round(size) for *_, size in sets_of(panels)] == [1000, 40, 9, 7]


@pytest.mark.parametrize(("count", "text"), [(0, "Nothing is stored"), (1, "No two apps share")])
def test_sharing_of_nothing_says_so(count, text):
    table = build(SHARING_SETS_SCHEMA, [(0, "r/a:1", "app", 1, 1, 5)][:count])
    panels = plots.sharing(table, fig=Figure())
    assert set(panels) == {"sets", "members", "users"}
    assert panels["sets"].texts[0].get_text().startswith(text)
    assert len(empty(SHARING_SETS_SCHEMA)) == 0


def test_sharing_draws_on_a_part_of_a_figure():
    figure = Figure(layout="constrained")
    left, right = figure.subfigures(1, 2)
    panels = plots.sharing(two_versions().frames(), fig=right)
    assert all(axes.figure is right for axes in panels.values())
    assert left.axes == []


def test_sharing_takes_what_the_analysis_of_its_name_returns():
    frames = two_versions().frames()
    panels = plots.sharing(analysis.sharing(frames), fig=Figure(figsize=(9, 4)))
    assert list(panels) == ["files"]
    stored, again = panels["files"].containers
    assert [bar.get_width() * 1024 for bar in stored] == pytest.approx([1000, 40])
    assert [bar.get_width() * 1024 for bar in again] == pytest.approx([2000, 40])
    finding = "One blob of 1000 B brings 98 % of the 2.0 KiB that sharing saves"
    assert panels["files"].get_title(loc="left").replace("\n", " ") == panels["files"].get_label() == finding
    drawn = [sets_of(plots.sharing(given, fig=Figure())) for given in (frames.need("uses"), frames)]
    assert drawn[0] == drawn[1]


def test_sharing_of_sets_that_are_all_small_draws_the_largest():
    lines = [(n, user, "app", 2, 1, 10) for n in range(200) for user in (f"a{n}", f"b{n}")]
    panels = plots.sharing(build(SHARING_SETS_SCHEMA, lines), fig=Figure(figsize=(9, 6)))
    assert len(sets_of(panels)) == 8
    finding = "100 files of 1000 B are most of the 2.0 KiB that 400 apps share"
    assert panels["sets"].get_label().startswith(finding)
    assert "+192 more sets, 1.9 KiB" in panels["sets"].get_label()


def test_sharing_of_many_apps_is_that_of_repositories():
    panels = plots.sharing(cache_of(60).frames(), fig=Figure())
    labels = [tick.get_text() for tick in panels["members"].get_yticklabels()]
    assert not any(":" in label for label in labels)
    assert panels["sets"].get_title(loc="left").startswith(("One file", "Two files", "Three files"))
