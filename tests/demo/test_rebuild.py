"""data-fixtures/rebuild.py: run as a user runs it, on a copy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spincache_nb import demo


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo.data_fixtures(), tmp_path / "data-fixtures"))


def rebuild(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -I and -S: nothing but the standard library can be imported.
    command = [sys.executable, "-I", "-S", str(root / "rebuild.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_check_passes_on_what_is_committed() -> None:
    done = rebuild(demo.data_fixtures(), "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "5 generated files compared, 0 faults\n"


def test_rebuild_writes_what_is_committed_byte_for_byte(fixtures: Path) -> None:
    shutil.rmtree(fixtures / "assets")
    assert rebuild(fixtures).returncode == 0
    committed = demo.data_fixtures() / "assets"
    assert sorted(p.name for p in (fixtures / "assets").iterdir()) == sorted(
        p.name for p in committed.iterdir()
    )
    for path in committed.iterdir():
        assert (fixtures / "assets" / path.name).read_bytes() == path.read_bytes()


def test_check_fails_on_a_changed_asset_and_writes_nothing(fixtures: Path) -> None:
    asset = fixtures / "assets" / "site.json"
    asset.write_bytes(asset.read_bytes() + b"\n")
    changed = asset.read_bytes()
    done = rebuild(fixtures, "--check")
    assert (done.returncode, done.stderr) == (
        1,
        "assets/site.json: differs from what this script generates\n",
    )
    assert asset.read_bytes() == changed


@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_rebuild_fails_on_a_changed_payload_and_leaves_it(fixtures: Path, arguments: tuple[str, ...]) -> None:
    payload = fixtures / "payloads" / "redact" / "1.12.0.wasm"
    payload.write_bytes(b"another")
    done = rebuild(fixtures, *arguments)
    assert done.returncode == 1
    assert done.stderr == "payloads/redact/1.12.0.wasm: not the bytes that SHA256SUMS names\n"
    assert payload.read_bytes() == b"another"


def test_check_names_what_is_missing_and_what_is_too_many(fixtures: Path) -> None:
    (fixtures / "payloads" / "hello-js" / "1.0.1.wasm").unlink()
    (fixtures / "payloads" / "stray.bin").write_bytes(b"")
    (fixtures / "assets" / "docs.json").unlink()
    (fixtures / "assets" / "old.json").write_bytes(b"{}")
    done = rebuild(fixtures, "--check")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "payloads/hello-js/1.0.1.wasm: missing",
        "payloads/stray.bin: not in SHA256SUMS",
        "assets/docs.json: missing",
        "assets/old.json: not generated here",
    ]
