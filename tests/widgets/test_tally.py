"""Adding up the events of a pull, with a clock that the test moves."""

from __future__ import annotations

import threading

import pytest

from spincache_nb.core.progress import ProgressEvent
from spincache_nb.widgets.tally import Running, Tally


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_snapshot_before_the_plan_says_nothing(clock: Clock) -> None:
    found = Tally(clock).snapshot()
    assert (found.planned, found.share, found.speed, found.seconds_left) == (False, 0.0, None, None)


def test_snapshot_of_nothing_to_fetch_is_full(clock: Clock) -> None:
    tally = Tally(clock)
    tally.add(ProgressEvent("plan", total=0))
    clock.now += 1
    found = tally.snapshot()
    assert (found.planned, found.share, found.seconds_left) == (True, 1.0, None)


def test_snapshot_tells_running_blobs_apart(clock: Clock) -> None:
    tally = Tally(clock)
    tally.add(ProgressEvent("plan", total=100))
    tally.add(ProgressEvent("bytes", "app", "config", 10, 0))
    tally.add(ProgressEvent("start", "app", "a", total=60))
    tally.add(ProgressEvent("start", "app", "b", total=30))
    tally.add(ProgressEvent("bytes", "app", "a", 20, 60))
    tally.add(ProgressEvent("bytes", "app", "b", 30, 30))
    tally.add(ProgressEvent("done", "app", "b", total=30))
    found = tally.snapshot()
    assert found.running == (Running("a", "app", 20, 60),)
    assert (found.done, found.total, found.share) == (60, 100, 0.6)


def test_snapshot_knows_speed_and_time_left(clock: Clock) -> None:
    tally = Tally(clock)
    clock.now += 30  # asking for manifests is no part of the speed
    tally.add(ProgressEvent("plan", total=1000))
    assert tally.snapshot().speed is None
    for _ in range(4):
        clock.now += 0.5
        tally.add(ProgressEvent("bytes", "app", "a", 50))
    found = tally.snapshot()
    assert found.speed == pytest.approx(100)
    assert found.seconds_left == pytest.approx(8)


def test_speed_is_that_of_the_last_seconds(clock: Clock) -> None:
    tally = Tally(clock)
    tally.add(ProgressEvent("plan", total=10_000))
    for count in [1000] * 5 + [10] * 12:
        clock.now += 1
        tally.add(ProgressEvent("bytes", "app", "a", count))
        speed = tally.snapshot().speed
    assert speed == pytest.approx(10, rel=0.01)


def test_speed_falls_when_nothing_comes(clock: Clock) -> None:
    tally = Tally(clock)
    tally.add(ProgressEvent("plan", total=1000))
    tally.add(ProgressEvent("bytes", "app", "a", 500))
    for _ in range(12):
        clock.now += 1
        found = tally.snapshot()
    assert found.speed == 0
    assert found.seconds_left is None


def test_more_bytes_than_planned_never_pass_the_end(clock: Clock) -> None:
    tally = Tally(clock)
    tally.add(ProgressEvent("plan", total=10))
    tally.add(ProgressEvent("bytes", "address of unknown size", "a", 40))
    found = tally.snapshot()
    assert (found.share, found.total) == (1.0, 40)


def test_add_from_many_threads_loses_nothing() -> None:
    tally = Tally()

    def add() -> None:
        for _ in range(2000):
            tally.add(ProgressEvent("bytes", "app", "a", 1))
            tally.snapshot()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tally.snapshot().done == 8000
