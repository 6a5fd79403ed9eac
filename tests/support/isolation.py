"""A plugin for every test: a temporary HOME, loopback only, and a watch over the user's real folders.

``tests/conftest.py`` registers this module, so that its fixtures also hold for the doctests of the package.
"""

import json
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.network_guard import NetworkGuard

REMOVED = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSLKEYLOGFILE", "NETRC"),
    *("REGISTRY_AUTH_FILE", "SPIN_DATA_DIR", "SPINCACHE_STATE_DIR", "SPINCACHE_HISTORY"),
    *("COLUMNS", "NO_COLOR", "FORCE_COLOR", "PY_COLORS"),
)
"""Variables that a test starts without."""

SPIN = os.environ.get("SPINCACHE_TESTS_SPIN") or shutil.which("spin")
"""Spin itself, for the tests and benchmarks beside it; ``None`` if it is not at hand."""

_REAL = "SPINCACHE_TESTS_REAL_ENVIRONMENT"


@dataclass
class _Session:
    """What the plugin keeps for the session."""

    folder: Path
    before: dict[str, tuple[int, int, int]]
    matplotlib: Path
    patch: pytest.MonkeyPatch = field(default_factory=pytest.MonkeyPatch)


_SESSION = pytest.StashKey[_Session]()


def need(*programs: str) -> str:
    """Return the path of the first of some programs that is installed; skip the test if none is."""
    for program in programs:
        if found := shutil.which(program):
            return found
    reason = f"{programs[0]} is not installed"
    if os.environ.get("SPINCACHE_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{reason}, and SPINCACHE_REQUIRE_SERVERS=1 says it must be")
    pytest.skip(reason)


def isolated(home: Path, matplotlib: Path) -> dict[str, str]:
    """Return the variables that point everything a program may write below a home folder."""
    return {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "LOCALAPPDATA": str(home / "AppData" / "Local"),
        "APPDATA": str(home / "AppData" / "Roaming"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_RUNTIME_DIR": str(home / ".run"),
        "DOCKER_CONFIG": str(home / ".docker"),
        "MPLCONFIGDIR": str(matplotlib),
        "MPLBACKEND": "Agg",
    }


def real_environment() -> dict[str, str]:
    """Return the environment that the tests were started with (in a worker of xdist: the main process's)."""
    values: dict[str, str] = json.loads(os.environ[_REAL])
    return values


def watched_folders(environment: dict[str, str]) -> list[Path]:
    """Return the user's real folders that no test may touch: caches, credentials, states of Spin and ours."""
    homes = {Path(pwd.getpwuid(os.getuid()).pw_dir), Path(environment.get("HOME", "/nonexistent"))}
    roots = {"XDG_CACHE_HOME": ".cache", "XDG_CONFIG_HOME": ".config"}
    roots |= {"XDG_STATE_HOME": ".local/state", "XDG_DATA_HOME": ".local/share"}
    bases = [home / folder for home in homes for folder in roots.values()]
    bases += [Path(environment[variable]) for variable in roots if environment.get(variable)]
    folders = {base / "fermyon" for base in bases}
    for base in bases:
        folders |= set(base.glob("*[sS][pP][iI][nN]*"))
        folders |= {base / "spin"}
    folders |= {home / ".docker" for home in homes}
    folders |= {Path(environment["DOCKER_CONFIG"])} if environment.get("DOCKER_CONFIG") else set()
    return sorted(folders)


def fingerprint(environment: dict[str, str]) -> dict[str, tuple[int, int, int]]:
    """Return path to mode, size and mtime of everything in the watched folders, and the names beside them.

    The names in ``~/.cache``, ``~/.config``, ``~/.local/state`` and ``~/.local/share`` that have ``spin`` in
    them are watched too, so that a new folder is seen as well as a changed one.
    """
    found = {}
    for folder in watched_folders(environment):
        for path in [folder, *sorted(folder.rglob("*"))] if folder.exists() else []:
            status = path.lstat()
            found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns)
    return found


def pytest_configure(config: pytest.Config) -> None:
    """Look at the user's real folders, then give the whole session an environment of its own.

    This comes ahead of all imports of test modules, some of which write (matplotlib its list of fonts).
    """
    os.environ.setdefault(_REAL, json.dumps(dict(os.environ)))
    folder = Path(tempfile.mkdtemp(prefix="spincache-tests-"))
    session = _Session(folder, fingerprint(real_environment()), folder / "matplotlib")
    home = folder / "home"
    home.mkdir()
    session.matplotlib.mkdir()
    isolate(session.patch, home, session.matplotlib)
    config.stash[_SESSION] = session


def pytest_unconfigure(config: pytest.Config) -> None:
    session = config.stash[_SESSION]
    session.patch.undo()
    shutil.rmtree(session.folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def real_folders_untouched(pytestconfig: pytest.Config) -> Iterator[None]:
    """Fail the session if it changed anything in the user's real caches, credentials or states."""
    yield
    before, after = pytestconfig.stash[_SESSION].before, fingerprint(real_environment())
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    assert not changed, f"the tests touched the user's own folders: {sorted(changed)}"


@pytest.fixture(scope="session", autouse=True)
def network_guard() -> Iterator[NetworkGuard]:
    """Forbid connecting to, binding to and resolving anything but loopback; an attempt fails its test."""
    guard = NetworkGuard()
    with pytest.MonkeyPatch.context() as patch:
        guard.install(patch)
        yield guard


@pytest.fixture(autouse=True)
def loopback_only(network_guard: NetworkGuard) -> Iterator[None]:
    """Fail a test that tried to leave loopback, even if it swallowed the exception."""
    network_guard.attempts.clear()
    yield
    attempts, network_guard.attempts[:] = list(network_guard.attempts), []
    assert not attempts, f"the test tried to leave loopback: {attempts}"


@pytest.fixture(autouse=True)
def isolated_home(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Path]:
    """Give every test an empty home folder of its own and return it.

    ``HOME`` and the XDG, Docker, Windows and matplotlib variables point into it, at the places that they
    have by default (``~/.cache`` and so on), none of which exists yet. Variables for proxies, certificates
    and Podman's credentials are unset. Matplotlib's folder (``MPLCONFIGDIR``) is shared by the session: it
    holds the font list, which takes seconds to build.
    """
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch, home, pytestconfig.stash[_SESSION].matplotlib)
        yield home


def isolate(patch: pytest.MonkeyPatch, home: Path, matplotlib: Path) -> None:
    for name, value in isolated(home, matplotlib).items():
        patch.setenv(name, value)
    for name in REMOVED:
        patch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith(("SPIN_", "SPINCACHE_NB_"))]:
        patch.delenv(name)
