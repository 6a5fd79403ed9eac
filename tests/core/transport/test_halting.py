"""Cancel and close: whoever waits, waits no longer."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spincache_nb.core.registry import Registry
from spincache_nb.core.settings import Timeouts
from spincache_nb.core.web import Halt
from spincache_nb.errors import PullCancelled, SpinCacheError
from tests.core.clients import blob_of, full_listener, ref
from tests.support import behaviours, faults
from tests.support.artifact import filler
from tests.support.hostile import HostileServer

DATA = filler("a blob", 500_000)
BLOB = blob_of(DATA)
PATH = f"/v2/org/app/blobs/{BLOB.digest}"
PATIENT = Timeouts(connect=60, read=60)
Start = Callable[..., HostileServer]


class Worker:
    """A thread that fetches a blob and says what became of it."""

    def __init__(self, client: Registry, name: str) -> None:
        self.received = 0
        self.outcome: object = None
        self.ended = 0.0
        self.client = client
        self.name = name
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        try:
            for piece in self.client.stream_blob(ref(f"{self.name}/org/app:v1"), BLOB):
                self.received += len(piece)
            self.outcome = "whole"
        except SpinCacheError as exc:
            self.outcome = exc
        self.ended = time.monotonic()

    def join(self) -> None:
        self.thread.join(10)
        assert not self.thread.is_alive()


def stop_by_close(client: Registry, cancel: threading.Event) -> float:
    client.close()
    return 0.2


def stop_by_cancel(client: Registry, cancel: threading.Event) -> float:
    cancel.set()
    return 0.6


STOPS = pytest.mark.parametrize("stop", [stop_by_close, stop_by_cancel])


def assert_stops(client: Registry, cancel: threading.Event, stop: Any, *workers: Worker) -> None:
    started = time.monotonic()
    patience = stop(client, cancel)
    for worker in workers:
        worker.join()
        assert isinstance(worker.outcome, PullCancelled), worker.outcome
        assert worker.ended - started < patience
    client.close()


@STOPS
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize(
    ("behaviour", "received"),
    [
        (faults.Stall(after=100_000), 100_000),
        (faults.Stall(), 0),
        (faults.Drip(size=100, pause=0.05), 200),
        (behaviours.later(503, retry_after=50), 0),
    ],
    ids=repr,
)
def test_stop_ends_whatever_waits(
    hostile: HostileServer,
    hostile_tls: HostileServer,
    ca_file: Path,
    behaviour: behaviours.Behaviour,
    received: int,
    secure: bool,
    stop: Any,
) -> None:
    """A body that stalls or drips, a head that does not come, a wait between attempts."""
    server = hostile_tls if secure else hostile
    server.content(PATH, DATA)
    server.always(PATH, behaviour)
    cancel = threading.Event()
    options: dict[str, Any] = {"insecure": False, "ca": ca_file} if secure else {}
    client = Registry(cancel=cancel, timeouts=PATIENT, **options)
    workers = [Worker(client, server.name) for _ in range(2)]
    behaviours.wait_until(lambda: len(server.requests) == 2)
    behaviours.wait_until(lambda: all(worker.received >= received for worker in workers))
    time.sleep(0.1)
    assert_stops(client, cancel, stop, *workers)
    assert len(server.requests) == 2


def test_close_ends_a_handshake_that_never_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = Registry(insecure=False, timeouts=PATIENT)
        worker = Worker(client, f"127.0.0.1:{listener.getsockname()[1]}")
        peer, _ = listener.accept()
        with peer:
            assert peer.recv(1) == b"\x16"  # a ClientHello
            assert_stops(client, threading.Event(), stop_by_close, worker)


def test_close_ends_a_connection_that_does_not_come_about() -> None:
    with full_listener() as name:
        client = Registry(timeouts=PATIENT)
        worker = Worker(client, name)
        time.sleep(0.3)
        assert worker.outcome is None
        assert_stops(client, threading.Event(), stop_by_close, worker)


def test_client_that_was_stopped_asks_nothing(hostile: HostileServer) -> None:
    cancel = threading.Event()
    closed, cancelled = Registry(cancel=cancel), Registry(cancel=cancel)
    for _ in range(2):
        closed.close()  # for good, and twice is no fault
    assert not cancel.is_set()
    cancel.set()
    for client in (closed, cancelled):
        with pytest.raises(PullCancelled):
            client.fetch_manifest(ref(f"{hostile.name}/org/app:v1"))
        assert client.request_count == 0
    assert hostile.connections == 0


def test_close_frees_all_connections(hostile: HostileServer) -> None:
    hostile.content(PATH, DATA)
    client = Registry()
    workers = [Worker(client, hostile.name) for _ in range(4)]
    for worker in workers:
        worker.join()
    assert hostile.open_connections > 0
    client.close()
    behaviours.wait_until(lambda: hostile.open_connections == 0)


def test_close_while_fetching_never_gives_wrong_bytes(hostile_tls: HostileServer, ca_file: Path) -> None:
    """Cutting TLS must not let ciphertext through as plaintext."""
    hostile_tls.content(PATH, DATA)
    hostile_tls.always(PATH, faults.Drip(size=5000, pause=0.0005))
    for number in range(12):
        client = Registry(insecure=False, ca=ca_file)
        received = bytearray()

        def take(client: Registry = client, received: bytearray = received) -> None:
            try:
                for piece in client.stream_blob(ref(f"{hostile_tls.name}/org/app:v1"), BLOB):
                    received.extend(piece)
            except PullCancelled:
                pass

        thread = threading.Thread(target=take)
        thread.start()
        time.sleep(0.01 + number * 0.004)
        client.close()
        thread.join(10)
        assert bytes(received) == DATA[: len(received)]


def test_keyboard_interrupt_passes_through(hostile: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile.content(PATH, DATA)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with Registry() as client:
        pieces = client.stream_blob(ref(f"{hostile.name}/org/app:v1"), BLOB)
        next(pieces)
        monkeypatch.setattr(Halt, "check", interrupt)
        with pytest.raises(KeyboardInterrupt):
            list(pieces)
        behaviours.wait_until(lambda: hostile.open_connections == 0)
