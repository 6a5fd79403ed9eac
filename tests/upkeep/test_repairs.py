"""Repairing against Debian's docker-registry and a hostile server: the cache is as it was, or no worse."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.journal import History
from spincache_nb.core.progress import ProgressEvent
from spincache_nb.core.pull import pull
from spincache_nb.errors import NoSpaceError, PullCancelled
from spincache_nb.upkeep import RepairResult, check_cache, is_damage, repair
from tests.support.artifact import ARCHIVE, DATA, Artifact, canonical, sha256
from tests.support.artifacts import archive_style, five_kinds, new_style, package
from tests.support.behaviours import error
from tests.support.caches import blobs, documents
from tests.support.faults import Cut, Hold, Truncated, WrongBytes
from tests.support.odd_artifacts import altered, wasm_and_data, with_application
from tests.support.registry_server import RegistryServer
from tests.support.trees import Tree, assert_same_tree, read_tree
from tests.upkeep.worlds import make_older

KINDS = five_kinds()


@pytest.fixture(autouse=True)
def swift(monkeypatch):
    """Tests damage files a moment before they are read; nobody needs to be waited for."""
    monkeypatch.setattr("spincache_nb.upkeep.verify._PAUSE_SECONDS", 0.01)


def filled(cache: Cache, registry: RegistryServer, artifact: Artifact) -> tuple[str, Tree]:
    registry.push(artifact)
    reference = registry.reference(artifact)
    pull(cache, reference)
    return reference, read_tree(cache.path)


def layer_paths(tree: Tree) -> list[str]:
    return sorted(blobs(tree))


def named(tree: Tree, name: str) -> str:
    """Path of the one file that is called so."""
    (path,) = [path for path in tree if path.rpartition("/")[2] == name]
    return path


def requests(registry: RegistryServer, act: Callable[[], RepairResult]) -> tuple[RepairResult, list[str]]:
    """Repair, and say what was asked of the registry."""
    with registry.recording() as records:
        result = act()
    return result, [record.line for record in records]


def flip(path: Path) -> None:
    """Change one bit, size and all else as before; an empty file gets a byte."""
    content = bytearray(path.read_bytes() or b"!")
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def lose(path: Path) -> None:
    path.unlink()


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


HARMS = [flip, truncate, empty, lose, replace_by_link]


# Blobs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_repair_brings_every_file_back(plain_registry, cache, kind, harm):
    _, tree = filled(cache, plain_registry, KINDS[kind])
    for path in [*layer_paths(tree), named(tree, "config.json")]:
        harm(cache.path / path)
    assert [row for row in check_cache(cache) if is_damage(row.kind, row.reference)] != []
    result = repair(cache)
    assert result.remaining == ()
    assert result.failed == 0
    assert len(result.repaired) >= 1
    assert_same_tree(tree, cache.path)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_repair_asks_nothing_if_nothing_is_wrong(plain_registry, cache, kind):
    _, tree = filled(cache, plain_registry, KINDS[kind])
    times = {path: path.lstat().st_mtime_ns for path in cache.path.rglob("*")}
    result, lines = requests(plain_registry, lambda: repair(cache))
    assert (result.repaired, result.remaining, result.wire_bytes) == ((), (), 0)
    assert lines == []
    assert {path: path.lstat().st_mtime_ns for path in cache.path.rglob("*")} == times
    assert_same_tree(tree, cache.path)


def test_repair_fetches_exactly_what_is_damaged(plain_registry, cache):
    artifact = new_style("demo/exact")
    _, tree = filled(cache, plain_registry, artifact)
    harmed = layer_paths(tree)[0]
    flip(cache.path / harmed)
    others = {path: (cache.path / path).lstat().st_mtime_ns for path in tree if path != harmed}
    result, lines = requests(plain_registry, lambda: repair(cache))
    digest = harmed.partition("/")[2]
    assert lines == [f"GET /v2/demo/exact/blobs/{digest} 200"]
    assert result.wire_bytes == len(tree[harmed])
    assert [row.path for row in result.repaired] == [harmed]
    assert {path: (cache.path / path).lstat().st_mtime_ns for path in others} == others


def test_repair_goes_by_the_cached_manifest_even_if_the_tag_was_moved(plain_registry, cache):
    _, tree = filled(cache, plain_registry, new_style("demo/moved", "v1", version="1.0.0"))
    plain_registry.push(new_style("demo/moved", "v1", version="9.0.0", annotated=False))
    for path in [*layer_paths(tree), named(tree, "config.json")]:
        flip(cache.path / path)
    assert repair(cache).remaining == ()
    assert_same_tree(tree, cache.path)


def test_repair_copies_what_the_other_area_has(plain_registry, cache):
    artifact = wasm_and_data()
    _, tree = filled(cache, plain_registry, artifact)
    (digest,) = {layer["digest"] for layer in artifact.layers[:2]}
    (cache.path / "data" / digest).unlink()
    flip(cache.path / "wasm" / digest)
    assert repair(cache).remaining == ()
    assert_same_tree(tree, cache.path)
    (cache.path / "data" / digest).unlink()
    result, lines = requests(plain_registry, lambda: repair(cache))
    assert (result.remaining, result.wire_bytes, lines) == ((), 0, [])
    assert_same_tree(tree, cache.path)


def test_repair_unpacks_an_archive_again_without_fetching_it(plain_registry, cache):
    _, tree = filled(cache, plain_registry, archive_style("demo/members"))
    config = json.loads(next(data for path, data in tree.items() if path.endswith("config.json")))
    files = [file["digest"] for file in config["components"][0]["files"] if "inline" not in file]
    (cache.path / "data" / files[0]).unlink()
    flip(cache.path / "data" / files[1])
    result, lines = requests(plain_registry, lambda: repair(cache))
    assert sorted(row.path for row in result.repaired) == sorted(f"data/{digest}" for digest in files[:2])
    assert (result.remaining, lines) == ((), [])
    assert_same_tree(tree, cache.path)


def test_repair_asks_the_next_app_if_the_first_cannot_deliver(hostile, cache):
    one, two = new_style("demo/one"), new_style("demo/two")
    hostile.serve(one, two)
    for artifact in (one, two):
        pull(cache, f"{hostile.name}/{artifact.repository}:{artifact.tag}")
    tree = read_tree(cache.path)
    harmed = layer_paths(tree)[0]
    flip(cache.path / harmed)
    hostile.always("/v2/demo/one/*", error(404, "NAME_UNKNOWN"))
    result = repair(cache)
    assert result.remaining == ()
    assert_same_tree(tree, cache.path)


def test_repair_that_finds_no_manifest_tells_what_was_said_of_the_tag(hostile, cache):
    """The digest of the history is asked for first; that the registry forgot it is not the whole answer."""
    hostile.serve(new_style("demo/gone"))
    pull(cache, f"{hostile.name}/demo/gone:v1")
    name = named(read_tree(cache.path), "manifest.json")
    truncate(cache.path / name)
    hostile.always("*/manifests/sha256:*", error(404, "MANIFEST_UNKNOWN"))
    hostile.always("*/manifests/v1", error(403, "DENIED"))
    (row,) = [row for row in repair(cache).remaining if row.path == name]
    assert row.kind == "damaged manifest"
    assert "DENIED" in row.detail


def test_repair_says_why_what_it_found_of_an_app_could_not_be_stored(hostile, cache):
    hostile.serve(new_style("demo/half"))
    pull(cache, f"{hostile.name}/demo/half:v1")
    for path in cache.path.rglob("*.json"):
        truncate(path)
    before = read_tree(cache.path)
    hostile.always("*/blobs/*", error(404, "BLOB_UNKNOWN"))
    result = repair(cache)
    (row,) = [row for row in result.remaining if row.kind == "damaged manifest"]
    assert (result.failed, "BLOB_UNKNOWN" in row.detail) == (1, True)
    assert_same_tree(before, cache.path)


def large_app() -> Artifact:
    """An app whose locked app has 5 MiB, more than any other document may have."""
    artifact = new_style("demo/large")
    application = json.loads(artifact.application or b"")
    application["metadata"]["notes"] = "x" * (5 << 20)
    return with_application(artifact, canonical(application))


@pytest.mark.parametrize("name", ["config.json", "manifest.json"])
def test_repair_takes_a_locked_app_as_large_as_a_pull_does(hostile, cache, name):
    hostile.serve(large_app())
    pull(cache, f"{hostile.name}/demo/large:v1")
    tree = read_tree(cache.path)
    truncate(cache.path / named(tree, name))
    assert repair(cache).remaining == ()
    assert_same_tree(tree, cache.path)


def test_repair_asks_first_whether_there_is_room(plain_registry, cache, monkeypatch):
    _, tree = filled(cache, plain_registry, new_style("demo/room"))
    flip(cache.path / layer_paths(tree)[0])
    before = read_tree(cache.path)
    monkeypatch.setattr(Cache, "free_bytes", lambda self: 100)
    with plain_registry.recording() as records, pytest.raises(NoSpaceError):
        repair(cache)
    assert records == []
    assert_same_tree(before, cache.path)


@pytest.mark.parametrize("act", ["pull", "repair"])
def test_durable_work_syncs_every_file_it_writes_copies_included(plain_registry, cache, monkeypatch, act):
    artifact = wasm_and_data()
    reference, tree = filled(cache, plain_registry, artifact)
    twins = [path for path in layer_paths(tree) if path.replace("data/", "wasm/") in tree]
    for path in tree if act == "pull" else [path for path in twins if path.startswith("data/")]:
        (cache.path / path).unlink()
    synced: set[int] = set()
    sync = os.fsync

    def watched(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    before = {path.lstat().st_ino for path in cache.path.rglob("*")}
    if act == "pull":
        pull(cache, reference, durable=True)
    else:
        assert repair(cache, durable=True).remaining == ()
    assert_same_tree(tree, cache.path)
    written = {path.lstat().st_ino for path in cache.path.rglob("*") if path.is_file()} - before
    assert len(written) == (len(tree) if act == "pull" else 1)
    assert written <= synced


# Never worse ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behaviour", [WrongBytes(), Truncated(10), error(404, "BLOB_UNKNOWN"), error(403, "DENIED")]
)
def test_repair_leaves_a_damaged_blob_if_the_registry_has_no_good_copy(
    hostile, cache, behaviour, monkeypatch
):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    artifact = new_style("demo/lost")
    hostile.serve(artifact)
    pull(cache, f"{hostile.name}/demo/lost:v1")
    harmed = layer_paths(read_tree(cache.path))
    flip(cache.path / harmed[0])
    (cache.path / harmed[1]).unlink()
    before = read_tree(cache.path)
    hostile.always("*/blobs/*", behaviour)  # type: ignore[arg-type]
    result = repair(cache)
    assert_same_tree(before, cache.path)
    assert sorted(row.path for row in result.remaining) == sorted(harmed[:2])
    assert all("it could not be repaired" in row.detail for row in result.remaining)
    assert result.failed == 2
    assert result.repaired == ()


def test_repair_mends_what_it_can(hostile, cache, closed_port):
    """One registry is away, one blob is lost, another breaks off twice."""
    hostile.serve(new_style("demo/part"), new_style("demo/away", version="2.0.0"))
    pull(cache, [f"{hostile.name}/demo/part:v1", f"{hostile.name}/demo/away:v1"])
    folder = cache.path / "manifests" / hostile.name / "demo" / "away"
    other = cache.path / "manifests" / f"127.0.0.1:{closed_port}" / "demo"
    other.mkdir(parents=True)
    folder.rename(other / "away")
    part = [layer["digest"] for layer in new_style("demo/part").layers]
    first, second, away = *part[:2], next(p.name for p in cache.path.rglob("sha256*") if p.name not in part)
    for name in (first, second, away):
        flip(cache.find_blob(Digest.parse(name)))  # type: ignore[arg-type]
    history = History().read()
    hostile.always(f"*/{first}", error(404, "BLOB_UNKNOWN"))
    hostile.on(f"*/{second}", Cut(20), Cut(20))
    result = repair(cache)
    assert [row.path.partition("/")[2] for row in result.repaired] == [second]
    assert {row.path.partition("/")[2] for row in result.remaining} == {first, away}
    assert any(f"127.0.0.1:{closed_port}" in row.detail for row in result.remaining)
    assert (result.failed, len(result.damaged)) == (2, 2)
    assert list(cache.path.rglob(".spincache-*")) == []
    assert History().read() == history


def test_repair_leaves_alone_what_no_app_needs(plain_registry, cache):
    filled(cache, plain_registry, new_style("demo/strays"))
    stray = cache.path / "data" / sha256(b"stray")
    stray.write_bytes(b"other")
    result, lines = requests(plain_registry, lambda: repair(cache))
    assert [row.kind for row in result.remaining] == ["damaged blob"]
    assert (result.failed, result.repaired, lines) == (0, (), [])
    assert stray.read_bytes() == b"other"


def test_repair_does_not_fetch_content_that_no_layer_holds(plain_registry, cache):
    """An app whose locked app names a file that its publisher never pushed."""
    artifact = new_style("demo/unpushed")
    lost = next(layer for layer in artifact.layers if layer["mediaType"] == DATA)
    unpushed = altered(artifact, lambda document: document["layers"].remove(lost))
    reference, _ = filled(cache, plain_registry, unpushed)
    before = read_tree(cache.path)
    result = repair(cache)
    assert [(row.kind, row.reference) for row in result.remaining] == [("missing blob", reference)]
    assert "a layer or archive that holds this blob" in result.remaining[0].detail
    assert_same_tree(before, cache.path)


@pytest.mark.parametrize("harm", ["nothing", "flip archive", "lose archive"])
def test_repair_does_not_promise_a_file_that_the_archive_was_pushed_without(plain_registry, cache, harm):
    artifact = archive_style(f"demo/without-{harm.replace(' ', '-')}")
    application = json.loads(artifact.application or b"")
    never = {"path": "never.txt", "source": None, "digest": sha256(b"never pushed")}
    application["components"][0]["files"].append(never)
    artifact = with_application(artifact, canonical(application))
    reference, tree = filled(cache, plain_registry, artifact)
    archive = next(one["digest"] for one in artifact.layers if one["mediaType"] == ARCHIVE)
    if harm != "nothing":
        HARM_OF[harm](cache.path / "data" / archive)
    result, lines = requests(plain_registry, lambda: repair(cache))
    (row,) = result.remaining
    assert (row.path, row.kind, row.reference) == (f"data/{never['digest']}", "file not pushed", reference)
    assert "pushed without it" in row.detail
    assert "repair" not in row.detail + row.remedy
    assert "pushes it again" in row.remedy
    assert (result.failed, len(result.damaged)) == (0, 1)
    assert len(lines) == (harm != "nothing")
    assert_same_tree(tree, cache.path)
    assert [one.kind for one in check_cache(cache)] == ["file not pushed"]


HARM_OF = {"flip archive": flip, "lose archive": lose}


def test_repair_stops_when_it_is_cancelled(hostile, cache):
    hostile.serve(new_style("demo/slow"))
    pull(cache, f"{hostile.name}/demo/slow:v1")
    for path in layer_paths(read_tree(cache.path)):
        flip(cache.path / path)
    before = read_tree(cache.path)
    hostile.always("*/blobs/*", Hold(threading.Event()))
    cancel = threading.Event()

    def stop(event: ProgressEvent) -> None:
        if event.kind == "start":
            cancel.set()

    with pytest.raises(PullCancelled):
        repair(cache, progress=stop, cancel=cancel)
    assert_same_tree(before, cache.path)


# Documents --------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", [truncate, empty, lose], ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_repair_brings_both_documents_back_by_the_digest_of_the_history(plain_registry, cache, kind, harm):
    _, tree = filled(cache, plain_registry, KINDS[kind])
    history = History().read()
    for path in documents(tree):
        harm(cache.path / path)
    if harm is lose:  # a tag without documents is no tag; one of the two tells that there was one
        (cache.path / named(tree, "config.json")).write_bytes(b"")
    result = repair(cache)
    assert result.remaining == ()
    assert_same_tree(tree, cache.path)
    assert History().read() == history


def test_repair_brings_a_manifest_back_by_its_tag_if_it_names_the_locked_app(plain_registry, cache):
    reference, tree = filled(cache, plain_registry, new_style("demo/tagged"))
    manifest = named(tree, "manifest.json")
    truncate(cache.path / manifest)
    result = repair(cache, history=History(enabled=False))
    assert [(row.path, row.reference) for row in result.repaired] == [(manifest, reference)]
    assert result.remaining == ()
    assert_same_tree(tree, cache.path)


def test_repair_never_takes_another_version_for_the_one_that_was_there(plain_registry, cache):
    _, tree = filled(cache, plain_registry, new_style("demo/newer", "v1", version="1.0.0"))
    plain_registry.push(new_style("demo/newer", "v1", version="2.0.0"))
    manifest = named(tree, "manifest.json")
    truncate(cache.path / manifest)
    before = read_tree(cache.path)
    result = repair(cache, history=History(enabled=False))
    assert_same_tree(before, cache.path)
    assert [row.kind for row in result.remaining] == ["damaged manifest"]
    assert "pull the app again" in result.remaining[0].detail


@pytest.mark.parametrize("part", ["digest", "size"])
def test_repair_fetches_the_manifest_of_the_last_pull_if_the_stored_one_is_altered(
    plain_registry, cache, part
):
    artifact = new_style(f"demo/altered-{part}")
    reference, tree = filled(cache, plain_registry, artifact)
    manifest = named(tree, "manifest.json")
    layer = artifact.layers[0]
    old = layer["digest"] if part == "digest" else f'"size":{layer["size"]}'
    new = sha256(b"other") if part == "digest" else f'"size":{layer["size"] + 1}'
    altered = (cache.path / manifest).read_bytes().replace(old.encode(), new.encode())
    (cache.path / manifest).write_bytes(altered)
    assert [row.reference for row in check_cache(cache)] == [reference]
    result = repair(cache)
    assert result.remaining == ()
    assert_same_tree(tree, cache.path)


def test_repair_leaves_a_manifest_alone_that_another_pull_has_written(plain_registry, cache):
    _, tree = filled(cache, plain_registry, new_style("demo/since", version="1.0.0"))
    newer = new_style("demo/since", version="2.0.0")
    plain_registry.push(newer)
    other = Cache(cache.path.parent.parent / "other", history=History(enabled=False))
    pull(other, plain_registry.reference(newer))
    for path, data in read_tree(other.path).items():  # as Spin does, which records nothing
        (cache.path / path).write_bytes(data)
    lost = layer_paths(tree)[0]
    (cache.path / lost).unlink()
    whole = read_tree(other.path)
    assert repair(cache).remaining == ()
    assert {path: data for path, data in read_tree(cache.path).items() if path in whole} == whole


def test_repair_of_a_pull_by_digest(plain_registry, cache):
    artifact = new_style("demo/digest")
    plain_registry.push(artifact)
    pull(cache, plain_registry.reference(artifact, tag=False, digest=True))
    tree = read_tree(cache.path)
    for path in tree:
        truncate(cache.path / path)
    assert repair(cache, history=History(enabled=False)).remaining == ()
    assert_same_tree(tree, cache.path)


@pytest.mark.parametrize("is_whole", [True, False])
def test_repair_takes_a_locked_app_from_data_without_asking_if_it_is_whole(plain_registry, cache, is_whole):
    artifact = new_style(f"demo/stuck-{is_whole}".lower())
    _, tree = filled(cache, plain_registry, artifact)
    config = named(tree, "config.json")
    application = artifact.application or b""
    stuck = cache.path / "data" / sha256(application)
    stuck.write_bytes(application if is_whole else application.replace(b"1.0.0", b"6.6.6"))
    (cache.path / config).write_bytes(b'{"architecture":"wasm","os":"wasip1","rootfs":{"type":"layers"}}')
    result, lines = requests(plain_registry, lambda: repair(cache))
    assert (result.remaining, len(lines)) == ((), 0 if is_whole else 2)  # else both are fetched
    assert (cache.path / config).read_bytes() == application


def test_repair_of_a_package_in_the_wrong_area(plain_registry, cache):
    """Before v3.6 Spin put a package's wasm in data/, where it is not looked for."""
    _, tree = filled(cache, plain_registry, package("demo/package"))
    (wasm,) = layer_paths(tree)
    (cache.path / "data").mkdir()
    (cache.path / wasm).rename(cache.path / "data" / wasm.partition("/")[2])
    result, lines = requests(plain_registry, lambda: repair(cache))
    assert (result.remaining, lines) == ((), [])
    assert (cache.path / wasm).read_bytes() == tree[wasm]


# Access and progress ----------------------------------------------------------------------------


def test_repair_logs_in(basic_registry, cache):
    artifact = new_style("demo/private")
    basic_registry.push(artifact)
    auth = ("reader", basic_registry.users["reader"])
    pull(cache, basic_registry.reference(artifact), auth=auth)
    tree = read_tree(cache.path)
    flip(cache.path / layer_paths(tree)[0])
    anonymous = repair(cache)
    assert (anonymous.failed, "pass:word" in f"{anonymous} {anonymous!r}") == (1, False)
    assert repair(cache, auth=auth).remaining == ()
    assert_same_tree(tree, cache.path)


def test_repair_tells_what_it_does(plain_registry, cache):
    _, tree = filled(cache, plain_registry, new_style("demo/told"))
    harmed = layer_paths(tree)[0]
    flip(cache.path / harmed)
    make_older(cache.path, 100)
    events: list[ProgressEvent] = []
    result = repair(cache, progress=events.append)
    plans = [event.total for event in events if event.kind == "plan"]
    assert plans == [sum(len(tree[path]) for path in layer_paths(tree)), len(tree[harmed])]
    done = [event for event in events if event.kind == "done"]
    assert [(event.digest, event.total) for event in done] == [(harmed.partition("/")[2], len(tree[harmed]))]
    assert result.seconds > 0
    assert "repaired 1 problem" in str(result)
    assert harmed in result._repr_html_()


def test_repair_refuses_an_archive_beyond_the_limits(plain_registry, cache):
    from spincache_nb.core.settings import ArchiveLimits

    _, tree = filled(cache, plain_registry, archive_style("demo/limits"))
    members = [path for path in layer_paths(tree) if len(tree[path]) < 1000 and path.startswith("data/")]
    (cache.path / members[0]).unlink()
    result = repair(cache, archive_limits=ArchiveLimits(total_bytes=10))
    assert [row.kind for row in result.remaining] == ["missing archive member"]
    assert "ArchiveLimits" in result.remaining[0].detail
