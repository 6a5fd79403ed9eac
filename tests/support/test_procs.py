"""Subprocesses run isolated, stay on loopback, and are refused what root would be let through."""

import os
from pathlib import Path

import pytest

from tests.support.procs import NOBODY, call, open_folder, run_python


def who(path: str) -> list[object]:
    """Return user id, group ids and HOME, and import something that is not built in."""
    import os
    import sqlite3
    import ssl
    from pathlib import Path

    import httpx

    assert sqlite3.sqlite_version
    assert ssl.OPENSSL_VERSION
    assert httpx.__version__
    return [os.getuid(), os.getgid(), os.getgroups(), os.environ["HOME"], Path(path).exists()]


def write(path: str) -> str:
    """Write a file and return its text."""
    from pathlib import Path

    Path(path).write_text("written")
    return Path(path).read_text()


def read(path: str) -> str:
    """Return a file's text."""
    from pathlib import Path

    return Path(path).read_text()


def connect(host: str) -> None:
    """Connect to some host."""
    import socket

    socket.create_connection((host, 9), timeout=1)


def chatty() -> None:
    """Print and fail."""
    print("first line")
    raise KeyError("second")


@pytest.mark.skipif(os.geteuid() != 0, reason="without root there is nothing to give up")
def test_call_gives_root_up_and_imports_all_the_same() -> None:
    uid, gid, groups, home, seen = call(who, "/", unprivileged=True).value
    assert (uid, gid, groups, seen) == (NOBODY, NOBODY, [], True)
    assert home != os.environ["HOME"]
    assert not Path(home).exists()
    assert call(who, "/").value[0] == 0


def test_unprivileged_writes_are_refused_where_they_should_be(
    nobodys_folder: Path, roots_folder: Path
) -> None:
    assert call(write, str(nobodys_folder / "a"), unprivileged=True).value == "written"
    outcome = call(write, str(roots_folder / "a"), unprivileged=True)
    assert outcome.error_types[:2] == ("PermissionError", "OSError")
    assert list(roots_folder.iterdir()) == []


def test_unprivileged_reads_are_refused_where_they_should_be(nobodys_folder: Path) -> None:
    secret = nobodys_folder / "secret"
    secret.write_text("secret")
    secret.chmod(0o000)
    assert call(read, str(secret), unprivileged=True).error_types[0] == "PermissionError"
    secret.chmod(0o644)
    assert call(read, str(secret), unprivileged=True).value == "secret"


def test_call_keeps_output_and_error_apart() -> None:
    outcome = call(chatty)
    assert outcome.stdout == "first line\n"
    assert (outcome.value, outcome.error, outcome.error_types[:2]) == (
        None,
        "'second'",
        ("KeyError", "LookupError"),
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "registry.example"])
def test_call_stays_on_loopback(host: str) -> None:
    outcome = call(connect, host)
    assert outcome.error_types[0] == "RuntimeError"
    assert "no address but loopback" in (outcome.error or "")


@pytest.mark.parametrize("unprivileged", [False, True])
def test_run_python_takes_arguments_input_environment_and_gives_the_status(unprivileged: bool) -> None:
    code = "import os, sys; print(sys.stdin.read(), os.environ['X'], sys.argv[1]); sys.exit(3)"
    done = run_python(["-c", code, "arg"], env={"X": "ex"}, stdin="in", unprivileged=unprivileged)
    assert (done.returncode, done.stdout, done.stderr) == (3, "in ex arg\n", "")


def test_open_folder_is_removed_even_if_it_was_closed() -> None:
    with open_folder() as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").touch()
        (folder / "inner").chmod(0o000)
    assert not folder.exists()
