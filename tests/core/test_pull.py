"""Pulling: against Debian's docker-registry and a hostile server, compared with an independent oracle."""

import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.journal import History
from spincache_nb.core.plans import PullFailure, PullPlan
from spincache_nb.core.progress import ProgressEvent
from spincache_nb.core.pull import plan_pull, pull
from spincache_nb.core.settings import ArchiveLimits
from spincache_nb.errors import (
    AccessDeniedError,
    ArchiveError,
    ConnectionFailedError,
    CredentialsError,
    DigestMismatchError,
    InvalidReferenceError,
    LimitError,
    LockedAppError,
    ManifestError,
    NoSpaceError,
    NotFoundError,
    PullCancelled,
    SpinCacheError,
)
from spincache_nb.upkeep import check_cache
from tests.faults import judge
from tests.support.artifact import DATA, WASM, Artifact, sha256, wasm_module
from tests.support.artifacts import Component, archive_style, five_kinds, new_style, package
from tests.support.behaviours import Behaviour, Call, error
from tests.support.faults import Hold, Stall, Truncated, WrongBytes
from tests.support.hostile import HostileServer
from tests.support.odd_artifacts import (
    altered,
    archive_app,
    bad_config,
    broken,
    image_index,
    many_layers,
    pushable,
    wasm_and_data,
)
from tests.support.oracle import allowed_additions, our_tree, spin_tree
from tests.support.registry_server import RegistryServer
from tests.support.trees import assert_same_tree, read_tree

ALL = {**five_kinds(), **pushable()}


@pytest.mark.parametrize("kind", sorted(ALL))
def test_pull_leaves_what_spin_leaves_and_fetches_what_the_plan_said(
    plain_registry: RegistryServer, cache: Cache, kind: str
) -> None:
    artifact = ALL[kind]
    reference = plain_registry.pushed(artifact)
    plan = plan_pull(cache, reference)
    assert not cache.path.exists()
    result = pull(cache, reference)
    spin = spin_tree(artifact, reference)
    allowed = allowed_additions(artifact) - set(spin)
    assert_same_tree(our_tree(artifact, reference), cache.path, allowed=allowed)
    ours = read_tree(cache.path)
    assert {name for name in ours if name not in allowed} == set(spin)
    assert all(ours[name] == spin[name] for name in spin if not name.endswith("manifest.json"))
    assert result.reference == reference
    assert (plan.total_bytes, plan.fetch_bytes) == (result.total_bytes, result.fetch_bytes)
    assert result.total_bytes == result.reused_bytes + result.fetch_bytes
    assert plan.fetch_bytes == plan.total_bytes
    assert plan.manifest_digest == result.manifest_digest
    manifests = len(artifact.manifest) + sum(len(child.manifest) for child in artifact.children[:1])
    assert result.wire_bytes == manifests + result.fetch_bytes


def test_pull_by_digest_does_not_touch_latest(plain_registry: RegistryServer, cache: Cache) -> None:
    latest = new_style("demo/moving", "latest")
    other = new_style("demo/moving", "v2", version="2.0.0")
    plain_registry.push(latest, other)
    pull(cache, f"{plain_registry.name}/demo/moving")
    pull(cache, plain_registry.reference(other, tag=False, digest=True))
    folder = cache.path / "manifests" / plain_registry.name / "demo" / "moving"
    assert (folder / "latest" / "manifest.json").read_bytes() == latest.manifest
    assert sorted(path.name for path in folder.iterdir()) == ["latest", other.digest]


def test_pull_stores_bytes_needed_as_wasm_and_data_in_both(
    plain_registry: RegistryServer, cache: Cache
) -> None:
    """Also if one copy is there already, where Spin skips the other and then cannot load the app."""
    artifact = wasm_and_data()
    plain_registry.push(artifact)
    (shared,) = {layer["digest"] for layer in artifact.layers if layer["mediaType"] == WASM} & {
        layer["digest"] for layer in artifact.layers if layer["mediaType"] == DATA
    }
    content = artifact.blobs[shared]
    for area in ("wasm", "data"):
        only = Cache(cache.path.parent / area)
        only.put_blob(area, Digest.parse(shared), [content])
        result = pull(only, plain_registry.reference(artifact))
        assert (only.path / "wasm" / shared).read_bytes() == content
        assert (only.path / "data" / shared).read_bytes() == content
        assert all(layer.stored for layer in result.layers if layer.digest == shared)


def test_pull_puts_a_package_where_spin_looks_for_it(plain_registry: RegistryServer, cache: Cache) -> None:
    artifact = package()
    plain_registry.push(artifact)
    (layer,) = artifact.layers
    cache.put_blob("data", Digest.parse(layer["digest"]), [artifact.blobs[layer["digest"]]])
    result = pull(cache, plain_registry.reference(artifact))
    assert (cache.path / "wasm" / layer["digest"]).is_file()
    assert result.kind == "package"
    assert result.layers[0].stored


def test_pull_leaves_an_apps_wasm_in_data_where_spin_finds_it(
    plain_registry: RegistryServer, cache: Cache
) -> None:
    artifact = new_style()
    plain_registry.push(artifact)
    wasm = next(layer["digest"] for layer in artifact.layers if layer["mediaType"] == WASM)
    cache.put_blob("data", Digest.parse(wasm), [artifact.blobs[wasm]])
    pull(cache, plain_registry.reference(artifact))
    assert not (cache.path / "wasm" / wasm).exists()


@pytest.mark.parametrize("kind", sorted(ALL))
def test_second_pull_fetches_only_the_manifest(
    plain_registry: RegistryServer, cache: Cache, kind: str
) -> None:
    artifact = ALL[kind]
    reference = plain_registry.pushed(artifact)
    pull(cache, reference)
    before = read_tree(cache.path)
    plan = plan_pull(cache, reference)
    with plain_registry.recording() as requests:
        result = pull(cache, reference)
    assert {record.target.split("/")[-2] for record in requests} == {"manifests"}
    assert len(requests) == (2 if artifact.children else 1)
    assert plan.fetch_bytes == result.fetch_bytes == 0
    assert all(layer.stored for layer in (result.config, *result.layers))
    assert read_tree(cache.path) == before


def test_pull_of_a_new_version_fetches_what_changed(plain_registry: RegistryServer, cache: Cache) -> None:
    one, two = archive_style(tag="v1"), archive_style(tag="v2", version="2.0.0")
    plain_registry.push(one, two)
    pull(cache, plain_registry.reference(one))
    plan = plan_pull(cache, plain_registry.reference(two))
    with plain_registry.recording() as requests:
        result = pull(cache, plain_registry.reference(two))
    known = {layer["digest"] for layer in one.layers} | {one.document["config"]["digest"]}
    expected = sum(
        d["size"]
        for d in (two.document["config"], *two.layers)
        if d["digest"] not in known or d is two.document["config"]
    )
    assert plan.fetch_bytes == result.fetch_bytes == expected
    assert sum(record.body_bytes for record in requests) == result.wire_bytes


def test_pull_fetches_a_blob_of_the_wrong_size_again(plain_registry: RegistryServer, cache: Cache) -> None:
    artifact = new_style()
    reference = plain_registry.pushed(artifact)
    pull(cache, reference)
    layer = artifact.layers[0]
    (cache.path / "wasm" / layer["digest"]).write_bytes(b"cut")
    assert plan_pull(cache, reference).fetch_bytes == layer["size"]
    pull(cache, reference)
    assert_same_tree(our_tree(artifact, reference), cache.path)


@pytest.mark.parametrize("damaged", [False, True], ids=["archive whole", "archive damaged"])
def test_pull_unpacks_an_archive_again_when_members_are_missing(
    plain_registry: RegistryServer, cache: Cache, damaged: bool
) -> None:
    artifact = archive_style()
    reference = plain_registry.pushed(artifact)
    pull(cache, reference)
    layers = {layer["digest"]: layer for layer in artifact.layers}
    members = [path for path in (cache.path / "data").iterdir() if path.name not in layers]
    for path in members if damaged else members[::2]:
        path.unlink()
    if damaged:
        for path in (cache.path / "data").iterdir():
            path.write_bytes(bytes(layers[path.name]["size"]))
    with plain_registry.recording() as requests:
        result = pull(cache, reference)
    assert damaged or (result.fetch_bytes, len(requests)) == (0, 1)
    assert_same_tree(our_tree(artifact, reference), cache.path)


def test_pull_of_several_fetches_shared_blobs_once(plain_registry: RegistryServer, cache: Cache) -> None:
    one, two = new_style("demo/batch", "v1"), new_style("demo/batch", "v2", version="2.0.0")
    plain_registry.push(one, two)
    references = [plain_registry.reference(one), plain_registry.reference(two)]
    plans = plan_pull(cache, references)
    with plain_registry.recording() as requests:
        results = pull(cache, references)
    assert [r.reference for r in results] == references
    assert [p.fetch_bytes for p in plans] == [r.fetch_bytes for r in results]
    assert results[1].reused_bytes > 0
    blobs = [record.target for record in requests if "/blobs/" in record.target]
    assert sum(r.wire_bytes for r in results) == sum(record.body_bytes for record in requests)
    layers = [layer["digest"] for layer in one.layers if layer["mediaType"] != "x"]
    assert all(sum(digest in target for target in blobs) <= 1 for digest in layers)
    for artifact, reference in zip((one, two), references, strict=True):
        assert our_tree(artifact, reference).items() <= read_tree(cache.path).items()


def test_pull_of_several_checks_every_reference_first(hostile: HostileServer, cache: Cache) -> None:
    with pytest.raises(InvalidReferenceError):
        pull(cache, [f"{hostile.name}/demo/new:v1", "Not a reference"])
    assert hostile.requests_for("*") == []


def test_failures_of_several_are_kept_beside_the_others_where_the_caller_says_so(
    hostile: HostileServer, cache: Cache
) -> None:
    one, two = new_style("demo/batch", "v1"), new_style("demo/batch", "v2", version="2.0.0")
    broken_document, broken_blob = new_style("demo/document"), archive_style("demo/blob")
    hostile.serve(one, two, broken_document, broken_blob)
    hostile.always(f"*/blobs/{broken_document.layers[-1]['digest']}", WrongBytes())
    hostile.always(f"*/blobs/{broken_blob.layers[-2]['digest']}", error(404))
    hostile.always("*/demo/document/blobs/*", WrongBytes())
    names = [f"{hostile.name}/{name}" for name in ("demo/batch:v1", "demo/batch:none", "demo/document:v1")]
    names += ["me:s3cret@Not a reference", f"{hostile.name}/demo/blob:v1", f"{hostile.name}/demo/batch:v2"]
    plans = plan_pull(cache, names, on_error="keep")
    assert [type(plan) for plan in plans] == [
        *(PullPlan, PullFailure, PullPlan, PullFailure, PullPlan, PullPlan)
    ]
    results = pull(cache, names, on_error="keep")
    kinds = [type(one.error) if isinstance(one, PullFailure) else None for one in results]
    assert kinds == [*(None, NotFoundError, DigestMismatchError, InvalidReferenceError, NotFoundError, None)]
    for artifact in (one, two):
        tree = our_tree(artifact, f"{hostile.name}/demo/batch:{artifact.tag}")
        assert tree.items() <= read_tree(cache.path).items()
    assert {path.name for path in (cache.path / "manifests" / hostile.name / "demo").iterdir()} == {"batch"}
    page, text = results._repr_html_(), str(results)  # type: ignore[attr-defined]
    assert page.count("failed") >= 4
    assert headings(page) == ["reference", "layers", "size", "stored", "fetched"]
    assert headings(plans._repr_html_()) == ["reference", "layers", "size", "stored", "to fetch"]  # type: ignore[attr-defined]
    assert f"{hostile.name}/demo/blob:v1: failed: " in text
    assert "s3cret" not in page + text
    with pytest.raises(NotFoundError):
        pull(cache, names[:2])


def test_pull_of_none_does_nothing(cache: Cache) -> None:
    assert pull(cache, []) == []
    assert not cache.path.exists()


def test_pull_of_499_layers(plain_registry: RegistryServer, cache: Cache) -> None:
    artifact = many_layers()
    reference = plain_registry.pushed(artifact)
    result = pull(cache, reference)
    assert len(result.layers) == 500
    assert_same_tree(our_tree(artifact, reference), cache.path)


def test_pull_over_tls_with_a_private_authority(tls_registry: RegistryServer, cache: Cache) -> None:
    artifact = new_style()
    reference = tls_registry.pushed(artifact)
    with pytest.raises(ConnectionFailedError):
        pull(cache, reference, insecure=False)
    assert judge.files(cache.path) == []
    pull(cache, reference, insecure=False, ca=tls_registry.ca_file)
    assert_same_tree(our_tree(artifact, reference), cache.path)


def test_pull_shows_one_registrys_password_to_no_other(hostile: HostileServer, cache: Cache) -> None:
    references = [f"{hostile.name}/demo/new:v1", "127.0.0.2:1/demo/new:v1"]
    for act in (plan_pull, pull):
        with pytest.raises(CredentialsError):
            act(cache, references, auth=("reader", "made-up"))
    assert hostile.requests_for("*") == []


def serve(hostile: HostileServer, artifact: Artifact) -> str:
    hostile.serve(artifact)
    return f"{hostile.name}/{artifact.repository}:{artifact.tag}"


def failing(cache: Cache, reference: str, kind: type[SpinCacheError], **options: object) -> SpinCacheError:
    with pytest.raises(kind) as caught:
        pull(cache, reference, **options)  # type: ignore[call-overload]
    assert "\n" not in str(caught.value)
    assert judge.files(cache.path) == []
    return caught.value


def unloadable() -> Artifact:
    """An app whose locked app is of a version that no Spin has."""
    artifact, content = new_style(), b'{"spin_lock_version": 7}'
    described = {"digest": sha256(content), "size": len(content)}
    changed = altered(artifact, lambda document: document["layers"][-1].update(described))
    return replace(changed, blobs={**artifact.blobs, sha256(content): content})


REFUSED: dict[str, tuple[Artifact, type[SpinCacheError]]] = {
    **{name: (artifact, ManifestError) for name, artifact in broken().items()},
    "config that is no text": (bad_config(), ManifestError),
    "locked app that Spin cannot load": (unloadable(), LockedAppError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_pull_refuses_broken_documents(hostile: HostileServer, cache: Cache, name: str) -> None:
    artifact, kind = REFUSED[name]
    failing(cache, serve(hostile, artifact), kind)


def test_pull_takes_a_larger_manifest_where_the_caller_says_so(hostile: HostileServer, cache: Cache) -> None:
    artifact = new_style("demo/wide")
    document = artifact.document | {"annotations": {"notes": "x" * (9 << 20)}}
    reference = serve(hostile, replace(artifact, manifest=json.dumps(document).encode()))
    for act in (plan_pull, pull):
        with pytest.raises(LimitError, match="manifest_limit"):
            act(cache, reference)
    assert plan_pull(cache, reference, manifest_limit=10 << 20) == plan_pull(
        cache, reference, manifest_limit=20 << 20
    )
    pull(cache, reference, manifest_limit=10 << 20)
    assert [row.reference for row in check_cache(cache)] == []
    assert cache.cached_tag(reference).read_manifest() == json.dumps(document).encode()


def test_pull_of_which_nothing_could_be_stored_leaves_no_folder(hostile: HostileServer, cache: Cache) -> None:
    artifact = package()
    reference = serve(hostile, artifact)
    hostile.always(f"*/blobs/{artifact.layers[0]['digest']}", error(404))
    failing(cache, reference, NotFoundError)
    assert not cache.path.exists()
    cache.path.mkdir(parents=True)
    failing(cache, reference, NotFoundError)
    assert list(cache.path.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (WrongBytes(), DigestMismatchError),
        (Truncated(), SpinCacheError),
        (error(404), NotFoundError),
        (error(403), AccessDeniedError),
    ],
    ids=["wrong bytes", "truncated", "404", "403"],
)
@pytest.mark.parametrize("position", [0, -1], ids=["wasm layer", "locked app"])
def test_pull_refuses_a_bad_blob(
    hostile: HostileServer, cache: Cache, fault: object, kind: type[SpinCacheError], position: int
) -> None:
    artifact = new_style(components=[Component("only", wasm_module("only", 5000))])
    digest = artifact.layers[position]["digest"]
    hostile.always(f"*/blobs/{digest}", fault)  # type: ignore[arg-type]
    failure = failing(cache, serve(hostile, artifact), kind)
    assert digest[:19] in str(failure)


class _AfterTheBlobs:
    """Answers for the locked app once all blobs were asked for, which shows that nobody waited for it."""

    def __init__(self, hostile: HostileServer, digests: list[str], fault: Behaviour | None) -> None:
        self.hostile, self.digests, self.fault = hostile, digests, fault
        self.asked_before = False

    def answer(self, call: Call) -> bool:
        deadline = time.monotonic() + 10
        while not self.asked_before and time.monotonic() < deadline:
            self.asked_before = all(self.hostile.requests_for(f"*/blobs/{one}") for one in self.digests)
            time.sleep(0.01)
        time.sleep(0.2)  # for the bodies to arrive
        return (self.fault or call.honest()).answer(call)


@pytest.mark.parametrize("fault", [WrongBytes(), None], ids=["bad", "good"])
def test_blobs_come_beside_the_locked_app_and_are_stored_after_it(
    hostile: HostileServer, cache: Cache, fault: Behaviour | None
) -> None:
    artifact = new_style()
    *blobs, locked_app = (layer["digest"] for layer in artifact.layers)
    slow = _AfterTheBlobs(hostile, blobs, fault)
    hostile.on(f"*/blobs/{locked_app}", slow)
    hostile.always(f"*/blobs/{locked_app}", fault or slow)
    reference = serve(hostile, artifact)
    if fault is not None:
        failing(cache, reference, DigestMismatchError)
        assert not cache.path.exists()
    else:
        pull(cache, reference)
        assert {digest for digest in blobs if cache.find_blob(Digest.parse(digest))} == set(blobs)
    assert slow.asked_before


def test_pull_keeps_whole_blobs_of_a_failed_pull(hostile: HostileServer, cache: Cache) -> None:
    artifact = new_style()
    bad = artifact.layers[0]["digest"]
    hostile.on(f"*/blobs/{bad}", error(404))
    reference = serve(hostile, artifact)
    with pytest.raises(NotFoundError):
        pull(cache, reference, jobs=1)
    assert not (cache.path / "manifests").exists()
    for path in (p for p in cache.path.rglob("*") if p.is_file()):
        assert sha256(path.read_bytes()) == path.name
    pull(cache, reference)
    assert_same_tree(our_tree(artifact, reference), cache.path)


@pytest.mark.parametrize(
    "archive", [b"no archive", b"\x1f\x8b\x08\x00broken"], ids=["not gzip", "broken gzip"]
)
def test_pull_refuses_a_broken_archive(hostile: HostileServer, cache: Cache, archive: bytes) -> None:
    with pytest.raises(ArchiveError):
        pull(cache, serve(hostile, archive_app(archive)))
    assert not (cache.path / "manifests").exists()


def test_pull_refuses_an_archive_beyond_the_limits(hostile: HostileServer, cache: Cache) -> None:
    reference = serve(hostile, archive_style())
    with pytest.raises(LimitError):
        pull(cache, reference, archive_limits=ArchiveLimits(entries=3))
    assert not (cache.path / "manifests").exists()
    pull(cache, reference)


def test_pull_checks_free_space_before_it_fetches(
    hostile: HostileServer, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cache, "free_bytes", lambda self: 100)
    reference = serve(hostile, new_style())
    failure = failing(cache, reference, NoSpaceError)
    assert failure.found == "100 B"
    assert hostile.requests_for("*/blobs/*") == []


def test_cancel_stops_a_stalled_pull_and_leaves_nothing(hostile: HostileServer, cache: Cache) -> None:
    artifact = new_style()
    digest = artifact.layers[0]["digest"]
    hostile.always(f"*/blobs/{digest}", Stall(after=100))
    reference = serve(hostile, artifact)
    cancel = threading.Event()
    threading.Timer(0.7, cancel.set).start()
    started = time.monotonic()
    with pytest.raises(PullCancelled):
        pull(cache, reference, cancel=cancel)
    assert time.monotonic() - started < 20
    assert judge.leftovers(cache.path.parent) == []
    assert not (cache.path / "manifests").exists()
    assert not [t for t in threading.enumerate() if t.name.startswith("spincache")]


def test_cancel_before_the_manifest(hostile: HostileServer, cache: Cache) -> None:
    hold = threading.Event()
    hostile.always("*/manifests/*", Hold(hold))
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    try:
        with pytest.raises(PullCancelled):
            pull(cache, serve(hostile, new_style()), cancel=cancel)
    finally:
        hold.set()
    assert not cache.path.exists()


NEEDED = (
    *("addresses", "cache", "digest", "documents", "fetching", "files", "journal"),
    *("layout", "locked_app", "paths", "plans", "progress", "pull", "reference", "refusals", "registry"),
    *("removing", "settings", "sockets", "web", "writing"),
)
LIBRARIES = "argparse, concurrent.futures.thread, httpx, lazy_loader, logging, msgspec"
BESIDES = {"dataclasses", "fcntl", "hmac", "secrets"}
"""What a repeat pull loads of the standard library, beyond what those bring along."""
HEAVY = (
    *("pandas", "numpy", "matplotlib", "ipywidgets", "anywidget", "tqdm", "jinja2", "pyarrow", "duckdb"),
    *("tomllib", "truststore", "gzip", "tarfile", "zipfile", "asyncio"),
    *("httpcore", "h11", "anyio", "socksio", "csv", "sqlite3", "xml"),
)


def test_first_byte_of_a_blob_takes_few_steps(
    hostile: HostileServer, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = serve(hostile, new_style())
    stacks: list[list[traceback.FrameSummary]] = []

    class Traced(socket.socket):
        def recv_into(self, *arguments: Any) -> int:
            stacks.append([one for one in traceback.extract_stack() if "/spincache_nb/" in one.filename])
            return super().recv_into(*arguments)

    monkeypatch.setattr(socket, "socket", Traced)
    pull(cache, reference)
    of_blobs = [stack for stack in stacks if "_download" in {one.name for one in stack}]
    assert of_blobs
    assert max(map(len, of_blobs)) <= 9  # and `pull`, which waits in another thread
    assert max(len({one.filename for one in stack}) for stack in of_blobs) <= 4


def test_repeat_pull_loads_only_what_it_needs(plain_registry: RegistryServer, cache: Cache) -> None:
    artifact = archive_style()
    reference = plain_registry.pushed(artifact)
    pull(cache, reference)
    code = f"""
        import sys
        import {LIBRARIES}
        brought = set(sys.modules)
        from spincache_nb.cli import main
        status = main(["pull", {reference!r}, "--cache-dir", {str(cache.path.parent)!r}, "--quiet", "--json"])
        print(status, *sys.modules)
        print(*(set(sys.modules) - brought))
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    output = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60).stdout
    (status, *modules), more = (line.split() for line in output.splitlines()[-2:])
    assert status == "0"
    own = {name.removeprefix("spincache_nb.") for name in modules if name.startswith("spincache_nb.")}
    rooms = {name.partition(".")[0] for name in own}
    assert rooms <= {"core", "cli", "errors", "show"}
    assert {name for name in own if name.startswith("core.")} == {f"core.{name}" for name in NEEDED}
    assert set(HEAVY).isdisjoint(modules)
    assert {name for name in more if not name.startswith(("spincache_nb", "_"))} <= BESIDES


def test_progress_adds_up_to_the_plan(
    plain_registry: RegistryServer, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spincache_nb.core.fetching._TOLD_BYTES", 1000)  # most blobs are told in steps
    artifact = archive_style()
    plain_registry.push(artifact)
    events: list[ProgressEvent] = []
    result = pull(cache, plain_registry.reference(artifact), progress=events.append)
    assert events[0] == ProgressEvent("plan", total=result.fetch_bytes)
    assert sum(event.count for event in events if event.kind == "bytes") == result.fetch_bytes
    assert events[-1].kind == "tag"
    started = {event.digest for event in events if event.kind == "start"}
    assert started == {event.digest for event in events if event.kind == "done"}


def test_progress_shows_a_bar_of_bytes_in_a_terminal(
    plain_registry: RegistryServer,
    cache: Cache,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "tqdm.auto", __import__("tqdm.std", fromlist=["tqdm"]))
    reference = plain_registry.pushed(
        new_style("demo/bar", components=[Component("web", wasm_module("bar", 5000))])
    )
    total = plan_pull(cache, reference).fetch_bytes
    pull(cache, reference, progress=True)
    shown = capsys.readouterr().err
    assert "100%" in shown
    assert f"{total / 1024:.2f}k/{total / 1024:.2f}k" in shown


def test_pull_makes_young_what_is_stored(plain_registry: RegistryServer, cache: Cache) -> None:
    """A prune beside the pull leaves alone what is young."""
    first, second = (plain_registry.pushed(new_style("demo/young", tag)) for tag in ("v1", "v2"))
    pull(cache, first)
    stored = [path for area in ("wasm", "data") for path in (cache.path / area).iterdir()]
    for path in stored:
        os.utime(path, (1000, 1000))
    plan_pull(cache, second)
    assert {path.stat().st_mtime for path in stored} == {1000}
    pull(cache, second)
    assert all(path.stat().st_mtime > 1000 for path in stored)


@pytest.mark.parametrize("artifact", [new_style(), image_index()], ids=["manifest", "index"])
def test_pull_records_the_history_outside_the_cache(
    plain_registry: RegistryServer, cache: Cache, artifact: Artifact
) -> None:
    reference = plain_registry.pushed(artifact)
    history = History(cache.path.parent / "state" / "history.jsonl")
    result = pull(cache, reference, history=history)
    assert result.index_digest == (artifact.digest if artifact.children else None)
    assert result.manifest_digest in {child.digest for child in artifact.children or (artifact,)}
    (record,) = history.read()
    assert (record.reference, record.manifest_digest) == (reference, result.manifest_digest)
    assert record.index_digest == result.index_digest
    assert record.cache == str(cache.path)
    assert (record.fetch_bytes, record.wire_bytes) == (result.fetch_bytes, result.wire_bytes)


def headings(page: str) -> list[str]:
    return re.findall(r"<th[^>]*>([^<]*)</th>", page)


def test_result_shows_itself_without_letting_html_in(plain_registry: RegistryServer, cache: Cache) -> None:
    artifact = many_layers(40, "demo/shown")
    plain_registry.push(artifact)
    result = pull(cache, plain_registry.reference(artifact))
    page = result._repr_html_()
    assert "and 29 more" in page or "more" in page
    assert headings(page) == ["what", "digest", "size", ""]
    assert structs.replace(result, reference="<script>")._repr_html_().count("<script>") == 0
    assert str(result).startswith(plain_registry.reference(artifact))
