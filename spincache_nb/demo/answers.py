"""What the demo registry answers: the reading half of the OCI distribution API over fixed artifacts.

Pure: a request's method, target and headers in, a status, headers and a body out. It shares no parsing
code with the client, so that the two cannot agree on a mistake.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, unquote

from spincache_nb.demo.apps import Artifact

_NAME = "(?P<name>[a-z0-9][a-z0-9._/-]*)"
_TAGS = re.compile(rf"/v2/{_NAME}/tags/list")
_MANIFEST = re.compile(rf"/v2/{_NAME}/manifests/(?P<item>[^/]+)")
_BLOB = re.compile(rf"/v2/{_NAME}/blobs/(?P<item>[^/]+)")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_COUNT = re.compile(r"[0-9]{1,9}")
_MAX_PAGE = 1000


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


class Answers:
    """The artifacts of a registry, and its answers to requests for them."""

    def __init__(self, artifacts: Iterable[Artifact]) -> None:
        self._tags: dict[str, dict[str, Artifact]] = {}
        self._manifests: dict[str, dict[str, Artifact]] = {}
        self._blobs: dict[str, dict[str, bytes]] = {}
        for artifact in artifacts:
            tags = self._tags.setdefault(artifact.repository, {})
            if artifact.tag in tags:
                raise ValueError(f"{artifact.repository}:{artifact.tag} is there twice")
            tags[artifact.tag] = artifact
            self._manifests.setdefault(artifact.repository, {})[artifact.digest] = artifact
            self._blobs.setdefault(artifact.repository, {}).update(artifact.blobs)

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Answer:
        """Answer one request."""
        if method not in ("GET", "HEAD"):
            refusal = _error(405, "UNSUPPORTED", "this demo registry is read-only")
            return Answer(refusal.status, refusal.headers | {"Allow": "GET, HEAD"}, refusal.body)
        path, _, question = target.partition("?")
        path, query = unquote(path), parse_qs(question)
        if path in ("/v2", "/v2/"):
            return _json_answer({})
        if path == "/v2/_catalog":
            return _page("repositories", self._tags, path, query)
        if match := _TAGS.fullmatch(path):
            return self._tag_list(match["name"], path, query)
        if match := _MANIFEST.fullmatch(path):
            return self._manifest(match["name"], match["item"], headers.get("Accept"))
        if match := _BLOB.fullmatch(path):
            wanted = headers.get("Range") if method == "GET" else None
            return self._blob(match["name"], match["item"], wanted, headers.get("If-Range"))
        return _error(404, "NOT_FOUND", "no such page")

    def _tag_list(self, name: str, path: str, query: Mapping[str, list[str]]) -> Answer:
        if name not in self._tags:
            return _unknown_name(name)
        return _page("tags", self._tags[name], path, query, extra={"name": name})

    def _manifest(self, name: str, item: str, accept: str | None) -> Answer:
        if name not in self._tags:
            return _unknown_name(name)
        if ":" in item and not _DIGEST.fullmatch(item):
            return _error(400, "DIGEST_INVALID", "the digest is malformed", digest=item)
        artifact = self._manifests[name].get(item) or self._tags[name].get(item)
        if artifact is None:
            return _error(404, "MANIFEST_UNKNOWN", "no such manifest in this repository", reference=item)
        media_type = artifact.manifest_media_type
        if accept is not None and not _accepts(accept, media_type):
            return _error(404, "MANIFEST_UNKNOWN", f"Accept lacks {media_type}", reference=item)
        return Answer(200, {"Content-Type": media_type} | _naming(artifact.digest), artifact.manifest)

    def _blob(self, name: str, digest: str, wanted: str | None, if_range: str | None) -> Answer:
        if name not in self._tags:
            return _unknown_name(name)
        if not _DIGEST.fullmatch(digest):
            return _error(400, "DIGEST_INVALID", "the digest is malformed", digest=digest)
        data = self._blobs[name].get(digest)
        if data is None:
            return _error(404, "BLOB_UNKNOWN", "no such blob in this repository", digest=digest)
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"} | _naming(digest)
        part = _range(wanted, len(data)) if if_range in (None, headers["ETag"]) else None
        if part is None:
            return Answer(200, headers, data)
        if not part:
            refusal = _error(416, "RANGE_INVALID", "the range starts past the end of the blob")
            return Answer(416, refusal.headers | {"Content-Range": f"bytes */{len(data)}"}, refusal.body)
        content_range = f"bytes {part.start}-{part.stop - 1}/{len(data)}"
        return Answer(206, headers | {"Content-Range": content_range}, data[part.start : part.stop])


def _range(wanted: str | None, size: int) -> range | None:
    """Resolve a ``Range`` header (RFC 9110, section 14)."""
    match = _RANGE.fullmatch(wanted.replace(" ", "")) if wanted else None
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        return range(max(0, size - int(match[2])), size)
    start = int(match[1])
    if match[2] and int(match[2]) < start:
        return None
    stop = min(size, int(match[2]) + 1) if match[2] else size
    return range(start, max(start, stop))


def _accepts(accept: str, media_type: str) -> bool:
    """Tell whether an ``Accept`` header admits a media type; weights are not looked at."""
    offers = {offer.partition(";")[0].strip().lower() for offer in accept.split(",")}
    return not offers.isdisjoint({media_type, "application/*", "*/*"})


def _page(
    key: str,
    names: Iterable[str],
    path: str,
    query: Mapping[str, list[str]],
    *,
    extra: Mapping[str, str] | None = None,
) -> Answer:
    """One page of sorted names, with a ``Link`` to the next if ``n`` cut it short."""
    count = query.get("n", [str(_MAX_PAGE)])[0]
    if not _COUNT.fullmatch(count):
        return _error(400, "PAGINATION_NUMBER_INVALID", "n is not a number", n=count)
    limit = min(int(count), _MAX_PAGE)
    last = query.get("last", [""])[0]
    rest = sorted(name for name in names if name > last)
    page = rest[:limit]
    answer = _json_answer({**(extra or {}), key: page})
    if page and len(rest) > limit:
        link = f'<{quote(path)}?n={limit}&last={quote(page[-1], safe="")}>; rel="next"'
        return Answer(200, answer.headers | {"Link": link}, answer.body)
    return answer


def _naming(digest: str) -> dict[str, str]:
    return {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'}


def _json_answer(value: object, *, status: int = 200) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(value).encode())


def _unknown_name(name: str) -> Answer:
    return _error(404, "NAME_UNKNOWN", "no such repository in this registry", name=name)


def _error(status: int, code: str, message: str, **detail: str) -> Answer:
    return _json_answer({"errors": [{"code": code, "message": message, "detail": detail}]}, status=status)
