"""Registries written in Go, built from their modules where Go is at hand: second opinions on the protocol.

A module is fetched by Go's own client, at a version that is fixed here and checked against Go's database
of checksums, and built once per session; the folders in which that happens are the session's.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.isolation import REMOVED, real_environment
from tests.support.registry_server import RegistryServer, process

CRANE = "github.com/google/go-containerregistry/cmd/crane@v0.22.1"
"""Has ``crane registry serve``: keeps manifests by any name, knows ranges, has no pages of tags."""

DISTRIBUTION = "github.com/distribution/distribution/v3/cmd/registry@v3.1.2"
"""What became of docker-registry: has pages of tags. Takes minutes to build."""

DISTRIBUTION_VARIABLE = "SPINCACHE_TESTS_DISTRIBUTION"
"""Environment variable with the path of its program, or ``build`` to have it built."""

_BUILD_SECONDS = 900


def build(module: str, session: Path) -> Path:
    """Build a program of a Go module, or skip the test with the reason why not."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed")
    folder = session / "go"
    folder.mkdir(exist_ok=True)
    program = folder / "bin" / module.partition("@")[0].rpartition("/")[2]
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _install(go, module, folder)
    return program


def _install(go: str, module: str, folder: Path) -> None:
    """Install a program; what that leaves beside it is removed."""
    real = real_environment()
    proxies = {name: real[name] for name in REMOVED if name in real}
    places = {"GOBIN": "bin", "GOPATH": "path", "GOCACHE": "cache", "GOTMPDIR": "."}
    environment = os.environ | proxies | {name: str(folder / place) for name, place in places.items()}
    environment |= {"GOFLAGS": "-modcacherw -buildvcs=false", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    try:
        run = subprocess.run(
            [go, "install", module],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
        )
        reason = (run.stderr.strip().splitlines() or ["it says nothing"])[-1] if run.returncode else ""
    except subprocess.TimeoutExpired:
        reason = f"it takes more than {_BUILD_SECONDS} seconds"
    for place in ("path", "cache"):
        shutil.rmtree(folder / place, ignore_errors=True)
    if reason:
        pytest.skip(f"go install {module}: {reason}")


def distribution(session: Path) -> Path:
    """Return the program of distribution v3 that the environment names or wants built; else skip the test."""
    wanted = os.environ.get(DISTRIBUTION_VARIABLE, "")
    if not wanted:
        pytest.skip(f"takes minutes to build; {DISTRIBUTION_VARIABLE}=build asks for it")
    return build(DISTRIBUTION, session) if wanted == "build" else Path(wanted)


@contextmanager
def start_crane(program: Path, folder: Path) -> Iterator[RegistryServer]:
    """Run ``crane registry serve`` in memory until the end of the ``with`` block."""
    with process([str(program), "registry", "serve", "--address", "127.0.0.1:0"], folder) as name:
        yield RegistryServer(name, folder / "access.log")


def session_folder(factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all workers of a session share."""
    base = factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
