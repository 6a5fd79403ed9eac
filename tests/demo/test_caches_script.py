"""data-fixtures/caches.py: run as a user runs it, on a copy, with the standard library alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spincache_nb import demo


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    root = tmp_path / "data-fixtures"
    shutil.copytree(demo.data_fixtures() / "caches", root / "caches")
    for name in ("caches.py", "spin_writes.py"):
        shutil.copy(demo.data_fixtures() / name, root / name)
    return root


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -E, -s and -S: nothing can be imported but the standard library and the script beside it.
    command = [sys.executable, "-E", "-s", "-S", str(root / "caches.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=root)


def test_check_passes_on_what_is_committed_and_leaves_nothing() -> None:
    before = sorted(demo.data_fixtures().rglob("*"))
    done = run(demo.data_fixtures(), "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "7 recorded caches compared, 0 faults\n"
    assert sorted(demo.data_fixtures().rglob("*")) == before


def test_script_writes_what_is_committed_byte_for_byte(fixtures: Path) -> None:
    shutil.rmtree(fixtures / "caches")
    assert run(fixtures).returncode == 0
    committed = sorted((demo.data_fixtures() / "caches").iterdir())
    assert sorted(path.name for path in (fixtures / "caches").iterdir()) == [path.name for path in committed]
    for path in committed:
        assert (fixtures / "caches" / path.name).read_bytes() == path.read_bytes()


def test_check_names_what_differs_is_missing_or_is_too_many(fixtures: Path) -> None:
    changed = fixtures / "caches" / "v0.8.json"
    changed.write_bytes(changed.read_bytes() + b"\n")
    content = changed.read_bytes()
    (fixtures / "caches" / "v2.4.json").unlink()
    (fixtures / "caches" / "v9.json").write_bytes(b"{}")
    done = run(fixtures, "--check")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "caches/v0.8.json: differs from what this script generates",
        "caches/v2.4.json: missing",
        "caches/v9.json: not generated here",
    ]
    assert changed.read_bytes() == content
