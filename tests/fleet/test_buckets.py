"""Buckets: the same as a folder, and one clear error for each thing that goes wrong; on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")
pytest.importorskip("s3fs", reason="s3fs is not installed")
pytest.importorskip("moto.server", reason="moto is not installed")

import boto3
import s3fs
from moto.server import ThreadedMotoServer

from spincache_nb import Cache, demo, fleet
from spincache_nb.errors import MissingExtraError, SpinCacheError
from spincache_nb.fleet import place
from tests.support.made_up_fleet import FleetPlan, write_fleet

PLAN = FleetPlan(hosts=3, apps_per_host=6, files_per_app=5, repositories=6, versions=3)
pytestmark = [pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """Address of an object store that has one bucket, ``fleet``."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        boto3.client("s3", endpoint_url=address, **KEYS).create_bucket(Bucket="fleet")
        yield address
    server.stop()


KEYS = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}


@pytest.fixture
def options(store: str) -> Iterator[dict[str, object]]:
    """What reaches it."""
    yield {"endpoint_url": store, "key": "k", "secret": "s"}
    s3fs.S3FileSystem.clear_instance_cache()


def buckets(store: str) -> list[str]:
    return [one["Name"] for one in boto3.client("s3", endpoint_url=store, **KEYS).list_buckets()["Buckets"]]


def copied(folder: Path, options: dict[str, object], target: str) -> str:
    """A local dataset, in the bucket."""
    s3fs.S3FileSystem(**options).put(str(folder) + "/", target.removeprefix("s3://"), recursive=True)
    return target


def test_bucket_gives_what_a_folder_gives(options, tmp_path: Path) -> None:
    write_fleet(tmp_path, PLAN)
    target = copied(tmp_path, options, "s3://fleet/same")
    with fleet.open(tmp_path) as here, fleet.open(target, storage_options=options) as there:
        assert repr(there) == repr(here)
        for name in ("summary", "sharing", "version_savings", "unreferenced", "host_pairs"):
            pd.testing.assert_frame_equal(getattr(there, name)(), getattr(here, name)())


def test_snapshots_crawls_and_their_upkeep_go_to_a_bucket(options, tmp_path: Path) -> None:
    target, cache = "s3://fleet/kept", Cache(tmp_path)
    now = datetime.now(UTC)
    for days in (5, 4, 4.01, 3, 0):
        at = now - timedelta(days=days)
        taken = fleet.snapshot(cache, target, host=f"h{days}"[:2], at=at, storage_options=options)
    assert not fleet.snapshot(cache, target, host="h0", at=now, storage_options=options).written
    with demo.registry() as registry:
        fleet.crawl(registry.host, ["demo/hello"], target, storage_options=options)
    with fleet.open(target, kind="registry", storage_options=options) as opened:
        assert len(opened.versions()) > 0
    gone = fleet.expire(target, keep_days=3, storage_options=options)
    assert taken.written
    assert {name.partition("/")[0] for name in gone.removed} == {"host=h5", "host=h4"}
    with fleet.open(target, kind="cache", storage_options=options) as opened:
        assert opened.hosts == ["h0", "h3"]


def test_reader_that_loses_an_object_chooses_again(options, tmp_path: Path) -> None:
    write_fleet(tmp_path, PLAN)
    target = copied(tmp_path, options, "s3://fleet/live")
    with fleet.open(target, storage_options=options) as opened:
        s3fs.S3FileSystem(**options).rm("fleet/live/host=ci-1", recursive=True)
        assert opened.summary()["host_count"].tolist() == [2]
        assert opened.hosts == ["dev-2", "edge-0"]


@pytest.mark.parametrize("call", ["snapshot", "open", "expire", "compact"])
def test_what_goes_wrong_is_one_clear_error_and_makes_no_bucket(
    call: str, store: str, options, tmp_path: Path
) -> None:
    """A bucket that is not there, credentials that are wrong or none, an endpoint that is dead."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
    cases = {
        "a bucket that is there": ("s3://typo/fleet", options),
        "an object store that answers": (
            "s3://fleet/x",
            {**options, "endpoint_url": dead, "config_kwargs": {"retries": {"max_attempts": 0}}},
        ),
        "credentials that may do this": ("s3://fleet/x", {**options, "key": "wrong", "secret": "wrong"}),
    }
    calls = {
        "snapshot": lambda target, given: fleet.snapshot(
            Cache(tmp_path), target, host="a", storage_options=given
        ),
        "open": lambda target, given: fleet.open(target, storage_options=given),
        "expire": lambda target, given: fleet.expire(target, keep_days=1, storage_options=given),
        "compact": lambda target, given: fleet.compact(target, storage_options=given),
    }
    for expected, (target, given) in cases.items():
        asked = expected.startswith("credentials")
        request = urllib.request.Request(
            f"{store}/moto-api/reset-auth",
            data=b"0" if asked else b"1000000",
            headers={"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(request).close()  # from now on credentials are looked at, or no longer
        with pytest.raises(SpinCacheError) as caught:
            calls[call](target, given)
        assert (caught.value.expected, caught.value.where) == (expected, target)
        assert "\n" not in str(caught.value)
    urllib.request.urlopen(
        urllib.request.Request(request.full_url, b"1000000", dict(request.headers))
    ).close()
    assert buckets(store) == ["fleet"]


def test_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("Please install gcsfs to access Google Storage")

    monkeypatch.setattr(place.load("fsspec.core"), "url_to_fs", missing)
    with pytest.raises(MissingExtraError) as caught:
        fleet.open("gs://bucket/fleet")
    assert caught.value.remedy == "pip install gcsfs"
    monkeypatch.undo()
    with pytest.raises(SpinCacheError) as unknown:
        fleet.open("nowhere://bucket/fleet")
    assert unknown.value.expected == "an address that fsspec knows"


@pytest.mark.skipif(shutil.which("azurite-blob") is None, reason="Azurite is not installed")
def test_azure_takes_snapshots_too(tmp_path: Path) -> None:
    pytest.importorskip("adlfs", reason="adlfs is not installed")
    from azure.storage.blob import BlobServiceClient

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [
        "azurite-blob",
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        str(port),
        "--location",
        str(tmp_path),
        "--silent",
    ]
    with subprocess.Popen(
        [*words, "--skipApiVersionCheck", "--disableTelemetry"],
        env={**os.environ, "AZURITE_ACCOUNTS": "a:a2V5"},
    ) as server:
        try:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            said = f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:{port}/a;"
            options = {"connection_string": said}
            with BlobServiceClient.from_connection_string(said) as client:
                client.create_container("fleet")
            fleet.snapshot(Cache(tmp_path / "none"), "az://fleet/x", host="a", storage_options=options)
            with fleet.open("az://fleet/x", storage_options=options) as opened:
                assert opened.hosts == ["a"]
            with pytest.raises(SpinCacheError) as caught:
                fleet.snapshot(Cache(tmp_path / "none"), "az://typo/x", host="a", storage_options=options)
            assert caught.value.expected == "a bucket that is there"
        finally:
            server.terminate()
