"""Lists of repositories, page by page (Docker Registry HTTP API V2, Listing Repositories).

The OCI distribution spec has no such list, and large public registries offer none. It needs a right of its
own where tokens are asked for, which this client, that only ever asks to pull, does not ask for.
"""

from __future__ import annotations

from collections.abc import Iterator

from spincache_nb.core.documents import parse_object
from spincache_nb.core.reference import Reference
from spincache_nb.core.registry.refusals import Wish
from spincache_nb.core.registry.requests import Requests
from spincache_nb.core.registry.tags import next_target
from spincache_nb.errors import FormatError, LimitError, ProtocolError

_PER_PAGE = 1000
_REMEDY = "the registry does not follow the Docker registry API; name the repositories"


def list_repositories(requests: Requests, registry: str) -> Iterator[str]:
    """List the repositories of a registry; see `RegistryClient.repositories`."""
    where = f"repositories of {registry}"
    wish = Wish(where, "a list of repositories", "many registries offer none: name the repositories")
    limits = requests.web.limits
    reference = Reference(registry, "_catalog")
    target: str | None = f"/v2/_catalog?n={_PER_PAGE}"
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
            what="list of repositories",
        )
        yield from parse_catalog(content, where=where)
        target = next_target(headers.get_list("Link"), requests.web.url(reference.host, target), where=where)


def parse_catalog(content: bytes, *, where: str) -> list[str]:
    """Read one page."""
    try:
        found = parse_object(content, where=where, error=FormatError, what="a list of repositories")
    except FormatError as exc:
        raise ProtocolError(exc.where, exc.expected, exc.found, _REMEDY) from exc
    names = found.get("repositories")
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ProtocolError(where, "a list of repositories", repr(names)[:200], _REMEDY)
    return names
