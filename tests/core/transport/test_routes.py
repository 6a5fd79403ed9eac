"""The way of a request: the system's proxies, never for loopback, their secrets hidden; whom it trusts."""

import base64
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from spincache_nb.core.addresses import Proxy, SystemProxies
from spincache_nb.core.refusals import causes
from spincache_nb.core.settings import Timeouts
from spincache_nb.core.web import Tls
from spincache_nb.errors import ConnectionFailedError, MissingExtraError, StatusError
from tests.core.clients import BLOB, DATA, PATH, REFERENCE, fetch_blob, quick_client, ref
from tests.support import behaviours, faults
from tests.support.hostile import HostileServer

Start = Callable[..., HostileServer]


class Tunnel:
    """A proxy that leads everything to one server: by CONNECT, or by SOCKS 5."""

    def __init__(
        self, target: int, *, socks: bool = False, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n"
    ) -> None:
        self.target = target
        self.socks = socks
        self.answer = answer
        self.asked: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.threads: list[threading.Thread] = []
        self.sockets: list[socket.socket] = [self.listener]
        self.start(self.accept)

    def start(self, target: Callable[..., None], *arguments: object) -> None:
        self.threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self.threads[-1].start()

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.sockets.append(client)
                self.start(self.serve, client)

    def serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if not (self.greet_socks(client) if self.socks else self.greet_http(client)):
                return
            with socket.create_connection(("127.0.0.1", self.target)) as server:
                self.sockets.append(server)
                self.start(self.pump, server, client)
                self.pump(client, server)

    def greet_http(self, client: socket.socket) -> bool:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        self.asked.append(head)
        client.sendall(self.answer)
        return b" 200 " in self.answer

    def greet_socks(self, client: socket.socket) -> bool:
        client.recv(client.recv(2)[1])
        client.sendall(b"\x05\x00")
        head = client.recv(4)
        assert head[:2] == b"\x05\x01"
        name = client.recv(client.recv(1)[0]) if head[3] == 3 else client.recv(4)
        self.asked.append(name)
        client.recv(2)
        client.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        return True

    @staticmethod
    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)
        for one in self.sockets:
            one.close()


@pytest.fixture
def tunnel_by(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Tunnel]]:
    """Starts a tunnel to a port, and names it in a variable behind a scheme and perhaps a user."""
    with contextlib.ExitStack() as stack:

        def start(variable: str, scheme: str, target: int, **options: Any) -> Tunnel:
            if scheme.startswith("socks"):
                pytest.importorskip("socksio")
            tunnel = Tunnel(target, socks=scheme.startswith("socks"), **options)
            stack.callback(tunnel.stop)
            monkeypatch.setenv(variable, f"{scheme}127.0.0.1:{tunnel.port}")
            return tunnel

        yield start


@pytest.fixture
def named_server(start_hostile: Start, private_ca: trustme.CA) -> HostileServer:
    """A TLS server that says it is ``r.example``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    private_ca.issue_cert("r.example").configure_cert(context)
    server = start_hostile(tls=context)
    server.content(PATH, DATA)
    return server


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.example:3128", Proxy("http", "proxy.example", 3128)),
        ("http://proxy.example", Proxy("http", "proxy.example", 80)),
        ("http://proxy.example:3128/", Proxy("http", "proxy.example", 3128)),
        ("proxy.example:3128", Proxy("http", "proxy.example", 3128)),
        ("HTTP://Proxy.Example:1", Proxy("http", "proxy.example", 1)),
        ("https://proxy.example", Proxy("https", "proxy.example", 443)),
        ("socks://127.0.0.1:1080/", Proxy("socks5", "127.0.0.1", 1080)),
        ("socks5://h.example", Proxy("socks5", "h.example", 1080)),
        ("socks5h://h.example:1", Proxy("socks5h", "h.example", 1)),
        ("http://[::1]:3128", Proxy("http", "::1", 3128)),
        ("http://ann:p%40ss%3Aword@proxy.example:1", Proxy("http", "proxy.example", 1, "ann", "p@ss:word")),
    ],
)
def test_proxy_parse_reads(text: str, proxy: Proxy) -> None:
    assert Proxy.parse(text) == proxy


@pytest.mark.parametrize(
    "text",
    [
        *("socks4://h.example:1", "ftp://h.example", "http://", "http://h.example:x", "http://[", "://"),
        *(f"http://ann:SECRET{mark}1@h.example:1" for mark in "#/?"),
        *("http://ann:12#SECRET@h.example", "ann:SECRET/@h.example", "gopher://ann:SECRET@h.example"),
    ],
)
def test_proxy_parse_refuses_without_repeating_a_password(text: str) -> None:
    with pytest.raises(ConnectionFailedError, match="HTTPS_PROXY") as caught:
        Proxy.parse(text)
    chain = [str(one) + repr(one) for one in causes(caught.value)]
    assert "SECRET" not in "".join(chain + traceback.format_exception(caught.value))


def test_proxy_hides_its_user() -> None:
    proxy = Proxy.parse("http://ann:secret@proxy.example:1")
    assert proxy.authorization == "Basic " + base64.b64encode(b"ann:secret").decode()
    for text in (repr(proxy), str(proxy), proxy.name):
        assert "secret" not in text
        assert "ann" not in text


@pytest.mark.parametrize(
    ("environment", "url", "name"),
    [
        ({"HTTPS_PROXY": "http://p.example:1"}, "https://r.example/", "http://p.example:1"),
        ({"https_proxy": "http://p.example:1"}, "https://r.example/", "http://p.example:1"),
        ({"HTTP_PROXY": "http://p.example:1"}, "https://r.example/", None),
        ({"HTTP_PROXY": "http://p.example:1"}, "http://r.example/", "http://p.example:1"),
        ({"ALL_PROXY": "socks5://p.example:1"}, "https://r.example/", "socks5://p.example:1"),
        (
            {"ALL_PROXY": "http://a.example", "HTTPS_PROXY": "http://p.example:1"},
            "https://r.example/",
            "http://p.example:1",
        ),
        ({"HTTPS_PROXY": "http://p.example:1", "NO_PROXY": "r.example"}, "https://r.example/", None),
        ({"HTTPS_PROXY": ""}, "https://r.example/", None),
        ({}, "https://r.example/", None),
        ({"HTTP_PROXY": "nonsense://x", "ALL_PROXY": "nonsense://x"}, "http://localhost:5000/", None),
        ({"HTTP_PROXY": "http://p.example:1"}, "http://127.0.0.1:5000/", None),
        ({"HTTPS_PROXY": "http://p.example:1"}, "https://[::1]:5000/", None),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have settings of their own besides")
def test_system_proxies_are_found(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, name: str | None
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    proxy = SystemProxies()(httpx.URL(url))
    assert (proxy.name if proxy is not None else None) == name


@pytest.mark.parametrize(
    ("no_proxy", "address", "exempt"),
    [
        # Go's rules (golang.org/x/net/http/httpproxy), which users of registries know; curl/curl#9773
        ("*", "r.example:443", True),
        ("a.example,*", "r.example:443", True),
        ("r.example", "r.example:443", True),
        ("r.example", "sub.r.example:443", True),
        ("r.example", "notr.example:443", False),
        (".r.example", "sub.r.example:443", True),
        (".r.example", "r.example:443", False),
        ("*.r.example", "sub.r.example:443", True),
        ("*.r.example", "r.example:443", False),
        ("*r.example", "subr.example:443", False),
        ("R.Example", "r.example:443", True),
        (" a.example , r.example ", "r.example:443", True),
        ("a.example r.example", "r.example:443", True),
        ("r.example:5000", "r.example:5000", True),
        ("r.example:5000", "r.example:443", False),
        (".example:5000", "r.example:5000", True),
        ("r.example.", "r.example:443", True),
        ("10.0.0.0/8", "10.1.2.3:443", True),
        ("10.0.0.0/8", "11.1.2.3:443", False),
        ("10.0.0.0/8", "ten.example:443", False),
        ("10.0.0.0/99,x/y", "10.1.2.3:443", False),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3:5000", "10.1.2.3:443", False),
        ("10.1.2", "10.1.2.3:443", False),
        ("fd00::/8", "[fd00::1]:443", True),
        ("[fd00::]/8", "[fd00::1]:443", True),
        ("fd00::1", "[fd00:0::1]:443", True),
        ("[fd00::1]:5000", "[fd00::1]:5000", True),
        ("[fd00::1]:5000", "[fd00::1]:443", False),
        ("::ffff:10.1.2.3", "10.1.2.3:443", True),
        ("", "r.example:443", False),
        (",,:,.", "r.example:443", False),
    ],
)
def test_no_proxy_follows_the_rules_of_go(
    no_proxy: str, address: str, exempt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://p.example:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    proxy = SystemProxies()(httpx.URL(f"https://{address}/"))
    assert (proxy is None) == exempt


def test_system_proxies_takes_the_systems_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS and Windows, urllib looks into them; here it is told what they are."""
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://system.example:8080"})
    monkeypatch.setattr("urllib.request.proxy_bypass", lambda host: host == "direct.example")
    proxies = SystemProxies()
    assert proxies(httpx.URL("https://r.example/")) == Proxy("http", "system.example", 8080)
    assert proxies(httpx.URL("https://direct.example/")) is None


def test_loopback_never_goes_through_a_proxy(hostile: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile.content(PATH, DATA)
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(variable, "http://proxy.example:1")
    with quick_client() as client:
        for host in ("127.0.0.1", "localhost"):
            reference = ref(f"{host}:{hostile.port}/org/app:v1")
            assert b"".join(client.stream_blob(reference, BLOB)) == DATA


def test_plain_http_is_asked_of_the_proxy_by_its_whole_address(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.content(PATH, DATA)
    hostile.on(PATH, faults.Cut(50_000))
    monkeypatch.setenv("HTTP_PROXY", f"http://ann:secret@{hostile.name}")
    assert fetch_blob(insecure=True) == DATA
    assert [request.line for request in hostile.requests] == [f"GET http://r.example{PATH}"] * 2
    wanted = "Basic " + base64.b64encode(b"ann:secret").decode()
    assert [request.header("Proxy-Authorization") for request in hostile.requests] == [wanted] * 2
    assert [request.header("Host") for request in hostile.requests] == ["r.example"] * 2


def test_https_goes_through_a_tunnel(
    named_server: HostileServer, tunnel_by: Callable[..., Tunnel], ca_file: Path
) -> None:
    tunnel = tunnel_by("HTTPS_PROXY", "http://ann:secret@", named_server.port)
    with quick_client(ca=ca_file) as client:
        for _ in range(3):
            assert b"".join(client.stream_blob(REFERENCE, BLOB)) == DATA
    [head] = tunnel.asked
    assert head.startswith(b"CONNECT r.example:443 HTTP/1.1\r\n")
    assert b"Host: r.example:443\r\n" in head
    assert b"Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n" in head
    assert [request.header("Proxy-Authorization") for request in named_server.requests] == [None] * 3
    assert [request.target for request in named_server.requests] == [PATH] * 3


def test_tunnel_does_not_weaken_tls(
    named_server: HostileServer, tunnel_by: Callable[..., Tunnel], ca_file: Path
) -> None:
    tunnel_by("HTTPS_PROXY", "http://", named_server.port)
    with pytest.raises(ConnectionFailedError, match="certificate"):
        fetch_blob("other.example", ca=ca_file)
    assert named_server.requests == []


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway"])
def test_proxy_that_refuses_is_named(tunnel_by: Callable[..., Tunnel], status: str) -> None:
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
    tunnel = tunnel_by("HTTPS_PROXY", "http://ann:secret@", 1, answer=answer)
    with pytest.raises(ConnectionFailedError) as caught:
        fetch_blob()
    assert status[:3] in caught.value.found
    assert f"127.0.0.1:{tunnel.port}" in caught.value.found
    assert "secret" not in str(caught.value)
    assert len(tunnel.asked) == 1


def test_proxy_that_is_no_help_is_one_clear_error(
    hostile: HostileServer, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.always("*", behaviours.Reply(407))
    for proxy, insecure, words in (
        (f"http://127.0.0.1:{closed_port}", None, f"127.0.0.1:{closed_port} .*refused"),
        ("gopher://p.example", None, "HTTPS_PROXY"),
        (hostile.url, True, "407"),
    ):
        monkeypatch.setenv("HTTPS_PROXY" if insecure is None else "HTTP_PROXY", proxy)
        with pytest.raises((ConnectionFailedError, StatusError), match=words):
            fetch_blob(insecure=insecure)


def test_socks_proxy_is_used_for_https(
    named_server: HostileServer, tunnel_by: Callable[..., Tunnel], ca_file: Path
) -> None:
    named_server.on(PATH, faults.Cut(50_000))
    tunnel = tunnel_by("ALL_PROXY", "socks5://", named_server.port)
    assert fetch_blob(ca=ca_file) == DATA
    assert tunnel.asked == [b"r.example"] * 2
    assert [request.header("Range") for request in named_server.requests] == [None, "bytes=50000-"]
    assert {request.header("Accept-Encoding") for request in named_server.requests} == {"identity"}


def test_socks_proxy_is_used_for_plain_http_without_certificates(
    hostile: HostileServer, tunnel_by: Callable[..., Tunnel], monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.content(PATH, DATA)
    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", None)
    monkeypatch.setattr("ssl.SSLContext.set_default_verify_paths", None)
    tunnel_by("ALL_PROXY", "socks5h://", hostile.port)
    assert fetch_blob(insecure=True) == DATA


def test_socks_read_is_ended_by_close(hostile: HostileServer, tunnel_by: Callable[..., Tunnel]) -> None:
    hostile.content(PATH, DATA)
    hostile.always(PATH, faults.Stall(after=100_000))
    tunnel_by("ALL_PROXY", "socks5://", hostile.port)
    client = quick_client(insecure=True)
    caught: list[BaseException] = []
    received: list[bytes] = []

    def take() -> None:
        try:
            received.extend(client.stream_blob(REFERENCE, BLOB))
        except BaseException as exc:  # noqa: BLE001 - whatever it is, it is looked at below
            caught.append(exc)

    thread = threading.Thread(target=take)
    thread.start()
    behaviours.wait_until(lambda: client.wire_bytes == 100_000)
    client.close()
    thread.join(1)
    assert not thread.is_alive()
    assert [type(exc).__name__ for exc in caught] == ["PullCancelled"]


def test_socks_proxy_without_its_package_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", "socks5://ann:secret@127.0.0.1:1080")
    with quick_client() as client:
        with pytest.raises(MissingExtraError, match=r"spincache-nb\[socks\]") as caught:
            list(client.stream_blob(REFERENCE, BLOB))
        assert client.request_count == 1
    assert "secret" not in str(caught.value)


def test_https_proxy_speaks_tls_itself(
    start_hostile: Start,
    private_ca: trustme.CA,
    server_tls: ssl.SSLContext,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = start_hostile(tls=server_tls)
    proxy.content(PATH, DATA)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    assert fetch_blob(insecure=True, ca=ca_file) == DATA
    assert [request.line for request in proxy.requests] == [f"GET http://r.example{PATH}"]


CONTENT = b"{}"
TLS_PATH = "/v2/app/manifests/v1"


def fetch_tls(server: HostileServer, *, host: str = "127.0.0.1", **options: object) -> bytes:
    server.content(TLS_PATH, CONTENT)
    with quick_client(**({"insecure": False} | options)) as client:
        return client.fetch_manifest(ref(f"{host}:{server.port}/app:v1")).content


def test_unknown_authority_is_refused_with_what_to_do(hostile_tls: HostileServer) -> None:
    with pytest.raises(ConnectionFailedError) as caught:
        fetch_tls(hostile_tls)
    assert "ca=" in caught.value.remedy
    assert "certificate" in caught.value.expected
    assert hostile_tls.name in caught.value.where
    assert hostile_tls.connections == 1  # nothing that another attempt would change
    assert hostile_tls.requests == []


@pytest.mark.parametrize("way", ["ca", "ca as text", "file", "folder", "ca and another file", "another file"])
def test_authority_can_be_added(
    hostile_tls: HostileServer, ca_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    if "file" in way:
        path = ca_file if way == "file" else tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        context = Tls().context()
        assert (len(context.get_ca_certs()), context.check_hostname) == (1, True)  # and none of the system's
    if way == "folder":
        command = ["openssl", "x509", "-subject_hash", "-noout", "-in", str(ca_file)]
        named = subprocess.run(command, capture_output=True, text=True, check=True)
        (tmp_path / f"{named.stdout.strip()}.0").write_bytes(ca_file.read_bytes())
        monkeypatch.setenv("SSL_CERT_DIR", f"/nonexistent:{tmp_path}")
    if way == "another file":
        with pytest.raises(ConnectionFailedError, match="certificate"):
            fetch_tls(hostile_tls)
        return
    options = {"ca": str(ca_file) if "text" in way else ca_file} if way.startswith("ca") else {}
    assert fetch_tls(hostile_tls, **options) == CONTENT


@pytest.mark.parametrize(
    ("name", "age", "version", "words"),
    [
        ("elsewhere.example", -1, None, "the name that the certificate is for"),
        ("127.0.0.1", 1, None, "expired"),
        ("127.0.0.1", -1, ssl.TLSVersion.TLSv1_1, "which TLS versions it speaks"),
    ],
)
def test_certificate_of_another_name_or_time_and_old_tls_are_refused(
    start_hostile: Start, private_ca: trustme.CA, ca_file: Path, name: str, age: int, version: Any, words: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    until = dt.datetime.now(dt.UTC) - dt.timedelta(days=age)
    private_ca.issue_cert(name, not_after=until).configure_cert(context)
    if version is not None:
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = version
    with pytest.raises(ConnectionFailedError, match=words) as caught:
        fetch_tls(start_hostile(tls=context), ca=ca_file)
    assert "_ssl.c" not in caught.value.found  # the reason, without where it stands in OpenSSL's binding


@pytest.mark.parametrize("ca_given", [True, False])
def test_private_authority_is_not_held_to_more_than_curl_holds_it(
    start_hostile: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ca_given: bool
) -> None:
    """Python 3.13's default context is strict; as in python-poetry/install.python-poetry.org#145."""
    authority, server = lax_authority("127.0.0.1")
    (tmp_path / "ca.pem").write_bytes(authority)
    (tmp_path / "server.pem").write_bytes(server)
    original = ssl.create_default_context

    def strict(*arguments: object, **options: object) -> ssl.SSLContext:
        made = original(*arguments, **options)  # type: ignore[arg-type]
        made.verify_flags |= ssl.VERIFY_X509_STRICT
        if not ca_given:
            made.load_verify_locations(tmp_path / "ca.pem")
        return made

    monkeypatch.setattr("ssl.create_default_context", strict)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    options = {"ca": tmp_path / "ca.pem"} if ca_given else {}
    assert fetch_tls(start_hostile(tls=context), **options) == CONTENT


def lax_authority(name: str) -> tuple[bytes, bytes]:
    """An authority without key identifiers, its constraints not critical; and a server with its key."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in ("lax", name)]
    now = dt.datetime.now(dt.UTC)

    def issue(number: int) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(names[number]).issuer_name(names[0])
        made = made.public_key(keys[number].public_key()).serial_number(x509.random_serial_number())
        return made.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(days=1))

    constraints = x509.BasicConstraints(ca=True, path_length=None)
    authority = issue(0).add_extension(constraints, critical=False).sign(keys[0], hashes.SHA256())
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))])
    server = issue(1).add_extension(alternative, critical=False).sign(keys[0], hashes.SHA256())
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    key = keys[1].private_bytes(pem, form, serialization.NoEncryption())
    return authority.public_bytes(pem), key + server.public_bytes(pem)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_certificate_file_that_is_none_is_named(
    hostile_tls: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConnectionFailedError) as caught:
        fetch_tls(hostile_tls, ca=path)
    assert caught.value.where == f"ca= {path}"
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(ConnectionFailedError) as caught:
        fetch_tls(hostile_tls)
    assert caught.value.where == f"SSL_CERT_FILE {path}"


def test_plain_server_that_waits_for_more_of_a_handshake_is_explained(hostile: HostileServer) -> None:
    with pytest.raises(ConnectionFailedError) as caught:
        fetch_tls(hostile, timeouts=Timeouts(connect=0.2))
    assert "insecure=True" in caught.value.remedy
    assert hostile.connections == 3


def test_tls_connection_is_kept_for_the_next_request(hostile_tls: HostileServer, ca_file: Path) -> None:
    hostile_tls.content(TLS_PATH, CONTENT)
    with quick_client(insecure=False, ca=ca_file) as client:
        for _ in range(5):
            client.fetch_manifest(ref(f"{hostile_tls.name}/app:v1"))
    assert hostile_tls.connections == 1


def test_context_is_built_once_for_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []
    original = ssl.create_default_context

    def counted() -> ssl.SSLContext:
        built.append(None)
        return original()

    monkeypatch.setattr("ssl.create_default_context", counted)
    tls = Tls()
    with ThreadPoolExecutor(16) as pool:
        assert len(set(map(id, pool.map(lambda _: tls.context(), range(64))))) == 1
    assert len(built) == 1


def test_plain_http_loads_no_certificates(hostile: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", None)
    monkeypatch.setattr("ssl.SSLContext.set_default_verify_paths", None)
    monkeypatch.setattr("ssl.create_default_context", None)
    assert fetch_tls(hostile, insecure=None, ca="/does/not/exist.pem") == CONTENT


@pytest.mark.parametrize("platform", ["darwin", "win32", "linux"])
def test_truststore_judges_on_other_systems_and_where_there_is_no_file(
    hostile_tls: HostileServer, ca_file: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    import truststore

    nothing = ssl.DefaultVerifyPaths(None, None, "", "", "", "")  # type: ignore[arg-type]
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: nothing)
    monkeypatch.setattr("sys.platform", platform)
    context = Tls(ca_file).context()
    monkeypatch.setattr("sys.platform", "linux")
    assert type(context) is truststore.SSLContext
    assert fetch_tls(hostile_tls, ca=ca_file) == CONTENT
    with pytest.raises(ConnectionFailedError, match="ca="):
        fetch_tls(hostile_tls)
