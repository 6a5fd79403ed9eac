"""When something is tried again, after how long, and when no more."""

from __future__ import annotations

import datetime as dt
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.core.settings import RetryPolicy
from spincache_nb.core.transport.halting import Halt
from spincache_nb.core.transport.retrying import (
    Retrier,
    RetryableError,
    parse_http_date,
    parse_retry_after,
)
from spincache_nb.errors import ConnectionFailedError, PullCancelled, StatusError
from tests.core.clients import quick_client, ref
from tests.support import behaviours
from tests.support.hostile import HostileServer

ERROR = ConnectionFailedError("test", "an answer", "none", "try again")
NOW = "Wed, 21 Oct 2015 07:28:00 GMT"


class Sleeper(Halt):
    """Takes no time, and remembers how long it should have taken."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def failing(times: int, **kind: object) -> tuple[Callable[[], str], list[int]]:
    calls: list[int] = []

    def operation() -> str:
        calls.append(len(calls))
        if len(calls) <= times:
            raise RetryableError(ERROR, **kind)  # type: ignore[arg-type]
        return "done"

    return operation, calls


@pytest.mark.parametrize("times", [0, 1, 5])
def test_run_tries_again_until_it_goes_well(times: int) -> None:
    operation, calls = failing(times)
    assert Retrier(RetryPolicy(), Sleeper()).run(operation) == "done"
    assert len(calls) == times + 1


@pytest.mark.parametrize(("kind", "attempts"), [({}, 6), ({"hopeless": True}, 3)])
def test_run_gives_up_with_the_last_error(kind: dict[str, bool], attempts: int) -> None:
    operation, calls = failing(100, **kind)
    with pytest.raises(ConnectionFailedError) as caught:
        Retrier(RetryPolicy(), Sleeper()).run(operation)
    assert caught.value is ERROR
    assert len(calls) == attempts


def test_run_leaves_other_errors_alone() -> None:
    calls: list[int] = []

    def operation() -> None:
        calls.append(0)
        if len(calls) == 2:
            raise StatusError("test", status=404)
        raise RetryableError(ERROR)

    with pytest.raises(StatusError):
        Retrier(RetryPolicy(), Sleeper()).run(operation)
    assert len(calls) == 2


def test_run_waits_twice_as_long_each_time_less_a_random_part() -> None:
    sleeper = Sleeper()
    policy = RetryPolicy(attempts=9, first_wait=1.0, longest_wait=16.0, total=1e9)
    with pytest.raises(ConnectionFailedError):
        Retrier(policy, sleeper).run(failing(100)[0])
    longest = [1, 2, 4, 8, 16, 16, 16, 16]
    assert len(sleeper.slept) == len(longest)
    assert all(most / 2 <= slept <= most for slept, most in zip(sleeper.slept, longest, strict=True))
    assert len(set(sleeper.slept[4:])) > 1


def test_run_spreads_clients_that_failed_together() -> None:
    waits = set()
    for _ in range(20):
        sleeper = Sleeper()
        Retrier(RetryPolicy(), sleeper).run(failing(1)[0])
        waits |= set(sleeper.slept)
    assert len(waits) > 10


def test_run_waits_as_long_as_the_server_asks_but_no_longer_than_allowed() -> None:
    sleeper = Sleeper()
    Retrier(RetryPolicy(longest_retry_after=60, total=1e9), sleeper).run(failing(1, retry_after=7)[0])
    Retrier(RetryPolicy(longest_retry_after=60, total=1e9), sleeper).run(failing(1, retry_after=86400)[0])
    assert 7 <= sleeper.slept[0] < 8
    assert 60 <= sleeper.slept[1] < 61


def test_run_starts_no_attempt_after_the_total_time() -> None:
    operation, calls = failing(100)
    started = time.monotonic()
    with pytest.raises(ConnectionFailedError):
        Retrier(RetryPolicy(attempts=1000, first_wait=0.1, longest_wait=0.1, total=0.5), Halt()).run(
            operation
        )
    assert time.monotonic() - started < 1.0
    assert 3 < len(calls) < 15


def test_run_is_stopped_in_the_middle_of_a_wait() -> None:
    cancel = threading.Event()
    timer = threading.Timer(0.1, cancel.set)
    timer.start()
    started = time.monotonic()
    with pytest.raises(PullCancelled):
        Retrier(RetryPolicy(first_wait=50, longest_wait=50), Halt(cancel)).run(failing(1)[0])
    assert time.monotonic() - started < 1.0
    timer.join()


def test_run_says_that_it_tries_again(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="spincache_nb"):
        Retrier(RetryPolicy(), Sleeper()).run(failing(1)[0])
    [message] = caplog.messages
    assert message.startswith("trying again in 0.")
    assert "expected an answer, got none" in message


def test_tenacity_is_loaded_only_when_something_failed() -> None:
    code = """if True:
        import sys
        from spincache_nb.core.transport.halting import Halt
        from spincache_nb.core.transport.retrying import Retrier, RetryableError
        from spincache_nb.core.settings import RetryPolicy
        Retrier(RetryPolicy(), Halt()).run(lambda: None)
        print("tenacity" in sys.modules)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


# Retry-After ---------------------------------------------------------------------------------------


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


@given(st.text(max_size=40))
def test_parse_http_date_never_fails(text: str) -> None:
    parse_http_date(text)
    value = parse_retry_after({"Retry-After": text, "Date": text})
    assert value is None or value >= 0


def seconds_to_fetch(server: HostileServer, **options: object) -> float:
    started = time.monotonic()
    with quick_client(**options) as client:
        client.fetch_manifest(ref(f"{server.name}/app:v1"))
    assert len(server.requests) == 2
    return time.monotonic() - started


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_of_a_server_is_obeyed(hostile: HostileServer, status: int) -> None:
    hostile.content("/v2/app/manifests/v1", b"{}")
    hostile.on("*/manifests/*", behaviours.later(status, retry_after=1))
    assert 1.0 <= seconds_to_fetch(hostile) < 1.6


def test_retry_after_in_the_past_is_no_wait(hostile: HostileServer) -> None:
    hostile.content("/v2/app/manifests/v1", b"{}")
    hostile.on("*/manifests/*", behaviours.later(503, retry_after=dt.datetime(2015, 10, 21, tzinfo=dt.UTC)))
    assert seconds_to_fetch(hostile) < 0.5


def test_retry_after_is_capped(hostile: HostileServer) -> None:
    hostile.content("/v2/app/manifests/v1", b"{}")
    hostile.on("*/manifests/*", behaviours.later(429, retry_after=86400))
    policy = RetryPolicy(first_wait=0.001, longest_wait=0.001, longest_retry_after=0.2)
    assert 0.2 <= seconds_to_fetch(hostile, retries=policy) < 0.8
