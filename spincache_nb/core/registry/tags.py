"""Lists of tags, page by page (OCI distribution spec, Listing Tags)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx

from spincache_nb.core.documents import parse_object
from spincache_nb.core.reference import Reference
from spincache_nb.core.registry.refusals import Wish
from spincache_nb.core.registry.requests import Requests
from spincache_nb.core.transport.addresses import origin_of, parse_url, public_url
from spincache_nb.errors import FormatError, LimitError, ProtocolError, quoted

_PER_PAGE = 1000
_TAG = re.compile(r"\w[\w.-]{0,127}")
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_REL_NEXT = re.compile(
    r";\s*rel\s*=\s*(?:\"(?:[^\"]*\s)?next(?:\s[^\"]*)?\"|next(?=[\s,;]|$))", re.IGNORECASE
)
_REMEDY = "the registry does not follow the OCI distribution spec"


def list_tags(requests: Requests, reference: Reference) -> Iterator[str]:
    """List the tags of a repository; see `RegistryClient.tags`."""
    where = f"tags of {reference.registry}/{reference.repository}"
    wish = Wish(where, f"repository {reference.repository}", "check the spelling of the repository")
    limits = requests.web.limits
    target: str | None = f"/v2/{reference.repository}/tags/list?n={_PER_PAGE}"
    seen: set[str] = set()
    while target is not None:
        if target in seen:
            raise ProtocolError(where, "a next page", "one that was there before", _REMEDY)
        if len(seen) >= limits.tag_pages:
            raise LimitError(where, f"at most {limits.tag_pages} pages", "more", "raise Limits.tag_pages")
        seen.add(target)
        content, headers = requests.whole(
            reference,
            target,
            wish,
            accept="application/json",
            limit=limits.tag_page_bytes,
            what="list of tags",
        )
        yield from parse_page(content, where=where)
        target = next_target(headers.get_list("Link"), requests.web.url(reference.host, target), where=where)


def parse_page(content: bytes, *, where: str) -> list[str]:
    """Read one page."""
    try:
        tags = parse_object(content, where=where, error=FormatError, what="a list of tags").get("tags")
    except FormatError as exc:
        raise ProtocolError(exc.where, exc.expected, exc.found, _REMEDY) from exc
    if tags is None:
        return []
    if not isinstance(tags, list):
        raise ProtocolError(where, "a list of tags", quoted(tags), _REMEDY)
    for tag in tags:
        if not isinstance(tag, str) or _TAG.fullmatch(tag) is None:
            raise ProtocolError(where, "tags", quoted(tag), _REMEDY)
    return tags


def next_target(links: list[str], page: httpx.URL, *, where: str) -> str | None:
    """Path and query of the next page (RFC 8288), or None on the last one."""
    for header in links:
        for target, parameters in _LINK.findall(header):
            if _REL_NEXT.search(parameters) is None:
                continue
            url = parse_url(target.strip(), base=page, where=where)
            if origin_of(url) != origin_of(page):
                raise ProtocolError(where, "a next page of the same registry", public_url(url), _REMEDY)
            return url.raw_path.decode("ascii")
    return None
