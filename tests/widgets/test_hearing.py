"""Warnings of our threads, heard by who listens; those of others left alone."""

from __future__ import annotations

import threading
import warnings

import pytest

from spincache_nb.widgets.hearing import heard_warnings

pytestmark = pytest.mark.filterwarnings("always")


def warn_in_our_thread(text: str) -> None:
    def warn() -> None:
        warnings.warn(text, stacklevel=1)

    thread = threading.Thread(target=warn, name="spincache-pull_0")
    thread.start()
    thread.join()


def test_heard_warnings_are_those_of_our_threads() -> None:
    heard: list[str] = []
    with warnings.catch_warnings(record=True) as others, heard_warnings(heard.append):
        warn_in_our_thread("ours")
        warnings.warn("theirs", stacklevel=1)
    assert heard == ["ours"]
    assert [str(one.message) for one in others] == ["theirs"]


def test_heard_warnings_by_two_that_come_and_go_in_any_order() -> None:
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
