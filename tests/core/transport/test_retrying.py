"""When something is tried again, after how long, and when no more; and that whoever waits can be stopped."""

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from spincache_nb.core.refusals import RetryableError, parse_retry_after
from spincache_nb.core.settings import RetryPolicy
from spincache_nb.core.web import Halt, Web
from spincache_nb.errors import ConnectionFailedError, PullCancelled
from tests.core.clients import QUICK, quick_client, ref
from tests.support import behaviours
from tests.support.hostile import HostileServer

ERROR = ConnectionFailedError("test", "an answer", "none", "try again")
NOW = "Wed, 21 Oct 2015 07:28:00 GMT"
POLICY = RetryPolicy()


class Sleeper(Halt):
    """Takes no time, and remembers how long it should have taken."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Failing:
    """Fails some times, then goes well."""

    def __init__(self, times: int, **kind: object) -> None:
        self.times = times
        self.kind = kind
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise RetryableError(ERROR, **self.kind)  # type: ignore[arg-type]
        return "done"


def waits(operation: Callable[[], object], policy: RetryPolicy = POLICY, **options: int) -> list[float]:
    """Run an operation; say how long it was waited."""
    web, sleeper = Web(retries=policy), Sleeper()
    web.halt = sleeper
    web.run(operation, **options)
    return sleeper.slept


def test_run_waits_twice_as_long_each_time_less_a_random_part() -> None:
    policy = RetryPolicy(attempts=9, first_wait=1.0, longest_wait=16.0, total=1e9)
    slept = waits(Failing(8), policy)
    longest = [1, 2, 4, 8, 16, 16, 16, 16]
    assert all(most / 2 <= seconds <= most for seconds, most in zip(slept, longest, strict=True))
    assert len(set(slept[4:])) > 1
    assert len({waits(Failing(1))[0] for _ in range(20)}) > 10  # clients that failed together spread


@pytest.mark.parametrize(("retry_after", "least", "most"), [(0, 0, 1), (7, 7, 8), (86400, 60, 61)])
def test_run_waits_as_long_as_the_server_asks_but_no_longer_than_allowed(
    retry_after: float, least: float, most: float
) -> None:
    policy = RetryPolicy(longest_retry_after=60, total=1e9)
    assert least <= waits(Failing(1, retry_after=retry_after), policy)[0] < most


def test_run_starts_no_attempt_after_the_total_time() -> None:
    operation = Failing(100)
    web = Web(retries=RetryPolicy(attempts=1000, first_wait=0.1, longest_wait=0.1, total=0.5))
    started = time.monotonic()
    with pytest.raises(ConnectionFailedError):
        web.run(operation)
    assert time.monotonic() - started < 20
    assert 1 < operation.calls < 15


def test_run_is_stopped_in_the_middle_of_a_wait() -> None:
    cancel = threading.Event()
    timer = threading.Timer(0.1, cancel.set)
    timer.start()
    started = time.monotonic()
    with pytest.raises(PullCancelled):
        Web(retries=replace(POLICY, first_wait=50, longest_wait=50), cancel=cancel).run(Failing(1))
    assert time.monotonic() - started < 20
    timer.join()


def test_halt_sleeps_no_longer_than_asked() -> None:
    started = time.monotonic()
    Halt().sleep(0.05)
    Halt(threading.Event()).sleep(0.05)
    assert 0.1 <= time.monotonic() - started < 20


def test_run_says_that_it_tries_again(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="spincache_nb"):
        waits(Failing(1))
    [message] = caplog.messages
    assert message.startswith("trying again in 0.")
    assert "expected an answer, got none" in message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": " 120 "}, 120.0),
        ({"Retry-After": "9" * 50}, 999999999.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": NOW}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:27:00 GMT", "Date": NOW}, 0.0),
        ({"Retry-After": "Wednesday, 21-Oct-15 07:28:30 GMT", "Date": NOW}, 30.0),
        ({"Retry-After": "Wed Oct 21 07:28:30 2015", "Date": NOW}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT"}, 20.0),
    ],
)
def test_parse_retry_after_reads(headers: dict[str, str], seconds: float | None) -> None:
    at = dt.datetime(2015, 10, 21, 7, 28, 10, tzinfo=dt.UTC).timestamp()
    assert parse_retry_after(headers, now=at) == seconds


LONG_AGO = dt.datetime(2015, 10, 21, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("retry_after", "bound", "least"), [(1, 60, 1.0), (LONG_AGO, 60, 0.0), (86400, 0.2, 0.2)]
)
def test_retry_after_of_a_server_is_obeyed_within_bounds(
    hostile: HostileServer, retry_after: int | dt.datetime, bound: float, least: float
) -> None:
    hostile.content("/v2/app/manifests/v1", b"{}")
    hostile.on("*/manifests/*", behaviours.later(503, retry_after=retry_after))
    started = time.monotonic()
    with quick_client(retries=replace(QUICK, longest_retry_after=bound)) as client:
        client.fetch_manifest(ref(f"{hostile.name}/app:v1"))
    assert least <= time.monotonic() - started < 20
    assert len(hostile.requests) == 2
