"""A fleet of one host says what the analyses of that cache say; odd caches included."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("duckdb", reason="the extra fleet is not installed")

from spincache_nb import analysis, fleet
from spincache_nb.demo import Workspace
from spincache_nb.frames import Frames
from tests.analysis import worlds
from tests.analysis.worlds import World
from tests.fleet.fleets import Rows, write_hosts

FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


def compare(opened: fleet.Fleet, frames: Frames) -> None:
    """Compare every analysis that one cache and a fleet both have."""
    one = analysis.summary(frames)
    pd.testing.assert_frame_equal(opened.summary()[list(one.columns)], one)
    one = analysis.sharing(frames)
    pd.testing.assert_frame_equal(opened.sharing()[list(one.columns)], one)
    pd.testing.assert_frame_equal(opened.shared_bytes(top=99), analysis.shared_bytes(frames))
    apps = frames.need("apps")
    readable = apps[apps["layer_count"].notna()]
    names = readable["registry"].astype(str) + "/" + readable["repository"].astype(str)
    for repository in sorted(set(names)):
        for rules in ("spin", "spincache"):
            one = analysis.version_savings(frames, repository, rules=rules)
            found = opened.version_savings(repository, rules=rules)
            one["created_at"] = one["created_at"].dt.floor("us")  # as precise as Parquet is for every reader
            pd.testing.assert_frame_equal(found[list(one.columns)], one)
    split = analysis.breakdown(frames).groupby("kind", observed=True)["stored_bytes"].sum()
    assert opened.breakdown().set_index("kind")["stored_bytes"].to_dict() == split.to_dict()


@pytest.fixture(scope="module")
def demo_frames():
    """Frames of the demo cache."""
    with Workspace() as demo:
        demo.pull_all()
        yield analysis.load(demo.cache)


def test_fleet_of_the_demo_cache_says_what_its_analyses_say(demo_frames, tmp_path: Path) -> None:
    write_hosts(tmp_path, {"only": demo_frames})
    with fleet.open(tmp_path) as opened:
        compare(opened, demo_frames)
        assert opened.host_overlap()["only_here_bytes"].tolist() == opened.summary()["stored_bytes"].tolist()


@FEW
@given(world=worlds.worlds())
def test_fleet_of_any_cache_says_what_its_analyses_say(world: World) -> None:
    frames = world.frames()
    with TemporaryDirectory() as folder:
        write_hosts(Path(folder), {"only": frames})
        with fleet.open(folder) as opened:
            compare(opened, frames)


@FEW
@given(several=st.lists(worlds.worlds(), min_size=2, max_size=3))
def test_fleet_of_any_caches_says_what_brute_force_says(several: list[World]) -> None:
    with TemporaryDirectory() as folder:
        write_hosts(Path(folder), {f"host{n}": world.frames() for n, world in enumerate(several)})
        rows = Rows(Path(folder))
        with fleet.open(folder) as opened:
            line = opened.summary().to_dict("records")[0]
            expected = rows.summary()
            del expected["dedup_ratio"]
            assert {name: line[name] for name in expected} == expected
            shared = opened.sharing().set_index("digest").to_dict("index")
            assert shared == rows.sharing()
            pairs = {(a, b): size for a, b, size in opened.host_pairs().itertuples(index=False)}
            assert pairs == rows.host_pairs()
            apps = {(a, b): size for a, b, size in opened.shared_bytes(top=99).itertuples(index=False)}
            assert apps == rows.shared_bytes()
            overlap = opened.host_overlap().set_index("host").to_dict("index")
            for host, sums in rows.host_overlap().items():
                assert {name: overlap[host][name] for name in sums} == sums
