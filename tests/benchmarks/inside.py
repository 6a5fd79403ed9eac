"""Speed and re-use on public packages, by hand: ``python -m tests.benchmarks.inside``.

Packages are fetched by name with ``npm pack`` into a temporary folder, and skipped with one line
each where they cannot be had. No part of the test suite fetches anything.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from spincache_nb.analysis import ALL_GRAINS, grains, verdict, why_changed
from spincache_nb.analysis.pieces import hashed
from spincache_nb.wasm.walker import cuts, walk

PAIRS = (
    ("@bytecodealliance/componentize-js", "0.19.0", "0.19.1", "lib/starlingmonkey_embedding.wasm"),
    ("@bytecodealliance/jco", "1.15.0", "1.15.1", "obj/js-component-bindgen-component.core.wasm"),
    ("esbuild-wasm", "0.25.10", "0.25.11", "esbuild.wasm"),
)
SECONDS = 120


class CannotBeHad(Exception):
    """A package cannot be fetched here."""


def fetch(package: str, version: str, member: str, folder: Path) -> Path:
    """Fetch one file of one version of a package."""
    npm = shutil.which("npm")
    if npm is None:
        raise CannotBeHad("npm is not installed")
    try:
        done = subprocess.run(
            [npm, "pack", "--silent", f"{package}@{version}"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        archive = folder / done.stdout.strip().splitlines()[-1]
        target = folder / f"{version}.wasm"
        with tarfile.open(archive) as tar:
            content = tar.extractfile(f"package/{member}")
            if content is None:
                raise CannotBeHad(f"{member} is not a file")
            target.write_bytes(content.read())
    except (OSError, subprocess.SubprocessError, tarfile.TarError, KeyError, IndexError) as error:
        raise CannotBeHad(str(error)) from error
    return target


def speed(data: bytes, *grain_names: str) -> float:
    """Measure walking, cutting and hashing at some grains together, in MB per second of CPU time."""
    view = memoryview(data)
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        walked = walk(view)
        for grain in grain_names:
            hashed(view, cuts(view, walked, grain))
        best = min(best, time.process_time() - started)
    return len(data) / 1e6 / best


def report() -> Iterator[str]:
    """Yield the lines of the report."""
    for package, old, new, member in PAIRS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            try:
                paths = [fetch(package, version, member, folder) for version in (old, new)]
            except CannotBeHad as error:
                yield f"{package}: skipped, {error}"
                continue
            data = paths[1].read_bytes()
            yield f"{package} {old} > {new}: {len(data) / 1e6:.1f} MB"
            yield f"  sections and functions with sha256: {speed(data, 'section', 'function'):.0f} MB/s"
            for row in grains(*paths, only=ALL_GRAINS).to_dict("records"):
                share = 100 * row["reused_share"]
                yield f"  {row['grain']:>15} {share:6.2f} % of {row['piece_count']} pieces"
            yield f"  {verdict(why_changed(*paths))}"


if __name__ == "__main__":
    for line in report():
        sys.stdout.write(line + "\n")
