"""Cold, new-version and warm pulls beside what people use instead.

``python -m tests.benchmarks pulls``. The registry is Debian's docker-registry, and nginx serving the same
bytes to take the registry out of the picture. Nobody waits for the disk (no fsync; ours has
``durable=True`` for that), everybody writes to the same temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measure import Contestant, compete
from tests.benchmarks.summary import LIMIT, NOTHING, OURS, Summary
from tests.support.artifact import (
    APPLICATION,
    DATA,
    IMAGE_CONFIG,
    OCI_MANIFEST,
    WASM,
    Artifact,
    compact,
    sha256,
)
from tests.support.artifacts import image_config, published
from tests.support.isolation import SPIN
from tests.support.procs import free_port
from tests.support.registry_server import start_registry

KIB, MIB = 1 << 10, 1 << 20
_OURS = """
import sys, time
from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History
from spincache_nb.core.pull import pull
import spincache_nb.core.registry
wall, cpu = time.perf_counter(), time.process_time()
pull(Cache(sys.argv[1], history=History(enabled=False)), sys.argv[2])
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
with open('/proc/self/status') as status:
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith('VmHWM'))
print('{"inner": {"wall": %f, "cpu": %f, "peak": %d}}' % (wall, cpu, peak))
"""
_ORAS_PY = """
import sys, oras.client
client = oras.client.OrasClient(insecure=True, tls_verify=False)
client.pull(target=sys.argv[2], outdir=sys.argv[1])
"""


def noise(seed: str, size: int) -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def artifact(name: str, tag: str, wasm: list[bytes], data: list[bytes]) -> Artifact:
    """A new-style app of these layers."""
    components = [
        {"id": f"c{n}", "source": {"content_type": "application/wasm", "digest": sha256(content)}}
        for n, content in enumerate(wasm)
    ]
    files = [{"path": f"f{n}", "digest": sha256(content)} for n, content in enumerate(data)]
    if components:
        components[0]["files"] = files
    application = compact({"spin_lock_version": 0, "triggers": [], "components": components})
    layers = [*((WASM, content) for content in wasm), *((DATA, content) for content in data)]
    config = (IMAGE_CONFIG, image_config(application))
    return published(f"bench/{name}", tag, config, [*layers, (APPLICATION, application)])


def artifacts() -> dict[str, Artifact]:
    """What is pulled."""
    return {
        "big": artifact("big", "v1", [noise(f"big {n}", 64 * MIB) for n in range(4)], []),
        "many": artifact(
            "many", "v1", [], [noise(f"many {n}", KIB + n * 59 * KIB // 499) for n in range(500)]
        ),
        "mix": artifact(
            "mix",
            "v1",
            [noise(f"mix {n}", 2 * MIB) for n in range(3)],
            [noise(f"mix data {n}", 30 * KIB) for n in range(60)],
        ),
        **{f"app {version}": app(version) for version in (1, 2, 3)},
    }


def app(version: int) -> Artifact:
    """A realistic app: two components of which one changes, forty assets of which five change."""
    wasm = [noise(f"app main {version}", 3 * MIB), noise("app helper", 2 * MIB)]
    data = [noise(f"asset {n} {version if n % 8 == 0 else 0}", 8 * KIB + n * KIB) for n in range(40)]
    return artifact("app", f"v{version}", wasm, data)


@dataclass(frozen=True)
class Place:
    """A registry, by its host, and the folder in which the contestants work."""

    name: str
    host: str
    folder: Path

    def reference(self, one: Artifact) -> str:
        return f"{self.host}/{one.repository}:{one.tag}"

    def fresh(self) -> None:
        """Empty the folder that is pulled into."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        (self.folder / "out").mkdir()


@contextlib.contextmanager
def nginx(artifacts_: list[Artifact], folder: Path) -> Iterator[str]:
    """Serve manifests and blobs as files."""
    root = folder / "nginx"
    for one in artifacts_:
        base = root / "v2" / one.repository
        (base / "manifests").mkdir(parents=True, exist_ok=True)
        (base / "blobs").mkdir(parents=True, exist_ok=True)
        (base / "manifests" / str(one.tag)).write_bytes(one.manifest)
        (base / "manifests" / one.digest).write_bytes(one.manifest)
        for digest, content in one.blobs.items():
            (base / "blobs" / digest).write_bytes(content)
    (root / "v2" / "index.html").write_text("{}")
    port = free_port()
    settings = folder / "nginx.conf"
    settings.write_text(
        f"worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log /dev/null;"
        "events { worker_connections 256; }"
        "http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;"
        f"client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;"
        f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;"
        f"server {{ listen 127.0.0.1:{port}; root {root};"
        f"location ~ /manifests/ {{ default_type {OCI_MANIFEST}; }}"
        "location / { default_type application/octet-stream; } } }"
    )
    user = ["-g", "user root;"] if os.getuid() == 0 else []
    process = subprocess.Popen(["nginx", "-c", str(settings), *user], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def ours(place: Place, one: Artifact, prepare: Callable[[], object] | None = None) -> Contestant:
    """This toolkit, in a process of its own that also says what the core took."""
    command = [sys.executable, "-c", _OURS, str(place.folder / "out"), place.reference(one)]
    return Contestant(OURS, command, prepare or place.fresh)


def curl(place: Place, one: Artifact, digests: list[str]) -> Contestant:
    """The near-limit: curl fetches the blobs it is told, 16 at a time, and openssl hashes them."""
    settings = place.folder / f"curl-{one.repository.replace('/', '-')}-{one.tag}"
    base = f"http://{place.host}/v2/{one.repository}"
    lines = [f'url = "{base}/manifests/{one.tag}"\noutput = "manifest"\nheader = "Accept: {OCI_MANIFEST}"']
    lines += [f'url = "{base}/blobs/{digest}"\noutput = "{digest[7:]}"' for digest in digests]
    settings.write_text("\n".join(lines))
    out = place.folder / "out"
    script = (
        f"cd {out} && curl -s --parallel --parallel-max 16 -K {settings} && openssl dgst -sha256 * >/dev/null"
    )
    return Contestant(LIMIT, ["sh", "-c", script], place.fresh)


def spin(place: Place, one: Artifact, prepare: Callable[[], object]) -> list[Contestant]:
    """Spin itself, if it is at hand, with a cache of its own in the same folder."""
    cache, reference = str(place.folder / "out" / "spin"), place.reference(one)
    command = [str(SPIN), "registry", "pull", "--insecure", "--cache-dir", cache, reference]
    return [Contestant("spin", command, prepare)] if SPIN and place.name == "docker-registry" else []


def peers(place: Place, one: Artifact) -> tuple[list[Contestant], list[str]]:
    """Every peer that is at hand, and the names of those that are not."""
    reference, out = place.reference(one), place.folder / "out"
    commands = {
        "skopeo": ["copy", "-q", "--insecure-policy", "--src-tls-verify=false",
                   f"docker://{reference}", f"dir:{out}/skopeo"],
        "crane": ["pull", "--insecure", "--format", "oci", reference, f"{out}/crane"],
        "oras": ["copy", "--from-plain-http", "--to-oci-layout", "--no-tty", reference, f"{out}/oras:v1"],
        "regctl": ["--host", f"reg={place.host},tls=disabled", "image", "copy", reference, f"ocidir://{out}/regctl:v1"],
    }  # fmt: skip
    there = [
        Contestant(name, [program, *arguments], place.fresh)
        for name, arguments in commands.items()
        if (program := shutil.which(name)) is not None
    ]
    there += spin(place, one, place.fresh)
    absent = [name for name in commands if shutil.which(name) is None] + ([] if SPIN else ["spin"])
    if subprocess.run([sys.executable, "-c", "import oras.client"], capture_output=True).returncode == 0:
        there.append(
            Contestant("oras-py", [sys.executable, "-c", _ORAS_PY, str(out), reference], place.fresh)
        )
    else:
        absent.append("oras-py")
    return there, absent


def cold(place: Place, name: str, one: Artifact, rounds: int, summary: Summary) -> None:
    """Everybody from nothing."""
    contestants = [ours(place, one), curl(place, one, list(one.blobs))]
    others, absent = peers(place, one)
    summary.absent.update(absent)
    if place.name == "docker-registry":
        contestants += others
    summary.add(f"cold `{name}`", place.name, compete(contestants, rounds=rounds))


def keeping(place: Place, one: Artifact) -> Callable[[], None]:
    """Pull an app by us and by Spin; what is returned lays that out again."""
    place.fresh()
    for contestant in (ours(place, one), *spin(place, one, place.fresh)):
        subprocess.run(contestant.command, check=True, capture_output=True)
    kept, out = place.folder / "kept", place.folder / "out"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(out, kept)

    def restore() -> None:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(kept, out)

    return restore


def new_version(place: Place, apps: list[Artifact], rounds: int, summary: Summary) -> None:
    """The second version, where the first is there: against curl fetching just the blobs that changed."""
    old, new = apps[:2]
    changed = [digest for digest in new.blobs if digest not in old.blobs]
    restore = keeping(place, old)
    contestants = [ours(place, new, restore), *spin(place, new, restore), curl(place, new, changed)]
    summary.add("new version of `app`", place.name, compete(contestants, rounds=rounds))


def warm(place: Place, one: Artifact, rounds: int, summary: Summary) -> None:
    """Nothing changed: one request, against curl fetching the manifest and Python doing nothing."""
    restore = keeping(place, one)
    request = Contestant(LIMIT, curl(place, one, []).command, place.fresh)
    nothing = Contestant(NOTHING, [sys.executable, "-c", "pass"])
    contestants = [ours(place, one, restore), *spin(place, one, restore), request, nothing]
    summary.add("warm `app`", place.name, compete(contestants, rounds=rounds))


def main(rounds: int, only: list[str]) -> None:
    """Print one table of all pulls."""
    summary = Summary()
    made = artifacts()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "registry").mkdir()
        registry = stack.enter_context(start_registry(folder / "registry"))
        registry.push(*made.values())
        places = [Place("docker-registry", registry.name, folder)]
        if shutil.which("nginx"):
            places.append(Place("nginx", stack.enter_context(nginx(list(made.values()), folder)), folder))
        else:
            print("not at hand: nginx")
        for place in places:
            for kind in ("big", "many", "mix"):
                if not only or kind in only:
                    cold(place, kind, made[kind], rounds, summary)
            if not only or "app" in only:
                new_version(place, [made["app 1"], made["app 2"]], rounds, summary)
                warm(place, made["app 1"], rounds, summary)
    summary.show(rounds)
