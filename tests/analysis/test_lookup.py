"""What the tags of a repository mean: which requests it takes, what is skipped, what stops it."""

from __future__ import annotations

import shelve
import sys
import threading
from collections import UserDict
from contextlib import nullcontext
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from spincache_nb.analysis import RemoteVersions, remote_versions
from spincache_nb.core.progress import ProgressEvent
from spincache_nb.errors import (
    AccessDeniedError,
    ConnectionFailedError,
    InvalidReferenceError,
    NotFoundError,
    PullCancelled,
    StatusError,
)
from tests.core.clients import quick_client
from tests.support.artifact import IMAGE_CONFIG, OCI_INDEX, Artifact, canonical
from tests.support.artifacts import new_style, old_style, package, published
from tests.support.behaviours import Content, Reply, error, later, wait_until
from tests.support.faults import Hold
from tests.support.hostile import HostileServer
from tests.support.odd_artifacts import broken, docker_list, image_index, sha512_layer

REPOSITORY = "team/app"
VERSIONS = [new_style(REPOSITORY, f"1.{minor}.0", version=f"1.{minor}.0") for minor in range(4)]
SIGNATURE_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"


def signature() -> Artifact:
    """Something that is pushed beside an app: a cosign signature."""
    return published(REPOSITORY, "signature", (IMAGE_CONFIG, b"{}"), [(SIGNATURE_TYPE, b'{"critical":{}}')])


def looked_up(server: HostileServer, **options: Any) -> RemoteVersions:
    return remote_versions(f"{server.name}/{REPOSITORY}", **options)


def tags_of(found: RemoteVersions) -> list[str]:
    return found.tags["tag"].tolist()


def digests_of(found: RemoteVersions) -> list[str]:
    return found.tags["manifest_digest"].tolist()


def skipped(found: RemoteVersions) -> dict[str, str]:
    problems = found.problems
    return dict(zip(problems["reference"].str.rsplit(":", n=1).str[1], problems["kind"], strict=True))


def gets(server: HostileServer) -> list[str]:
    """Manifests that were fetched, by the last part of their address."""
    return sorted(request.path.rpartition("/")[2] for request in server.requests_for("GET */manifests/*"))


def own_threads() -> set[str]:
    """Threads of the package, not those of the server, which end when they notice that nobody listens."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("spincache")}


def test_remote_versions_finds_every_version_in_order(hostile):
    hostile.serve(*VERSIONS)
    kept: dict[str, bytes] = {}
    found = looked_up(hostile, manifests=kept)
    assert tags_of(found) == [artifact.tag for artifact in VERSIONS]
    assert digests_of(found) == [artifact.digest for artifact in VERSIONS]
    assert kept == {artifact.digest: artifact.manifest for artifact in VERSIONS}
    assert found.repository == f"{hostile.name}/{REPOSITORY}"
    assert skipped(found) == {}
    assert hostile.requests_for("*/blobs/*") == []
    assert found.request_count == len(hostile.requests) == 1 + 2 * len(VERSIONS)
    assert found.wire_bytes == hostile.body_bytes


def test_remote_versions_of_docker_registry_of_all_kinds(plain_registry):
    place = "remote/kinds"
    artifacts = [
        new_style(place, "new"),
        old_style(place, "old"),
        package(place, "package"),
        image_index(place, "index"),
        docker_list(place, "docker"),
        sha512_layer(place, "sha512"),
        signature().located(repository=place),
        signature().located(repository=place, tag="sha256-" + "ab" * 32 + ".sig"),
    ]
    plain_registry.push(*artifacts)
    with plain_registry.recording() as records:
        found = remote_versions(f"{plain_registry.name}/{place}")
    assert dict(zip(found.tags["tag"], found.tags["kind"], strict=True)) == {
        "docker": "app",
        "index": "app",
        "new": "app",
        "old": "app",
        "package": "package",
        "sha512": "app",
    }
    assert skipped(found) == {
        "signature": "neither app nor package",
        "sha256-" + "ab" * 32 + ".sig": "name of an attachment",
    }
    index = found.tags.set_index("tag").loc["index"]
    assert index["index_digest"] == artifacts[3].digest
    assert index["manifest_digest"] == artifacts[3].children[1].digest  # linux/amd64, as a pull here
    assert not [record for record in records if "/blobs/" in record.target]
    assert len(records) == found.request_count


def test_remote_versions_of_named_tags_asks_for_those_only(hostile):
    hostile.serve(*VERSIONS)
    assert tags_of(looked_up(hostile, tags=[])) == []
    assert hostile.requests == []
    assert tags_of(looked_up(hostile, tags="1.1.0")) == ["1.1.0"]
    assert hostile.lines == [f"GET /v2/{REPOSITORY}/manifests/1.1.0"]
    hostile.requests.clear()
    found = looked_up(hostile, tags=["1.2.0", "1.0.0", "1.2.0"])
    assert tags_of(found) == ["1.0.0", "1.2.0"]
    assert hostile.requests_for("*/tags/list") == []
    assert gets(hostile) == sorted([VERSIONS[0].digest, VERSIONS[2].digest])


def test_remote_versions_follows_pages_and_takes_a_tag_once(hostile):
    hostile.serve(*VERSIONS, tags=False)
    hostile.tag_pages(REPOSITORY, [["1.3.0", "1.0.0"], ["1.0.0", "1.1.0"], []])
    found = looked_up(hostile)
    assert tags_of(found) == ["1.0.0", "1.1.0", "1.3.0"]


def test_remote_versions_fetches_only_what_is_not_kept(hostile):
    hostile.serve(*VERSIONS[:3])
    kept: dict[str, bytes] = {}
    looked_up(hostile, manifests=kept)
    assert kept == {artifact.digest: artifact.manifest for artifact in VERSIONS[:3]}
    before = len(hostile.requests)
    hostile.serve(VERSIONS[3])
    found = looked_up(hostile, manifests=kept)
    assert tags_of(found) == [artifact.tag for artifact in VERSIONS]
    again = hostile.requests[before:]
    assert [request.method for request in again].count("HEAD") == 4
    assert [request.path for request in again if request.method == "GET"] == [
        f"/v2/{REPOSITORY}/tags/list",
        f"/v2/{REPOSITORY}/manifests/{VERSIONS[3].digest}",
    ]


def test_remote_versions_of_one_tag_that_is_kept_fetches_nothing(hostile):
    hostile.serve(*VERSIONS)
    kept = {VERSIONS[0].digest: VERSIONS[0].manifest}
    assert tags_of(looked_up(hostile, tags=["1.0.0"], manifests=kept)) == ["1.0.0"]
    assert hostile.lines == [f"HEAD /v2/{REPOSITORY}/manifests/1.0.0"]


def test_remote_versions_keeps_indexes_and_what_they_lead_to(hostile):
    index = image_index(REPOSITORY, "v1")
    hostile.serve(index)
    kept: dict[str, bytes] = {}
    looked_up(hostile, manifests=kept)
    assert set(kept) == {index.digest, index.children[1].digest}
    before = len(hostile.requests_for("GET */manifests/*"))
    again = looked_up(hostile, manifests=kept)
    assert digests_of(again) == [index.children[1].digest]
    assert len(hostile.requests_for("GET */manifests/*")) == before


def test_remote_versions_asks_for_the_child_of_two_indexes_once(hostile):
    one = image_index(REPOSITORY, "v1")
    document = {**one.document, "annotations": {"which": "other"}}
    other = replace(one, tag="v2", manifest=canonical(document))
    hostile.serve(one, other)
    found = looked_up(hostile)
    assert len(found.tags) == 2
    assert gets(hostile) == sorted([one.digest, other.digest, one.children[1].digest])


def test_remote_versions_does_not_believe_kept_bytes_of_another_digest(hostile):
    hostile.serve(*VERSIONS[:2])
    kept = {VERSIONS[0].digest: VERSIONS[1].manifest, VERSIONS[1].digest: b""}
    found = looked_up(hostile, manifests=kept)
    assert digests_of(found) == [VERSIONS[0].digest, VERSIONS[1].digest]
    assert kept == {artifact.digest: artifact.manifest for artifact in VERSIONS[:2]}


class OfOneThread(UserDict[str, bytes]):
    """A mapping that, as SQLite does, lets nobody in but the thread that made it."""

    thread = threading.main_thread()

    def __getattribute__(self, name: str) -> object:
        assert name != "data" or threading.current_thread() is OfOneThread.thread
        return super().__getattribute__(name)


def test_remote_versions_uses_the_kept_manifests_from_the_callers_thread_only(hostile):
    hostile.serve(*VERSIONS)
    kept = OfOneThread()
    for _ in range(2):
        assert len(looked_up(hostile, manifests=kept).tags) == 4
    assert len(kept) == 4


def test_remote_versions_keeps_manifests_in_a_shelve(hostile, tmp_path):
    hostile.serve(*VERSIONS)
    for _ in range(2):
        with shelve.open(str(tmp_path / "manifests")) as kept:
            assert len(looked_up(hostile, manifests=kept).tags) == 4
    assert len(gets(hostile)) == 4


def test_remote_versions_needs_no_digest_header(hostile):
    """Then HEAD says nothing, is not tried again and again, and each tag is fetched."""
    many = [new_style(REPOSITORY, f"1.{number}.0", version=f"1.{number}.0") for number in range(30)]
    hostile.serve(*many)
    hostile.always("HEAD */manifests/*", Reply(200))
    kept: dict[str, bytes] = {}
    found = looked_up(hostile, jobs=2, manifests=kept)
    assert len(found.tags) == 30
    assert set(kept) == {artifact.digest for artifact in many}
    assert len(hostile.requests_for("HEAD */manifests/*")) <= 5


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
def test_remote_versions_needs_no_head(status, hostile):
    hostile.serve(*VERSIONS)
    hostile.always("HEAD */manifests/*", error(status))
    assert len(looked_up(hostile).tags) == 4


def test_remote_versions_asks_by_tag_where_the_digest_of_a_head_leads_nowhere(hostile):
    hostile.serve(*VERSIONS[:2])
    wrong = Reply(200, headers=(("Docker-Content-Digest", "sha256:" + "0" * 64),))
    hostile.always("HEAD */manifests/*", wrong)
    found = looked_up(hostile)
    assert digests_of(found) == [artifact.digest for artifact in VERSIONS[:2]]
    assert gets(hostile) == sorted(["sha256:" + "0" * 64, "1.0.0", "1.1.0"])


def test_remote_versions_asks_for_an_attachment_that_is_named(hostile):
    tag = "sha256-" + "ab" * 32
    hostile.serve(VERSIONS[0].located(tag=tag))
    assert tags_of(looked_up(hostile, tags=[tag])) == [tag]


def test_remote_versions_skips_a_manifest_whose_bytes_are_others(hostile):
    hostile.serve(*VERSIONS[:2])
    hostile.always(f"GET */manifests/{VERSIONS[0].digest}", Content(VERSIONS[1].manifest))
    named = (("Docker-Content-Digest", VERSIONS[0].digest),)
    hostile.always("GET */manifests/1.0.0", Reply(200, VERSIONS[1].manifest, named))
    kept: dict[str, bytes] = {}
    found = looked_up(hostile, manifests=kept)
    assert tags_of(found) == ["1.1.0"]
    assert skipped(found) == {"1.0.0": "damaged manifest"}
    assert set(kept) == {VERSIONS[1].digest}


NOTES = canonical({**VERSIONS[0].document, "annotations": {"x": "y" * (9 << 20)}})
INDEX = image_index(REPOSITORY, "v1")
ATTACHMENTS = canonical({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})


BAD = {
    **{f"bad-{name.replace(' ', '-')}": (bad, "damaged manifest", "") for name, bad in broken().items()},
    "large": (replace(VERSIONS[0], manifest=NOTES), "too large", ""),
    "0.9.0": (None, "not there", ""),  # it went after it was listed
    "1\u00b2": (None, "not a tag", ""),  # no reference can hold it
    "index": (replace(INDEX, children=()), "not there", INDEX.children[1].digest),
    "refs": (Artifact(REPOSITORY, "refs", ATTACHMENTS, OCI_INDEX), "damaged manifest", ""),
    "sbom": (signature(), "neither app nor package", f"config {IMAGE_CONFIG}; layers {SIGNATURE_TYPE}"),
    **{
        f"{digest}{end}": (signature(), "name of an attachment", "not asked for")
        for digest, end in (
            ("sha256-" + "ab" * 32, ""),
            ("sha256-" + "ab" * 32, ".att"),
            ("sha512-" + "0" * 64, ".sbom"),
        )
    },
}
"""Tags that are no version: what they mean, what kind of problem that is, and what is said of it."""


@pytest.mark.parametrize("tag", BAD)
def test_remote_versions_skips_what_is_no_version_and_goes_on(hostile, tag):
    artifact, kind, said = BAD[tag]
    bad = () if artifact is None else (artifact.located(repository=REPOSITORY, tag=tag),)
    hostile.serve(*bad, VERSIONS[1], tags=False)
    hostile.tag_pages(REPOSITORY, [[tag, "1.1.0"]])
    found = looked_up(hostile)
    assert tags_of(found) == ["1.1.0"]
    ((reference, found_kind, detail),) = found.problems.values.tolist()
    assert (reference, found_kind) == (f"{hostile.name}/{REPOSITORY}:{tag}", kind)
    assert said in detail
    assert detail.isprintable()
    assert len(detail) < 700
    if said == "not asked for":
        assert hostile.requests_for(f"*/manifests/{tag}") == []


def test_remote_versions_raises_if_a_named_tag_is_not_there(hostile):
    hostile.serve(*VERSIONS)
    with pytest.raises(NotFoundError) as caught:
        looked_up(hostile, tags=["1.0.0", "9.9.9"])
    assert caught.value.where == f"{hostile.name}/{REPOSITORY}:9.9.9"


def test_remote_versions_raises_if_there_is_no_repository(hostile):
    with pytest.raises(NotFoundError):
        remote_versions(f"{hostile.name}/none")


@pytest.mark.parametrize("tag", ["", "v 1", "v1@sha256:" + "0" * 64, "../x", "a/b", "-x", "x" * 129])
def test_remote_versions_refuses_what_is_no_tag_before_it_asks(tag, hostile):
    with pytest.raises(InvalidReferenceError):
        looked_up(hostile, tags=["v1", tag])
    assert hostile.requests == []


def test_remote_versions_raises_what_every_tag_would_meet(hostile, closed_port):
    hostile.serve(*VERSIONS)
    hostile.always("*/manifests/*", error(403))
    with pytest.raises(AccessDeniedError):
        looked_up(hostile)
    with pytest.raises(ConnectionFailedError):
        remote_versions(f"127.0.0.1:{closed_port}/{REPOSITORY}", tags=["v1"])


@pytest.mark.parametrize("until", ["FIRST_COMPLETED", "ALL_COMPLETED"])  # answers may come at the same time
def test_remote_versions_stops_at_a_limit_of_requests_and_keeps_what_it_has(hostile, monkeypatch, until):
    monkeypatch.setattr("spincache_nb.analysis.remote.FIRST_COMPLETED", until)
    monkeypatch.setattr("spincache_nb.core.registry.Registry", quick_client)
    hostile.serve(*VERSIONS)
    refused = f"GET */manifests/{VERSIONS[3].digest}"
    hostile.always(refused, later(429))
    kept: dict[str, bytes] = {}
    with pytest.raises(StatusError) as caught:
        looked_up(hostile, jobs=1, manifests=kept)
    assert caught.value.status == 429
    assert set(kept) == {artifact.digest for artifact in VERSIONS[:3]}


def test_remote_versions_stops_at_a_cancel(hostile):
    hostile.serve(*VERSIONS)
    hostile.always(f"GET */manifests/{VERSIONS[2].digest}", Hold(threading.Event()))
    cancel = threading.Event()

    def set_when_asked() -> None:
        wait_until(lambda: bool(hostile.requests_for(f"GET */manifests/{VERSIONS[2].digest}")))
        cancel.set()

    waiter = threading.Thread(target=set_when_asked)
    waiter.start()
    before = own_threads()
    with pytest.raises(PullCancelled):
        looked_up(hostile, cancel=cancel)
    waiter.join(5)
    assert own_threads() == before


@pytest.mark.parametrize("last", [None, ProgressEvent("plan", total=4), "looked up"])
def test_remote_versions_leaves_no_thread_and_no_connection_open(hostile, last):
    """Not even if the caller's own progress breaks it off."""
    hostile.serve(*VERSIONS)
    before = own_threads()

    def tell(event: ProgressEvent) -> None:
        if last in (event, event.kind):
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough") if last else nullcontext():
        looked_up(hostile, progress=tell)
    assert own_threads() == before
    wait_until(lambda: hostile.open_connections == 0)


def test_remote_versions_tells_of_each_tag_once(hostile):
    hostile.serve(*VERSIONS, signature().located(tag="sbom"))
    events: list[ProgressEvent] = []
    looked_up(hostile, progress=events.append)
    assert events[0] == ProgressEvent("plan", total=5)
    told = {event.reference: event.digest for event in events[1:]}
    assert len(events) == 6
    assert {event.kind for event in events[1:]} == {"looked up"}
    assert told == {
        **{f"{hostile.name}/{REPOSITORY}:{artifact.tag}": artifact.digest for artifact in VERSIONS},
        f"{hostile.name}/{REPOSITORY}:sbom": "",
    }


def test_remote_versions_prints_a_line_for_each_tenth_when_nobody_looks(hostile, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))  # as jupyter_client does
    many = [new_style(REPOSITORY, f"1.{number}.0", version=f"1.{number}.0") for number in range(25)]
    hostile.serve(*many)
    looked_up(hostile, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "to look up: 25 tags"
    assert lines[-1] == "looked up 25 of 25 tags"
    assert len(lines) == 11


def test_remote_versions_shows_a_bar_of_tags_in_a_terminal(hostile, capsys, monkeypatch):
    monkeypatch.setattr("spincache_nb.core.progress._bar_fits", lambda: True)
    monkeypatch.setitem(sys.modules, "tqdm.auto", __import__("tqdm.std", fromlist=["tqdm"]))
    hostile.serve(*VERSIONS)
    looked_up(hostile, progress=True)
    shown = capsys.readouterr().err
    assert "look up: 100%" in shown
    assert "4/4" in shown
