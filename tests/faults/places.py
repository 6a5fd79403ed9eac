"""Places on disk in which something is wrong, and the app that is pulled into them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.artifact import Artifact, filler, text_file, wasm_module
from tests.support.artifacts import Component, new_style


def small_app(number: int, *, repository: str = "demo/faulty") -> Artifact:
    """A version of a small app: a component, a dependency that stays, an archive of files."""
    files = {"same.txt": text_file("same", 300), "new.txt": text_file(f"new {number}", 500 + number)}
    part = Component(
        "part", wasm_module(f"part {number}", 900), files, {"a:b/c@1.0.0": wasm_module("dep", 700)}
    )
    return new_style(repository, f"v{number}", components=[part], version=f"{number}.0.0", archive=True)


def large_app(size: int, *, packed: bool = False) -> Artifact:
    """An app with one file of some bytes; `packed` is small on the wire and unpacks to that."""
    content = text_file("a line", size) if packed else filler("large", size)
    part = Component("part", wasm_module("large part", 900), {"large.bin": content})
    return new_style("demo/large", "v1", components=[part], archive=packed)


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A disk in memory, mounted on a folder; the test is skipped where that cannot be.

    With ``SPINCACHE_REQUIRE_SERVERS=1``, as in CI, root must be able to.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        reason = done.stderr.strip() if done.returncode else ""
    except OSError as exc:
        reason = str(exc)
    if reason:
        if os.environ.get("SPINCACHE_REQUIRE_SERVERS") == "1" and os.geteuid() == 0:
            pytest.fail(f"no tmpfs: {reason}, and SPINCACHE_REQUIRE_SERVERS=1 says there must be")
        pytest.skip(f"no tmpfs can be mounted here: {reason}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def make_read_only(folder: Path) -> None:
    """Mount a small disk again, for reading only."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
