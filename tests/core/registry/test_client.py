"""Manifests and documents: what is asked for, what is checked, what is refused."""

import gzip
import hashlib
import zlib
from collections.abc import Callable
from importlib.metadata import version

import httpx
import pytest

from spincache_nb.core.digest import Digest
from spincache_nb.core.registry import Registry
from spincache_nb.errors import (
    AccessDeniedError,
    DigestMismatchError,
    InvalidReferenceError,
    LimitError,
    NotFoundError,
    ProtocolError,
    SizeMismatchError,
    StatusError,
)
from tests.core.clients import Recording, blob_of, errors_page, mock_client, quick_client, ref, streamed
from tests.support import behaviours
from tests.support.hostile import HostileServer

CONTENT = b'{"schemaVersion": 2, "mediaType": "whatever"}'
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
SHA512 = "sha512:" + hashlib.sha512(CONTENT).hexdigest()
REFERENCE = ref("r.example/org/app:v1")
Start = Callable[..., HostileServer]


def serving(content: bytes = CONTENT, **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: httpx.Response(200, content=content, headers=names)


@pytest.mark.parametrize(
    ("reference", "digest", "url"),
    [
        ("r.example/org/app:v1", None, "https://r.example/v2/org/app/manifests/v1"),
        ("r.example:5000/a/b/c", None, "https://r.example:5000/v2/a/b/c/manifests/latest"),
        (f"r.example/org/app@{SHA256}", None, f"https://r.example/v2/org/app/manifests/{SHA256}"),
        (f"r.example/org/app:v1@{SHA256}", None, f"https://r.example/v2/org/app/manifests/{SHA256}"),
        ("r.example/org/app:v1", SHA512, f"https://r.example/v2/org/app/manifests/{SHA512}"),
        ("localhost:5000/app:1", None, "http://localhost:5000/v2/app/manifests/1"),
        ("127.0.0.1:5000/app:1", None, "http://127.0.0.1:5000/v2/app/manifests/1"),
        ("r.example/app:ü", None, "https://r.example/v2/app/manifests/%C3%BC"),
        ("busybox", None, "https://index.docker.io/v2/library/busybox/manifests/latest"),
    ],
)
def test_fetch_manifest_asks_for_the_right_address(reference: str, digest: str | None, url: str) -> None:
    handler = Recording(serving())
    with mock_client(handler) as client:
        client.fetch_manifest(ref(reference), Digest.parse(digest) if digest else None)
    [request] = handler.requests
    assert str(request.url) == url
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["User-Agent"] == f"spincache-nb/{version('spincache-nb')}"
    assert request.headers["Accept"].split(", ") == [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]


@pytest.mark.parametrize(
    ("insecure", "registry", "scheme"),
    [
        (None, "r.example", "https"),
        (None, "localhost:1", "http"),
        (None, "127.9.9.9", "http"),
        (True, "r.example", "http"),
        (True, "localhost", "http"),
        (False, "r.example", "https"),
        (False, "localhost:1", "https"),
        (False, "127.0.0.1", "https"),
    ],
)
def test_client_chooses_the_scheme_by_insecure(insecure: bool | None, registry: str, scheme: str) -> None:
    handler = Recording(serving())
    with mock_client(handler, insecure=insecure) as client:
        client.fetch_manifest(ref(f"{registry}/app:v1"))
    assert [request.url.scheme for request in handler.requests] == [scheme]


@pytest.mark.parametrize("port", ["0", "65536", "99999999999999999999"])
def test_fetch_manifest_refuses_a_port_that_is_none(port: str) -> None:
    with mock_client(serving()) as client, pytest.raises(InvalidReferenceError):
        client.fetch_manifest(ref(f"r.example:{port}/app:v1"))


def test_client_opens_nothing_before_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket", None)
    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", None)
    monkeypatch.setattr("urllib.request.getproxies", None)
    Registry(ca="/does/not/exist.pem", auth=("ann", "secret")).close()


def test_fetch_manifest_gives_bytes_and_digest() -> None:
    kind = "application/vnd.oci.image.manifest.v1+json"
    with mock_client(serving(Content_Type=f"{kind}; charset=utf-8", Docker_Content_Digest=SHA256)) as client:
        served = client.fetch_manifest(REFERENCE)
        assert client.wire_bytes == len(CONTENT)
        assert client.request_count == 1
    assert (served.content, str(served.digest)) == (CONTENT, SHA256)


@pytest.mark.parametrize("digest", [SHA256, SHA512])
def test_fetch_manifest_checks_every_name_that_the_bytes_have(digest: str) -> None:
    """The reference's, the one that an index gave, and the registry's own."""
    named, announced = ref(f"r.example/org/app:v1@{digest}"), serving(b"{}", Docker_Content_Digest=digest)
    with mock_client(serving(Docker_Content_Digest=SHA256)) as client:
        assert str(client.fetch_manifest(named).digest) == digest
    for handler, reference, wanted in (
        (serving(b"{}"), named, None),
        (serving(b"{}"), REFERENCE, Digest.parse(digest)),
        (announced, REFERENCE, None),
    ):
        with mock_client(handler) as client, pytest.raises(DigestMismatchError) as caught:
            client.fetch_manifest(reference, wanted)
        assert caught.value.expected == digest


@pytest.mark.parametrize("digests", [[""], [" "], [SHA256, SHA256], [f"{SHA256}, {SHA256}"], ["", SHA256]])
def test_fetch_manifest_takes_a_digest_header_that_is_empty_or_doubled(digests: list[str]) -> None:
    """Reported as oras-project/rust-oci-client#192."""
    headers = [("Docker-Content-Digest", digest) for digest in digests]
    handler = lambda request: httpx.Response(200, headers=headers, content=CONTENT)  # noqa: E731
    with mock_client(handler) as client:
        assert client.fetch_manifest(REFERENCE).content == CONTENT
        assert str(client.fetch_manifest_digest(REFERENCE) or SHA256) == SHA256


@pytest.mark.parametrize("coding", ["aws-chunked", "none", "UTF-8", "Identity", "gzip", "deflate", "br"])
def test_fetch_manifest_passes_over_a_coding_that_is_a_mere_label(coding: str) -> None:
    """Reported as versity/versitygw#2398, curl/curl#3315, nocodb/nocodb#14038, notatallshaw/nab#545."""
    with mock_client(lambda request: streamed(CONTENT, Content_Encoding=coding)) as client:
        assert client.fetch_manifest(REFERENCE).content == CONTENT


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("Deflate", zlib.compress)])
def test_fetch_manifest_undoes_a_coding_that_is_one(coding: str, compress: Callable[[bytes], bytes]) -> None:
    with mock_client(lambda request: streamed(compress(CONTENT), Content_Encoding=coding)) as client:
        assert client.fetch_manifest(REFERENCE, Digest.of(CONTENT)).content == CONTENT


def test_fetch_manifest_limits_what_a_coding_unfolds_to() -> None:
    bomb = gzip.compress(bytes(64 << 20))
    handler = lambda request: streamed(bomb, Content_Encoding="gzip")  # noqa: E731
    with mock_client(handler) as client, pytest.raises(LimitError, match="manifest_limit="):
        client.fetch_manifest(REFERENCE)


def test_fetch_manifest_decodes_nothing(hostile: HostileServer) -> None:
    data = gzip.compress(CONTENT, mtime=0)
    hostile.content("/v2/app/manifests/v1", data, "application/gzip")
    with quick_client() as client:
        assert client.fetch_manifest(ref(f"{hostile.name}/app:v1")).content == data


def test_fetch_manifest_takes_one_of_the_largest_size() -> None:
    content = b" " * (8 << 20)
    with mock_client(serving(content)) as client:
        assert client.fetch_manifest(REFERENCE).content == content


def test_fetch_manifest_refuses_by_the_announced_length() -> None:
    with mock_client(lambda request: streamed(b"{}", Content_Length="104857600")) as client:
        with pytest.raises(LimitError, match="104857600"):
            client.fetch_manifest(REFERENCE)
        assert client.wire_bytes == 0


def test_fetch_document_refuses_a_large_one_before_asking() -> None:
    with mock_client(serving()) as client:
        with pytest.raises(LimitError):
            client.fetch_document(REFERENCE, blob_of(b"", size=(8 << 20) + 1))
        with pytest.raises(LimitError):
            client.fetch_document(REFERENCE, blob_of(b"12345"), limit=4)
        assert client.request_count == 0


@pytest.mark.parametrize(
    ("content", "error"),
    [(CONTENT, None), (bytes(len(CONTENT)), DigestMismatchError), (b"x", SizeMismatchError)],
)
def test_fetch_document_gives_the_bytes_its_descriptor_names(
    content: bytes, error: type[Exception] | None
) -> None:
    with mock_client(serving(content)) as client:
        if error is None:
            assert client.fetch_document(REFERENCE, blob_of(CONTENT), limit=len(CONTENT)) == CONTENT
        else:
            with pytest.raises(error):
                client.fetch_document(REFERENCE, blob_of(CONTENT))


def test_manifest_limit_is_for_manifests_and_documents() -> None:
    with mock_client(serving(), manifest_limit=10) as client:
        for work in (
            lambda: client.fetch_manifest(REFERENCE),
            lambda: client.fetch_document(REFERENCE, blob_of(CONTENT)),
        ):
            with pytest.raises(LimitError, match="manifest_limit="):
                work()
    content = b" " * (9 << 20)
    with mock_client(serving(content), manifest_limit=10 << 20) as client:
        assert client.fetch_manifest(REFERENCE).content == content


def answering(status: int, body: bytes = b"", **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(status, content=body, headers=headers)


def test_missing_tag_is_named_with_what_to_do() -> None:
    handler = answering(404, errors_page("MANIFEST_UNKNOWN"))
    with mock_client(handler) as client:
        with pytest.raises(NotFoundError) as caught:
            client.fetch_manifest(ref("r.example/org/app:v9"))
        assert client.request_count == 1
    error = caught.value
    assert error.status == 404
    assert error.where == "r.example/org/app:v9"
    assert "tag v9" in error.expected
    assert "org/app" in error.expected
    assert "MANIFEST_UNKNOWN" in error.found
    assert "spelling" in error.remedy


@pytest.mark.parametrize(
    ("statuses", "error"),
    [
        ((401, 403), AccessDeniedError),
        ((400, 402, 405, 410, 418, 451, 501, 505), StatusError),
        ((201, 202, 204, 206, 300, 304), ProtocolError),
    ],
)
def test_refusals_are_told_apart_and_not_tried_again(
    statuses: tuple[int, ...], error: type[StatusError | ProtocolError]
) -> None:
    for status in statuses:
        with mock_client(answering(status, errors_page("DENIED"))) as client:
            with pytest.raises(error, match="DENIED") as caught:
                client.fetch_manifest(REFERENCE)
            assert client.request_count == 1
        assert getattr(caught.value, "status", status) == status
        with mock_client(answering(status)) as client, pytest.raises((error, SizeMismatchError)) as caught:
            list(client.stream_blob(REFERENCE, blob_of(CONTENT)))
        assert SHA256 in caught.value.where


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"<html>" * 100,
        b"[]",
        b'{"errors": 7}',
        b'{"errors": [7]}',
        b'{"errors": [{"code": 7}]}',
        b'{"errors": [{"code": "HACKED\\nLINE", "message": "two\\nlines"}]}',
        b"[" * 60000,
        b'{"errors": [{}, {"code": "NAME_UNKNOWN"}]}',
        b"\xff\xfe",
    ],
)
def test_error_page_of_any_kind_gives_one_line(page: bytes) -> None:
    with mock_client(answering(404, page)) as client, pytest.raises(NotFoundError) as caught:
        client.fetch_manifest(REFERENCE)
    assert "\n" not in str(caught.value)
    assert "HACKED" not in str(caught.value)


CODES = (
    *("BLOB_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "MANIFEST_UNKNOWN"),
    *("MANIFEST_UNVERIFIED", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "TAG_INVALID", "UNAUTHORIZED"),
    *("DENIED", "UNSUPPORTED", "TOOMANYREQUESTS", "UNAVAILABLE", "PAGINATION_NUMBER_INVALID"),
)


@pytest.mark.parametrize("code", CODES)
def test_codes_of_the_specifications_are_told(code: str) -> None:
    with mock_client(answering(400, errors_page(code))) as client, pytest.raises(StatusError) as caught:
        client.fetch_manifest(REFERENCE)
    assert caught.value.found.endswith(f"({code})")


@pytest.mark.parametrize(
    "status", [408, 425, 429, 499, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529]
)  # google/go-containerregistry#1707
def test_passing_refusals_are_tried_again(hostile: HostileServer, status: int) -> None:
    hostile.content("/v2/app/manifests/v1", CONTENT)
    hostile.on("*/manifests/*", behaviours.later(status), behaviours.later(status))
    with quick_client() as client:
        assert client.fetch_manifest(ref(f"{hostile.name}/app:v1")).content == CONTENT
        assert client.request_count == 3
        assert client.wire_bytes == hostile.body_bytes > len(CONTENT)
        hostile.always("*/manifests/*", behaviours.later(status))
        with pytest.raises(StatusError) as caught:
            client.fetch_manifest(ref(f"{hostile.name}/app:v1"))
        assert client.request_count == 3 + 6
    assert caught.value.status == status


def test_connection_is_kept_for_the_next_request(hostile: HostileServer) -> None:
    hostile.content("/v2/app/manifests/v1", CONTENT)
    with quick_client() as client:
        for _ in range(5):
            client.fetch_manifest(ref(f"{hostile.name}/app:v1"))
        with pytest.raises(NotFoundError):
            client.fetch_manifest(ref(f"{hostile.name}/app:v2"))
        client.fetch_manifest(ref(f"{hostile.name}/app:v1"))
    assert hostile.connections == 1
