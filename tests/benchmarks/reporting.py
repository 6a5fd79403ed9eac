"""The report, beside what it cannot do without: reading the frames.

``python -m tests.benchmarks report``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.benchmarks.reads import show, timed
from tests.benchmarks.shapes import lay_out

_READY = (
    "import spincache_nb as sc, spincache_nb.frames as f, spincache_nb.report; f.load(sc.Cache('/nowhere'))"
)


def main(rounds: int) -> None:
    """Print one table: the ratio is of a whole report to reading its frames, both after imports."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["SPINCACHE_HISTORY"] = "off"
        cache = str(lay_out(Path(name) / "apps", "alike", 60, 200).path.parent)
        show(
            "report of 60 apps x 200 layers (ratio: to reading the frames alone)",
            [
                timed("report.write", _READY, "sc.report.write(sc.Cache(sys.argv[1]), sys.argv[2])",
                      cache, f"{name}/report.html"),
                timed("frames.load", _READY, "f.load(sc.Cache(sys.argv[1]))", cache),
            ],
            rounds,
        )  # fmt: skip
