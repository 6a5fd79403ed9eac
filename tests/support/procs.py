"""Python in a subprocess: with the tests' isolation, and as a user without rights where that is the point.

Root passes every permission check, so a test of a permission error that runs as root proves nothing. The
subprocess therefore gives root up (user id 65534). Its interpreter may lie where that user cannot go, such
as a folder of root's own; it is reached through directory handles that are opened before.
"""

import inspect
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.isolation import isolated

NOBODY = 65534
"""User and group id without rights."""

ROOT = Path(__file__).resolve().parents[2]
"""The root of the checkout."""

_DROP = """
import json, os, sys
plan = json.loads(sys.argv[1])
def keep(path, flags=os.O_PATH):
    handle = os.open(path, flags)
    os.set_inheritable(handle, True)
    return f"/proc/self/fd/{handle}"
executable = os.open(os.path.realpath(sys.executable), os.O_RDONLY)
os.set_inheritable(executable, True)
home = keep(sys.base_prefix)
paths = [keep(path) for path in plan["paths"] if os.path.isdir(path)]
os.setgroups([])
os.setresgid(plan["id"], plan["id"], plan["id"])
os.setresuid(plan["id"], plan["id"], plan["id"])
environment = plan["env"] | {"PYTHONHOME": home, "LD_LIBRARY_PATH": home + "/lib"}
environment |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
os.chdir(plan["cwd"])
os.execve(executable, ["python", *plan["arguments"]], environment)
"""

_GUARD = """
import pytest
from tests.support.network_guard import NetworkGuard
NetworkGuard().install(pytest.MonkeyPatch())
"""

_CALL = """
import json, sys
def _run(function):
    arguments = json.loads(sys.argv[1])
    try:
        outcome = {"value": function(*arguments)}
    except BaseException as error:
        names = [kind.__name__ for kind in type(error).__mro__]
        outcome = {"error": str(error), "error_types": names}
    print("\\n" + json.dumps(outcome))
_run(NAME)
"""


@dataclass(frozen=True)
class Outcome:
    """How a function called in a subprocess ended."""

    value: Any
    error: str | None
    error_types: tuple[str, ...]
    stdout: str
    stderr: str


def run_python(
    arguments: Sequence[str],
    *,
    unprivileged: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60,
    stdin: str | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run this interpreter with some arguments and collect its output as text."""
    inherited = os.environ.get("PYTHONPATH")
    search = os.pathsep.join([str(ROOT), *([inherited] if inherited else [])])
    environment = {**os.environ, "PYTHONPATH": search}
    command = [sys.executable, *arguments]
    folder = str(cwd or "/")
    feed: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": timeout, **feed}
    if not (unprivileged and os.geteuid() == 0):
        return subprocess.run(command, env={**environment, **(env or {})}, cwd=folder, **options)
    with open_folder() as home:
        environment |= {**isolated(home, home / ".mpl"), **(env or {})}
        paths = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
        plan = {"id": NOBODY, "paths": paths, "env": environment, "cwd": folder, "arguments": list(arguments)}
        return subprocess.run([sys.executable, "-S", "-c", _DROP, json.dumps(plan)], **options)


def call(
    function: Callable[..., Any],
    *arguments: Any,
    unprivileged: bool = False,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> Outcome:
    """Call a function in a subprocess that cannot leave loopback; its source is sent, not the function."""
    source = textwrap.dedent(inspect.getsource(function))
    code = "\n".join([_GUARD, source, _CALL.replace("NAME", function.__name__)])
    options: dict[str, Any] = {"unprivileged": unprivileged, "env": env, "timeout": timeout}
    done = run_python(["-c", code, json.dumps(arguments)], **options)
    assert done.returncode == 0, f"the subprocess failed:\n{done.stdout}\n{done.stderr}"
    text, _, last = done.stdout.rstrip("\n").rpartition("\n")
    outcome = json.loads(last)
    names = tuple(outcome.get("error_types", ()))
    return Outcome(outcome.get("value"), outcome.get("error"), names, text, done.stderr)


def free_port() -> int:
    """Return a port of 127.0.0.1 at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def open_folder(owner: int = NOBODY) -> Iterator[Path]:
    """Give a new folder that every user can enter, and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="spincache-open-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(folder, owner, owner)
        yield folder
    finally:
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(folder)
