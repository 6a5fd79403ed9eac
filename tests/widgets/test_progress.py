"""How far a pull is, with a clock that the test moves; and bars that blobs take and leave."""

import threading

import pytest

from spincache_nb.core.progress import ProgressEvent
from spincache_nb.widgets.pulling import MOST_BARS, Bars, Progress, Running, Snapshot
from spincache_nb.widgets.worker import Outcome


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def started(clock, total):
    progress = Progress(clock)
    progress.add(ProgressEvent("plan", total=total))
    return progress


def test_snapshot_before_the_plan_and_of_nothing_to_fetch(clock):
    found = Progress(clock).snapshot()
    assert (found.planned, found.share, found.speed, found.seconds_left) == (False, 0.0, None, None)
    progress = started(clock, 0)
    clock.now += 1
    found = progress.snapshot()
    assert (found.planned, found.share, found.seconds_left, found.text) == (
        True,
        1.0,
        None,
        "nothing to fetch",
    )


def test_snapshot_tells_running_blobs_apart(clock):
    progress = started(clock, 100)
    progress.add(ProgressEvent("bytes", "app", "config", 10, 0))
    progress.add(ProgressEvent("start", "app", "a", total=60))
    progress.add(ProgressEvent("start", "app", "b", total=30))
    progress.add(ProgressEvent("bytes", "app", "a", 20, 60))
    progress.add(ProgressEvent("bytes", "app", "b", 30, 30))
    progress.add(ProgressEvent("done", "app", "b", total=30))
    found = progress.snapshot()
    assert found.running == (Running("a", "app", 20, 60),)
    assert (found.done, found.total, found.share, found.text) == (60, 100, 0.6, "60 B of 100 B")


def test_speed_and_time_left(clock):
    progress = Progress(clock)
    clock.now += 30  # asking for manifests is no part of the speed
    progress.add(ProgressEvent("plan", total=1000))
    assert progress.snapshot().speed is None
    for _ in range(4):
        clock.now += 0.5
        progress.add(ProgressEvent("bytes", "app", "a", 50))
    found = progress.snapshot()
    assert (found.speed, found.seconds_left) == (pytest.approx(100), pytest.approx(8))
    assert found.text == "200 B of 1000 B, 100 B/s, 8 s left"


@pytest.mark.parametrize(("counts", "speed"), [([1000] * 5 + [10] * 12, 10), ([500] + [0] * 12, 0)])
def test_speed_is_that_of_the_last_seconds(clock, counts, speed):
    progress = started(clock, 10_000)
    for count in counts:
        clock.now += 1
        progress.add(ProgressEvent("bytes", "app", "a", count))
        found = progress.snapshot()
    assert found.speed == pytest.approx(speed, rel=0.01)
    assert (found.seconds_left is None) == (speed == 0)


def test_more_bytes_than_planned_never_pass_the_end(clock):
    progress = started(clock, 10)
    progress.add(ProgressEvent("bytes", "address of unknown size", "a", 40))
    assert (progress.snapshot().share, progress.snapshot().total) == (1.0, 40)


def test_add_from_many_threads_loses_nothing():
    progress = Progress()

    def add():
        for _ in range(2000):
            progress.add(ProgressEvent("bytes", "app", "a", 1))
            progress.snapshot()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert progress.snapshot().done == 8000


def snapshot(*running, done=10, total=100):
    return Snapshot(True, done, total, 5.0, 18.0, running)


def shown(bars):
    def name(slot):
        return "" if slot.box.layout.display == "none" else str(slot.name.value).split(">")[1].split()[0]

    return [name(slot) for slot in bars.slots]


def test_blobs_keep_their_bars():
    bars = Bars()
    assert bars.box.layout.display == "none"
    bars.begin("all layers")
    assert bars.box.layout.display is None
    a, b, c = (Running(digest, "app", 1, 4) for digest in "abc")
    bars.show("all layers", snapshot(a, b))
    assert shown(bars)[:3] == ["a", "b", ""]
    bars.show("all layers", snapshot(b, c))
    assert shown(bars)[:3] == ["c", "b", ""]
    assert bars.slots[1].bar.value == 0.25
    assert bars.overall.text.value == "10 B of 100 B, 5 B/s, 18 s left"
    bars.end("success", "100 B fetched", full=True)
    assert set(shown(bars)) == {""}
    assert bars.overall.bar.value == 1.0


def test_more_blobs_than_bars_are_counted():
    bars = Bars()
    running = [Running(f"{n:02}", "app", 0, 0) for n in range(MOST_BARS + 5)]
    bars.show("all layers", snapshot(*running))
    assert "and 5 more at the same time" in bars.others.value
    assert bars.slots[0].text.value == "0 B"
    bars.show("all layers", snapshot(*running[:2]))
    assert bars.others.value == ""


def test_fail_hides_a_bar_that_never_began():
    bars = Bars()
    bars.begin("all layers")
    bars.conclude(Outcome(fault=ValueError("no")), "done")
    assert bars.box.layout.display == "none"
    bars.begin("all layers")
    bars.show("all layers", snapshot())
    bars.conclude(Outcome(fault=ValueError("no")), "done")
    assert (bars.box.layout.display, bars.overall.bar.bar_style) == (None, "danger")
