"""The embedded registry over real sockets, with clients that are not ours."""

import gc
import hashlib
import http.client
import json
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from spincache_nb import demo
from spincache_nb.demo import server as server_module
from spincache_nb.errors import SpinCacheError
from tests.support.procs import free_port

OCI = "application/vnd.oci.image.manifest.v1+json"
MANIFEST = "/v2/demo/hello/manifests/1.0.0"
MANIFEST_DIGEST = "sha256:d30e7b6d76bd94a064db77a301cf4c490cce217e4d5cdfbc4b5878539f3f0218"


@pytest.fixture
def running():
    with demo.registry(port=0) as registry:
        yield registry


@pytest.fixture
def connection(running):
    client = http.client.HTTPConnection(running.host, timeout=10)
    yield client
    client.close()


def ask(
    client: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    client.request(method, path, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
    response = client.getresponse()
    return response, response.read()


def address_of(registry: demo.DemoRegistry) -> tuple[str, int]:
    host, _, port = registry.host.partition(":")
    return host, int(port)


def is_up(registry: demo.DemoRegistry) -> bool:
    with urllib.request.urlopen(f"http://{registry.host}/v2/", timeout=10) as response:
        return bool(response.status == 200)


def demo_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("spincache-demo")]


def test_registry_serves_every_manifest_and_blob(running):
    for artifact in running.artifacts:
        base = f"http://{running.host}/v2/{artifact.repository}"
        with urllib.request.urlopen(f"{base}/manifests/{artifact.tag}", timeout=10) as response:
            manifest = response.read()
            digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
            assert response.headers["Docker-Content-Digest"] == digest
            assert response.headers["Content-Type"] == OCI
        with urllib.request.urlopen(f"{base}/manifests/{digest}", timeout=10) as response:
            assert response.read() == manifest
        parsed = json.loads(manifest)
        for descriptor in (parsed["config"], *parsed["layers"]):
            with urllib.request.urlopen(f"{base}/blobs/{descriptor['digest']}", timeout=10) as response:
                data = response.read()
            assert "sha256:" + hashlib.sha256(data).hexdigest() == descriptor["digest"]
            assert len(data) == descriptor["size"]


def test_registry_answers_head_without_a_body(connection):
    response, body = ask(connection, "HEAD", MANIFEST, Accept=OCI)
    assert (response.status, body) == (200, b"")
    assert response.getheader("Content-Length") == "834"
    assert response.getheader("Docker-Content-Digest") == MANIFEST_DIGEST
    response, _ = ask(connection, "GET", "/v2/")  # on the same connection
    assert response.status == 200
    assert response.getheader("Docker-Distribution-Api-Version") == "registry/2.0"


def test_registry_joins_accept_lines(running):
    accepted = (f"Accept: {OCI}", "Accept: text/plain")
    lines = [f"GET {MANIFEST} HTTP/1.1", "Host: x", *accepted, "Connection: close"]
    with socket.create_connection(address_of(running), timeout=10) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/demo/hello/blobs/uploads/"),
        ("PUT", MANIFEST),
        ("PATCH", "/v2/demo/hello/blobs/uploads/1"),
        ("DELETE", MANIFEST),
    ],
)
@pytest.mark.parametrize("size", [0, 300_000])
def test_registry_refuses_pushes(running, method, path, size):
    client = http.client.HTTPConnection(running.host, timeout=10)
    response, body = ask(client, method, path, body=b"x" * size)
    client.close()
    assert response.status == 405
    assert response.getheader("Allow") == "GET, HEAD"
    assert json.loads(body)["errors"][0]["code"] == "UNSUPPORTED"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b" 400 "),  # a TLS client hello, more or less
        (b"NONSENSE\r\n\r\n", b" 400 "),
        (b"TRACE /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", b" 501 "),
        (b"GET /v2/ HTTP/9.9\r\n\r\n", b" 505 "),
        (b"GET /" + b"x" * 70000 + b" HTTP/1.1\r\n\r\n", b" 414 "),
    ],
)
def test_registry_survives_what_is_no_request(running, sent, status, capfd):
    with socket.create_connection(address_of(running), timeout=10) as client:
        client.sendall(sent)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert status in answer.partition(b"\r\n")[0]
    assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["errors"][0]["code"] == "UNSUPPORTED"
    assert is_up(running)
    assert capfd.readouterr() == ("", "")


def test_registry_is_silent_when_a_client_goes_away(running, capfd):
    layer = demo.artifacts()[0].layers[0]
    for _ in range(3):
        with socket.create_connection(address_of(running), timeout=10) as client:
            reset_at_close = struct.pack("ii", 1, 0)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_at_close)
            client.sendall(f"GET /v2/demo/hello/blobs/{layer.digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            client.recv(10)
    assert is_up(running)
    assert capfd.readouterr() == ("", "")


def test_registry_keeps_a_connection_and_answers_without_delay(
    connection,
):
    ask(connection, "GET", "/v2/")
    kept = connection.sock
    times = []
    for _ in range(50):
        start = time.perf_counter()
        ask(connection, "GET", MANIFEST)
        times.append(time.perf_counter() - start)
    assert connection.sock is kept
    assert statistics.median(times) < 0.03  # Nagle's algorithm against delayed acknowledgement costs 0.04


def test_registry_serves_many_clients_at_once(running):
    layer = next(a for a in running.artifacts if a.repository == "demo/docs").layers[1]

    def fetch(_number: int) -> str:
        url = f"http://{running.host}/v2/demo/docs/blobs/{layer.digest}"
        with urllib.request.urlopen(url, timeout=30) as response:
            return hashlib.sha256(response.read()).hexdigest()

    with ThreadPoolExecutor(16) as pool:
        digests = set(pool.map(fetch, range(48)))
    assert digests == {layer.digest.removeprefix("sha256:")}
    assert len(running.requests) == 48


def test_registry_names_its_references_oldest_first(running):
    host = running.host
    assert len(running.references) == 18
    assert running.references[:4] == [
        f"{host}/demo/hello:1.0.0",
        f"{host}/demo/hello:1.0.1",
        f"{host}/demo/hello:1.1.0",
        f"{host}/demo/site:1.0.0",
    ]
    assert running.versions("demo/redact") == [f"{host}/demo/redact:{v}" for v in ("0.1.0", "0.2.0", "0.2.1")]
    assert running.latest == [
        f"{host}/demo/hello:1.1.0",
        f"{host}/demo/site:1.2.0",
        f"{host}/demo/docs:1.2.0",
        f"{host}/demo/playground:0.3.0",
        f"{host}/demo/greet:1.1.0",
        f"{host}/demo/redact:0.2.1",
    ]


def test_registry_is_frozen_and_short_in_repr(running):
    with pytest.raises(FrozenInstanceError):
        running.host = "elsewhere"  # type: ignore[misc]
    assert repr(running) == f"DemoRegistry(host='{running.host}')"


def test_requests_are_logged_with_status_and_bytes(running, connection):
    layer = demo.artifacts()[0].layers[0]
    blob = f"/v2/demo/hello/blobs/{layer.digest}"
    ask(connection, "GET", MANIFEST)
    ask(connection, "HEAD", MANIFEST)
    ask(connection, "GET", blob, Range="bytes=0-9")
    _, missing = ask(connection, "GET", "/v2/demo/nobody/tags/list?n=1")
    before = running.requests
    ask(connection, "GET", "/v2/")
    assert before == (
        ("GET", MANIFEST, 200, 834),
        ("HEAD", MANIFEST, 200, 0),
        ("GET", blob, 206, 10),
        ("GET", "/v2/demo/nobody/tags/list?n=1", 404, len(missing)),
    )
    assert running.requests[4].path == "/v2/"
    assert type(running.requests[0].status) is int


def test_serve_holds_the_artifacts_it_is_given():
    with demo.serve(demo.artifacts()[:1], port=0) as registry:
        assert registry.references == [f"{registry.host}/demo/hello:1.0.0"]
        url = f"http://{registry.host}/v2/demo/hello/tags/list"
        with urllib.request.urlopen(url, timeout=10) as response:
            assert json.load(response) == {"name": "demo/hello", "tags": ["1.0.0"]}


def test_preferred_port_is_the_documented_one_and_not_ephemeral():
    assert demo.PREFERRED_PORT == 27746
    assert demo.PREFERRED_PORT < 32768  # where Linux starts to hand out ports; others start later


def test_registry_takes_the_preferred_port(monkeypatch):
    monkeypatch.setattr(server_module, "PREFERRED_PORT", free_port())
    for _ in range(3):  # again at once: what lingers of the last run must not count
        with demo.registry() as registry:
            assert registry.host == f"127.0.0.1:{server_module.PREFERRED_PORT}"
            assert is_up(registry)


def test_registry_falls_back_to_a_free_port(monkeypatch):
    monkeypatch.setattr(server_module, "PREFERRED_PORT", free_port())
    with demo.registry() as first, demo.registry() as second:
        assert second.host != first.host
        for registry in (first, second):
            assert is_up(registry)


def test_registry_says_which_port_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SpinCacheError) as caught, demo.registry(port=port):
            pass  # pragma: no cover
    assert caught.value.where == f"127.0.0.1:{port}"
    assert caught.value.expected == "a free port"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_registry_listens_on_one_address_only(running):
    host, port = address_of(running)
    assert host == "127.0.0.1"
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.2", port))  # answers if the server listens on every address


def is_cut(client: socket.socket) -> bool:
    """Tell whether the other side ended the connection, in order or by a reset."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_registry_ends_with_connections_still_open():
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("error")
        with demo.registry(port=0) as registry:
            address = address_of(registry)
            idle = stack.enter_context(closing(http.client.HTTPConnection(registry.host, timeout=60)))
            silent = stack.enter_context(socket.create_connection(address, timeout=60))
            halfway = stack.enter_context(socket.create_connection(address, timeout=60))
            halfway.sendall(b"GET /v2/ HTTP/1.1\r\nHo")
            ask(idle, "GET", "/v2/")
            assert len(demo_threads()) > 1
            start = time.perf_counter()
        assert time.perf_counter() - start < 20
        assert demo_threads() == []
        assert is_cut(idle.sock)
        assert is_cut(silent)
        assert is_cut(halfway)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=10)
        gc.collect()


def test_registry_ends_while_a_slow_client_reads():
    layer = demo.artifacts()[0].layers[0]
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with demo.registry(port=0) as registry:
            client.connect(address_of(registry))
            client.sendall(f"GET /v2/demo/hello/blobs/{layer.digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            client.recv(10)
            start = time.perf_counter()
        assert time.perf_counter() - start < 20
        assert demo_threads() == []


def test_registry_ends_when_the_block_raises():
    with pytest.raises(KeyError), demo.registry(port=0) as registry:
        raise KeyError("from the block")
    assert demo_threads() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address_of(registry), timeout=10)


def test_a_workspace_that_is_left_open_ends_with_its_process():
    program = "from spincache_nb import demo; left = demo.Workspace(); print(left.folder)"
    root = Path(server_module.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert not Path(done.stdout.strip()).exists()
