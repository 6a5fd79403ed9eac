"""Which manifest a reference means, and which of its blobs the cache has already."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Protocol, overload

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import (
    Area,
    Descriptor,
    Index,
    Kind,
    Manifest,
    choose_manifest,
    parse_manifest,
)
from spincache_nb.core.pull.values import PullPlan, PullPlans, plan_of
from spincache_nb.core.reference import Reference
from spincache_nb.errors import CredentialsError, ManifestError, SpinCacheError

if TYPE_CHECKING:
    from spincache_nb.core.credentials import Credentials

    Auth = Credentials | tuple[str, str] | None

JOBS = 16
"""Downloads at a time, as in Spin since v1.2 (``MAX_PARALLEL_PULL``)."""

References = str | Reference | Sequence[str | Reference]


class Served(Protocol):
    """A manifest as somebody served it."""

    @property
    def content(self) -> bytes: ...
    @property
    def digest(self) -> Digest: ...


class Manifests(Protocol):
    """Where manifests come from."""

    def fetch_manifest(self, reference: Reference, digest: Digest | None = None) -> Served:
        """Give the manifest or index of a reference, or of a digest in the same repository."""


class Source(Manifests, Protocol):
    """Where manifests and blobs come from: a registry, or an archive of one."""

    @property
    def wire_bytes(self) -> int:
        """Bytes received so far."""

    def fetch_document(
        self, reference: Reference, descriptor: Descriptor, *, limit: int | None = None
    ) -> bytes:
        """Give a small blob whole, checked against its descriptor."""

    def stream_blob(self, reference: Reference, descriptor: Descriptor) -> Iterator[bytes]:
        """Give a blob in pieces; who takes them checks the digest."""

    def close(self) -> None:
        """Free what is held, and end whatever waits in another thread."""


class Resolved(NamedTuple):
    """A reference and the manifest it means now."""

    reference: Reference
    manifest: Manifest
    content: bytes
    digest: Digest
    index_digest: Digest | None
    wire_bytes: int


@overload
def plan_pull(  # type: ignore[overload-overlap]  # a text is a sequence of texts to the type checker
    cache: Cache,
    reference: str | Reference,
    *,
    insecure: bool | None = ...,
    ca: str | os.PathLike[str] | None = ...,
    auth: Auth = ...,
    jobs: int = ...,
) -> PullPlan: ...
@overload
def plan_pull(
    cache: Cache,
    reference: Sequence[str | Reference],
    *,
    insecure: bool | None = ...,
    ca: str | os.PathLike[str] | None = ...,
    auth: Auth = ...,
    jobs: int = ...,
) -> list[PullPlan]: ...
def plan_pull(
    cache: Cache,
    reference: References,
    *,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Auth = None,
    jobs: int = JOBS,
) -> PullPlan | list[PullPlan]:
    """Say what a pull would fetch; no layer is downloaded and nothing is written.

    Parameters
    ----------
    cache
        The cache that would be pulled into.
    reference
        Reference of an app or package, or several: then a blob that two of them share is to be
        fetched by the first only.
    insecure
        None means plain HTTP for loopback hosts only; True forces HTTP, False HTTPS.
    ca
        File with further certificate authorities (PEM).
    auth
        Credentials to use ahead of the stores: ``(user, password)``.
    jobs
        Connections at a time.

    Returns
    -------
    PullPlan or list of PullPlan
        One per reference.

    Raises
    ------
    InvalidReferenceError
        If a reference is not one; before anything is asked.
    CredentialsError
        If `auth` is given and the references lead to several registries.
    NotFoundError, AccessDeniedError, ConnectionFailedError, RegistryError
        If the registry does not give the manifest.
    ManifestError, DigestMismatchError, LimitError
        If what it gives is not the manifest asked for.
    """
    from spincache_nb.core.registry import RegistryClient

    wanted = parse_references(reference)
    refuse_shared_auth(auth, wanted)
    with RegistryClient(insecure=insecure, ca=ca, auth=auth, jobs=jobs) as client:
        resolved = resolve_all(client, wanted, jobs=jobs)
    plans = decide(cache, resolved)
    return plans[0] if is_single(reference) else PullPlans(plans)


def is_single(reference: References) -> bool:
    """Whether one reference was given, rather than a list of them."""
    return isinstance(reference, str | Reference)


def parse_references(reference: References) -> list[Reference]:
    """Parse one or several references, each once, before anything is asked of a network."""
    texts = [reference] if isinstance(reference, str | Reference) else list(reference)
    return list(dict.fromkeys(Reference.parse(text) for text in texts))


def refuse_shared_auth(auth: object, references: Sequence[Reference]) -> None:
    """Refuse to show one registry's password to another."""
    hosts = sorted({reference.host for reference in references})
    if auth is not None and len(hosts) > 1:
        raise CredentialsError(
            "auth",
            "one registry, as credentials belong to one",
            ", ".join(hosts),
            "pull from each registry by itself, or store its credentials with a login",
        )


def resolve_all(source: Source, references: Sequence[Reference], *, jobs: int) -> list[Resolved]:
    """Fetch the manifests of several references, some at a time, in order."""
    if len(references) < 2:
        return [resolve(source, reference) for reference in references]
    with ThreadPoolExecutor(min(jobs, len(references)), thread_name_prefix="spincache-manifest") as pool:
        return list(pool.map(lambda reference: resolve(source, reference), references))


def resolve(source: Manifests, reference: Reference) -> Resolved:
    """Fetch the manifest a reference means, through an index if there is one (Spin, crates/oci)."""
    served = source.fetch_manifest(reference)
    document = parse_manifest(served.content, where=str(reference))
    if isinstance(document, Manifest):
        return Resolved(reference, document, served.content, served.digest, None, len(served.content))
    chosen = choose_manifest(document, where=str(reference))
    child = source.fetch_manifest(reference, chosen.digest)
    manifest = parse_manifest(child.content, where=f"{reference}, {chosen.digest}")
    if isinstance(manifest, Index):
        raise ManifestError(
            str(reference), "a manifest behind the index", "another index", "pull a manifest by its digest"
        )
    wire_bytes = len(served.content) + len(child.content)
    return Resolved(reference, manifest, child.content, child.digest, served.digest, wire_bytes)


def decide(cache: Cache, resolved: Sequence[Resolved]) -> list[PullPlan]:
    """Compare manifests with the cache, as if they were pulled one after the other."""
    coming: set[Digest] = set()
    plans = []
    for one in resolved:
        stored = stored_digests(cache, one.reference, one.manifest) | (
            coming & {layer.digest for layer in one.manifest.content_layers}
        )
        plans.append(plan_of(one.reference, one.manifest, one.digest, one.index_digest, stored))
        coming |= {layer.digest for layer in one.manifest.content_layers}
    return plans


def stored_digests(cache: Cache, reference: Reference, manifest: Manifest) -> set[Digest]:
    """Digests of a manifest's config and layers that count as stored; see `PlannedBlob`."""
    stored = {
        layer.digest
        for layer in manifest.content_layers
        if cache.blob_size("wasm", layer.digest) == layer.size
        or cache.blob_size("data", layer.digest) == layer.size
    }
    document = manifest.tag_document
    if stored_document(cache, reference, document) is not None:
        stored |= {document.digest, manifest.config.digest}
    else:
        stored -= {document.digest, manifest.config.digest}
    return stored


def stored_document(cache: Cache, reference: Reference, document: Descriptor) -> bytes | None:
    """Bytes of the cached ``config.json``, if they are the document a manifest names."""
    try:
        content = cache.cached_tag(reference).read_locked_app()
    except SpinCacheError:
        return None
    matches = Digest.of(content, document.digest.algorithm) == document.digest
    return content if matches else None


def satisfied(cache: Cache, layer: Descriptor, kind: Kind) -> bool:
    """Whether Spin would find a layer's bytes where it looks for them."""
    own = cache.blob_size(layer.area, layer.digest)
    if own == layer.size:
        return True
    fallback = layer.area == "wasm" and kind != "package" and own is None
    return fallback and cache.blob_size("data", layer.digest) == layer.size


def other_area(area: Area) -> Area:
    """The area that is not this one."""
    return "data" if area == "wasm" else "wasm"
