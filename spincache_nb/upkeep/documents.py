"""Bringing back a cached tag's manifest and locked app, if it is certain which they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Descriptor
from spincache_nb.core.files import read_bounded
from spincache_nb.core.journal import History
from spincache_nb.core.locked_app import parse_locked_app
from spincache_nb.core.pull import Options, carry_out
from spincache_nb.core.pull.decide import Resolved, Served, Source, resolve
from spincache_nb.core.reference import Reference
from spincache_nb.errors import ManifestError, PullCancelled, SpinCacheError
from spincache_nb.inventory import CachedApp, known_digests

_LONGEST_LOCKED_APP = 64 << 20


@dataclass(frozen=True, slots=True)
class _Document:
    """A manifest that is known already, in the form in which a source serves one."""

    content: bytes
    digest: Digest


class _Pinned:
    """A source that serves one manifest, whatever its tag means by now; blobs come from another."""

    def __init__(self, source: Source, resolved: Resolved) -> None:
        self._source = source
        self._served = _Document(resolved.content, resolved.digest)

    @property
    def wire_bytes(self) -> int:
        return self._source.wire_bytes

    def fetch_manifest(self, reference: Reference, digest: Digest | None = None) -> Served:
        del reference, digest
        return self._served

    def fetch_document(
        self, reference: Reference, descriptor: Descriptor, *, limit: int | None = None
    ) -> bytes:
        return self._source.fetch_document(reference, descriptor, limit=limit)

    def stream_blob(self, reference: Reference, descriptor: Descriptor) -> Iterator[bytes]:
        return self._source.stream_blob(reference, descriptor)

    def close(self) -> None:
        """The other source stays open: it is not ours."""


class DocumentMender:
    """Mends the documents of apps, one app at a time, from any thread."""

    def __init__(self, cache: Cache, source: Source, history: History, *, durable: bool = False) -> None:
        self.cache = cache
        self.source = source
        self.history = history
        self.durable = durable
        self._known: dict[str, list[Digest]] | None = None

    # Manifests -------------------------------------------------------------------------------

    def mend_manifest(self, app: CachedApp) -> bool:
        """Complete an app whose manifest is missing or damaged; True if anything was written."""
        reference = Reference.parse(app.reference)
        if app.manifest is None:
            resolved: Resolved | None = self.find_manifest(app, reference)
        else:
            resolved = self.find_unaltered(app, reference)
        if resolved is None:
            return False
        options = Options(durable=self.durable, history=History(enabled=False))
        carry_out(self.cache, _Pinned(self.source, resolved), [reference], options)
        return True

    def find_manifest(self, app: CachedApp, reference: Reference) -> Resolved:
        """Fetch the manifest that an app had: by its digest, or one that names its locked app."""
        stored = self.stored_document(app)
        failures: list[SpinCacheError] = []
        for resolved in self.known_manifests(app, reference, failures):
            if stored is None or names(resolved, stored):
                return resolved
        if reference.tag is not None and stored is not None:
            resolved = resolve(self.source, reference)
            if names(resolved, stored):
                return resolved
        if failures:
            raise failures[0]
        raise ManifestError(
            app.reference,
            "to know which manifest it was",
            "a registry that has another by now, or no trace of it",
            "pull the app again",
        )

    def find_unaltered(self, app: CachedApp, reference: Reference) -> Resolved | None:
        """Fetch the manifest that an app was pulled with, where the one that is stored may be altered."""
        stored = self.stored_document(app)
        if app.manifest_digest is not None or stored is None or all(layer.stored for layer in app.layers):
            return None
        known = self.known_manifests(app, reference, [])
        return next((resolved for resolved in known if names(resolved, stored)), None)

    def known_manifests(
        self, app: CachedApp, reference: Reference, failures: list[SpinCacheError]
    ) -> Iterator[Resolved]:
        """Fetch manifests that an app is known to have had, likeliest first; add why one does not come."""
        for digest in self.digests_of(app):
            wanted = Reference(reference.registry, reference.repository, reference.tag, digest)
            try:
                resolved = resolve(self.source, wanted)
            except PullCancelled:
                raise
            except SpinCacheError as exc:
                failures.append(exc)
            else:
                yield resolved

    def digests_of(self, app: CachedApp) -> list[Digest]:
        """Digests that an app's manifest is known to have had, likeliest first."""
        if app.tag.digest is not None:
            return [app.tag.digest]
        if self._known is None:
            self._known = known_digests(self.history, self.cache)
        return self._known.get(app.reference, [])

    def stored_document(self, app: CachedApp) -> bytes | None:
        """Bytes of ``config.json``, if they are a locked app."""
        if app.config_kind != "locked app":
            return None
        try:
            return app.tag.read_locked_app()
        except SpinCacheError:
            return None

    # Locked apps -----------------------------------------------------------------------------

    def mend_locked_app(self, app: CachedApp) -> bool:
        """Bring ``config.json`` back if it is not the one that the manifest names."""
        if app.manifest is None:
            return False
        document = app.manifest.tag_document
        try:
            if _is(app.tag.read_locked_app(), document):
                return False
        except SpinCacheError:
            pass  # it is not there, or cannot be read: all the more reason
        content = self.from_cache(document)
        if content is None:
            content = self.source.fetch_document(Reference.parse(app.reference), document)
        if app.manifest.kind == "app":
            parse_locked_app(content, where=f"{app.reference}, {document.digest}")
        self.cache.write_locked_app(app.tag, content, durable=self.durable)
        return True

    def from_cache(self, document: Descriptor) -> bytes | None:
        """Look for a locked app in ``data/``, where older Spins put what they did not know."""
        if self.cache.blob_size("data", document.digest) != document.size:
            return None
        try:
            content = read_bounded(self.cache.blob_path("data", document.digest), limit=_LONGEST_LOCKED_APP)
        except SpinCacheError:
            return None
        return content if _is(content, document) else None


def names(resolved: Resolved, content: bytes) -> bool:
    """Whether a manifest names just these bytes as its locked app."""
    return _is(content, resolved.manifest.tag_document)


def _is(content: bytes, descriptor: Descriptor) -> bool:
    return Digest.of(content, descriptor.digest.algorithm) == descriptor.digest
