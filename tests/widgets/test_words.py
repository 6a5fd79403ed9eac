"""Faults and times in words."""

from __future__ import annotations

import pytest

from spincache_nb.errors import NotFoundError, PullCancelled
from spincache_nb.widgets.words import error_text, progress_text, time_text


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (
            NotFoundError("r.io/a:1", "tag 1", "404", "check it"),
            "r.io/a:1: expected tag 1, got 404; check it",
        ),
        (PullCancelled("pull", "", "", "stopped"), "pull; stopped"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("odd"), "unexpected OSError: odd"),
        (ValueError("one\ntwo"), "unexpected ValueError: one"),
        (ValueError(), "unexpected ValueError"),
        (RuntimeError("\x1b[31mred"), "unexpected RuntimeError: \\x1b[31mred"),
    ],
)
def test_error_text_is_one_plain_line(fault: Exception, text: str) -> None:
    assert error_text(fault) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.1, "1 s"),
        (59.5, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (90_000, "25 h 0 min"),
    ],
)
def test_time_text(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_progress_text_leaves_out_what_is_not_known() -> None:
    assert progress_text(0, 1024, None, None) == "0 B of 1.0 KiB"
    assert progress_text(0, 1024, 0.0, None) == "0 B of 1.0 KiB, 0 B/s"
