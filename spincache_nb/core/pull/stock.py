"""What a pull does to the cache for one app: what is missing comes, what is there is touched.

Nothing here starts a thread or writes a tag; `work` does both.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area, Descriptor
from spincache_nb.core.layout import AREAS
from spincache_nb.core.locked_app import LockedApp, parse_locked_app
from spincache_nb.core.progress import ProgressEvent, Reporter
from spincache_nb.core.pull.decide import Resolved, Source, other_area, satisfied, stored_document
from spincache_nb.core.pull.values import PullPlan, PullResult
from spincache_nb.core.reference import Reference
from spincache_nb.errors import CacheError, ContentError, ManifestError

if TYPE_CHECKING:
    from spincache_nb.core.archive import ArchiveLimits

_log = logging.getLogger(__name__)
_ROUNDS = 10
_POLL_SECONDS = 0.05
_LOCKED_APP_BYTES = 64 << 20
"""A locked app names each mounted file, in some 150 bytes; a config is held to the client's 4 MiB."""


@dataclass(slots=True)
class WantedBlob:
    """A blob that some app of this pull lacks, and the areas it is needed in."""

    reference: Reference
    descriptor: Descriptor
    areas: set[Area] = field(default_factory=set)
    archive: bool = False
    elsewhere: bool = True


@dataclass(slots=True)
class ComingApp:
    """A reference on its way into the cache."""

    resolved: Resolved
    plan: PullPlan
    document: bytes = b""
    locked_app: LockedApp | None = None
    waiting: int = 0
    result: PullResult | None = None

    def read_document(self) -> None:
        """Parse the locked app; a package has none."""
        if self.resolved.manifest.kind == "app":
            where = f"{self.resolved.reference}, {self.resolved.manifest.tag_document.digest}"
            self.locked_app = parse_locked_app(self.document, where=where)

    def named_content(self) -> set[tuple[Area, Digest]]:
        """Blobs that the locked app names, with the area in which Spin looks first."""
        named: set[tuple[Area, Digest]] = set()
        if self.locked_app is None:
            return named
        named.update(("wasm", ref.digest) for ref in self.locked_app.binaries() if ref.digest)
        for component in self.locked_app.components:
            files = (file.content for file in component.files)
            named.update(("data", ref.digest) for ref in files if ref.digest and not ref.inline)
        return named


class Stock:
    """Brings documents and blobs from a source into a cache."""

    def __init__(
        self,
        cache: Cache,
        source: Source,
        report: Reporter,
        check: Callable[[], None],
        *,
        durable: bool,
        archive_limits: ArchiveLimits | None,
    ) -> None:
        self.cache = cache
        self.source = source
        self.report = report
        self.check = check
        self.durable = durable
        self.archive_limits = archive_limits
        self.documents_are_good = threading.Event()

    def missing(self, apps: Iterable[ComingApp]) -> dict[Digest, WantedBlob]:
        """Blobs that Spin would not find where it looks, with the areas they are needed in."""
        blobs: dict[Digest, WantedBlob] = {}
        for app in apps:
            manifest = app.resolved.manifest
            areas = Counter(digest for digest, _ in {(x.digest, x.area) for x in manifest.content_layers})
            for layer in manifest.content_layers:
                both = areas[layer.digest] > 1  # wasm and data: each area gets its own copy
                if satisfied(self.cache, layer, "package" if both else manifest.kind):
                    continue
                blob = blobs.setdefault(layer.digest, WantedBlob(app.resolved.reference, layer))
                blob.areas.add(layer.area)
                blob.archive |= layer.role == "archive"
        return blobs

    def missing_documents(self, app: ComingApp) -> list[Descriptor]:
        """Config and locked app, as far as they are to be fetched; a stored locked app is read."""
        one = app.resolved
        stored = stored_document(self.cache, one.reference, one.manifest.tag_document)
        if stored is None:
            return list(dict.fromkeys((one.manifest.tag_document, one.manifest.config)))
        app.document = stored
        app.read_document()
        return []

    def fetch_document(self, app: ComingApp, document: Descriptor) -> None:
        """Fetch a config or locked app: small, kept in memory, the first thing that can be wrong."""
        one = app.resolved
        is_locked_app = document == one.manifest.tag_document
        limit = _LOCKED_APP_BYTES if is_locked_app else None
        content = self.source.fetch_document(one.reference, document, limit=limit)
        self.report(ProgressEvent("bytes", app.plan.reference, str(document.digest), len(content)))
        _check_text(content, where=f"{one.reference}, {document.digest}")
        if is_locked_app:
            app.document = content
            app.read_document()

    def wait_for_documents(self) -> None:
        """Wait until the documents of all apps were read; whoever stores a blob asks."""
        while not self.documents_are_good.wait(_POLL_SECONDS):
            self.check()

    def fetch_blob(self, blob: WantedBlob) -> None:
        """Bring one blob into every area that needs it: copied if it is stored, else fetched."""
        for area in sorted(blob.areas):
            if not (blob.elsewhere and self.copy(blob.descriptor.digest, area, blob.descriptor.size)):
                self.download(blob.reference, blob.descriptor, area)
            blob.elsewhere = True
        if blob.archive:
            self.unpack(blob.descriptor.digest)

    def copy(self, digest: Digest, area: Area, size: int | None) -> bool:
        """Copy a blob from the other area if it is whole there (of `size` bytes, if given)."""
        source = other_area(area)
        found = self.cache.blob_size(source, digest)
        if found is None or (size is not None and found != size):
            return False
        self.wait_for_documents()
        try:
            self.cache.copy_blob(digest, source=source, target=area, size=found, durable=self.durable)
        except ContentError:
            _log.warning("%s/%s is damaged", source, digest)
            return False
        return True

    def download(self, reference: Reference, descriptor: Descriptor, area: Area) -> None:
        """Stream one blob into one area."""
        name, text = reference.cached_name, str(descriptor.digest)
        self.report(ProgressEvent("start", name, text, total=descriptor.size))

        def counted() -> Iterator[bytes]:
            for chunk in self.source.stream_blob(reference, descriptor):
                yield chunk
                self.report(ProgressEvent("bytes", name, text, len(chunk), descriptor.size))
            self.wait_for_documents()

        self.cache.put_blob(
            area,
            descriptor.digest,
            counted(),
            size=descriptor.size,
            where=f"{name}, layer {text}",
            durable=self.durable,
        )
        self.report(ProgressEvent("done", name, text, total=descriptor.size))

    def unpack(self, archive: Digest) -> None:
        """Store the members of a stored archive."""
        from spincache_nb.core.archive import unpack

        found = unpack(
            self.cache, archive, limits=self.archive_limits, check=self.check, durable=self.durable
        )
        if found.skipped:
            _log.info("%s: %d entries that are no regular files were skipped", archive, found.skipped)
        self.report(ProgressEvent("unpacked", digest=str(archive), count=len(found.members)))

    def restore_lost(self, app: ComingApp) -> None:
        """Check that every blob the manifest names is there; fetch again what somebody removed."""
        for _ in range(_ROUNDS):
            lost = self.missing([app])
            if not lost:
                return
            for blob in lost.values():
                self.fetch_blob(blob)
        raise CacheError(
            str(app.resolved.reference),
            "the blobs just stored to stay",
            f"{len(lost)} of them gone again",
            "another program removes files from this cache; stop it, then pull again",
        )

    def unpack_missing_members(self, app: ComingApp) -> None:
        """Unpack reused archives again if the locked app names members that are not there."""
        if not self.absent_content(app):
            return
        for layer in app.resolved.manifest.content_layers:
            if layer.role == "archive":
                if not self.cache.is_whole(layer.digest):
                    self.download(app.resolved.reference, layer, layer.area)
                self.unpack(layer.digest)
        for digest in self.absent_content(app):
            _log.warning("%s names %s, which no layer holds", app.plan.reference, digest)

    def absent_content(self, app: ComingApp) -> list[Digest]:
        """Content of the locked app that Spin would not find; what the other area has is copied."""
        absent = []
        for area, digest in sorted(app.named_content()):
            found = self.cache.blob_size(area, digest) is not None
            found = found or (area == "wasm" and self.cache.blob_size("data", digest) is not None)
            if not found and not self.copy(digest, area, None):
                absent.append(digest)
        return absent

    def touch(self, app: ComingApp, *, coming: Collection[Digest] = ()) -> None:
        """Make young whatever the app needs, so that a prune beside us leaves it alone."""
        needed = {layer.digest for layer in app.resolved.manifest.content_layers}
        needed.update(digest for _, digest in app.named_content())
        for digest in needed.difference(coming):
            for area in AREAS:
                self.cache.touch_blob(area, digest)


def _check_text(content: bytes, *, where: str) -> None:
    """Spin aborts a pull whose config is not UTF-8 (crates/oci/src/client.rs)."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ManifestError(
            where, "a config in UTF-8", f"byte {exc.start} that is not", "push it again"
        ) from exc
