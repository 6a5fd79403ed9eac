"""What the registry answers to each request."""

import hashlib
import http.client
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

import pytest

from spincache_nb import demo
from spincache_nb.demo.shipped import Artifact, Blob

LAYER = b"0123456789"
LAYER_DIGEST = "sha256:" + hashlib.sha256(LAYER).hexdigest()
OCI = "application/vnd.oci.image.manifest.v1+json"


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str]


Ask = Callable[..., Answer]


def held(repository: str = "a/b", tag: str = "1", layer: bytes = LAYER) -> Artifact:
    config = Blob("application/json", b"{}")
    return Artifact(repository, tag, f'{{"t":"{tag}"}}'.encode(), config, (Blob("text/plain", layer),))


@pytest.fixture(scope="module")
def ask():
    """Send one request to a registry of two repositories with the same layer and one with another."""
    tags = [held(tag=tag) for tag in ("1", "2", "10", "latest", "V3")]
    with demo.serve([*tags, held("a/c", "1", b"other"), held("z", "1")], port=0) as registry:
        client = http.client.HTTPConnection(registry.host, timeout=10)

        def request(method: str, target: str, **headers: str) -> Answer:
            client.request(method, target, headers={k.replace("_", "-"): v for k, v in headers.items()})
            response = client.getresponse()
            return Answer(response.status, response.read(), dict(response.getheaders()))

        yield request
        client.close()


@pytest.fixture(scope="module")
def get(ask):
    return lambda target, **headers: ask("GET", target, **headers)


def code(answer: Answer) -> str:
    (error,) = json.loads(answer.body)["errors"]
    assert error.keys() == {"code", "message", "detail"}
    return str(error["code"])


@pytest.mark.parametrize("target", ["/v2/", "/v2"])
def test_answer_confirms_the_api(get, target):
    answer = get(target)
    assert (answer.status, answer.body) == (200, b"{}")


@pytest.mark.parametrize("target", ["/", "/v1/", "/v2/a/b", "/v2/a/b/tags", "/v2/a/b/manifests/", "/v3/a"])
def test_answer_knows_no_other_pages(get, target):
    answer = get(target)
    assert (answer.status, code(answer)) == (404, "NOT_FOUND")


def test_manifest_is_found_by_tag_and_by_digest(get):
    by_tag = get("/v2/a/b/manifests/10")
    digest = "sha256:" + hashlib.sha256(b'{"t":"10"}').hexdigest()
    assert (by_tag.status, by_tag.body) == (200, b'{"t":"10"}')
    assert by_tag.headers["Content-Type"] == OCI
    assert by_tag.headers["Docker-Content-Digest"] == digest
    assert get(f"/v2/a/b/manifests/{digest}").body == by_tag.body
    assert get(f"/v2/a/b/manifests/{digest.replace(':', '%3A')}").body == by_tag.body


def test_manifest_belongs_to_its_repository(get):
    digest = "sha256:" + hashlib.sha256(b'{"t":"10"}').hexdigest()
    answer = get(f"/v2/a/c/manifests/{digest}")
    assert (answer.status, code(answer)) == (404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize(
    ("target", "status", "expected"),
    [
        ("/v2/a/b/manifests/3", 404, "MANIFEST_UNKNOWN"),
        ("/v2/a/b/manifests/sha256:00", 400, "DIGEST_INVALID"),
        ("/v2/a/b/manifests/md5:" + "0" * 32, 400, "DIGEST_INVALID"),
        ("/v2/a/b/manifests/sha256:" + "0" * 64, 404, "MANIFEST_UNKNOWN"),
        ("/v2/nobody/manifests/1", 404, "NAME_UNKNOWN"),
        ("/v2/a/b/blobs/sha256:" + "0" * 64, 404, "BLOB_UNKNOWN"),
        ("/v2/a/b/blobs/sha512:" + "0" * 128, 404, "BLOB_UNKNOWN"),
        ("/v2/a/b/blobs/1", 400, "DIGEST_INVALID"),
        ("/v2/nobody/blobs/sha256:" + "0" * 64, 404, "NAME_UNKNOWN"),
        ("/v2/nobody/tags/list", 404, "NAME_UNKNOWN"),
        ("/v2/a/b/tags/list?n=-1", 400, "PAGINATION_NUMBER_INVALID"),
        ("/v2/_catalog?n=many", 400, "PAGINATION_NUMBER_INVALID"),
    ],
)
def test_answer_says_what_is_wrong_in_oci_terms(get, target, status, expected):
    answer = get(target)
    assert (answer.status, code(answer)) == (status, expected)
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (OCI, 200),
        (f"application/json, {OCI}; q=0.5", 200),
        ("*/*", 200),
        ("application/*", 200),
        ("application/vnd.docker.distribution.manifest.v2+json", 404),
        ("", 404),
    ],
)
def test_manifest_is_refused_to_who_does_not_accept_it(get, accept, status):
    assert get("/v2/a/b/manifests/1", Accept=accept).status == status


def test_blob_comes_whole_with_its_digest(get):
    answer = get(f"/v2/a/b/blobs/{LAYER_DIGEST}")
    assert (answer.status, answer.body) == (200, LAYER)
    assert answer.headers["Docker-Content-Digest"] == LAYER_DIGEST
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_blob_belongs_to_its_repository(get):
    assert get(f"/v2/a/c/blobs/{LAYER_DIGEST}").status == 404
    assert get(f"/v2/z/blobs/{LAYER_DIGEST}").status == 200


@pytest.mark.parametrize(
    ("wanted", "body", "content_range"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=4-", b"456789", "bytes 4-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", LAYER, "bytes 0-9/10"),
        ("bytes=9-9", b"9", "bytes 9-9/10"),
        ("bytes=8-1000", b"89", "bytes 8-9/10"),
    ],
)
def test_blob_range_is_cut_out(get, wanted, body, content_range):
    answer = get(f"/v2/a/b/blobs/{LAYER_DIGEST}", Range=wanted)
    assert (answer.status, answer.body) == (206, body)
    assert answer.headers["Content-Range"] == content_range


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=999999999999999999-"])
def test_blob_range_past_the_end_is_refused(get, wanted):
    answer = get(f"/v2/a/b/blobs/{LAYER_DIGEST}", Range=wanted)
    assert (answer.status, code(answer)) == (416, "RANGE_INVALID")
    assert answer.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize(
    "wanted",
    ["bytes=0-1,3-4", "bytes=-", "bytes=5-4", "items=0-1", "nonsense", "", "bytes=" + "9" * 5000 + "-"],
)
def test_blob_range_that_may_be_ignored_is_ignored(get, wanted):
    answer = get(f"/v2/a/b/blobs/{LAYER_DIGEST}", Range=wanted)
    assert (answer.status, answer.body) == (200, LAYER)


def test_blob_range_holds_only_for_the_version_meant(get):
    target = f"/v2/a/b/blobs/{LAYER_DIGEST}"
    tag = get(target).headers["ETag"]
    assert get(target, Range="bytes=0-1", If_Range=tag).status == 206
    assert get(target, Range="bytes=0-1", If_Range='"another"').status == 200


def test_head_ignores_a_range_and_has_no_body(ask):
    assert ask("HEAD", f"/v2/a/b/blobs/{LAYER_DIGEST}", Range="bytes=0-1")[:2] == (200, b"")
    assert ask("HEAD", "/v2/a/b/manifests/9")[:2] == (404, b"")


def test_tags_are_listed_sorted(get):
    answer = get("/v2/a/b/tags/list")
    assert json.loads(answer.body) == {"name": "a/b", "tags": ["1", "10", "2", "V3", "latest"]}
    assert "Link" not in answer.headers


def test_tags_are_paged_with_a_link(get):
    first = get("/v2/a/b/tags/list?n=2")
    assert json.loads(first.body)["tags"] == ["1", "10"]
    assert first.headers["Link"] == '</v2/a/b/tags/list?n=2&last=10>; rel="next"'
    second = get("/v2/a/b/tags/list?n=2&last=10")
    assert json.loads(second.body)["tags"] == ["2", "V3"]
    last = get("/v2/a/b/tags/list?n=2&last=V3")
    assert json.loads(last.body)["tags"] == ["latest"]
    assert "Link" not in last.headers


@pytest.mark.parametrize(
    ("query", "tags"),
    [
        ("n=0", []),
        ("n=5", ["1", "10", "2", "V3", "latest"]),
        ("n=999999999", ["1", "10", "2", "V3", "latest"]),
        ("last=15", ["2", "V3", "latest"]),
        ("last=zzz", []),
    ],
)
def test_tags_page_that_is_the_last_has_no_link(get, query, tags):
    answer = get(f"/v2/a/b/tags/list?{query}")
    assert json.loads(answer.body)["tags"] == tags
    assert "Link" not in answer.headers


def test_catalog_is_listed_and_paged(get):
    assert json.loads(get("/v2/_catalog").body) == {"repositories": ["a/b", "a/c", "z"]}
    page = get("/v2/_catalog?n=1&last=a/b")
    assert json.loads(page.body) == {"repositories": ["a/c"]}
    assert page.headers["Link"] == '</v2/_catalog?n=1&last=a%2Fc>; rel="next"'


def test_serve_refuses_two_artifacts_under_one_name():
    with pytest.raises(ValueError, match="a/b:1 is there twice"), demo.serve([held(), held()], port=0):
        pass
