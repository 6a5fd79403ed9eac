"""Crawls of registries: manifests only, polite, stopped and gone on with, and never all in memory."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
import tracemalloc
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")


from spincache_nb import demo, fleet
from spincache_nb.core.digest import Digest
from spincache_nb.core.plans import Served
from spincache_nb.core.registry import Registry
from spincache_nb.errors import (
    AccessDeniedError,
    ConnectionFailedError,
    InvalidReferenceError,
    PullCancelled,
    SpinCacheError,
    StatusError,
)
from spincache_nb.fleet import crawling
from spincache_nb.fleet.crawling import Parts, Throttle
from spincache_nb.fleet.place import Place
from tests.fleet.fleets import Rows
from tests.support.artifacts import new_style, package
from tests.support.behaviours import Call, Reply, later
from tests.support.hostile import HostileServer
from tests.support.made_up_fleet import FleetPlan, write_fleet
from tests.support.registry_server import RegistryServer

DAY = date(2026, 3, 2)
ARTIFACTS = tuple(new_style("demo/app", f"v{n}", version=f"{n}.0.0") for n in range(8))
SAME = new_style("demo/other", "v1", version="1.0.0")


def manifests_asked(server: HostileServer) -> list[str]:
    """Paths of all requests for manifests."""
    return [request.path for request in server.requests if "/manifests/" in request.path]


# What a crawl says --------------------------------------------------------------------------------


class Slow:
    """An honest answer after a while, in seconds."""

    def __init__(self, seconds: float = 0.05) -> None:
        self.seconds = seconds

    def answer(self, call: Call) -> bool:
        call.stopping.wait(self.seconds)
        return call.honest().answer(call)


@pytest.mark.parametrize("rows_per_part", [10, 10_000], ids=["in parts", "in one part"])
def test_crawl_of_the_demo_registry_says_what_brute_force_says(rows_per_part, tmp_path: Path) -> None:
    with demo.registry() as registry:
        taken = fleet.crawl(registry.host, None, tmp_path, rows_per_part=rows_per_part, day=DAY)
        host = registry.host
    rows = Rows(tmp_path)
    with fleet.open(tmp_path) as opened:
        assert (opened.kind, opened.hosts, taken.host) == ("registry", [host], host)
        line, expected = opened.summary().to_dict("records")[0], rows.summary()
        assert {key: line[key] for key in expected} == pytest.approx(expected)
        assert pd.isna(line["disk_bytes"])
        assert opened.sharing().set_index("digest").to_dict("index") == rows.sharing()
        for rules in ("spin", "spincache"):
            for repository, one in rows.version_savings(rules).items():
                found = opened.version_savings(repository, rules=rules)
                pd.testing.assert_frame_equal(found[one.columns], one)
        assert opened.breakdown().empty
        assert opened.unreferenced().empty


def test_crawl_knows_what_every_manifest_says(tmp_path: Path) -> None:
    """The totals, from the manifests themselves."""
    with demo.registry() as registry:
        fleet.crawl(registry.host, None, tmp_path)
    needed, stored = 0, {}
    for artifact in demo.artifacts():
        document = json.loads(artifact.manifest)
        sizes = {one["digest"]: one["size"] for one in [document["config"], *document["layers"]]}
        needed += sum(sizes.values())
        stored |= sizes
    with fleet.open(tmp_path) as opened:
        line = opened.summary().iloc[0]
        shared = opened.sharing()
    assert line["app_count"] == len(demo.artifacts())
    assert (line["logical_bytes"], line["stored_bytes"]) == (needed, sum(stored.values()))
    assert dict(zip(shared["digest"], shared["distinct_bytes"], strict=True)) == stored


def test_crawl_fetches_manifests_and_tags_and_nothing_else(hostile: HostileServer, tmp_path: Path) -> None:
    hostile.serve(*ARTIFACTS)
    fleet.crawl(hostile.name, ["demo/app"], tmp_path)
    kinds = {request.path.split("/")[-2] for request in hostile.requests}
    assert kinds == {"tags", "manifests"}
    assert len(manifests_asked(hostile)) == len(ARTIFACTS)


def test_crawl_counts_a_manifest_with_two_tags_once(hostile: HostileServer, tmp_path: Path) -> None:
    app = ARTIFACTS[0]
    alias = replace(app, tag="latest")
    hostile.serve(app, alias, ARTIFACTS[1])
    for number, size in enumerate((1, 10_000)):
        target = tmp_path / str(number)
        fleet.crawl(hostile.name, ["demo/app"], target, rows_per_part=size, jobs=1)
        with fleet.open(target) as opened:
            table = opened.sharing()
        own = table[table["digest"] == json.loads(app.manifest)["layers"][-1]["digest"]]
        assert own[["user_count", "manifest_count"]].values.tolist() == [[2, 1]]


def test_crawl_and_snapshots_in_one_dataset_are_told_apart(hostile: HostileServer, tmp_path: Path) -> None:
    hostile.serve(*ARTIFACTS)
    fleet.crawl(hostile.name, ["demo/app"], tmp_path)
    write_fleet(tmp_path, FleetPlan(hosts=2, apps_per_host=4, files_per_app=3, repositories=4))
    with pytest.raises(ValueError, match="kind="):
        fleet.open(tmp_path)
    with fleet.open(tmp_path, kind="registry") as opened:
        assert opened.hosts == [hostile.name]
    with fleet.open(tmp_path, kind="cache") as opened:
        assert len(opened.hosts) == 2


# What cannot be had -------------------------------------------------------------------------------


def test_crawl_lists_what_it_cannot_have_and_goes_on(hostile: HostileServer, tmp_path: Path) -> None:
    hostile.serve(*ARTIFACTS, SAME)
    hostile.always("*/manifests/v3", Reply(404))
    hostile.always("*/manifests/v4", Reply(200, b"{}"))
    hostile.always("*/manifests/v5", Reply(403))
    names = ["demo/app", "demo/missing", "Not A Name", "demo/other"]
    fleet.crawl(hostile.name, names, tmp_path)
    with fleet.open(tmp_path) as opened:
        found = {
            reference.removeprefix(f"{hostile.name}/"): kind
            for kind, reference in opened.problems()[["kind", "reference"]].itertuples(index=False)
        }
        assert opened.summary()[["app_count", "problem_count"]].values.tolist() == [[6, 5]]
    assert found == {
        "demo/app:v3": "missing manifest",
        "demo/app:v4": "damaged manifest",
        "demo/app:v5": "no access",
        "demo/missing": "missing manifest",
        "Not A Name": "damaged manifest",
    }


def test_crawl_goes_on_past_a_size_that_no_file_has(hostile: HostileServer, tmp_path: Path) -> None:
    hostile.serve(*ARTIFACTS)
    for tag, size in (("v2", 2**63 - 1), ("v3", 2**62), ("v4", 2**51)):
        document = json.loads(ARTIFACTS[2].manifest)
        document["layers"][0]["size"] = size
        hostile.always(f"*/manifests/{tag}", Reply(200, json.dumps(document).encode()))
    assert fleet.crawl(hostile.name, ["demo/app"], tmp_path).written
    with fleet.open(tmp_path) as opened:
        assert opened.summary()[["app_count", "problem_count"]].values.tolist() == [[5, 3]]
        assert set(opened.problems()["kind"]) <= {"size out of range", "damaged manifest"}
        opened.version_savings()


def test_crawl_that_may_read_nothing_is_an_error(hostile: HostileServer, tmp_path: Path) -> None:
    hostile.serve(*ARTIFACTS)
    hostile.always("*", Reply(403))
    with pytest.raises(AccessDeniedError):
        fleet.crawl(hostile.name, ["demo/app"], tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


def test_crawl_of_no_registry_is_an_error(closed_port: int, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(crawling, "Throttle", lambda *a, **k: Throttle(*a, **k, attempts=2))
    with pytest.raises(ConnectionFailedError):
        fleet.crawl(f"127.0.0.1:{closed_port}", ["demo/app"], tmp_path)
    with pytest.raises(InvalidReferenceError):
        fleet.crawl("not a registry", ["demo/app"], tmp_path)
    with pytest.raises(InvalidReferenceError):
        fleet.crawl("registry-without-a-dot", ["demo/app"], tmp_path)


# Politeness ---------------------------------------------------------------------------------------


def test_crawl_has_so_many_requests_at_a_time(hostile: HostileServer, tmp_path: Path) -> None:
    hostile.serve(*ARTIFACTS)
    hostile.on("*/manifests/*", *(Slow() for _ in ARTIFACTS))
    fleet.crawl(hostile.name, ["demo/app"], tmp_path, jobs=2)
    assert hostile.most_concurrent == 2


def test_crawl_waits_as_long_as_it_is_told_with_all_its_threads(
    hostile: HostileServer, tmp_path: Path
) -> None:
    hostile.serve(*ARTIFACTS)
    hostile.on("*/manifests/*", later(429, retry_after=1))
    started = time.monotonic()
    fleet.crawl(hostile.name, ["demo/app"], tmp_path, jobs=4)
    assert time.monotonic() - started >= 1.0
    times = [request.at for request in hostile.requests if "/manifests/" in request.path]
    limited = times[0]
    early = [at for at in times[1:] if 0.3 < at - limited < 0.95]
    assert early == [], "nobody was to ask while all were to wait"
    assert len(times) == len(ARTIFACTS) + 1
    with fleet.open(tmp_path) as opened:
        assert opened.summary()["app_count"].tolist() == [len(ARTIFACTS)]


def test_crawl_makes_no_more_requests_a_second_than_it_may(hostile: HostileServer, tmp_path: Path) -> None:
    hostile.serve(*ARTIFACTS)
    started = time.monotonic()
    fleet.crawl(hostile.name, ["demo/app"], tmp_path, per_second=20, jobs=8)
    assert time.monotonic() - started >= len(ARTIFACTS) / 20


def test_throttle_slows_down_after_a_limit_and_recovers_slowly() -> None:
    from spincache_nb.core.refusals import RetryableError

    throttle = Throttle(clock=time.monotonic)
    answers = [429, 429, 200, 200, 200]
    intervals = []

    def request() -> int:
        intervals.append(throttle.interval)
        status = answers.pop(0)
        if status == 429:
            try:
                raise RetryableError(StatusError("r", "x", "429", "wait", 429), retry_after=0.0)
            except RetryableError as exc:
                raise exc.error from None
        return status

    assert [throttle.ask(request) for _ in range(3)] == [200, 200, 200]
    assert intervals[:3] == [0.0, 0.05, 0.1]
    assert intervals[2] > intervals[3] > intervals[4] > 0.09


def test_throttle_gives_up_after_so_many_attempts_and_at_once_where_it_is_no_use() -> None:
    from spincache_nb.core.refusals import RetryableError

    made = 0

    def failing(passing: bool) -> None:
        nonlocal made
        made += 1
        error = StatusError("r", "x", "503", "wait", 503)
        if not passing:
            raise error
        try:
            raise RetryableError(error, retry_after=0.0)
        except RetryableError:
            raise error from None

    for passing, expected in ((True, 3), (False, 1)):
        made = 0
        with pytest.raises(StatusError):
            Throttle(attempts=3).ask(lambda passing=passing: failing(passing))
        assert made == expected


# Stopped and gone on with -------------------------------------------------------------------------


def test_crawl_goes_on_where_it_was_stopped(hostile: HostileServer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(crawling, "Throttle", lambda *a, **k: Throttle(*a, **k, attempts=1))
    hostile.serve(*ARTIFACTS, SAME)
    hostile.on("*/manifests/v6", later(503))
    hostile.on("*/manifests/v7", Slow(1.0))  # by then the refusal of v6 has stopped the rest
    names = ["demo/app", "demo/other"]
    with pytest.raises(StatusError):
        fleet.crawl(hostile.name, names, tmp_path, jobs=1, rows_per_part=15)
    first = len(manifests_asked(hostile))
    assert 7 <= first < len(ARTIFACTS) + 1
    with pytest.raises(Exception, match="complete snapshot"):
        fleet.open(tmp_path)
    calls: list[int] = []
    taken = fleet.crawl(hostile.name, names, tmp_path, jobs=1, rows_per_part=15, progress=calls.append)
    assert taken.written
    asked = manifests_asked(hostile)
    again = [path for path in set(asked) if asked.count(path) > 1]
    assert again == ["/v2/demo/app/manifests/v6"], "only what had failed was to be asked for again"
    assert calls[-1] == len(ARTIFACTS) + 1
    assert not list(tmp_path.rglob("_crawl-*"))
    whole = tmp_path / "at-once"
    fleet.crawl(hostile.name, names, whole)
    with fleet.open(tmp_path / "", kind="registry") as one, fleet.open(whole) as other:
        pd.testing.assert_frame_equal(one.sharing(), other.sharing())
        pd.testing.assert_frame_equal(one.version_savings(), other.version_savings())


def test_crawl_that_is_complete_asks_nothing(hostile: HostileServer, tmp_path: Path) -> None:
    hostile.serve(*ARTIFACTS)
    first = fleet.crawl(hostile.name, ["demo/app"], tmp_path)
    asked = len(hostile.requests)
    second = fleet.crawl(hostile.name, ["demo/app"], tmp_path)
    assert len(hostile.requests) == asked
    assert (first.written, second.written) == (True, False)
    assert (first.row_count, first.size_bytes) == (second.row_count, second.size_bytes)


def test_crawl_can_be_stopped_by_its_caller(hostile: HostileServer, tmp_path: Path) -> None:
    hostile.serve(*ARTIFACTS)
    cancel = threading.Event()

    def stop(count: int) -> None:
        if count >= 3:
            cancel.set()

    with pytest.raises(PullCancelled):
        fleet.crawl(hostile.name, ["demo/app"], tmp_path, jobs=1, progress=stop, cancel=cancel)
    done = fleet.crawl(hostile.name, ["demo/app"], tmp_path)
    assert done.written
    with fleet.open(tmp_path) as opened:
        assert opened.summary()["app_count"].tolist() == [len(ARTIFACTS)]


def test_crawl_takes_no_damaged_part_for_done(hostile: HostileServer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(crawling, "Throttle", lambda *a, **k: Throttle(*a, **k, attempts=1))
    hostile.serve(*ARTIFACTS)
    hostile.on("*/manifests/v7", later(503))
    with pytest.raises(StatusError):
        fleet.crawl(hostile.name, ["demo/app"], tmp_path, jobs=1, rows_per_part=10)
    part = sorted(tmp_path.rglob("_crawl-*"))[0]
    part.write_bytes(part.read_bytes()[:-4])
    fleet.crawl(hostile.name, ["demo/app"], tmp_path, jobs=1, rows_per_part=10)
    with fleet.open(tmp_path) as opened:
        assert opened.summary()["app_count"].tolist() == [len(ARTIFACTS)]


_CRAWL = """
import sys
from spincache_nb import fleet
fleet.crawl(sys.argv[1], ["demo/app", "demo/other"], sys.argv[2], jobs=2, rows_per_part=9)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("asked_before", [3, 5, 8])
def test_crawl_that_is_killed_asks_for_nothing_again_that_was_written(
    asked_before: int, hostile: HostileServer, tmp_path: Path
) -> None:
    """kill -9 after so many requests; then what a part has is not asked for again."""
    hostile.serve(*ARTIFACTS, SAME)
    hostile.always("*/manifests/*", Slow())
    process = subprocess.Popen([sys.executable, "-c", _CRAWL, hostile.name, str(tmp_path)])
    end = time.monotonic() + 60
    while len(manifests_asked(hostile)) < asked_before and time.monotonic() < end:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -9
    time.sleep(0.2)  # what was under way has come in
    before = manifests_asked(hostile)
    kept = Parts(Place(tmp_path), hostile.name, datetime.now(UTC).date()).done
    with pytest.raises(SpinCacheError, match=r"not finished|no file at all"):
        fleet.open(tmp_path)
    assert fleet.crawl(hostile.name, ["demo/app", "demo/other"], tmp_path, rows_per_part=9).written
    again = manifests_asked(hostile)[len(before) :]
    assert len(kept) + len(again) == len(ARTIFACTS) + 1
    names = {
        f"{hostile.name}/{path.split('/')[2]}/{path.split('/')[3]}:{path.split('/')[5]}" for path in again
    }
    assert names.isdisjoint(kept)
    with fleet.open(tmp_path) as opened:
        assert opened.summary()["app_count"].tolist() == [len(ARTIFACTS) + 1]
        assert opened.problems().empty


def test_crawl_writes_now_and_then_however_little_there_is(
    hostile: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow registry: a kill would lose some seconds of work, not a part's worth."""
    monkeypatch.setattr(crawling, "_UNSAVED_SECONDS", 0.0)
    monkeypatch.setattr(crawling, "_UNSAVED_SHARE", 0.0)
    written: list[str] = []
    write = Place.write
    monkeypatch.setattr(
        Place, "write", lambda self, content, name: (written.append(name), write(self, content, name))
    )
    hostile.serve(*ARTIFACTS)
    hostile.always("*/manifests/*", Slow())
    fleet.crawl(hostile.name, ["demo/app"], tmp_path, jobs=1)
    assert len(written) >= len(ARTIFACTS) // 2
    assert len(list(tmp_path.rglob("*.p*"))) == 1, "in the end there is one file"
    with fleet.open(tmp_path) as opened:
        assert opened.summary()["app_count"].tolist() == [len(ARTIFACTS)]


def test_crawl_that_is_interrupted_waits_for_no_retry(hostile: HostileServer, tmp_path: Path) -> None:
    """A registry that asks for a minute's patience, and somebody who has none: Ctrl-C."""
    hostile.serve(*ARTIFACTS)
    hostile.always("*/manifests/v5", later(429, 60))

    def interrupt(count: int) -> None:
        if count >= 3:
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fleet.crawl(hostile.name, ["demo/app"], tmp_path, jobs=2, progress=interrupt)
    assert time.monotonic() - started < 10
    kept = Parts(Place(tmp_path), hostile.name, datetime.now(UTC).date()).done
    assert len(kept) >= 3, "what had come in was to be kept"


def test_crawl_removes_a_damaged_part(hostile: HostileServer, tmp_path: Path, monkeypatch) -> None:
    """Else a later crawl, for which it can be read again, would count its apps twice."""
    monkeypatch.setattr(crawling, "Throttle", lambda *a, **k: Throttle(*a, **k, attempts=1))
    hostile.serve(*ARTIFACTS)
    hostile.on("*/manifests/v7", later(503))
    with pytest.raises(StatusError):
        fleet.crawl(hostile.name, ["demo/app"], tmp_path, jobs=1, rows_per_part=6)
    entries = sorted(tmp_path.rglob("_crawl-*"))
    assert len(entries) >= 3
    content = entries[0].read_bytes()
    entries[0].write_bytes(content[:-4])
    hostile.on("*/manifests/v7", later(503))
    with pytest.raises(StatusError):
        fleet.crawl(hostile.name, ["demo/app"], tmp_path, jobs=1, rows_per_part=1_000)
    assert not entries[0].exists()
    fleet.crawl(hostile.name, ["demo/app"], tmp_path)
    with fleet.open(tmp_path) as opened:
        assert opened.summary()["app_count"].tolist() == [len(ARTIFACTS)]


@pytest.mark.registry
def test_crawl_lists_a_real_registry_page_by_page(
    plain_registry: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docker-registry says with a link where its next page of repositories is."""
    monkeypatch.setattr("spincache_nb.core.registry._PER_PAGE", 2)
    pushed = set()
    for number in range(7):
        artifact = new_style(f"crawl/app{number}", "v1", version=f"{number}.0.0")
        plain_registry.push(artifact)
        pushed.add((f"{plain_registry.name}/crawl/app{number}", artifact.digest))
    with plain_registry.recording() as records:
        fleet.crawl(plain_registry.name, None, tmp_path)
    pages = [record.target for record in records if record.target.startswith("/v2/_catalog")]
    assert len(pages) >= 4
    assert len(set(pages)) == len(pages)
    assert {record.target.split("/")[-2] for record in records} <= {"tags", "manifests", "v2"}
    with fleet.open(tmp_path) as opened:
        found = set(opened.versions()["repository"])
    assert {name for name, _ in pushed} <= found
    apps = Rows(tmp_path).apps
    stored = {(f"{row.registry}/{row.repository}", row.manifest_digest) for row in apps.itertuples()}
    assert pushed <= stored


# Many ---------------------------------------------------------------------------------------------


def test_crawl_of_many_manifests_holds_few_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3,000 manifests, whose memory does not grow with their number; 100,000 are in the benchmarks."""

    def manifest(number: int) -> bytes:
        layers = [
            {
                "mediaType": "application/vnd.wasm.content.layer.v1+data",
                "digest": f"sha256:{hashlib.sha256(f'{number // 4} {place}'.encode()).hexdigest()}",
                "size": 100 + place,
            }
            for place in range(12)
        ]
        config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2}
        config["digest"] = f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}"
        return json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode()

    def fetch(self, reference, digest=None) -> Served:
        content = manifest(int(reference.tag[1:]))
        return Served(content, Digest.of(content))

    monkeypatch.setattr(Registry, "fetch_manifest", fetch)
    peaks = {}
    for count in (500, 3_000):
        monkeypatch.setattr(Registry, "tags", lambda self, _, count=count: (f"v{n}" for n in range(count)))
        tracemalloc.start()
        fleet.crawl("r.example", ["org/app"], tmp_path / str(count), rows_per_part=2_000)
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    with fleet.open(tmp_path / "3000") as opened:
        assert opened.summary()[["app_count", "distinct_blob_count"]].values.tolist() == [
            [3_000, 750 * 12 + 3_000]
        ]
    assert peaks[3_000] < peaks[500] * 3  # six times as many


def test_package_without_annotations_is_an_app_too(hostile: HostileServer, tmp_path: Path) -> None:
    hostile.serve(package("demo/package", "1.0.0"))
    fleet.crawl(hostile.name, ["demo/package"], tmp_path)
    with fleet.open(tmp_path) as opened:
        assert opened.versions()["reference"].tolist() == [f"{hostile.name}/demo/package:1.0.0"]
