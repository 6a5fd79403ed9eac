from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from spincache_nb import analysis, plots
from spincache_nb.fleet import schemas
from spincache_nb.frames.schemas import from_columns
from tests.plots.samples import cache_of

MIB = 2**20


def axes():
    return Figure(figsize=(9, 5), dpi=80).add_subplot()


def frame(schema, **columns):
    """A frame with some columns; the others are 0, or empty text."""
    count = len(next(iter(columns.values())))
    rest = {
        name: (["x"] if dtype in ("string", "category") else [0]) * count for name, dtype in schema.items()
    }
    return from_columns(schema, rest | columns)


def test_host_overlap_draws_every_pair_twice_and_no_host_with_itself():
    table = frame(
        schemas.HOST_PAIRS_SCHEMA,
        host_a=["a", "a", "b"],
        host_b=["b", "c$", "c$"],
        shared_bytes=[5 * MIB, 0, 2 * MIB],
    )
    ax = plots.host_overlap(table, ax=axes())
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert sorted(names) == ["a", "b", r"c\$"]
    cells = ax.collections[0].get_array()
    place = {name: number for number, name in enumerate(names)}
    assert cells[place["a"], place["b"]] == cells[place["b"], place["a"]] == 5
    assert cells[place["b"], place[r"c\$"]] == 2
    assert cells.mask[place["a"], place[r"c\$"]]
    assert all(cells.mask[number, number] for number in range(3))


def test_shared_cache_draws_both_sums_host_by_host():
    table = frame(
        schemas.HOST_OVERLAP_SCHEMA,
        host=["a", "b", "c"],
        cumulative_stored_bytes=[4 * MIB, 8 * MIB, 10 * MIB],
        cumulative_distinct_bytes=[4 * MIB, 5 * MIB, 5 * MIB],
    )
    ax = plots.shared_cache(table, ax=axes())
    assert ax.lines[0].get_ydata().tolist() == [0, 4, 8, 10]
    together, saved = (area.get_paths()[0].vertices[:, 1].max() for area in ax.collections)
    assert (together, saved) == (5, 10)
    assert ax.get_title(loc="left") == "3 hosts: 5.0 MiB instead of 10.0 MiB, 50 % saved"


def test_prewarm_draws_the_curve_and_names_its_end():
    table = frame(
        schemas.PREWARM_SCHEMA,
        host_count=[9, 2, 1],
        image_bytes=[MIB, 3 * MIB, 10 * MIB],
        saved_share=[0.5, 0.75, 1.0],
    )
    ax = plots.prewarm(table, ax=axes())
    assert ax.lines[0].get_xdata().tolist() == [0, 1, 3, 10]
    assert ax.lines[0].get_ydata().tolist() == [0, 50, 75, 100]
    assert [text.get_text() for text in ax.texts] == ["on 9 hosts or more", "on 2 hosts or more", "all blobs"]


@pytest.mark.parametrize(("most", "scale"), [(5, "linear"), (200, "log")])
def test_version_tail_parts_those_on_one_host(most, scale):
    table = frame(schemas.VERSIONS_SCHEMA, host_count=[1, most, 2, 1])
    ax = plots.version_tail(table, ax=axes())
    assert ax.get_yscale() == scale
    assert ax.get_title(loc="left") == "4 versions: 2 of them (50 %) on one host only"
    several, single = ax.collections
    assert several.get_paths()[0].vertices[:, 0].max() == 2
    assert single.get_paths()[0].vertices[:, 0].min() == 2
    assert single.get_paths()[0].vertices[:, 1].max() == 1


def test_version_tail_of_versions_that_all_are_widespread():
    ax = plots.version_tail(frame(schemas.VERSIONS_SCHEMA, host_count=[3, 3]), ax=axes())
    assert len(ax.collections) == 1
    assert ax.get_title(loc="left").endswith("0 of them (0 %) on one host only")


@pytest.fixture(scope="module")
def two_hosts(tmp_path_factory):
    """A real fleet, opened from the files of two hosts."""
    pytest.importorskip("duckdb", reason="the extra fleet is not installed")
    from spincache_nb import fleet
    from tests.fleet.fleets import write_hosts

    folder = tmp_path_factory.mktemp("fleet")
    write_hosts(folder, {"a": cache_of(12).frames(), "b": cache_of(8).frames()})
    with fleet.open(folder) as opened:
        yield opened


def test_a_fleet_is_drawn_as_its_frames_are(two_hosts):
    table, ax = two_hosts.breakdown(), plots.breakdown(two_hosts, ax=axes())
    scale = {"bytes": 1, "KiB": 2**10, "MiB": MIB}[ax.get_xlabel().split()[0]]
    drawn = sum(bar.get_width() for bar in ax.containers[0]) * scale
    assert drawn == pytest.approx(int(table["stored_bytes"].sum()))
    assert len(ax.get_yticklabels()) == table["kind"].nunique()
    files = plots.sharing(two_hosts, fig=Figure(figsize=(9, 6)))["files"]
    whole = plots.sharing(two_hosts.sharing(), fig=Figure(figsize=(9, 6)))["files"]
    assert whole.get_label().startswith(files.get_label()), "which alone names the files that are not drawn"
    assert files.get_xlabel() == whole.get_xlabel()
    drawn = [[bar.get_width() for bars in ax.containers for bar in bars] for ax in (files, whole)]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) > 8
    pairs = plots.shared_bytes(two_hosts, ax=axes())
    assert pairs.get_label().startswith(analysis.headline(two_hosts.shared_bytes(top=60)))
    saved = plots.version_savings(two_hosts, ax=axes())
    assert saved.get_label().startswith(analysis.headline(two_hosts.version_savings()))
    for name in ("host_overlap", "shared_cache", "prewarm", "version_tail"):
        ax = getattr(plots, name)(two_hosts, ax=axes())
        assert ax.get_title(loc="left").replace("\n", " ") == ax.get_label() != ""
