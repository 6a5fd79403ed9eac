"""Import, scan, frames, verify, import of a layout and report, beside the tools that do the same.

``python -m tests.benchmarks reads``.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.measure import HEAD, Contestant, Run, compete, row
from tests.benchmarks.shapes import lay_out

_TIMED = """
import sys, time
{imports}
wall, cpu = time.perf_counter(), time.process_time()
{work}
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
with open('/proc/self/status') as status:
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith('VmHWM'))
print('{{"inner": {{"wall": %f, "cpu": %f, "peak": %d}}}}' % (wall, cpu, peak))
"""


IMPORTS = (
    "import spincache_nb",
    "import http.client, ssl",
    "import httpx",
    "import spincache_nb.core.pull, spincache_nb.core.registry",
)
"""This package; the least of Python that speaks HTTPS; what speaks it here; all that a pull loads."""

SIZES = (
    ("alike", 2000, 500),
    ("unlike", 2000, 500),
    ("damaged", 2000, 500),
    ("lost", 2000, 500),
    ("components", 2000, 42),
    ("archives", 500, 30),
)
"""Shapes of caches, apps, and layers of each; the first three have a million rows of layers."""

FRAMES = "import spincache_nb as sc, spincache_nb.frames as f; f.load(sc.Cache('/nowhere'))"
"""Loads all that is needed, so that what is timed after it imports nothing."""


def timed(name: str, imports: str, work: str, *arguments: str) -> Contestant:
    """A Python process that says what the work after the imports took."""
    return Contestant(name, [sys.executable, "-c", _TIMED.format(imports=imports, work=work), *arguments])


def many_blobs(root: Path, count: int) -> Path:
    """A cache of tiny blobs that are what their names say."""
    area = root / "registry" / "data"
    area.mkdir(parents=True)
    source = random.Random(count)
    for _ in range(count):
        content = source.randbytes(12)
        (area / f"sha256:{hashlib.sha256(content).hexdigest()}").write_bytes(content)
    return root


def big_blobs(root: Path) -> Path:
    """A cache of true blobs, 512 MiB in all, for hashing."""
    for area, count, size in (("wasm", 24, 16 << 20), ("data", 2000, 64 << 10)):
        folder = root / "registry" / area
        folder.mkdir(parents=True)
        for number in range(count):
            content = random.Random(f"{area} {number}").randbytes(size)
            (folder / f"sha256:{hashlib.sha256(content).hexdigest()}").write_bytes(content)
    return root


def show(title: str, contestants: list[Contestant], rounds: int) -> dict[str, list[Run]]:
    """Print one Markdown table; the last contestant is the reference."""
    runs = compete(contestants, rounds=rounds)
    reference = runs[contestants[-1].name]
    print(f"\n### {title}\n\n{HEAD}")
    for name, some in runs.items():
        print(row(name, some, reference))
    return runs


def main(rounds: int, only: Sequence[str] = (), most: int = 2000) -> None:
    """Print all tables, or those of some shapes."""
    if only:
        shapes(rounds, only, most)
        return
    show(
        "Start and imports, whole processes",
        [
            *(Contestant(f"`{code}`", [sys.executable, "-c", code]) for code in IMPORTS),
            Contestant("`pass`", [sys.executable, "-c", "pass"]),
        ],
        3 * rounds,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SPINCACHE_HISTORY"] = "off"
        blobs = str(many_blobs(folder / "blobs", 100_000))
        show(
            "100,000 blobs into `frames.blobs`",
            [
                timed("spincache-nb", FRAMES, "f.blobs(sc.Cache(sys.argv[1]))", blobs),
                Contestant("find -printf", ["sh", "-c", f"exec find {blobs} -printf '%s %p %T@' >/dev/null"]),
            ],
            rounds,
        )  # fmt: skip
        shutil.rmtree(blobs)
        shapes(rounds, [shape for shape, _, _ in SIZES], most)
        stored = str(big_blobs(folder / "stored"))
        hash_all = f"find {stored} -type f -print0 | xargs -0 openssl dgst -sha256 >/dev/null"
        ready = "import spincache_nb as sc; sc.verify(sc.Cache('/nowhere'))"
        verify = "assert 'damaged blob' not in set(sc.verify(sc.Cache(sys.argv[1]))['kind'])"
        show(
            "verify 512 MiB",
            [
                timed("spincache-nb", ready, verify, stored),
                Contestant("openssl", ["sh", "-c", hash_all]),
            ],
            rounds,
        )
        print(f"\n`layers` holds {memory_per_row():.0f} bytes a row at 1,000,000 rows of the shape unlike")


def shapes(rounds: int, only: Sequence[str], most: int) -> None:
    """Print a table for each shape, beside reading and decoding the same documents and no more."""
    os.environ["SPINCACHE_HISTORY"] = "off"
    decode = (
        "for folder, _, names in os.walk(sys.argv[1] + '/registry/manifests'):\n"
        "    for name in names:\n"
        "        with open(folder + '/' + name, 'rb') as stream: loads(stream.read())"
    )
    load = "f.load(sc.Cache(sys.argv[1]), 'apps', 'layers', 'uses')"
    for shape, apps, layers in SIZES:
        if shape not in only:
            continue
        apps = min(apps, most)
        with tempfile.TemporaryDirectory() as name:
            manifests = os.fspath(lay_out(Path(name), shape, apps, layers).path.parent)
            show(
                f"{shape}: {apps} apps x {layers} layers",
                [
                    timed("`apps`, `layers`, `uses`", FRAMES, load, manifests),
                    timed("`layers`", FRAMES, "f.layers(sc.Cache(sys.argv[1]))", manifests),
                    timed("of that the walk", FRAMES, "sc.Cache(sys.argv[1]).scan()", manifests),
                    timed(
                        "read and msgspec",
                        "import os; from msgspec.json import decode as loads",
                        decode,
                        manifests,
                    ),
                    timed("read and orjson", "import os; from orjson import loads", decode, manifests),
                ],
                max(3, rounds // 2),
            )


def memory_per_row(frame: str = "layers", apps: int = 2000, layers: int = 500) -> float:
    """Bytes a row of a frame holds."""
    import spincache_nb as sc

    with tempfile.TemporaryDirectory() as name:
        made = getattr(sc.frames, frame)(lay_out(Path(name), "unlike", apps, layers))
        return float(made.memory_usage(deep=True).sum() / len(made))
