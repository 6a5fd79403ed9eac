"""The scripts in data-fixtures/: run as a user runs them, on a copy, with the standard library alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spincache_nb import demo

SCRIPTS = {"rebuild.py": ("registry", "81 files"), "caches.py": ("caches", "7 recorded caches")}


@pytest.fixture
def fixtures(tmp_path):
    return Path(shutil.copytree(demo.data_fixtures(), tmp_path / "data-fixtures"))


def run(root: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -E, -s and -S: nothing can be imported but the standard library and what lies beside the script.
    command = [sys.executable, "-E", "-s", "-S", str(root / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=root)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("script", SCRIPTS)
def test_check_passes_on_what_is_committed_and_leaves_nothing(script):
    before = sorted(demo.data_fixtures().rglob("*"))
    done = run(demo.data_fixtures(), script, "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{SCRIPTS[script][1]} compared")
    assert sorted(demo.data_fixtures().rglob("*")) == before


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_writes_what_is_committed_byte_for_byte(fixtures, script):
    folder = fixtures / SCRIPTS[script][0]
    committed = content(folder)
    sums = (fixtures / "payloads" / "SHA256SUMS").read_text(encoding="ascii")
    for name in committed:  # all but the payloads, which were built elsewhere
        if Path(name).name not in sums:
            (folder / name).unlink()
    assert len(content(folder)) == (18 if script == "rebuild.py" else 0)
    assert run(fixtures, script).returncode == 0
    assert content(folder) == committed


def test_check_names_recordings_that_differ_are_missing_or_too_many(fixtures):
    changed = fixtures / "caches" / "v0.8.json"
    changed.write_bytes(changed.read_bytes() + b"\n")
    kept = changed.read_bytes()
    (fixtures / "caches" / "v2.4.json").unlink()
    (fixtures / "caches" / "v9.json").write_bytes(b"{}")
    done = run(fixtures, "caches.py", "--check")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "caches/v0.8.json: differs from what this script generates",
        "caches/v2.4.json: missing",
        "caches/v9.json: not generated here",
    ]
    assert changed.read_bytes() == kept


def test_check_names_files_of_the_registry_that_differ_are_missing_or_too_many(fixtures):
    (fixtures / "registry" / "oci-layout").write_bytes(b"{}")
    (fixtures / "registry" / "index.json").unlink()
    (fixtures / "registry" / "blobs" / "stray").write_bytes(b"")
    done = run(fixtures, "rebuild.py", "--check")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "registry/index.json: missing",
        "registry/oci-layout: differs from what this script makes",
        "registry/blobs/stray: not made here",
    ]


@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_rebuild_fails_on_a_changed_payload_and_leaves_it(fixtures, arguments):
    registry = fixtures / "registry" / "blobs" / "sha256"
    payload = registry / demo.payload("redact/1.12.0.wasm").name
    payload.write_bytes(b"another")
    (registry / demo.payload("hello-js/1.0.1.wasm").name).unlink()
    (fixtures / "payloads" / "stray.bin").write_bytes(b"")
    done = run(fixtures, "rebuild.py", *arguments)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "payloads/hello-js/1.0.1.wasm: missing",
        "payloads/redact/1.12.0.wasm: not the bytes that SHA256SUMS names",
        "payloads/stray.bin: not in SHA256SUMS",
    ]
    assert payload.read_bytes() == b"another"
