"""The guards guard: a temporary home, loopback only, the user's own folders watched."""

import json
import os
import socket
from pathlib import Path

import pytest

from tests.support import isolation
from tests.support.isolation import fingerprint, need, real_environment
from tests.support.network_guard import NetworkGuard, OutsideLoopback, is_loopback
from tests.support.procs import ROOT, run_python


def test_every_test_has_a_home_of_its_own(isolated_home: Path) -> None:
    assert Path.home() == isolated_home
    assert list(isolated_home.iterdir()) == []
    assert os.environ["XDG_CACHE_HOME"] == f"{isolated_home}/.cache"
    assert os.environ["DOCKER_CONFIG"] == f"{isolated_home}/.docker"
    assert os.environ["MPLBACKEND"] == "Agg"
    assert not {"HTTP_PROXY", "https_proxy", "SSL_CERT_FILE", "REGISTRY_AUTH_FILE"} & set(os.environ)
    assert real_environment()["HOME"] != str(isolated_home)


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "2001:db8::1", "registry.example", "0.0.0.0", "::ffff:192.0.2.1"]
)
def test_network_guard_refuses_what_is_not_loopback(network_guard: NetworkGuard, host: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        for attempt in (sock.connect, sock.connect_ex, sock.bind):
            with pytest.raises(OutsideLoopback):
                attempt((host, 80))
    if host != "0.0.0.0":
        with pytest.raises(OutsideLoopback):
            socket.getaddrinfo(host, 80)
        with pytest.raises(OutsideLoopback):
            socket.create_connection((host, 80), timeout=1)
    assert len(network_guard.attempts) >= 3
    network_guard.attempts.clear()


def test_network_guard_lets_loopback_through(closed_port: int) -> None:
    for host in ("127.0.0.1", "localhost", "127.0.0.2"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, closed_port), timeout=5)


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("127.8.9.10", True),
        ("::1", True),
        ("LOCALHOST.", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
    ],
)
def test_is_loopback(host: str, near: bool) -> None:
    assert is_loopback(host) is near


def test_need_finds_skips_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert need("no-such-program", "sh").endswith("/sh")
    monkeypatch.delenv("SPINCACHE_REQUIRE_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        need("no-such-program")
    monkeypatch.setenv("SPINCACHE_REQUIRE_SERVERS", "1")
    with pytest.raises(pytest.fail.Exception, match="SPINCACHE_REQUIRE_SERVERS"):
        need("no-such-program")


def test_fingerprint_sees_new_changed_and_removed(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "elsewhere")}
    empty = fingerprint(environment)
    for name in (
        ".cache/spin/a",
        ".config/fermyon/a",
        ".docker/a",
        ".local/state/spincache-nb/a",
        "elsewhere/spin/a",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch()
    full = fingerprint(environment)
    assert len(set(full) - set(empty)) == 10
    path.write_text("changed")
    assert fingerprint(environment) != full


INNER = """
import os, socket
from pathlib import Path

def test_touches_the_real_home():
    folder = Path({home!r}, ".cache", "spin")
    folder.mkdir(parents=True)

def test_swallows_the_refusal():
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    except Exception:
        pass

def test_is_isolated():
    assert os.environ["HOME"] != {home!r}
"""


def test_a_session_that_touches_the_real_home_or_leaves_loopback_fails(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    inner = tmp_path / "test_inner.py"
    inner.write_text(INNER.format(home=str(home)))
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\n")
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.support.isolation", str(inner)]
    arguments += ["--rootdir", str(tmp_path), "-c", str(tmp_path / "pytest.ini")]
    arguments += ["--basetemp", str(tmp_path / "temp"), "--import-mode=importlib"]
    done = run_python(arguments, env={"HOME": str(home), isolation._REAL: _as_seen_by(home)}, cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "3 passed, 2 errors" in done.stdout
    assert "the tests touched the user's own folders" in done.stdout
    assert "the test tried to leave loopback" in done.stdout


def _as_seen_by(home: Path) -> str:
    """Return the environment of a user whose home this is."""
    return json.dumps({"HOME": str(home), "PATH": os.environ["PATH"]})
