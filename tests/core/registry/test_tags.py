"""Lists of tags, page after page; and what a tag means, without fetching its manifest."""

import hashlib
import itertools
from typing import Any

import httpx
import pytest

from spincache_nb.core.digest import Digest
from spincache_nb.core.registry import next_target
from spincache_nb.core.settings import Limits
from spincache_nb.errors import (
    AccessDeniedError,
    LimitError,
    NotFoundError,
    ProtocolError,
    StatusError,
)
from tests.core.clients import Recording, errors_page, mock_client, quick_client, ref
from tests.support import behaviours, faults
from tests.support.artifacts import new_style
from tests.support.behaviours import Reply, error, later
from tests.support.hostile import HostileServer
from tests.support.registry_server import RegistryServer

PAGE = httpx.URL("https://r.example/v2/org/app/tags/list?n=1000")
LIST = "/v2/org/app/tags/list"


def page(tags: Any, **headers: str) -> httpx.Response:
    return httpx.Response(200, json={"name": "org/app", "tags": tags}, headers=headers)


def tags_of(server: HostileServer, **options: Any) -> list[str]:
    with quick_client(**options) as client:
        return list(client.tags(f"{server.name}/org/app"))


def test_tags_gives_one_page() -> None:
    handler = Recording(lambda request: page(["v2", "v1", "latest"]))
    with mock_client(handler) as client:
        assert list(client.tags(ref("r.example/org/app:ignored"))) == ["v2", "v1", "latest"]
    assert [request.url for request in handler.requests] == [PAGE]


@pytest.mark.parametrize("tags", [None, []])
def test_tags_gives_none_where_there_are_none(tags: Any) -> None:
    with mock_client(lambda request: page(tags)) as client:
        assert list(client.tags("r.example/org/app")) == []


def test_tags_follows_the_links(hostile: HostileServer) -> None:
    hostile.tag_pages("org/app", [["v1", "v2"], ["v3", "v4"], ["v5"]])
    assert tags_of(hostile) == ["v1", "v2", "v3", "v4", "v5"]
    assert hostile.lines == [f"GET {LIST}?n=1000", f"GET {LIST}?last=1&n=2", f"GET {LIST}?last=2&n=2"]


def test_tags_asks_for_pages_as_they_are_needed(hostile: HostileServer) -> None:
    hostile.tag_pages("org/app", [["v1", "v2"], ["v3"]])
    with quick_client() as client:
        assert list(itertools.islice(client.tags(f"{hostile.name}/org/app"), 2)) == ["v1", "v2"]
    assert len(hostile.requests) == 1


def test_tags_tries_a_page_again(hostile: HostileServer) -> None:
    hostile.tag_pages("org/app", [["v1"], ["v2"]])
    hostile.on(LIST, faults.Drop(), behaviours.later(503))
    assert tags_of(hostile) == ["v1", "v2"]


@pytest.mark.parametrize(
    "link",
    [
        f"<{LIST}?n=1000>",
        f"<{LIST}?last=1&n=2>",
        *(f"<{to}>" for to in ("https://evil.example/x", "//evil.example/x", "ftp://r/x")),
    ],
)
def test_tags_follows_no_link_in_a_circle_nor_to_elsewhere(hostile: HostileServer, link: str) -> None:
    hostile.tag_pages("org/app", [["v1"], ["v2"]], last_link=f'{link}; rel="next"')
    with pytest.raises(ProtocolError):
        tags_of(hostile, auth=("ann", "secret"))
    assert len(hostile.requests) == 2


def test_tags_without_end_end(hostile: HostileServer) -> None:
    number = itertools.count()

    def handler(request: httpx.Request) -> httpx.Response:
        return page(["v1"], Link=f'<{LIST}?last={next(number)}>; rel="next"')

    with mock_client(handler, limits=Limits(tag_pages=5)) as client:
        with pytest.raises(LimitError):
            list(client.tags("r.example/org/app"))
        assert client.request_count == 5
    hostile.always("*", faults.Stream(50 << 20))
    with pytest.raises(LimitError):
        tags_of(hostile)


def test_tags_of_a_missing_repository_are_not_found() -> None:
    handler = lambda request: httpx.Response(404, content=errors_page("NAME_UNKNOWN"))  # noqa: E731
    with mock_client(handler) as client, pytest.raises(NotFoundError, match="NAME_UNKNOWN") as caught:
        list(client.tags("r.example/org/app"))
    assert "repository org/app" in caught.value.expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"not json",
        b'{"tags": "v1"}',
        b'{"tags": [1]}',
        b'{"tags": ["../../etc"]}',
        b'{"tags": ["a b"]}',
        b'{"tags": [""]}',
        b'{"tags": ["' + b"x" * 129 + b'"]}',
        b'{"tags": ["a\\nb"]}',
    ],
)
def test_tags_refuses_a_page_that_is_none(content: bytes) -> None:
    handler = lambda request: httpx.Response(200, content=content)  # noqa: E731
    with mock_client(handler) as client, pytest.raises(ProtocolError) as caught:
        list(client.tags("r.example/org/app"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("links", "target"),
    [
        ([], None),
        ([""], None),
        ([f'<{LIST}?last=a>; rel="next"'], f"{LIST}?last=a"),
        ([f"<{LIST}?last=a>; rel=next"], f"{LIST}?last=a"),
        ([f'<{LIST}?last=a>; rel="prev next"'], f"{LIST}?last=a"),
        ([f'<{LIST}?last=a>; title="x"; REL="Next"'], f"{LIST}?last=a"),
        ([f'<{LIST}?p=1>; rel="prev", <{LIST}?p=3>; rel="next"'], f"{LIST}?p=3"),
        ([f'<{LIST}?p=1>; rel="first"', f'<{LIST}?p=3>; rel="next"'], f"{LIST}?p=3"),
        ([f'<https://R.example:443{LIST}?last=a>; rel="next"'], f"{LIST}?last=a"),
        (["<?last=a>; rel=next"], f"{LIST}?last=a"),
        ([f'<{LIST}?last=a>; rel="last"'], None),
        ([f'<{LIST}?last=a>; rel="nextone"'], None),
        ([f"<{LIST}?last=a>; rel=nextone"], None),
        ([f"<{LIST}?last=a>"], f"{LIST}?last=a"),
        ([f"</docs/tags>, <{LIST}?last=a>; title=more"], f"{LIST}?last=a"),
        (["</docs/tags>"], None),
        ([f'{LIST}?last=a; rel="next"'], None),
    ],
)
def test_next_target_reads_links(links: list[str], target: str | None) -> None:
    assert next_target(links, PAGE, where="test") == target


DIGEST = "sha256:" + hashlib.sha256(b"x").hexdigest()
APP = new_style("heads/app", "v1")


def test_fetch_manifest_digest_asks_by_head_for_the_types_that_a_pull_takes() -> None:
    headers = {"Docker-Content-Digest": DIGEST, "Content-Length": "99999999"}
    handler = Recording(lambda request: httpx.Response(200, headers=headers))
    with mock_client(handler) as client:
        assert client.fetch_manifest_digest(ref("r.example/org/app:v1")) == Digest.parse(DIGEST)
        assert client.wire_bytes == 0
    [request] = handler.requests
    assert (request.method, str(request.url)) == ("HEAD", "https://r.example/v2/org/app/manifests/v1")
    assert request.headers["Accept"].startswith("application/vnd.oci.image.manifest.v1+json, ")


def test_fetch_manifest_digest_logs_in(basic_registry: RegistryServer) -> None:
    basic_registry.push(APP)
    reference = ref(basic_registry.reference(APP))
    with quick_client(auth=("reader", basic_registry.users["reader"])) as client:
        assert str(client.fetch_manifest_digest(reference)) == APP.digest
    with quick_client() as client, pytest.raises(AccessDeniedError):
        client.fetch_manifest_digest(reference)


def test_fetch_manifest_digest_tries_again_and_keeps_the_connection(hostile: HostileServer) -> None:
    hostile.serve(APP)
    hostile.on("HEAD */manifests/*", later(503), later(429))
    with quick_client() as client:
        for _ in range(3):
            assert str(client.fetch_manifest_digest(ref(f"{hostile.name}/heads/app:v1"))) == APP.digest
    assert hostile.connections == 1
    assert len(hostile.requests_for("HEAD */manifests/v1")) == 5


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(200), None),
        (error(404), NotFoundError),
        (error(405), StatusError),
        (Reply(200, headers=(("Docker-Content-Digest", "sha256:abc"),)), ProtocolError),
    ],
)
def test_fetch_manifest_digest_takes_no_answer_for_an_answer(
    reply: Reply, expected: type[Exception] | None, hostile: HostileServer
) -> None:
    hostile.always("HEAD */manifests/*", reply)
    with quick_client() as client:
        if expected is None:
            assert client.fetch_manifest_digest(ref(f"{hostile.name}/heads/app:v1")) is None
        else:
            with pytest.raises(expected):
                client.fetch_manifest_digest(ref(f"{hostile.name}/heads/app:v1"))
