"""The recorded caches: what the frames say of them, and how they are laid out."""

import json
import stat
from datetime import UTC, datetime

import pandas as pd
import pytest

from spincache_nb import analysis, demo, frames
from spincache_nb.core.cache import Cache
from tests.demo import recorded_table
from tests.demo.recorded_rows import NAMES, Row, apps, environment, raw, wasm


@pytest.fixture(scope="module")
def recordings():
    return {one.name: one for one in demo.recorded_caches()}


def rows(frame: pd.DataFrame, *columns: str) -> list[Row]:
    values = frame[list(columns)].astype(object)
    return [tuple(None if pd.isna(v) else v for v in row) for row in values.itertuples(index=False)]


@pytest.mark.parametrize("name", NAMES)
def test_frames_of_a_recorded_cache(name, recordings, tmp_path):
    """Row by row, but for what the README holds; each byte is in the breakdown once, no secret in a frame."""
    assert any(demo.CANARY.encode() in data for data in raw(name).values())
    cache = recordings[name].lay_out(tmp_path)
    found = frames.load(cache)
    assert found.need("apps")["manifest_digest"].isna().all()  # Spin writes manifest.json anew
    sizes = {path: _declared(data) for path, data in raw(name).items() if path.endswith("/manifest.json")}
    assert sorted(found.need("apps")["declared_bytes"]) == sorted(sizes.values())
    expected = apps(name)
    columns = ["reference", "role", "declared_bytes", "stored"]
    assert rows(found.need("layers"), *columns) == [row for app in expected for row in app.layers()]
    columns = ["reference", "component", "source_bytes", "file_count", "files_bytes", "dependency_count"]
    assert rows(found.need("components"), *columns) == [row for app in expected for row in app.components()]
    columns = ["reference", "path", "digest", "inline", "size_bytes"]
    files = [row for app in expected for component in app.made for row in app.files(component)]
    assert rows(found.need("files"), *columns) == files
    uses = rows(found.need("uses"), "user", "digest", "area", "via")
    assert (len(uses), set(uses)) == (len(set(uses)), {row for app in expected for row in app.uses()})
    projects = recordings[name].project_folders(tmp_path)
    pd.testing.assert_frame_equal(frames.problems(cache, projects=projects), found.need("problems"))
    stored = {path: len(data) for path, data in raw(name).items() if not path.startswith("manifests/")}
    assert {f"{r.area}/{r.name}": r.stored_bytes for r in found.need("blobs").itertuples()} == stored
    assert analysis.breakdown(found)["stored_bytes"].sum() == sum(len(data) for data in raw(name).values())
    for frame in ("apps", "layers", "uses", "components", "files", "blobs", "problems", "disk"):
        assert demo.CANARY not in found.need(frame).to_csv()


def _declared(manifest: bytes) -> int:
    document = json.loads(manifest)
    sizes = {one["digest"]: one["size"] for one in [document["config"], *document["layers"]]}
    return int(sum(sizes.values()))


def test_apps_know_when_they_were_made_and_pulled():
    with demo.recorded("v2.4") as cache:
        found = frames.apps(cache).set_index("reference")
    book = found.loc["ghcr.io/example/guestbook:latest"]
    assert book["created_at"] == pd.Timestamp("2024-06-03T08:00:00.123456789Z")
    assert book["pulled_at"] == pd.Timestamp("2024-06-11T10:00:00Z")
    assert book["description"] == "The guestbook"
    assert found["created_at"].isna().sum() == 4


def test_apps_of_v20_share_a_config_and_those_of_v24_do_not():
    with demo.recorded("v2.0") as old, demo.recorded("v2.4") as new:
        before, after = frames.apps(old), frames.apps(new)
    assert before[before["kind"] == "app"]["config_digest"].nunique() == 1
    assert after["config_digest"].nunique() == len(after)


def test_uses_of_projects_name_what_no_app_does(recordings, tmp_path):
    expected = {
        "v2.0": (wasm("v2.0", "from the web, again"), "spin.toml"),
        "v3.x": (wasm("v3.x", "spin-up world"), "environment lock"),
        "main": (environment(), "environment lock"),
    }
    for name, found in expected.items():
        cache = recordings[name].lay_out(tmp_path / name)
        (project,) = recordings[name].project_folders(tmp_path / name)
        uses = frames.uses(cache, projects=[project])
        assert rows(uses[uses["user"] == str(project)], "digest", "via") == [found]


@pytest.mark.parametrize("name", NAMES)
def test_frames_do_not_depend_on_the_spelling_of_names(name, recordings, tmp_path):
    both = [recordings[name].lay_out(tmp_path / str(flag), windows_names=flag) for flag in (False, True)]
    assert [cache.windows_names for cache in both] == [False, True]
    assert not [path for path in both[1].path.rglob("*") if ":" in path.name]
    one, other = (frames.load(cache) for cache in both)
    for frame in ("apps", "layers", "uses", "components", "files"):
        pd.testing.assert_frame_equal(one.need(frame), other.need(frame))
    columns = ["digest", "area", "stored_bytes", "standing"]
    assert sorted(rows(one.need("blobs"), *columns), key=str) == sorted(
        rows(other.need("blobs"), *columns), key=str
    )
    kinds = [sorted(rows(bundle.need("problems"), "kind", "reference"), key=str) for bundle in (one, other)]
    assert kinds[0] == kinds[1]


def test_recorded_caches_are_one_for_each_generation(recordings):
    assert list(recordings) == NAMES == list(demo.GENERATIONS)
    assert [one.windows_names for one in recordings.values()] == [name == "v3.x-windows" for name in NAMES]
    assert all(one.spin and one.shows for one in recordings.values())
    assert repr(recordings["v0.8"]) == "RecordedCache('v0.8': Spin v0.8 to v1.1, 11 files)"


@pytest.mark.parametrize("name", NAMES)
def test_lay_out_writes_the_files_and_nothing_else(name, recordings, tmp_path):
    cache = recordings[name].lay_out(tmp_path, windows_names=False if name != "v3.x-windows" else None)
    found = {
        path.relative_to(cache.path).as_posix(): path.read_bytes()
        for path in cache.path.rglob("*")
        if path.is_file()
    }
    assert found == raw(name)
    assert cache.path == tmp_path / "cache" / "registry"
    there = {path.name for path in tmp_path.iterdir()}
    assert there == ({"cache", "projects"} if recordings[name].projects else {"cache"})


def test_lay_out_makes_folders_times_and_modes_as_that_spin_did(recordings, tmp_path):
    windows = recordings["v3.x-windows"].lay_out(tmp_path / "windows")
    assert sorted(path.name for path in windows.path.iterdir()) == ["manifests", "wasm"]
    cache = recordings["v2.0"].lay_out(tmp_path)
    assert sorted(path.name for path in cache.path.iterdir()) == ["data", "manifests", "wasm"]
    fetched = cache.path / "wasm" / wasm("v2.0", "from the web, again")
    moment = datetime(2024, 1, 16, 10, tzinfo=UTC).timestamp()
    assert (stat.S_IMODE(fetched.stat().st_mode), fetched.stat().st_mtime) == (0o600, moment)
    other = cache.path / "wasm" / wasm("v2.0", "guestbook 5")
    assert stat.S_IMODE(other.stat().st_mode) == 0o644
    with pytest.raises(FileExistsError):
        recordings["v0.8"].lay_out(tmp_path)


def test_recorded_gives_a_cache_for_the_block_only():
    with demo.recorded("main") as cache:
        assert isinstance(cache, Cache)
        assert cache.path.is_dir()
        assert cache.history.read() == ()
        assert cache.history.path.parent == cache.path.parent.parent
        folder = cache.path.parent.parent
    assert not folder.exists()


def test_recorded_refuses_another_name():
    with pytest.raises(ValueError, match=r"'v9'; there are v0\.8, v1\.5"), demo.recorded("v9"):
        pass


def test_readme_says_what_the_frames_report():
    assert recorded_table.written() == recorded_table.tables(), "run python -m tests.demo.recorded_table"
