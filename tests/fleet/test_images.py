"""Spin apps in image stores: layouts and containerd's folder; and the files that run it in a cluster."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")

from spincache_nb import demo, fleet
from spincache_nb.core.digest import Digest
from spincache_nb.errors import InvalidDigestError, InvalidReferenceError, SpinCacheError
from spincache_nb.fleet.images import Bolt
from tests.support.artifacts import new_style

AT = datetime(2026, 3, 2, 3, tzinfo=UTC)
APPS = tuple(new_style("org/app", f"v{n}", version=f"{n}.0.0") for n in range(3))
KUBERNETES = Path(__file__).parents[2] / "data-fixtures" / "kubernetes"
PAGE = 4096


def layout(folder: Path, *, index: bool = True) -> dict[str, str]:
    """An image store with some apps and an image that is none; what they are called."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    names, entries = {}, []
    other = json.dumps(
        {"schemaVersion": 2, "config": descriptor(b"{}", "application/x"), "layers": []}
    ).encode()
    for content in [b"{}", other]:
        (blobs / Digest.of(content).encoded).write_bytes(content)
    for app in APPS:
        for content in [app.manifest, *app.blobs.values()]:
            (blobs / Digest.of(content).encoded).write_bytes(content)
        names[f"ghcr.io/org/app:{app.tag}"] = str(Digest.of(app.manifest))
    names["docker.io/library/other:1"] = str(Digest.of(other))
    for name, digest in names.items():
        entries.append(
            {"mediaType": "m", "digest": digest, "size": 1, "annotations": {"io.containerd.image.name": name}}
        )
    if index:
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return names


def descriptor(content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content)}


def page(flags: int, items: list[tuple[bytes, bytes]], number: int = 0) -> bytes:
    """A page of a bolt database."""
    heads, body, start = b"", b"", 16 * len(items)
    for place, (key, value) in enumerate(items):
        at = start - 16 * place + len(body)
        if flags == 2:
            heads += struct.pack("<IIII", 1, at, len(key), len(value))
            body += key + value
        else:
            heads += struct.pack("<IIQ", at, len(key), int.from_bytes(value, "little"))
            body += key
    return struct.pack("<QHHI", number, flags, len(items), 0) + heads + body


def database(names: dict[str, str]) -> bytes:
    """A bolt database as containerd has it: small buckets within their values, others on pages, one split."""
    pages: list[bytes] = []

    def stored(content: bytes) -> int:
        pages.append(content.ljust(-(-len(content) // PAGE) * PAGE, b"\0"))
        return 2 + sum(len(one) // PAGE for one in pages) - len(pages[-1]) // PAGE

    def bucket(content: bytes) -> bytes:
        return struct.pack("<QQ", stored(content), 0)

    images = []
    for name, digest in sorted(names.items()):
        target = struct.pack("<QQ", 0, 0) + page(2, [(b"digest", digest.encode()), (b"size", b"\x02")])
        images.append((name.encode(), bucket(page(2, [(b"createdat", b"x"), (b"target", target)]))))
    halves = [images[:2], images[2:]]
    split = page(1, [(half[0][0], stored(page(2, half)).to_bytes(8, "little")) for half in halves])
    space = bucket(page(2, [(b"images", bucket(split)), (b"labels", struct.pack("<QQ", 0, 0) + page(2, []))]))
    root = stored(page(2, [(b"v1", bucket(page(2, [(b"k8s.io", space), (b"version", b"\x06")])))]))
    metas = b""
    for turn in (4, 5):
        meta = struct.pack(
            "<IIIIQQQQQQ", 0xED0CDAED, 2, PAGE, 0, root if turn == 5 else 9**9, 0, 0, 0, turn, 0
        )
        metas += (struct.pack("<QHHI", turn, 4, 0, 0) + meta).ljust(PAGE, b"\0")
    return metas + b"".join(pages)


@pytest.mark.parametrize("kind", ["layout", "containerd", "names"])
def test_image_store_gives_its_spin_apps(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "store"
    inner = root / "io.containerd.content.v1.content" if kind == "containerd" else root
    names = layout(inner, index=kind == "layout")
    if kind == "containerd":
        (root / "io.containerd.metadata.v1.bolt").mkdir()
        (root / "io.containerd.metadata.v1.bolt" / "meta.db").write_bytes(database(names))
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    taken = fleet.snapshot_images(
        root, tmp_path / "t", names=names if kind == "names" else None, host="node", at=AT
    )
    assert before == sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    assert taken.written
    with fleet.open(tmp_path / "t") as opened:
        assert sorted(opened.versions()["reference"]) == [f"ghcr.io/org/app:v{n}" for n in range(3)]
        sizes = {digest: len(content) for app in APPS for digest, content in app.blobs.items()}
        assert opened.summary()["stored_bytes"].tolist() == [sum(sizes.values())]
        assert opened.problems().empty
        assert opened.version_savings()["total_bytes"].gt(0).all()


def test_blobs_that_are_not_there_or_no_files_are_missing(tmp_path: Path) -> None:
    layout(tmp_path / "store")
    blobs = tmp_path / "store" / "blobs" / "sha256"
    shared = set.intersection(*(set(app.blobs) for app in APPS))
    gone, cut, linked = [*[digest for digest in APPS[0].blobs if digest not in shared][:2], min(shared)]
    (blobs / gone.partition(":")[2]).unlink()
    (blobs / cut.partition(":")[2]).write_bytes(b"x")
    target = blobs / linked.partition(":")[2]
    target.rename(tmp_path / "elsewhere")
    target.symlink_to(tmp_path / "elsewhere")
    fleet.snapshot_images(tmp_path / "store", tmp_path / "t", host="node", at=AT)
    with fleet.open(tmp_path / "t") as opened:
        found = opened.problems()
        assert found["kind"].tolist() == ["missing blob"] * 5
        assert not set(opened.sharing()["digest"]) & {gone, cut, linked}


def test_what_is_no_image_store_or_no_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpinCacheError) as caught:
        fleet.snapshot_images(tmp_path, tmp_path / "t", host="a")
    assert caught.value.expected == "an image store with a folder blobs"
    names = layout(tmp_path / "store")
    digest = min(names.values())
    for wrong, fault in (
        ({"no name": digest}, InvalidReferenceError),
        ({"a.b/c:1": "no digest"}, InvalidDigestError),
    ):
        with pytest.raises(fault):
            fleet.snapshot_images(tmp_path / "store", tmp_path / "t", names=wrong, host="a")
    assert not (tmp_path / "t").exists()


def test_database_that_is_being_written_or_goes_in_circles_gives_what_it_can() -> None:
    names = {f"ghcr.io/org/app:v{n}": f"sha256:{n:064x}" for n in range(5)}
    whole = database(names)
    assert dict(Bolt(whole).images()) == names
    for end in range(0, len(whole), 997):
        assert dict(Bolt(whole[:end]).images()).items() <= names.items()
    for start in range(2 * PAGE, len(whole), PAGE):
        circle = page(1, [(b"", number.to_bytes(8, "little")) for number in range(2, len(whole) // PAGE)] * 9)
        broken = whole[:start] + circle[:PAGE].ljust(PAGE, b"\0") + whole[start + PAGE :]
        assert dict(Bolt(broken).images()).items() <= names.items()


def test_textfile_is_what_prometheus_parses(tmp_path: Path) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    with demo.Workspace() as workspace:
        workspace.pull_all()
        fleet.snapshot(workspace.cache, tmp_path / "t", host='a"\\b', at=AT, textfile=tmp_path / "x.prom")
    found = {}
    for family in parser.text_string_to_metric_families((tmp_path / "x.prom").read_text()):
        (sample,) = family.samples
        assert (family.type, sample.labels) == ("gauge", {"host": 'a"\\b'})
        found[family.name.removeprefix("spincache_")] = sample.value
    with fleet.open(tmp_path / "t") as opened:
        line = opened.summary().iloc[0]
    assert found["needed_bytes"] == line["logical_bytes"]
    assert (found["saved_bytes"], found["apps"]) == (line["saved_bytes"], line["app_count"])
    assert found["snapshot_timestamp_seconds"] == AT.timestamp()
    assert set(found) == {
        "stored_bytes",
        "needed_bytes",
        "saved_bytes",
        "unreferenced_bytes",
        "problems",
        "apps",
        "snapshot_timestamp_seconds",
    }
    assert not list(tmp_path.glob(".x.prom*"))


@pytest.mark.parametrize("name", ["daemonset.yaml", "cronjob.yaml"])
def test_files_for_clusters_ask_for_no_more_than_reading(name: str) -> None:
    """And the commands in them are those of this version."""
    yaml = pytest.importorskip("yaml")

    document = yaml.safe_load((KUBERNETES / name).read_text())
    pod = (
        document["spec"]["template"]["spec"]
        if name == "daemonset.yaml"
        else document["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    )
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert (security["privileged"], security["allowPrivilegeEscalation"]) == (False, False)
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["DAC_READ_SEARCH"]}
    assert security["readOnlyRootFilesystem"]
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    hosts = {one["name"]: one["hostPath"]["path"] for one in pod["volumes"] if "hostPath" in one}
    assert hosts["containerd"] == "/var/lib/containerd"
    assert mounts["containerd"]["readOnly"] is True
    words = " ".join([*container["command"], *container["args"]])
    assert "spincache-nb snapshot" in words
    for option in [word for word in words.replace(";", " ").split() if word.startswith("--")]:
        assert option in snapshot_help(), option


def snapshot_help() -> str:
    import contextlib
    import io

    from spincache_nb.cli import main

    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main(["snapshot", "--help"])
    return out.getvalue()


def test_container_recipe_installs_what_the_files_run() -> None:
    lines = (KUBERNETES / "Containerfile").read_text().splitlines()
    assert any(line.startswith("FROM ") for line in lines)
    assert any('"/src[fleet]"' in line and "s3fs" in line for line in lines)


@pytest.mark.skipif(shutil.which("containerd") is None, reason="containerd is not installed")
def test_a_real_containerd_that_runs_is_read(tmp_path: Path) -> None:
    settings = f"""version = 2
root = "{tmp_path}/root"
state = "{tmp_path}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{tmp_path}/c.sock"
[ttrpc]
address = "{tmp_path}/t.sock"
"""
    (tmp_path / "config.toml").write_text(settings)
    ctr = ["ctr", "--address", f"{tmp_path}/c.sock", "--namespace", "k8s.io"]
    fetch = [*ctr, "content", "fetch", "--plain-http", "--all-platforms"]
    with (
        demo.registry() as registry,
        subprocess.Popen(
            ["containerd", "--config", tmp_path / "config.toml"], stderr=subprocess.PIPE, text=True
        ) as daemon,
    ):
        try:
            end = time.monotonic() + 60
            while subprocess.run([*ctr, "version"], capture_output=True, check=False).returncode:
                if daemon.poll() is not None:
                    pytest.skip(f"containerd does not run here: {daemon.communicate()[1][-300:]}")
                assert time.monotonic() < end
                time.sleep(0.1)
            references = sorted(map(str, registry.references))[:4]
            for reference in references:
                subprocess.run([*fetch, reference], capture_output=True, check=True)
            fleet.snapshot_images(tmp_path / "root", tmp_path / "fleet", host="node")
        finally:
            daemon.terminate()
            daemon.communicate()
    with fleet.open(tmp_path / "fleet") as opened:
        assert opened.versions()["reference"].tolist() == references
        assert opened.problems().empty
        assert opened.summary()["stored_bytes"][0] > 1_000_000
