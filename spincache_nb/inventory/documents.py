"""The documents of cached tags and of projects: what they say, and whether they belong together.

Projects name blobs of a cache in ``spin.toml`` or an environment lock (Spin main, crates/loader). So does a
locked app that lies outside of a cache: containerd-shim-spin fills ``registry/wasm`` and ``registry/data`` of
a container, writes no manifests, and puts the locked app into ``/spin.json``.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import (
    LOCKED_APP,
    Descriptor,
    Index,
    JsonObject,
    WrittenDescriptor,
    WrittenManifest,
    decode_manifest,
    kind_of,
    known_values,
    parse_manifest,
    parse_object,
)
from spincache_nb.core.files import FileState, read_bounded, read_stated
from spincache_nb.core.layout import LOCKED_APP_FILE, MANIFEST_FILE, shown
from spincache_nb.core.locked_app import (
    is_locked_app,
    parse_locked_app,
    read_locked_app,
    usual_locked_app,
)
from spincache_nb.core.scan import CachedTag
from spincache_nb.core.settings import LOCKED_APP_BYTES
from spincache_nb.errors import (
    CacheError,
    FormatError,
    InvalidDigestError,
    LimitError,
    LockedAppError,
    ManifestError,
    NotInCacheError,
    SpinCacheError,
)
from spincache_nb.inventory.columns import DATA, VIAS, Numbers, Packed, Via, parsed
from spincache_nb.inventory.faults import Fault, Faults
from spincache_nb.inventory.model import (
    CachedApp,
    ConfigKind,
    InventoryLimits,
    ListedLayers,
    ManifestFacts,
    Project,
)
from spincache_nb.inventory.stored import StoredBlobs
from spincache_nb.project.package_config import PackageLog
from spincache_nb.project.spin_toml import (
    EnvironmentLock,
    ProjectFiles,
    SpinManifest,
    find_project,
    named_digests,
)

LOCKED_APP_LABEL = "com.fermyon.spin.lockedAppDigest"
"""Label of an image config that names the application layer (Spin v2.4 and later)."""

_PULL = "pull the app again"
_ATTEMPTS = 3
_CONFIGS = {"image config": "the image config", "package config": "a package's config"}


def read_documents(
    tag: CachedTag,
    stored: StoredBlobs,
    types: Numbers,
    *,
    limits: InventoryLimits,
    known_digests: Iterable[Digest] = (),
    check_sizes: bool = False,
) -> CachedApp:
    """Read both documents of a cached tag; again, if one that seems damaged changed meanwhile.

    Whether a digest of the manifest has two sizes is only looked at if `check_sizes`.
    """
    paths = f"{tag.location}{os.sep}{MANIFEST_FILE}", f"{tag.location}{os.sep}{LOCKED_APP_FILE}"
    for _ in range(_ATTEMPTS):
        reader = _Reader(tag, paths, stored, limits, types, check_sizes=check_sizes)
        found = reader.read(known_digests)
        if not found.faults:
            break
        after = [FileState.at(path) for path in paths]
        found.gone = not any(after)
        if after == [FileState.of(reader.states[path]) if path in reader.states else None for path in paths]:
            break
    return found


class _Reader:
    """One attempt."""

    def __init__(
        self,
        tag: CachedTag,
        paths: tuple[str, str],
        stored: StoredBlobs,
        limits: InventoryLimits,
        types: Numbers,
        *,
        check_sizes: bool,
    ) -> None:
        self.manifest_path, self.locked_app_path = paths
        self.types = types
        self.check_sizes = check_sizes
        self.stored = stored
        self.limits = limits
        self.found = CachedApp(tag)
        self.states: dict[str, os.stat_result] = {}  # of documents that were read

    def read(self, known_digests: Iterable[Digest]) -> CachedApp:
        manifest = self.content(self.manifest_path, self.limits.manifest_bytes, "manifest")
        if manifest is not None:
            self.parse_manifest(manifest, known_digests)
        config = self.content(self.locked_app_path, self.limits.locked_app_bytes, self.what_config_is())
        if config is not None:
            self.parse_config(config)
        elif self.expects_app():
            self.recover(None)
        return self.found

    def fault(self, path: str, kind: str, detail: str, remedy: str = _PULL) -> None:
        self.found.faults.append(Fault(path, kind, detail, remedy))

    def content(self, path: str, limit: int, what: str) -> bytes | None:
        """Read a document; why it cannot be read becomes a fault."""
        try:
            content, self.states[path] = read_stated(path, limit=limit)
            return content
        except NotInCacheError as exc:
            self.fault(path, f"missing {what}", f"expected {exc.expected}, found {exc.found}")
        except LimitError as exc:
            self.fault(path, f"damaged {what}", f"expected {exc.expected}, found {exc.found}")
            self.set_config_kind(path, "damaged")
        except CacheError as exc:
            self.fault(path, "unreadable file", f"the system says: {exc.found}", "check its permissions")
            self.set_config_kind(path, "unreadable")
        return None

    def set_config_kind(self, path: str, kind: ConfigKind) -> None:
        if path == self.locked_app_path:
            self.found.config_kind = kind

    def what_config_is(self) -> str:
        manifest = self.found.facts
        return "locked app" if manifest is None or manifest.kind == "app" else "config"

    # The manifest ----------------------------------------------------------------------------

    def parse_manifest(self, content: bytes, known_digests: Iterable[Digest]) -> None:
        try:
            manifest = self.manifest_facts(content)
        except ManifestError as exc:
            where = exc.where.partition(", ")[2]
            detail = f"{where + ': ' if where else ''}expected {exc.expected}, found {exc.found}"
            self.fault(self.manifest_path, "damaged manifest", "it is empty" if not content else detail)
            return
        if manifest is None:
            detail = "an index is in its place, which Spin never stores"
            self.fault(self.manifest_path, "damaged manifest", detail)
            return
        self.found.facts, self.found.listed = manifest
        tag = self.found.tag
        candidates = [tag.digest] if tag.digest is not None else []
        self.found.manifest_digest = next(
            (d for d in (*candidates, *known_digests) if d.matches(content)), None
        )

    def manifest_facts(self, content: bytes) -> tuple[ManifestFacts, ListedLayers] | None:
        """Read a manifest; None if it is an index. What is not as it should be `parse_manifest` explains."""
        written = decode_manifest(content, where=MANIFEST_FILE)
        if written.config is not None and written.layers is not None and not self.check_sizes:
            with suppress(InvalidDigestError):
                return _facts(written, written.config, written.layers, self.types)
        document = parse_manifest(content, where=MANIFEST_FILE)
        if isinstance(document, Index):
            return None
        assert written.config is not None
        return _facts(written, written.config, written.layers or [], self.types)

    def expects_app(self) -> bool:
        return self.found.facts is not None and self.found.facts.kind == "app"

    # config.json -----------------------------------------------------------------------------

    def parse_config(self, content: bytes) -> None:
        path = self.locked_app_path
        manifest = self.found.facts
        self.found.locked_app = usual_locked_app(content)
        try:
            document: JsonObject = {}
            if self.found.locked_app is None:
                document = parse_object(
                    content, where=LOCKED_APP_FILE, error=FormatError, what="a JSON document"
                )
        except FormatError as exc:
            self.found.config_kind = "damaged"
            detail = f"expected {exc.expected}, found {exc.found}"
            recovered = self.expects_app() and self.recover(None)
            self.fault(
                path,
                f"damaged {self.what_config_is()}",
                ("it is empty" if not content else detail) + _hint(recovered),
            )
            return
        self.found.current = manifest is not None and manifest.tag_document.digest.matches(content)
        if self.found.locked_app is not None or is_locked_app(document):
            self.found.config_kind = "locked app"
            if self.found.locked_app is None:
                self.parse_app(document)
        else:
            self.found.config_kind = _config_kind(document)
        self.check_config(document)

    def parse_app(self, document: JsonObject) -> None:
        path = self.locked_app_path
        try:
            self.found.locked_app = read_locked_app(document, where=LOCKED_APP_FILE)
        except LockedAppError as exc:
            detail = f"expected {exc.expected}, found {exc.found}; Spin does not load it"
            self.fault(path, "locked app of an unknown version", detail, exc.remedy)

    def check_config(self, document: JsonObject) -> None:
        """Compare ``config.json`` with what one would expect beside the manifest."""
        path, is_app = self.locked_app_path, self.found.config_kind == "locked app"
        if is_app and self.found.locked_app is None:
            return
        if not is_app and (self.expects_app() or _label(document) is not None):
            recovered = self.recover(document)
            what = _CONFIGS.get(self.found.config_kind, "another document")
            self.fault(
                path,
                "config in the locked app's place",
                f"{what} is in the locked app's place: a pull was interrupted or goes on, or an older "
                "Spin did not know the layer" + _hint(recovered),
            )
        elif self.found.facts is None or self.found.listed is None:
            return
        elif self.found.kind == "package" and (count := len(self.found.listed.sizes)) != 1:
            self.fault(
                self.manifest_path,
                "package without exactly one layer",
                f"expected 1 layer, found {count}; Spin does not load it",
                "remove it, unless another program needs it",
            )
        elif self.found.kind == "unknown":
            self.fault(
                path,
                "neither app nor package",
                "Spin loads a locked app, or a manifest with one wasm layer; this is neither",
                "remove it, unless another program needs it",
            )
        elif not self.found.current:
            differs = "locked app" if is_app else "config"
            self.fault(
                path,
                f"stale {differs}",
                f"it is not the {differs} that manifest.json names, but of another version: "
                "a pull was interrupted, or it was altered",
            )

    # Recovery --------------------------------------------------------------------------------

    def recover(self, image_config: JsonObject | None) -> bool:
        """Look for the locked app in ``data/``, by the config's label or the manifest's layer."""
        candidates = [_label(image_config)] if image_config is not None else []
        if self.found.facts is not None and self.found.facts.application is not None:
            candidates.append(self.found.facts.application.digest)
        for digest in candidates:
            row = self.stored.find(DATA, str(digest)) if digest is not None else None
            if row is None or digest is None:
                continue
            try:
                content = read_bounded(Path(self.stored.location(row)), limit=self.limits.locked_app_bytes)
                digest.check(Digest.of(content, digest.algorithm).encoded, where=str(digest))
                self.found.locked_app = parse_locked_app(content, where=str(digest))
            except SpinCacheError:
                continue
            self.found.recovered = row
            return True
        return False


def _facts(
    written: WrittenManifest, config: WrittenDescriptor, layers: Sequence[WrittenDescriptor], number: Numbers
) -> tuple[ManifestFacts, ListedLayers]:
    Digest.parse(config.digest)
    digests = Packed.of([layer.digest for layer in layers])
    types = [layer.mediaType for layer in layers]
    codes = list(map(number.__getitem__, types))
    application = config if config.mediaType == LOCKED_APP else None
    if number.get(LOCKED_APP) in codes:
        application = next(layer for layer in reversed(layers) if layer.mediaType == LOCKED_APP)
    urls = [layer.urls for layer in layers]
    facts = ManifestFacts(
        _descriptor(config),
        _descriptor(application) if application is not None else None,
        "app" if application is not None else kind_of(config.mediaType, types),
        known_values(written.annotations),
        written.mediaType or None,
        written.artifactType,
    )
    listed = ListedLayers(
        digests,
        array("i", codes),
        array("q", [layer.size for layer in layers]),
        {place: tuple(some) for place, some in enumerate(urls) if some} if any(urls) else {},
    )
    return facts, listed


def _descriptor(written: WrittenDescriptor) -> Descriptor:
    annotations = known_values(written.annotations)
    urls = tuple(written.urls or ())
    return Descriptor(written.mediaType, parsed(written.digest), written.size, annotations, urls=urls)


def _config_kind(document: JsonObject) -> ConfigKind:
    if "layerDigests" in document:
        return "package config"
    if "rootfs" in document or {"architecture", "os"} <= document.keys():
        return "image config"
    return "other JSON"


def _label(image_config: JsonObject) -> Digest | None:
    config: Any = image_config.get("config")
    labels = config.get("Labels") if isinstance(config, dict) else None
    try:
        return Digest.parse(labels[LOCKED_APP_LABEL]) if isinstance(labels, dict) else None
    except (KeyError, InvalidDigestError):
        return None


def _hint(recovered: bool) -> str:
    return "; the locked app itself was found in data/ and is used here" if recovered else ""


SPIN_JSON = "spin.json"
_Document = TypeVar("_Document", SpinManifest, EnvironmentLock)


def read_projects(
    projects: Sequence[str | os.PathLike[str]], stored: StoredBlobs, faults: Faults, *, limit: int
) -> Iterator[Project]:
    """Read projects, each once, and find the blobs that they name by digest."""
    places: dict[Path, ProjectFiles] = {}
    for project in projects:
        place = find_project(project)
        places.setdefault(place.manifest, place)
    packages = PackageLog().known() if places else {}
    for place in places.values():
        if place.manifest.suffix == ".json":
            yield _read_locked_app(place, stored, faults)
            continue
        manifest, whole = _parsed(place.manifest, place.read_manifest, faults, limit)
        lock, whole_lock = _parsed(place.lock, place.read_lock, faults, limit)
        named = ((digest, via, True) for digest, via in named_digests(manifest, lock, packages))
        uses = _stored_uses(named, stored)
        yield Project(place.name, place.manifest, manifest, lock, whole and whole_lock, uses)


def _stored_uses(
    named: Iterable[tuple[Digest, Via, bool]], stored: StoredBlobs
) -> tuple[tuple[int, str, int], ...]:
    """Area, digest and number of `VIAS` of what is stored; of each is given whether it is wasm."""
    uses: dict[tuple[int, str], int] = {}
    for digest, via, is_wasm in named:
        text = str(digest)
        row = stored.find_wasm(text) if is_wasm else stored.find(DATA, text)
        if row is not None:
            uses.setdefault((int(stored.areas[row]), text), VIAS.index(via))
    return tuple((area, digest, via) for (area, digest), via in uses.items())


def locked_apps_beside(registry: Path) -> list[str]:
    """Locked apps that containerd-shim-spin put beside a cache, or beside the folder that holds it."""
    folders = [registry.parent, registry.parent.parent]
    return [os.fspath(folder / SPIN_JSON) for folder in folders if _is_file(folder / SPIN_JSON)]


def _is_file(path: Path) -> bool:
    state = FileState.at(path)
    return state is not None and state.is_file


def _read_locked_app(place: ProjectFiles, stored: StoredBlobs, faults: Faults) -> Project:
    """Find the blobs that a locked app names."""
    named: list[tuple[Digest | None, bool]] = []
    complete = False
    try:
        app = parse_locked_app(read_bounded(place.manifest, limit=LOCKED_APP_BYTES), where=place.name)
    except SpinCacheError as exc:
        _report(faults, place.manifest, f"expected {exc.expected}, found {exc.found}")
    else:
        for fault in app.faults:
            _report(faults, place.manifest, fault)
        complete = not app.faults
        named += [(ref.digest, True) for ref in app.binaries()]
        named += [(file.content.digest, False) for one in app.components for file in one.files]
    content: list[tuple[Digest, Via, bool]] = [
        (digest, "content ref", is_wasm) for digest, is_wasm in named if digest is not None
    ]
    return Project(place.name, place.manifest, None, None, complete, _stored_uses(content, stored))


def _parsed(
    path: Path, read: Callable[..., _Document | None], faults: Faults, limit: int
) -> tuple[_Document | None, bool]:
    """Read one of the files, and say whether it was understood; none at all is no fault."""
    try:
        document = read(limit=limit)
    except SpinCacheError as exc:
        _report(faults, path, f"expected {exc.expected}, found {exc.found}")
        return None, False
    for fault in document.faults if document is not None else ():
        _report(faults, path, str(fault))
    return document, document is None or not document.faults


def _report(faults: Faults, path: Path, detail: str) -> None:
    faults.add(
        shown(os.fspath(path)),
        "project not understood",
        detail,
        "correct the file; until then blobs that it needs may count as unreferenced",
        one_of_many=True,
    )
