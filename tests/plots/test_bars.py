from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from spincache_nb import analysis, plots
from spincache_nb.analysis.schemas import BREAKDOWN_SCHEMA
from spincache_nb.frames.schemas import build
from tests.analysis.worlds import App, World, digest_of, two_versions
from tests.plots.samples import cache_of, versions_of

MIB = 2**20


def bars_of(ax):
    """Label -> bytes, read from the bars and the unit in the label of the axis."""
    divisor = {"bytes": 1, "KiB": 2**10, "MiB": MIB}[ax.get_xlabel().split()[0]]
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    return {label: bar.get_width() * divisor for label, bar in zip(labels, ax.containers[0], strict=True)}


def test_breakdown_draws_one_bar_per_row_in_bytes():
    table = analysis.breakdown(two_versions().frames())
    ax = plots.breakdown(table, ax=Figure().add_subplot())
    assert bars_of(ax) == pytest.approx(dict(zip(table["label"], table["stored_bytes"], strict=True)))
    assert ax.get_title(loc="left") == "Nothing needs 15 % of 1.9 KiB on disk: 300 B"
    texts = [text.get_text() for text in ax.texts]
    assert texts[2] == "1000 B  51 %"


@pytest.mark.parametrize(("count", "by"), [(1, "app"), (12, "app"), (30, "app"), (60, "repository")])
def test_breakdown_bars_sum_to_the_disk_with_any_number_of_apps(count, by):
    frames = cache_of(count).frames()
    ax = plots.breakdown(frames, ax=Figure().add_subplot())
    bars = bars_of(ax)
    assert sum(bars.values()) == pytest.approx(float(frames.disk["stored_bytes"].sum()))
    assert len(bars) <= 24
    more = [label for label in bars if label.startswith("+")]
    counted = sum(int(label.split()[0]) for label in more)
    assert len(bars) - len(more) + counted == len(analysis.breakdown(frames, by=by))
    assert [bar.get_hatch() for bar in ax.containers[0]].count("///") == len(more)
    words = [text.get_text() for text in ax.get_legend().texts]
    assert f"needed by one {by} only" in words


def test_breakdown_folds_what_is_under_one_per_cent():
    rows = [(0, "exclusive", "only big", 1, 1, 10_000, 0.9)]
    rows += [(n, "exclusive", f"only {n:02}", 1, 1, 20, 0.1) for n in range(1, 20)]
    ax = plots.breakdown(build(BREAKDOWN_SCHEMA, rows), ax=Figure().add_subplot())
    bars = bars_of(ax)
    assert list(bars) == ["only big", "+19 more apps, what each needs alone"]
    assert sum(bars.values()) == pytest.approx(10_380)
    assert "only 01, only 02" in ax.get_label(), "named in the text that goes with the picture"


def test_breakdown_of_many_repositories_is_by_registry():
    apps = [App(f"r{n % 2}.io", f"o/{n}", tag, [(digest_of(n), "wasm")]) for n in range(40) for tag in "12"]
    sizes = {digest_of(n): 5_000 for n in range(40)}
    frames = World(apps, sizes, {(digest, "wasm") for digest in sizes}).frames()
    ax = plots.breakdown(frames, ax=Figure().add_subplot())
    assert list(bars_of(ax))[:2] == ["only r0.io", "only r1.io"]


def test_breakdown_sorts_by_kind_then_size_then_label():
    rows = [
        (0, "other", "other files", 0, 1, 9, 0.1),
        (1, "exclusive", "only b", 1, 1, 5, 0.1),
        (2, "exclusive", "only a", 1, 1, 5, 0.1),
        (3, "exclusive", "only c", 1, 1, 7, 0.1),
    ]
    ax = plots.breakdown(build(BREAKDOWN_SCHEMA, rows), ax=Figure().add_subplot())
    assert list(bars_of(ax)) == ["only c", "only a", "only b", "other files"]
    assert ax.yaxis_inverted()


def test_breakdown_of_files_without_bytes_draws_bars_without_length():
    rows = [(0, "other", "other files", 0, 1, 0, None)]
    ax = plots.breakdown(build(BREAKDOWN_SCHEMA, rows), ax=Figure().add_subplot())
    assert list(bars_of(ax).values()) == [0]


@pytest.mark.parametrize("count", [1, 3, 12, 60, 200])
def test_version_savings_stacks_reused_and_fetched_bytes(count):
    table = analysis.version_savings(versions_of(count).frames(), "ghcr.io/org/web")
    ax = plots.version_savings(table, ax=Figure().add_subplot())
    reused, fetched = ax.containers
    assert ax.get_ylabel() == "MiB per version"
    assert [bar.get_height() * MIB for bar in reused] == pytest.approx(table["reused_bytes"].tolist())
    assert [bar.get_height() * MIB for bar in fetched] == pytest.approx(table["fetch_bytes"].tolist())
    assert [bar.get_y() for bar in fetched] == [bar.get_height() for bar in reused]
    assert ax.figure.axes == [ax], "one axis"
    assert [text.get_text() for text in ax.get_legend().texts] == ["reused", "fetched"]
    assert len(ax.texts) == (count if count <= 30 else 0), "each bar says what was saved"


@pytest.mark.parametrize(("count", "named"), [(3, 3), (40, 40), (41, 21), (200, 40)])
def test_version_savings_names_at_most_forty_versions(count, named):
    ax = plots.version_savings(versions_of(count).frames(), "ghcr.io/org/web", ax=Figure().add_subplot())
    labels = [tick.get_text() for tick in ax.get_xticklabels()]
    assert len(labels) == named
    assert labels[0] == "1.0.0"
    assert ("is named" in ax.get_xlabel()) == (named < count)


def test_version_savings_without_a_repository_draws_all_of_them():
    frames = cache_of(28).frames()
    table = analysis.version_savings(frames)
    for given in (frames, table):
        ax = plots.version_savings(given, ax=Figure(figsize=(9, 5)).add_subplot())
        reused, fetched = ax.containers
        drawn = sum(bar.get_width() for bars in (reused, fetched) for bar in bars) * MIB
        names = [tick.get_text() for tick in ax.get_yticklabels()]
        chosen = table[[name.rpartition("/")[2] in names for name in table["repository"].astype(str)]]
        assert drawn == pytest.approx(float(chosen["total_bytes"].sum()))
        assert all(" saved, " in text.get_text() for text in ax.texts)
    flat = table.assign(fetch_bytes=table["total_bytes"], reused_bytes=0)
    ax = plots.version_savings(flat, ax=Figure(figsize=(9, 5)).add_subplot())
    count = table["repository"].nunique()
    assert [text.get_text() for text in ax.texts] == [
        f"Versions reuse next to nothing in {count} repositories."
    ]
    one = plots.version_savings(versions_of(3).frames(), ax=Figure().add_subplot())
    assert one.get_ylabel() == "MiB per version", "of one repository, version by version"
