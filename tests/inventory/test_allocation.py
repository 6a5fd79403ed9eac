"""Keeping the garbage collector out, and letting it in again."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from spincache_nb.inventory.allocation import no_collections


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    was_on = gc.isenabled()
    yield
    gc.unfreeze()
    (gc.enable if was_on else gc.disable)()


def test_no_collections_lets_the_collector_in_again_after_an_error() -> None:
    gc.enable()
    with suppress(KeyError), no_collections():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


def test_no_collections_ends_with_the_outermost() -> None:
    gc.enable()
    with no_collections():
        with no_collections():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_no_collections_leaves_it_off_where_it_was_off() -> None:
    gc.disable()
    with no_collections():
        pass
    assert not gc.isenabled()


def test_no_collections_ends_with_the_last_thread() -> None:
    gc.enable()
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with no_collections():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with no_collections():
        thread.start()
        assert entered.wait(10)
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_no_collections_finds_cyclic_garbage_afterwards() -> None:
    class Node:
        """In a cycle with itself."""

    gone = threading.Event()

    class Watched(Node):
        def __del__(self) -> None:
            gone.set()

    gc.enable()
    with no_collections():
        one = Watched()
        one.self = one  # type: ignore[attr-defined]
        del one
    gc.collect()
    assert gone.is_set()


@pytest.mark.parametrize("frozen", [False, True])
def test_no_collections_leaves_frozen_what_others_froze(frozen: bool) -> None:
    gc.enable()
    if frozen:
        gc.freeze()
    before = gc.get_freeze_count()
    with no_collections():
        pass
    assert (gc.get_freeze_count() > 0) is frozen is (before > 0)
