from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from spincache_nb import analysis, plots
from spincache_nb.analysis.inputs import short_references
from spincache_nb.analysis.schemas import SHARED_BYTES_SCHEMA
from spincache_nb.frames.schemas import build
from spincache_nb.plots.squares import clustered
from tests.analysis.worlds import App, World, digest_of, two_versions
from tests.plots.samples import cache_of, versions_of

UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20}


def cells_of(ax):
    """(row label, column label) -> bytes of every cell that is not blank."""
    (bar,) = [axes for axes in ax.figure.axes if axes is not ax]
    values = ax.collections[0].get_array()
    left = [tick.get_text() for tick in ax.get_yticklabels()]
    below = [tick.get_text() for tick in ax.get_xticklabels()]
    filled = zip(*np.nonzero(~np.ma.getmaskarray(values)), strict=True)
    return {(left[i], below[j]): float(values[i, j]) * UNITS[bar.get_ylabel()] for i, j in filled}


@pytest.mark.parametrize("count", [3, 12, 60])
def test_shared_bytes_draws_every_pair_twice_and_no_diagonal(count):
    table = analysis.shared_bytes(cache_of(count).frames())
    ax = plots.shared_bytes(table, ax=Figure().add_subplot())
    short = short_references({*table["reference_a"], *table["reference_b"]})
    expected = {}
    for line in table.itertuples():
        if line.shared_bytes:
            a, b = short[line.reference_a], short[line.reference_b]
            expected[a, b] = expected[b, a] = line.shared_bytes
    assert cells_of(ax) == pytest.approx(expected)
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert sorted(labels) == sorted(short.values())
    assert labels == [tick.get_text() for tick in ax.get_xticklabels()]


def test_shared_bytes_draws_the_sixty_apps_that_share_most():
    table = analysis.shared_bytes(cache_of(200).frames())
    ax = plots.shared_bytes(table, ax=Figure().add_subplot())
    totals = {}
    for line in table.itertuples():
        for name in (line.reference_a, line.reference_b):
            totals[name] = totals.get(name, 0) + line.shared_bytes
    most = sorted(totals, key=lambda name: (-totals[name], name))[:60]
    short = short_references(totals)
    assert {tick.get_text() for tick in ax.get_yticklabels()} == {short[name] for name in most}
    assert ax.get_xlabel().startswith("60 of 200 apps; +140 more share less")


@pytest.mark.parametrize(("count", "by"), [(12, "app"), (70, "repository")])
def test_shared_bytes_of_a_source_draws_what_it_draws_of_the_frame(count, by):
    frames = cache_of(count).frames()
    given = frames, analysis.shared_bytes(frames, by=by)
    drawn = [plots.shared_bytes(one, ax=Figure().add_subplot()) for one in given]
    assert drawn[0].get_title(loc="left") == drawn[1].get_title(loc="left")
    assert " share most: " in drawn[0].get_title(loc="left").replace("\n", " ")
    assert drawn[0].collections[0].get_array().tolist() == drawn[1].collections[0].get_array().tolist()
    assert len(drawn[0].patches) == len(drawn[0].get_yticklabels()), "the diagonal is grey"


def test_shared_bytes_writes_numbers_where_there_is_room():
    ax = plots.shared_bytes(two_versions().frames(), ax=Figure().add_subplot())
    assert sorted({text.get_text() for text in ax.texts}) == ["1.0", "0.98"][::-1]
    ax = plots.shared_bytes(cache_of(13).frames(), ax=Figure().add_subplot())
    assert len(ax.texts) == 0


def test_shared_bytes_of_one_app_says_so():
    ax = plots.shared_bytes(cache_of(1).frames(), ax=Figure().add_subplot())
    assert [text.get_text() for text in ax.texts] == ["Fewer than two apps: nothing can be shared."]


@pytest.mark.parametrize("count", [2, 3, 70])
def test_shared_bytes_of_apps_that_share_nothing_says_so(count):
    names = [f"ghcr.io/org/app-{number:02}:1" for number in range(count)]
    lines = [(one, other, 0) for one in names for other in names if one < other]
    ax = plots.shared_bytes(build(SHARED_BYTES_SCHEMA, lines), ax=Figure().add_subplot())
    assert [text.get_text() for text in ax.texts] == ["No two apps share any bytes."]
    assert ax.figure.axes == [ax]


def test_shared_bytes_of_hubs_that_share_with_others_only_says_no_more_than_it_knows():
    """Seventy apps share with two others each, and so more than these; no two of the seventy share."""
    blobs = [digest_of(number) for number in range(1, 141)]
    hubs = [
        App("r", f"hub-{n:02}", "1", [(blob, "data") for blob in blobs[2 * n : 2 * n + 2]]) for n in range(70)
    ]
    others = [App("r", f"other-{n:03}", "1", [(blob, "data")]) for n, blob in enumerate(blobs)]
    world = World(hubs + others, dict.fromkeys(blobs, 9), {(blob, "data") for blob in blobs})
    frames = world.frames("apps", "uses")
    for given, noun in ((frames, "repositories"), (analysis.shared_bytes(frames), "apps")):
        ax = plots.shared_bytes(given, ax=Figure().add_subplot())
        (text,) = ax.texts
        assert text.get_text() == f"No two of the 60 {noun} that share most share any bytes."


def test_clustered_puts_what_is_alike_side_by_side():
    square = np.zeros((6, 6))
    for a, b, size in [(0, 3, 9.0), (0, 5, 8.0), (3, 5, 9.0), (1, 4, 7.0)]:
        square[a, b] = square[b, a] = size
    order = clustered(square)
    assert sorted(order) == list(range(6))
    places = {number: place for place, number in enumerate(order)}
    assert max(places[n] for n in (0, 3, 5)) - min(places[n] for n in (0, 3, 5)) == 2
    assert abs(places[1] - places[4]) == 1
    assert clustered(np.zeros((3, 3))) == [0, 1, 2]
    assert clustered(np.zeros((0, 0))) == []


@pytest.mark.parametrize("count", [1, 3, 12])
def test_upgrade_matrix_draws_every_pair_in_order(count):
    table = analysis.upgrade_matrix(versions_of(count).frames(), "org/web")
    ax = plots.upgrade_matrix(table, ax=Figure().add_subplot())
    names = [name.partition(":")[2] for name in dict.fromkeys(table["from_version"])]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == names
    expected = {
        (line[0].partition(":")[2], line[1].partition(":")[2]): line[2]
        for line in table.itertuples(index=False, name=None)
    }
    assert cells_of(ax) == pytest.approx(expected)


def test_upgrade_matrix_draws_the_last_sixty_versions():
    ax = plots.upgrade_matrix(versions_of(75).frames(), "org/web", ax=Figure().add_subplot())
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert (len(labels), labels[0], labels[-1]) == (60, "2.5.0", "8.4.0")
    assert "+15 more before" in ax.get_xlabel()


def test_upgrade_matrix_of_a_source_wants_a_repository():
    with pytest.raises(ValueError, match="repository"):
        plots.upgrade_matrix(two_versions().frames(), ax=Figure().add_subplot())
