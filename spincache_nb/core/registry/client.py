"""A client for OCI registries (OCI distribution spec, Pull): manifests, blobs, lists of tags."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import httpx

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import ACCEPTED, Descriptor
from spincache_nb.core.reference import Reference
from spincache_nb.core.registry.authorization import Authorizer, search_nowhere, search_stores
from spincache_nb.core.registry.blobs import DIGEST_HEADER, announced_digest, stream_blob, stream_url
from spincache_nb.core.registry.refusals import Wish
from spincache_nb.core.registry.requests import Requests
from spincache_nb.core.settings import Limits, RetryPolicy, Timeouts
from spincache_nb.core.transport.download import checked
from spincache_nb.core.transport.web import Web
from spincache_nb.errors import LimitError

if TYPE_CHECKING:
    from spincache_nb.core.credentials import Credentials


class ServedDocument(NamedTuple):
    """A manifest or index as a registry served it."""

    content: bytes
    digest: Digest
    media_type: str


class RegistryClient:
    """Reads from registries for one pull; safe to use from many threads; a context manager."""

    def __init__(
        self,
        *,
        insecure: bool | None = None,
        ca: str | os.PathLike[str] | None = None,
        auth: Credentials | tuple[str, str] | None = None,
        anonymous: bool = False,
        jobs: int = 16,
        cancel: threading.Event | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        credentials = _given(auth)
        self._web = Web(
            insecure=insecure,
            ca=ca,
            jobs=jobs,
            cancel=cancel,
            limits=limits,
            timeouts=timeouts,
            retries=retries,
            transport=transport,
        )
        search = search_nowhere if anonymous else search_stores
        self._requests = Requests(self._web, Authorizer(self._web, credentials, search=search))

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, also while other threads read: those get `PullCancelled` at once."""
        self._web.close()

    @property
    def wire_bytes(self) -> int:
        """Bytes of all bodies received: retries, tokens and error pages included."""
        return self._web.wire_bytes

    @property
    def request_count(self) -> int:
        """Requests sent: challenges, tokens and redirects included."""
        return self._web.request_count

    def fetch_manifest(self, reference: Reference, digest: Digest | None = None) -> ServedDocument:
        """Fetch the manifest or index that a reference means now."""
        wanted = digest or reference.digest
        target, wish = _asking_for_manifest(reference, wanted)
        content, headers = self._requests.whole(
            reference,
            target,
            wish,
            accept=", ".join(ACCEPTED),
            limit=self._web.limits.manifest_bytes,
            what="manifest",
        )
        served = Digest.of(content, wanted.algorithm if wanted is not None else "sha256")
        if wanted is not None:
            wanted.check(served.encoded, where=f"{reference}, manifest")
        announced = announced_digest(headers, where=str(reference))
        if announced is not None:
            actual = Digest.of(content, announced.algorithm)
            announced.check(actual.encoded, where=f"{reference}, {DIGEST_HEADER}")
        media_type = headers.get("Content-Type", "").partition(";")[0].strip()
        return ServedDocument(content, served, media_type)

    def fetch_manifest_digest(self, reference: Reference) -> Digest | None:
        """Ask which manifest or index a tag means now, without fetching it (HEAD)."""
        target, wish = _asking_for_manifest(reference, None)
        headers = {"Accept": ", ".join(ACCEPTED)}

        def once() -> Digest | None:
            with self._requests.ask(reference, target, headers, wish, head=True) as answer:
                return announced_digest(answer.headers, where=str(reference))

        return self._web.retrier.run(once)

    def fetch_document(
        self, reference: Reference, descriptor: Descriptor, *, limit: int | None = None
    ) -> bytes:
        """Fetch a small blob whole: a config or a locked app."""
        most = self._web.limits.document_bytes if limit is None else limit
        where = f"{reference}, {descriptor.digest}"
        if descriptor.size > most:
            raise LimitError(
                where,
                f"a document of at most {most} bytes",
                f"{descriptor.size} bytes declared",
                "no Spin app needs one like it; if this one does, raise Limits.document_bytes",
            )
        return b"".join(checked(self.stream_blob(reference, descriptor), descriptor.digest, where=where))

    def stream_blob(self, reference: Reference, descriptor: Descriptor) -> Iterator[bytes]:
        """Fetch a blob in pieces; a connection that breaks is taken up again where it broke."""
        return stream_blob(self._requests, reference, descriptor)

    def stream_url(self, url: str, *, where: str, size: int | None = None) -> Iterator[bytes]:
        """Fetch what an address names, without credentials, in pieces."""
        return stream_url(self._web, url, where=where, size=size)

    def tags(self, reference: Reference | str) -> Iterator[str]:
        """List the tags of a repository, in the registry's order, page by page."""
        from spincache_nb.core.registry.tags import list_tags

        return list_tags(self._requests, Reference.parse(reference))

    def repositories(self, registry: str) -> Iterator[str]:
        """List the repositories of a registry that offers such a list, in its order, page by page."""
        from spincache_nb.core.registry.catalog import list_repositories

        return list_repositories(self._requests, registry)


def _asking_for_manifest(reference: Reference, digest: Digest | None) -> tuple[str, Wish]:
    name = str(digest or reference.tag)
    kind = "manifest" if digest is not None else "tag"
    wish = Wish(
        str(reference),
        f"{kind} {name} in repository {reference.repository}",
        f"check the spelling of repository and {kind}",
    )
    return f"/v2/{reference.repository}/manifests/{name}", wish


def _given(auth: Credentials | tuple[str, str] | None) -> Credentials | None:
    if auth is None:
        return None
    from spincache_nb.core.credentials import as_credentials

    return as_credentials(auth)
