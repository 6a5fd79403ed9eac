"""Which stored blobs an app needs, and which of its blobs are missing (Spin main, crates/oci/src/loader.rs).

The manifest's layers are asked first, then the content that the locked app names.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

from spincache_nb.core.digest import Digest
from spincache_nb.core.manifest import Area, Descriptor
from spincache_nb.core.scan import StoredBlob
from spincache_nb.inventory.documents import Documents
from spincache_nb.inventory.faults import Faults
from spincache_nb.inventory.model import Missing
from spincache_nb.inventory.plain import PlainLayers
from spincache_nb.inventory.rows import CachedLayer, LayerUses, ManifestLayers, Use, Via, by_name
from spincache_nb.inventory.stored import StoredBlobs


class Reach:
    """What one cached app needs."""

    def __init__(self, documents: Documents, stored: StoredBlobs, faults: Faults, plain: PlainLayers) -> None:
        self.documents = documents
        self.user = documents.tag.reference
        self.stored = stored
        self.faults = faults
        self.uses: dict[tuple[Area, Digest], Use] = {}
        self.missing: dict[tuple[Area, Digest], Missing] = {}
        self.archives: dict[Digest, int] = {}
        self._absent: set[Digest] = set()
        self._whole_archives = True
        self._wasm = set(self._wasm_digests())
        self._plain = plain
        self._placed = plain.placed()  # of one moment
        self._numbers = array("q")  # of the layers of which those that are plain are needed
        self._plain_blobs: set[int] | None = None
        self._follow_layers()
        if documents.recovered is not None:  # all that is known of the app, if no layer is it
            self.use(documents.recovered, "content ref")
        self._follow_wasm()
        self._follow_files()

    def use(self, blob: StoredBlob, via: Via) -> None:
        """Note that the app needs a stored blob; what was noted first stays."""
        if blob.digest is not None:
            self.uses.setdefault((blob.area, blob.digest), Use(self.user, blob, blob.digest, via))

    def _is_plain(self, area: Area, digest: Digest) -> bool:
        """Whether a blob is a plain layer of the app."""
        number = self._placed.table.numbers(area).get(str(digest))
        if number is not None and self._plain_blobs is None:
            self._plain_blobs = self._placed.distinct(self._numbers)
        return number is not None and number in (self._plain_blobs or ())

    def needs(self) -> Sequence[Use]:
        """All stored blobs that the app needs, sorted by digest and area."""
        plain = LayerUses(self.user, self._numbers, self._placed)
        if not self.uses:
            return plain
        noted = {(use.area, use.digest): use for use in plain}
        return tuple(sorted((self.uses | noted).values(), key=by_name))

    def layers(self) -> Sequence[CachedLayer]:
        """The manifest's layers, and which of them are stored."""
        manifest = self.documents.manifest
        if manifest is None:
            return ()
        numbers, known = self.documents.layer_numbers, self._plain.layers
        odd = self._plain.placed().odd_among(numbers)
        lacking = {number for number in odd if not self._is_stored(known.descriptor(number))}
        return ManifestLayers(manifest.layers, numbers, lacking, known)

    def _is_stored(self, layer: Descriptor) -> bool:
        manifest = self.documents.manifest
        if manifest is not None and layer.role == "application":
            return self.documents.current and layer.digest == manifest.tag_document.digest
        found = (self.stored.find("wasm", layer.digest), self.stored.find("data", layer.digest))
        return any(blob is not None and blob.stored_bytes == layer.size for blob in found)

    # Layers ----------------------------------------------------------------------------------

    def _follow_layers(self) -> None:
        manifest = self.documents.manifest
        if manifest is None:
            return
        package = self.documents.kind == "package" and len(manifest.layers) == 1
        odd: Iterable[Descriptor] = manifest.layers
        if not package:
            self._numbers = self.documents.layer_numbers
            odd = map(self._plain.layers.descriptor, self._placed.odd_among(self._numbers))
        for layer in odd:
            if layer.role == "application":
                waiting = self.stored.find("data", layer.digest)
                if waiting is not None:  # put there by a Spin that did not know the type
                    self.use(waiting, "layer")
                continue
            self._follow_layer(layer, "wasm" if package else layer.area, package=package)

    def _follow_layer(self, layer: Descriptor, area: Area, *, package: bool) -> None:
        digest = layer.digest
        other: Area = "data" if area == "wasm" else "wasm"
        blob = self._checked(self.stored.find(area, digest), layer)
        if blob is None:
            blob = self._checked(self.stored.find(other, digest), layer)
            if blob is None:
                self._lose(area, digest, "layer")
                self._absent.add(digest)
            elif package or (area == "data" and digest not in self._wasm):
                self._lose(area, digest, "layer")
        if blob is not None:
            self.use(blob, "layer")
        if layer.role == "archive":
            if blob is not None and blob.area == "data":
                self.archives[digest] = layer.size
                self._whole_archives &= blob.stored_bytes == layer.size
            else:
                self._whole_archives = False

    def _checked(self, blob: StoredBlob | None, layer: Descriptor) -> StoredBlob | None:
        """Compare a blob's size with the declared one, and look again before saying that it differs."""
        if blob is None or blob.stored_bytes == layer.size:
            return blob
        blob = self.stored.look_again(blob)
        if blob is not None and blob.stored_bytes != layer.size:
            path = self.stored.path_of(blob.area, layer.digest)
            self.faults.wrong_size(path, expected=layer.size, found=blob.stored_bytes, reference=self.user)
        return blob

    # Content that the locked app names -------------------------------------------------------

    def _wasm_digests(self) -> Iterator[Digest]:
        app = self.documents.locked_app
        for source in app.binaries() if app is not None else ():
            if source.digest is not None:
                yield source.digest

    def _follow_wasm(self) -> None:
        for digest in sorted(self._wasm):
            if self._is_plain("wasm", digest):
                continue
            blob = self.stored.find_wasm(digest)
            if blob is not None:
                self.use(blob, "content ref")
            elif digest not in self._absent:
                self._lose("wasm", digest, "content ref")

    def _follow_files(self) -> None:
        """Follow mounted files; those that are inline are needed nowhere, but may be in an archive."""
        app = self.documents.locked_app
        if app is None or not app.components:
            return
        via: Via = "archive member" if self._has_archive() else "content ref"
        for component in app.components:
            for file in component.files:
                digest = file.content.digest
                if digest is None or (file.content.inline and via == "content ref"):
                    continue
                if self._is_plain("data", digest):
                    continue
                blob = self.stored.find("data", digest)
                if blob is not None:
                    self.use(blob, via)
                elif not file.content.inline and digest not in self._absent:
                    self._lose("data", digest, via)

    def _has_archive(self) -> bool:
        manifest = self.documents.manifest
        return manifest is not None and any(layer.role == "archive" for layer in manifest.layers)

    # What is missing -------------------------------------------------------------------------

    def _lose(self, area: Area, digest: Digest, via: Via) -> None:
        """Note that a blob is not where Spin looks for it, and report it unless another fault says why."""
        if (area, digest) in self.missing:
            return
        other: Area = "data" if area == "wasm" else "wasm"
        elsewhere = self.stored.find(other, digest) is not None
        self.missing[area, digest] = Missing(self.user, digest, area, via, elsewhere)
        path = self.stored.path_of(area, digest)
        if via != "layer" and self._is_stale():
            return
        if elsewhere:
            self.faults.elsewhere(path, reference=self.user)
        elif via == "layer":
            self.faults.lost(path, reference=self.user)
        elif via == "content ref":
            self.faults.lost_content(path, reference=self.user)
        elif self._whole_archives:
            self.faults.lost_member(path, reference=self.user)

    def _is_stale(self) -> bool:
        """Whether the locked app is not the one of this manifest, which is a fault of its own."""
        documents = self.documents
        return (
            documents.config_kind == "locked app" and documents.manifest is not None and not documents.current
        )
