"""Trying again: tenacity with a wait that honours ``Retry-After`` and a sleep that can be cancelled."""

from __future__ import annotations

import email.utils
import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from spincache_nb.core.settings import RetryPolicy
from spincache_nb.core.transport.halting import Halt
from spincache_nb.errors import SpinCacheError

if TYPE_CHECKING:
    from tenacity import RetryCallState

_log = logging.getLogger(__name__)
T = TypeVar("T")


class RetryableError(Exception):
    """Something failed that may go well the next time; never leaves this package's core."""

    def __init__(
        self, error: SpinCacheError, *, retry_after: float | None = None, hopeless: bool = False
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after
        self.hopeless = hopeless


class Retrier:
    """Runs operations again after a `RetryableError`."""

    def __init__(self, policy: RetryPolicy, halt: Halt) -> None:
        self.policy = policy
        self.halt = halt

    def run(self, operation: Callable[[], T]) -> T:
        """Run an operation until it goes well or there is no sense in going on."""
        try:
            return operation()
        except RetryableError as first:
            return self._again(operation, first)

    def _again(self, operation: Callable[[], T], first: RetryableError) -> T:
        import tenacity  # 75 ms, for something that hardly ever happens

        made_already = iter((first,))

        def attempt() -> T:
            for failure in made_already:
                raise failure
            return operation()

        retrying = tenacity.Retrying(
            sleep=self.halt.sleep,
            stop=self._is_last,
            wait=self._wait,
            retry=tenacity.retry_if_exception_type(RetryableError),
            before_sleep=_tell,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except RetryableError as last:
            raise last.error from last.__cause__

    def _is_last(self, state: RetryCallState) -> bool:
        failure = _failure(state)
        policy = self.policy
        allowed = policy.connect_attempts if failure and failure.hopeless else policy.attempts
        late = (state.seconds_since_start or 0.0) + state.upcoming_sleep > policy.total
        return late or state.attempt_number >= allowed

    def _wait(self, state: RetryCallState) -> float:
        policy = self.policy
        backoff = min(policy.longest_wait, policy.first_wait * 2.0 ** (state.attempt_number - 1))
        backoff *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads clients, keeps no secret
        failure = _failure(state)
        if failure is None or failure.retry_after is None:
            return backoff
        return min(failure.retry_after, policy.longest_retry_after) + backoff / 4


def _failure(state: RetryCallState) -> RetryableError | None:
    exception = state.outcome.exception() if state.outcome is not None else None
    return exception if isinstance(exception, RetryableError) else None


def _tell(state: RetryCallState) -> None:
    _log.info("trying again in %.1f s: %s", state.upcoming_sleep, _failure(state))


def parse_retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds to wait by a ``Retry-After`` header (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    until = parse_http_date(text)
    if until is None:
        return None
    server = parse_http_date(headers.get("Date", ""))
    reference = server if server is not None else (time.time() if now is None else now)
    return max(0.0, until - reference)


def parse_http_date(text: str) -> float | None:
    """UTC seconds since 1970 of an HTTP date, or None if it is not one."""
    try:
        parsed = email.utils.parsedate_tz(text)
        return float(email.utils.mktime_tz(parsed)) if parsed is not None else None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
