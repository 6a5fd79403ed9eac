"""Dask on a real cluster: two worker processes, and one of them killed half way."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("dask.dataframe", reason="the extra dask is not installed")
pytest.importorskip("distributed", reason="the extra dask is not installed")

import distributed

from spincache_nb import fleet
from spincache_nb.demo import FleetPlan, write_fleet
from spincache_nb.fleet.engines import in_dask

PLAN = FleetPlan(hosts=16, apps_per_host=30, files_per_app=20, repositories=60, versions=6)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="kills processes, and looks whether any is left"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up fleet."""
    path = tmp_path_factory.mktemp("fleet")
    write_fleet(path, PLAN)
    return path


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, pd.DataFrame]:
    """What pandas says."""
    with fleet.open(folder, engine="pandas") as opened:
        return every(opened)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory):
    """A client of two worker processes on loopback, none of which is left in the end."""
    scratch = str(tmp_path_factory.mktemp("dask"))
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # even without one it takes a port
            local_directory=scratch,
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
        workers = [nanny.pid for nanny in cluster.workers.values()]
    assert len(workers) == 2
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def every(opened: fleet.Fleet) -> dict[str, pd.DataFrame]:
    """Every analysis that reads the rows."""
    return {
        "summary": opened.summary(),
        "sharing": opened.sharing(),
        "top": opened.sharing(top=30),
        "savings": opened.version_savings(),
        "overlap": opened.host_overlap(),
        "pairs": opened.host_pairs(),
        "apps": opened.shared_bytes(),
        "prewarm": opened.prewarm(),
        "unreferenced": opened.unreferenced(),
    }


def compare(found: dict[str, pd.DataFrame], expected: dict[str, pd.DataFrame]) -> None:
    for name, frame in expected.items():
        pd.testing.assert_frame_equal(found[name], frame)


def test_dask_on_two_processes_says_what_pandas_says(client, folder: Path, expected) -> None:
    before = set(client.run(os.getpid).values())
    assert len(before) == 2
    assert os.getpid() not in before
    with fleet.open(folder, engine="dask") as opened:
        compare(every(opened), expected)
    tasks = client.run(lambda dask_worker: len(dask_worker.state.log))
    assert all(tasks.values()), "both workers were to have worked"


class KillOnce(distributed.WorkerPlugin):
    """Kills the process of one worker, once, when it has done so many tasks whose names hold a word."""

    name = "kill-once"

    def __init__(self, mark: str, word: str, after: int) -> None:
        self._mark, self._word, self._left = mark, word, after

    def transition(self, key: object, start: str, finish: str, **_: object) -> None:
        if finish != "memory" or self._word not in str(key):
            return
        self._left -= 1
        if self._left > 0:
            return
        try:
            os.close(os.open(self._mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("word", "after", "most_by_tasks"),
    [("", 12, 0), ("shuffle", 3, 0), ("shuffle", 3, 1000), ("overview", 1, 1000)],
    ids=["while it reads", "in the shuffle by peers", "in the shuffle by tasks", "while it adds up"],
)
def test_dask_survives_a_worker_that_is_killed(
    word: str, after: int, most_by_tasks: int, client, folder: Path, expected, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(in_dask, "ROWS_PER_TASK", 2_000)
    monkeypatch.setattr(in_dask, "ROWS_PER_PARTITION", 4_000)
    monkeypatch.setattr(in_dask, "MOST_BY_TASKS", most_by_tasks)
    client.wait_for_workers(2)
    before = set(client.run(os.getpid).values())
    mark = tmp_path / "killed"
    client.register_plugin(KillOnce(str(mark), word, after))
    try:
        with fleet.open(folder, engine="dask", client=client) as opened:
            compare(every(opened), expected)
    finally:
        client.unregister_worker_plugin("kill-once")
    assert mark.exists(), "no worker was killed"
    client.wait_for_workers(2)
    assert set(client.run(os.getpid).values()) != before, "both workers are still the same"
