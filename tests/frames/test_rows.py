"""Rows of every frame, written by hand, for small caches of every kind."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spincache_nb import frames
from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History, PullRecord
from tests.support import artifacts, caches, odd_artifacts
from tests.support.artifact import ARCHIVE, DATA, WASM, compact, sha256, wasm_module
from tests.support.artifacts import Component
from tests.support.caches import INDEX, PAGES, TINY, WEB, blob, folder, pulled, web, without
from tests.support.trees import union, write_tree

WEB_V1 = "ghcr.io/org/web:v1"
APPLICATION = "application/vnd.fermyon.spin.application.v1+config"


def cache_of(tmp_path: Path, *trees: dict[str, bytes]) -> Cache:
    write_tree(tmp_path / "registry", union(*trees))
    return Cache(tmp_path)


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries, None for missing."""
    return [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.astype(object).to_dict("records")
    ]


# apps -------------------------------------------------------------------------------------------


def test_apps_of_an_app_and_a_package(tmp_path: Path) -> None:
    artifact, package = web(), caches.wkg_package()
    cache = cache_of(tmp_path, pulled(artifact), pulled(package))
    os.utime(cache.path / folder(artifact) / "manifest.json", ns=(0, 1_700_000_000_123_456_789))
    os.utime(cache.path / folder(package) / "manifest.json", ns=(0, 0))
    assert plain(frames.apps(cache)) == [
        {
            "reference": "ghcr.io/org/pkg:1.0.0",
            "registry": "ghcr.io",
            "repository": "org/pkg",
            "tag": "1.0.0",
            "kind": "package",
            "name": None,
            "version": None,
            "description": None,
            "created_at": None,
            "pulled_at": pd.Timestamp(0, tz="UTC"),
            "manifest_digest": None,
            "config_digest": package.document["config"]["digest"],
            "config_bytes": package.document["config"]["size"],
            "layer_count": 1,
            "component_count": None,
            "declared_bytes": sum(len(data) for data in package.blobs.values()),
            "stored_bytes": len(caches.package_wasm()),
        },
        {
            "reference": WEB_V1,
            "registry": "ghcr.io",
            "repository": "org/web",
            "tag": "v1",
            "kind": "app",
            "name": "web",
            "version": "1.0.0",
            "description": "A “test” app web",
            "created_at": pd.Timestamp("2026-03-01T10:00:00.123456789Z"),
            "pulled_at": pd.Timestamp(1_700_000_000_123_456_789, tz="UTC"),
            "manifest_digest": None,
            "config_digest": artifact.document["config"]["digest"],
            "config_bytes": artifact.document["config"]["size"],
            "layer_count": 3,
            "component_count": 1,
            "declared_bytes": sum(len(data) for data in artifact.blobs.values()),
            "stored_bytes": len(WEB) + len(INDEX),
        },
    ]


def test_apps_of_a_damaged_tag_are_known_as_far_as_possible(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, {f"{folder(web())}/manifest.json": b"", f"{folder(web())}/config.json": b""})
    (row,) = plain(frames.apps(cache))
    assert row.pop("pulled_at") is not None
    assert row == {
        "reference": WEB_V1,
        "registry": "ghcr.io",
        "repository": "org/web",
        "tag": "v1",
        "kind": "unknown",
        **dict.fromkeys(["name", "version", "description", "created_at", "manifest_digest"]),
        **dict.fromkeys(["config_digest", "config_bytes", "layer_count"]),
        **dict.fromkeys(["component_count", "declared_bytes"]),
        "stored_bytes": 0,
    }


def test_apps_fall_back_on_annotations(tmp_path: Path) -> None:
    artifact = caches.wkg_package()
    document = {
        **artifact.document,
        "annotations": {
            "org.opencontainers.image.title": "a title",
            "org.opencontainers.image.version": "1.2.3",
            "org.opencontainers.image.description": "what it is",
            "org.opencontainers.image.created": "not a time",
        },
    }
    cache = cache_of(tmp_path, {**pulled(artifact), f"{folder(artifact)}/manifest.json": compact(document)})
    (row,) = plain(frames.apps(cache))
    assert (row["name"], row["version"], row["description"]) == ("a title", "1.2.3", "what it is")
    assert row["created_at"] is None


def test_apps_of_a_digest_folder_have_no_tag(tmp_path: Path) -> None:
    artifact = web()
    own = f"manifests/ghcr.io/org/web/{artifact.digest}"
    tree = {path.replace(folder(artifact), own): data for path, data in pulled(artifact).items()}
    cache = cache_of(tmp_path, {**tree, f"{own}/manifest.json": artifact.manifest})
    (row,) = plain(frames.apps(cache))
    assert row["reference"] == f"ghcr.io/org/web@{artifact.digest}"
    assert (row["tag"], row["manifest_digest"]) == (None, artifact.digest)


def test_apps_with_sizes_beyond_64_bits_do_not_overflow(tmp_path: Path) -> None:
    artifact = web()
    document = artifact.document
    for layer in document["layers"][:2]:
        layer["size"] = 2**63 - 1
    cache = cache_of(tmp_path, {**pulled(artifact), f"{folder(artifact)}/manifest.json": compact(document)})
    assert plain(frames.apps(cache))[0]["declared_bytes"] is None
    assert frames.layers(cache)["declared_bytes"].tolist()[:2] == [2**63 - 1] * 2


def test_apps_with_odd_modification_times(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, pulled(web()))
    far = 9_300_000_000 * 10**9  # the year 2264
    os.utime(cache.path / folder(web()) / "manifest.json", ns=(far, far))
    os.utime(cache.path / blob("wasm", WEB), ns=(far, -1))
    assert frames.apps(cache)["pulled_at"].isna().tolist() == [True]
    modified = dict(zip(frames.blobs(cache)["name"], frames.blobs(cache)["modified_at"], strict=True))
    assert modified[sha256(WEB)] == pd.Timestamp(-1, tz="UTC")


# layers -----------------------------------------------------------------------------------------


def test_layers_of_an_app(tmp_path: Path) -> None:
    artifact = web()
    cache = cache_of(tmp_path, without(pulled(artifact), blob("data", INDEX)))
    application = artifact.application or b""
    expected = [
        (0, WEB, WASM, "wasm", True),
        (1, INDEX, DATA, "data", False),
        (2, application, APPLICATION, "application", True),
    ]
    assert plain(frames.layers(cache)) == [
        {
            "reference": WEB_V1,
            "position": position,
            "digest": sha256(data),
            "media_type": media_type,
            "role": role,
            "declared_bytes": len(data),
            "stored": stored,
        }
        for position, data, media_type, role, stored in expected
    ]


def test_layers_keep_duplicates(tmp_path: Path) -> None:
    layers = frames.layers(cache_of(tmp_path, pulled(odd_artifacts.duplicate_layers())))
    assert layers["position"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert layers["role"].tolist() == ["wasm", "data", "data", "data", "data", "wasm", "application"]
    assert layers["digest"].nunique() == 3
    assert layers["stored"].all()


def test_layers_of_an_unknown_type_have_the_role_other(tmp_path: Path) -> None:
    layers = frames.layers(cache_of(tmp_path, pulled(odd_artifacts.unknown_media_type())))
    assert layers["role"].tolist() == ["other", "other", "application"]
    assert layers["media_type"].tolist()[:2] == ["application/vnd.example.wasm.v9", "text/plain"]


# uses and blobs ---------------------------------------------------------------------------------


def test_uses_of_an_archive_app(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, pulled(caches.archive_mode()))
    archive = caches.archive_layer()
    expected = [("wasm", WEB, "layer"), ("data", archive, "layer"), ("data", TINY, "archive member")]
    expected += [("data", data, "archive member") for data in PAGES.values()]
    rows = [
        {
            "user": "ghcr.io/org/site:v1",
            "digest": sha256(data),
            "area": area,
            "stored_bytes": len(data),
            "via": via,
        }
        for area, data, via in expected
    ]
    assert plain(frames.uses(cache)) == sorted(rows, key=lambda row: str(row["digest"]))


def test_uses_list_projects_among_the_users(tmp_path: Path) -> None:
    project = tmp_path / "aaa"
    project.mkdir()
    source = f'source = {{ url = "https://example.test/a", digest = "{sha256(WEB)}" }}'
    (project / "spin.toml").write_text(f"spin_manifest_version = 2\n[component.a]\n{source}\n")
    cache = cache_of(tmp_path, pulled(web()))
    uses = frames.uses(cache, projects=[project])
    assert list(zip(uses["user"], uses["via"], strict=True)) == [
        (str(project), "spin.toml"),
        *[(WEB_V1, "layer")] * 2,
    ]
    (cache.path / folder(web()) / "manifest.json").unlink()
    (cache.path / folder(web()) / "config.json").unlink()
    standing = frames.blobs(cache, projects=[project]).set_index("digest")["standing"]
    assert standing.to_dict() == {sha256(WEB): "referenced", sha256(INDEX): "unreferenced"}
    assert len(frames.problems(cache, projects=[project])) == 1  # the empty tag folder


def test_blobs_of_every_standing(tmp_path: Path) -> None:
    tree = {
        **pulled(web()),
        blob("data", b"nobody's"): b"nobody's",
        caches.temporary_name(): b"123",
        caches.bare_hex_name(b"old"): b"old",
    }
    cache = cache_of(tmp_path, tree)
    for path in tree:
        os.utime(cache.path / path, ns=(0, 5_000_000_000))
    columns = ["name", "digest", "area", "stored_bytes", "standing"]
    blobs = frames.blobs(cache)
    assert blobs["modified_at"].tolist() == [pd.Timestamp(5, unit="s", tz="UTC")] * 5
    assert [tuple(row.values()) for row in plain(blobs[columns])] == sorted(
        [
            (sha256(INDEX), sha256(INDEX), "data", 300, "referenced"),
            (sha256(b"nobody's"), sha256(b"nobody's"), "data", 8, "unreferenced"),
            (caches.bare_hex_name(b"old")[5:], None, "wasm", 3, "misnamed"),
            (caches.temporary_name()[5:], None, "wasm", 3, "temporary"),
            (sha256(WEB), sha256(WEB), "wasm", len(WEB), "referenced"),
        ],
        key=lambda row: (row[2], row[0]),
    )


def test_blobs_with_windows_names_have_the_same_digests(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, pulled(web(), naming="windows"))
    blobs = frames.blobs(cache)
    assert set(blobs["name"]) == {sha256(WEB).replace(":", "_"), sha256(INDEX).replace(":", "_")}
    assert set(blobs["digest"]) == {sha256(WEB), sha256(INDEX)}


# components and files ---------------------------------------------------------------------------


def test_components_and_files_of_an_app(tmp_path: Path) -> None:
    asset, shared = b"asset" * 100, b"shared" * 100
    first = Component("b", WEB, {"z.txt": asset, "a.txt": TINY}, {"dep:one/a@1.0.0": wasm_module("dep", 99)})
    second = Component("a", wasm_module("second", 50), {"shared.txt": shared})
    artifact = artifacts.new_style("org/two", "v1", components=[first, second])
    cache = cache_of(tmp_path, without(pulled(artifact), blob("data", shared)))
    reference = "ghcr.io/org/two:v1"
    assert plain(frames.components(cache)) == [
        {
            "reference": reference,
            "component": "a",
            "source_digest": sha256(wasm_module("second", 50)),
            "source_bytes": len(wasm_module("second", 50)),
            "file_count": 1,
            "files_bytes": None,
            "dependency_count": 0,
            "languages": None,
            "toolchains": None,
        },
        {
            "reference": reference,
            "component": "b",
            "source_digest": sha256(WEB),
            "source_bytes": len(WEB),
            "file_count": 2,
            "files_bytes": 500 + len(TINY),
            "dependency_count": 1,
            "languages": None,
            "toolchains": None,
        },
    ]
    expected = [
        ("a", "shared.txt", shared, False, None),
        ("b", "a.txt", TINY, True, len(TINY)),
        ("b", "z.txt", asset, False, 500),
    ]
    assert plain(frames.files(cache)) == [
        {
            "reference": reference,
            "component": component,
            "path": path,
            "digest": sha256(data),
            "inline": inline,
            "size_bytes": size,
        }
        for component, path, data, inline, size in expected
    ]


def test_files_are_listed_for_inline_content_without_digest(tmp_path: Path) -> None:
    locked = {
        "spin_lock_version": 1,
        "triggers": [],
        "components": [
            {
                "id": "a",
                "source": {"content_type": "application/wasm", "digest": sha256(WEB)},
                "files": [{"path": "padded", "inline": "YQ=="}, {"path": "unpadded", "inline": "YWI"}],
                "trigger_dependencies": {"middleware": [{"source": {"digest": sha256(INDEX)}}]},
            }
        ],
    }
    cache = cache_of(
        tmp_path,
        {f"{folder(web())}/config.json": compact(locked), blob("wasm", WEB): WEB, blob("wasm", INDEX): INDEX},
    )
    rows = [
        (row["path"], row["digest"], row["inline"], row["size_bytes"]) for row in plain(frames.files(cache))
    ]
    assert rows == [("padded", None, True, 1), ("unpadded", None, True, 2)]
    assert frames.components(cache)["dependency_count"].tolist() == [1]
    assert set(frames.uses(cache)["digest"]) == {sha256(WEB), sha256(INDEX)}


def test_uses_knows_what_a_trigger_names_itself(tmp_path: Path) -> None:
    locked = {
        "spin_lock_version": 1,
        "triggers": [
            {"id": "t", "trigger_dependencies": {"middleware": [{"source": {"digest": sha256(INDEX)}}]}}
        ],
        "components": [
            {"id": "a", "source": {"content_type": "application/wasm", "digest": sha256(WEB)}, "files": []}
        ],
    }
    cache = cache_of(
        tmp_path,
        {f"{folder(web())}/config.json": compact(locked), blob("wasm", WEB): WEB, blob("wasm", INDEX): INDEX},
    )
    assert frames.components(cache)["dependency_count"].tolist() == [0]
    assert set(frames.uses(cache)["digest"]) == {sha256(WEB), sha256(INDEX)}
    assert set(frames.blobs(cache)["standing"]) == {"referenced"}


def test_wasm_of_a_component_is_measured_in_data_too(tmp_path: Path) -> None:
    components = frames.components(cache_of(tmp_path, pulled(odd_artifacts.unknown_media_type())))
    assert components["source_bytes"].tolist() == [len(wasm_module("unknown", 2000))]


def test_no_frame_shows_a_secret(tmp_path: Path) -> None:
    artifact = artifacts.inline_files("org/secret", "v1")
    locked = json.loads(artifact.application or b"")
    locked["triggers"][0]["trigger_config"]["address"] = "redis://user:hunter3@host"
    locked["components"][0]["config"] = {"token": "hunter4"}
    locked["components"][0]["metadata"]["build"] = {"command": "build --key hunter5"}
    tree = pulled(artifact)
    tree[f"{folder(artifact)}/config.json"] = compact(locked)
    cache = cache_of(tmp_path, tree)
    bundle = frames.load(cache)
    text = repr(bundle) + "".join(bundle.need(name).to_csv() for name in frames.tables._MAKERS)
    for secret in ("s3cret-default", "ciao", "hunter", "UEFTU1dPUkQ"):
        assert secret not in text


# problems, disk, history, bundle ----------------------------------------------------------------


def test_problems_say_what_to_do(tmp_path: Path) -> None:
    problems = frames.problems(cache_of(tmp_path, caches.truncated_blob(), {"wasm/odd": b"x"}))
    assert plain(problems) == [
        {
            "path": blob("data", INDEX),
            "reference": WEB_V1,
            "kind": "damaged blob",
            "detail": "expected 300 bytes, found 100: it is truncated, and Spin uses it all the same",
            "remedy": "pull the app again with this toolkit, which replaces it",
        },
        {
            "path": "wasm/odd",
            "reference": None,
            "kind": "misnamed file",
            "detail": "its name is no digest, so nothing finds it",
            "remedy": "look at what it is, then move or remove it; prune leaves it",
        },
    ]


def test_disk_lists_every_file_once(tmp_path: Path) -> None:
    tree = {**pulled(web()), "stray": b"12", "wasm/odd": b"123", f"{folder(web())}/notes": b"1"}
    cache = cache_of(tmp_path, tree)
    os.link(cache.path / "stray", cache.path / "stray-again")
    disk = frames.disk(cache)
    area = {"manifest.json": "manifests", "config.json": "manifests", "notes": "other"}
    expected = {
        path: (area.get(path.rpartition("/")[2], path.partition("/")[0]), len(data))
        for path, data in tree.items()
    }
    expected |= {"stray": ("other", 2), "stray-again": ("other", 0)}
    rows = zip(disk["path"], disk["area"], disk["stored_bytes"], strict=True)
    assert {path: (area, size) for path, area, size in rows} == expected
    assert disk["path"].tolist() == sorted(expected)
    assert disk.set_index("path")["same_as"].dropna().to_dict() == {"stray-again": "stray"}


def test_history_lists_pulls_in_time(tmp_path: Path) -> None:
    record = History(tmp_path / "history.jsonl", enabled=True)
    one, other = Cache(tmp_path / "one"), Cache(tmp_path / "other")
    digest = "sha256:" + "a" * 64
    for day, cache in [(2, one), (1, other), (3, one)]:
        at = datetime(2026, 3, day, 12, tzinfo=UTC)
        record.append(PullRecord(at, str(cache.path), WEB_V1, digest, None, day, 20, 300, 0.25))
    rows = plain(frames.history(record=record))
    assert [row["fetch_bytes"] for row in rows] == [1, 2, 3]
    assert rows[0] == {
        "at": pd.Timestamp("2026-03-01T12:00:00Z"),
        "cache": str(other.path),
        "reference": WEB_V1,
        "manifest_digest": digest,
        "fetch_bytes": 1,
        "reused_bytes": 20,
        "wire_bytes": 300,
        "seconds": 0.25,
    }
    assert frames.history(one, record=record)["fetch_bytes"].tolist() == [2, 3]
    assert frames.history([one, other], record=record)["fetch_bytes"].tolist() == [1, 2, 3]
    assert len(frames.history([], record=record)) == 0


def test_load_gives_what_the_functions_give(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, *(pulled(artifact) for artifact in artifacts.five_kinds().values()))
    bundle = frames.load(cache)
    for name in ("apps", "layers", "uses", "components", "files", "blobs", "problems", "disk"):
        pd.testing.assert_frame_equal(bundle.need(name), getattr(frames, name)(cache))


def test_load_walks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cache_of(tmp_path, pulled(web()))
    walks: list[Cache] = []
    original = Cache.scan
    monkeypatch.setattr(Cache, "scan", lambda self: (walks.append(self), original(self))[1])
    frames.load(cache)
    assert walks == [cache]


def test_load_gives_only_what_is_asked_for(tmp_path: Path) -> None:
    bundle = frames.load(cache_of(tmp_path, pulled(web())), "apps", "uses")
    assert (len(bundle.need("apps")), len(bundle.need("uses")), bundle.layers) == (1, 2, None)
    assert repr(bundle) == "Frames(apps: 1 rows, uses: 2 rows)"
    with pytest.raises(ValueError, match="`layers`"):
        bundle.need("layers")


def test_load_refuses_a_name_that_is_no_frame(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no frame 'app'"):
        frames.load(Cache(tmp_path), "app")


def test_need_refuses_rows_of_several_caches(tmp_path: Path) -> None:
    one = cache_of(tmp_path / "one", pulled(web()))
    other = cache_of(tmp_path / "other", pulled(web()))
    with pytest.raises(ValueError, match="several caches"):
        frames.load([one, other], "apps").need("apps")
    assert len(frames.load([one], "apps").need("apps")) == 1


def test_frames_of_several_roots_know_a_project_in_each(tmp_path: Path) -> None:
    """Sources of spin.toml can be in the default cache while apps are in that of --cache-dir."""
    project = tmp_path / "project"
    project.mkdir()
    source = f'source = {{ url = "https://example.test/a", digest = "{sha256(b"s")}" }}'
    (project / "spin.toml").write_text(f"spin_manifest_version = 2\n[component.a]\n{source}\n")
    default = cache_of(tmp_path / "default", {blob("wasm", b"s"): b"s"})
    given = cache_of(tmp_path / "given", pulled(web()))
    uses = frames.uses([default, given], projects=[project])
    assert list(zip(uses["cache"], uses["user"], strict=True)) == [
        (str(default.path), str(project)),
        (str(given.path), WEB_V1),
        (str(given.path), WEB_V1),
    ]


def test_archive_role_is_shown(tmp_path: Path) -> None:
    layers = frames.layers(cache_of(tmp_path, pulled(caches.archive_mode())))
    assert dict(zip(layers["media_type"], layers["role"], strict=True))[ARCHIVE] == "archive"
