"""Whom a client trusts, and that it finds out only when it has to."""

from __future__ import annotations

import datetime as dt
import ssl
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from spincache_nb.core.settings import Timeouts
from spincache_nb.core.transport.tls import Tls
from spincache_nb.errors import ConnectionFailedError
from tests.core.clients import quick_client, ref
from tests.support.hostile import HostileServer

CONTENT = b"{}"
PATH = "/v2/app/manifests/v1"
Start = Callable[..., HostileServer]


def fetch(server: HostileServer, *, host: str = "127.0.0.1", **options: object) -> bytes:
    server.content(PATH, CONTENT)
    with quick_client(**({"insecure": False} | options)) as client:
        return client.fetch_manifest(ref(f"{host}:{server.port}/app:v1")).content


def test_unknown_authority_is_refused_with_what_to_do(hostile_tls: HostileServer) -> None:
    with pytest.raises(ConnectionFailedError) as caught:
        fetch(hostile_tls)
    assert "ca=" in caught.value.remedy
    assert "certificate" in caught.value.expected
    assert hostile_tls.name in caught.value.where
    assert hostile_tls.connections == 1  # nothing that another attempt would change
    assert hostile_tls.requests == []


def test_ca_adds_an_authority(hostile_tls: HostileServer, ca_file: Path) -> None:
    assert fetch(hostile_tls, ca=ca_file) == CONTENT
    assert fetch(hostile_tls, ca=str(ca_file)) == CONTENT


def test_ssl_cert_file_is_honoured(
    hostile_tls: HostileServer, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    assert fetch(hostile_tls) == CONTENT


def test_ssl_cert_dir_is_honoured(
    hostile_tls: HostileServer, ca_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named = subprocess.run(
        ["openssl", "x509", "-subject_hash", "-noout", "-in", str(ca_file)],
        capture_output=True,
        text=True,
        check=True,
    )
    (tmp_path / f"{named.stdout.strip()}.0").write_bytes(ca_file.read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", f"/nonexistent:{tmp_path}")
    assert fetch(hostile_tls) == CONTENT


def test_ca_is_added_to_ssl_cert_file(
    hostile_tls: HostileServer, ca_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    with pytest.raises(ConnectionFailedError):
        fetch(hostile_tls)
    assert fetch(hostile_tls, ca=ca_file) == CONTENT


def test_ssl_cert_file_replaces_the_systems_store(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    context = Tls().context()
    assert len(context.get_ca_certs()) == 1
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_certificate_file_that_is_none_is_named(
    hostile_tls: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConnectionFailedError) as caught:
        fetch(hostile_tls, ca=path)
    assert caught.value.where == f"ca= {path}"
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(ConnectionFailedError) as caught:
        fetch(hostile_tls)
    assert caught.value.where == f"SSL_CERT_FILE {path}"


def test_certificate_for_another_name_is_refused(
    start_hostile: Start, private_ca: trustme.CA, ca_file: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    private_ca.issue_cert("elsewhere.example").configure_cert(context)
    with pytest.raises(ConnectionFailedError) as caught:
        fetch(start_hostile(tls=context), ca=ca_file, host="localhost")
    assert "the name that the certificate is for" in caught.value.remedy


def test_certificate_that_has_expired_is_refused(
    start_hostile: Start, private_ca: trustme.CA, ca_file: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    private_ca.issue_cert("127.0.0.1", not_after=yesterday).configure_cert(context)
    with pytest.raises(ConnectionFailedError, match="expired"):
        fetch(start_hostile(tls=context), ca=ca_file)


def test_plain_server_that_waits_for_more_of_a_handshake_is_explained(hostile: HostileServer) -> None:
    with pytest.raises(ConnectionFailedError) as caught:
        fetch(hostile, timeouts=Timeouts(connect=0.2))
    assert "insecure=True" in caught.value.remedy
    assert hostile.connections == 3


def test_old_tls_is_refused(start_hostile: Start, private_ca: trustme.CA, ca_file: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    private_ca.issue_cert("127.0.0.1").configure_cert(context)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ConnectionFailedError):
        fetch(start_hostile(tls=context), ca=ca_file)


def test_tls_connection_is_kept_for_the_next_request(hostile_tls: HostileServer, ca_file: Path) -> None:
    hostile_tls.content(PATH, CONTENT)
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
    assert fetch(hostile, insecure=None, ca="/does/not/exist.pem") == CONTENT


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_judge_by_truststore(
    monkeypatch: pytest.MonkeyPatch, platform: str, ca_file: Path
) -> None:
    import truststore

    monkeypatch.setattr("sys.platform", platform)
    context = Tls(ca_file).context()
    monkeypatch.undo()
    assert type(context) is truststore.SSLContext


def test_linux_without_a_file_of_authorities_asks_truststore(monkeypatch: pytest.MonkeyPatch) -> None:
    import truststore

    nothing = ssl.DefaultVerifyPaths(None, None, "", "", "", "")  # type: ignore[arg-type]
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: nothing)
    assert type(Tls().context()) is truststore.SSLContext


def test_truststore_speaks_through_this_transport(
    hostile_tls: HostileServer, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What macOS and Windows use, as far as it can be tried here."""
    nothing = ssl.DefaultVerifyPaths(None, None, "", "", "", "")  # type: ignore[arg-type]
    monkeypatch.setattr("spincache_nb.core.transport.tls.sys.platform", "darwin")
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: nothing)
    assert fetch(hostile_tls, ca=ca_file) == CONTENT
    with pytest.raises(ConnectionFailedError, match="ca="):
        fetch(hostile_tls)


def test_truststore_is_loaded_only_where_it_is_needed() -> None:
    names = ("truststore", "tenacity")
    code = f"import sys, spincache_nb.core.registry; print([n for n in {names} if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
