"""Every analysis in Spark, with real executors, says what DuckDB says; also if one of them is killed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")
pytest.importorskip("pyspark", reason="the extra spark is not installed")
pytest.importorskip("sqlglot", reason="the extra spark is not installed")

import pyspark

from spincache_nb import fleet
from tests.fleet.odd import FLEETS

ANALYSES = (
    *("summary", "sharing", "shared_bytes", "version_savings", "unreferenced", "host_overlap", "host_pairs"),
    *("prewarm", "versions", "breakdown", "problems"),
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for executors in /proc"),
    pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java, which Spark needs"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory):
    """A Spark session with two executors, processes of their own on loopback."""
    scratch = tmp_path_factory.mktemp("spark")
    os.environ.update(SPARK_HOME=str(Path(pyspark.__file__).parent), SPARK_LOCAL_IP="127.0.0.1")
    os.environ["SPARK_WORKER_DIR"] = str(scratch / "work")
    builder = pyspark.sql.SparkSession.builder.master("local-cluster[2,1,1024]")
    for key, value in {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
    }.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


def executors() -> list[int]:
    """Processes of executors."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(b"CoarseGrainedExecutorBackend" in word for word in words):
            found.append(int(path.parent.name))
    return found


def every(opened: fleet.Fleet) -> dict[str, pd.DataFrame]:
    """All analyses, some with a choice."""
    frames = {name: getattr(opened, name)() for name in ANALYSES}
    frames["savings by our rules"] = opened.version_savings(rules="spincache")
    frames["sharing of a few"] = opened.sharing(top=3, names=False)
    frames["pairs of a few"] = opened.host_pairs(top=3)
    return frames


def compare(found: dict[str, pd.DataFrame], expected: dict[str, pd.DataFrame]) -> None:
    for name, frame in expected.items():
        pd.testing.assert_frame_equal(found[name], frame, obj=name)


@pytest.mark.parametrize("name", FLEETS)
def test_spark_says_what_duckdb_says(name: str, session, tmp_path: Path) -> None:
    """Cell by cell, index and dtypes included; and the caller's session keeps its own names."""
    FLEETS[name](tmp_path)
    with fleet.open(tmp_path) as opened:
        expected = every(opened)
    with fleet.open(tmp_path, engine=session) as opened:
        assert opened.engine == "spark"
        compare(every(opened), expected)
    assert not session.catalog.listTables()


def test_spark_survives_an_executor_that_is_killed(session, tmp_path: Path) -> None:
    FLEETS["made up"](tmp_path)
    with fleet.open(tmp_path) as opened:
        expected = every(opened)
    before = executors()
    assert len(before) == 2
    killed = threading.Event()

    def kill() -> None:
        time.sleep(1.5)
        os.kill(before[0], signal.SIGKILL)
        killed.set()

    thread = threading.Thread(target=kill)
    with fleet.open(tmp_path, engine=session) as opened:
        thread.start()
        compare(every(opened), expected)
    assert killed.is_set(), "it was to be killed half way"
    thread.join()
    assert before[0] not in executors()
