"""Work beside the kernel: one thing at a time, stopped at the end, heard of when it fails or warns."""

import threading
import time
import warnings

import pytest

from spincache_nb.errors import PullCancelled
from spincache_nb.widgets.worker import Outcome, Reader, Ticker, Worker, heard_warnings
from tests.support.procs import run_python


def test_worker_does_one_thing_at_a_time():
    busy: list[bool] = []
    heard: list[Outcome[str]] = []
    worker, go = Worker(busy.append), threading.Event()
    assert worker.start(lambda cancel: str(go.wait(10)), heard.append)
    assert worker.is_busy
    assert not worker.start(lambda cancel: "second", heard.append)
    assert not worker.wait(0.05)
    go.set()
    assert worker.wait(10)
    assert heard == [Outcome("True")]
    assert busy == [True, False]
    assert worker.start(lambda cancel: "second", heard.append)
    assert worker.wait(10)
    assert heard[1].value == "second"


def test_worker_tells_faults_and_cancels():
    worker = Worker()
    heard: list[Outcome[None]] = []

    def fail(cancel):
        raise ValueError("no")

    def stop(cancel):
        assert cancel.wait(10)
        raise PullCancelled("pull")

    worker.start(fail, heard.append)
    worker.wait(10)
    worker.start(stop, heard.append)
    worker.cancel()
    worker.wait(10)
    assert str(heard[0].fault) == "no"
    assert (heard[1].fault, heard[1].is_cancelled) == (None, True)


def test_worker_is_free_again_when_an_outcome_cannot_be_shown():
    worker = Worker()

    def show(outcome):
        raise RuntimeError("no front end")

    worker.start(lambda cancel: 1, show)
    assert worker.wait(10)
    assert worker.start(lambda cancel: 1, lambda outcome: None)


def test_abandoned_job_is_not_heard_of_and_leaves_the_worker_free():
    busy: list[bool] = []
    heard: list[Outcome[str]] = []
    worker, go, over = Worker(busy.append), threading.Event(), threading.Event()

    def slow(cancel):
        go.wait(10)
        over.set()
        return "late"

    worker.start(slow, heard.append)
    worker.abandon()
    assert not worker.is_busy
    assert worker.start(lambda cancel: "next", heard.append)
    assert worker.wait(10)
    go.set()
    assert over.wait(10)
    time.sleep(0.05)
    assert [outcome.value for outcome in heard] == ["next"]
    assert busy == [True, False, True, False]
    worker.abandon()
    assert not worker.is_busy


def test_closed_worker_begins_nothing_and_shows_nothing():
    heard: list[Outcome[bool]] = []
    worker = Worker()
    worker.start(lambda cancel: cancel.wait(10), heard.append)
    worker.close()
    assert worker.wait(10)
    assert heard == []
    assert not worker.start(lambda cancel: True, heard.append)


def test_reader_reads_only_the_newest_of_a_kind():
    done: list[str] = []
    go, begun = threading.Event(), threading.Event()
    reader = Reader(lambda fault: done.append(str(fault)))

    def first():
        begun.set()
        go.wait(10)
        return "first"

    reader.submit("figure", first, done.append)
    assert begun.wait(10)
    for number in range(50):
        reader.submit("figure", lambda number=number: f"number {number}", done.append)  # type: ignore[misc]
    reader.submit("other", lambda: "other", done.append)
    go.set()
    assert reader.wait(10)
    assert done == ["number 49", "other"]


def test_reader_tells_faults_and_goes_on():
    faults: list[Exception] = []
    done: list[int] = []
    reader = Reader(faults.append)
    reader.submit("a", lambda: 1 // 0, done.append)
    reader.submit("b", lambda: 2, done.append)
    assert reader.wait(10)
    assert [type(fault) for fault in faults] == [ZeroDivisionError]
    assert done == [2]
    reader.close()
    reader.submit("c", lambda: 3, done.append)
    assert reader.wait(10)
    assert done == [2]


def test_ticker_is_no_faster_than_it_may_be_and_ends_with_the_last_state():
    state, seen = [0], []
    with Ticker(lambda: seen.append(state[0]), 0.1):
        until = time.monotonic() + 0.55
        while time.monotonic() < until:
            state[0] += 1
    assert len(seen) <= 8
    assert seen[-1] == state[0]
    count = len(seen)
    time.sleep(0.15)
    assert len(seen) == count


def test_ticker_stops_nothing_when_it_cannot_show():
    calls: list[int] = []

    def show():
        calls.append(1)
        raise RuntimeError("no front end")

    with Ticker(show, 0.01):
        time.sleep(0.1)
    assert len(calls) == 2


def test_import_of_widgets_starts_no_thread_and_registers_nothing():
    code = (
        "import threading, spincache_nb.widgets, spincache_nb.widgets.worker as w;"
        "print(threading.active_count(), len(w._open), w._hooked)"
    )
    assert run_python(["-c", code]).stdout.strip() == "1 0 []"


def warn_in_our_thread(text):
    def warn():
        warnings.warn(text, stacklevel=1)

    thread = threading.Thread(target=warn, name="spincache-pull_0")
    thread.start()
    thread.join()


@pytest.mark.filterwarnings("always")
def test_heard_warnings_are_those_of_our_threads():
    heard: list[str] = []
    with warnings.catch_warnings(record=True) as others, heard_warnings(heard.append):
        warn_in_our_thread("ours")
        warnings.warn("theirs", stacklevel=1)
    assert heard == ["ours"]
    assert [str(one.message) for one in others] == ["theirs"]


@pytest.mark.filterwarnings("always")
def test_heard_warnings_by_two_that_come_and_go_in_any_order():
    before = warnings.showwarning
    first, second = [], []
    one, two = heard_warnings(first.append), heard_warnings(second.append)
    one.__enter__()
    two.__enter__()
    warn_in_our_thread("both")
    one.__exit__(None, None, None)
    warn_in_our_thread("second")
    two.__exit__(None, None, None)
    assert (first, second) == (["both"], ["both", "second"])
    assert warnings.showwarning is before
