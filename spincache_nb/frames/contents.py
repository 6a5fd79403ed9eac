"""Frames of what apps are: apps, layers, components and mounted files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from spincache_nb.core.digest import Digest
from spincache_nb.core.locked_app import Component, MountedFile
from spincache_nb.core.scan import StoredBlob
from spincache_nb.frames.found import Caches, Found, find
from spincache_nb.frames.picking import picked
from spincache_nb.frames.schemas import APPS_SCHEMA, COMPONENTS_SCHEMA, FILES_SCHEMA, LAYERS_SCHEMA
from spincache_nb.frames.toolchains import Made, Toolchains
from spincache_nb.inventory import CachedApp

_IMAGE = "org.opencontainers.image."


def apps(caches: Caches) -> pd.DataFrame:
    """List the cached tags.

    Parameters
    ----------
    caches
        A cache, or several; ``cache``, the path of the ``registry`` directory, is then the first
        column.

    Returns
    -------
    pandas.DataFrame
        One row per cached tag, sorted by reference.

        ===============  ===================  =================================================
        column           dtype                meaning
        ===============  ===================  =================================================
        reference        string               ``registry/repository:tag``, or ``...@digest`` where
                                              the directory is a digest
        registry         category             host and port; Docker Hub is ``docker.io``
        repository       category             name inside the registry
        tag              string               tag; missing where the directory is a digest
        kind             category             ``app``, ``package`` or ``unknown``
        name             string               by the locked app, else by the manifest's annotations
        version          string               likewise
        description      string               likewise
        created_at       datetime64[ns, UTC]  by the manifest's annotations
        pulled_at        datetime64[ns, UTC]  when ``manifest.json`` was last written
        manifest_digest  string               digest of the manifest, where ``manifest.json`` is known to
                                              be the bytes that a registry served (Spin rewrites it)
        config_digest    string               digest of the config by the manifest
        config_bytes     Int64                size of the config by the manifest
        layer_count      Int64                layers of the manifest, duplicates included
        component_count  Int64                components of the locked app
        declared_bytes   Int64                config and layers by the manifest, each digest once
        stored_bytes     Int64                distinct stored blobs, archives and their members included
        ===============  ===================  =================================================
    """
    return apps_of(find(caches))


def layers(caches: Caches) -> pd.DataFrame:
    """List the layers of the cached tags.

    Parameters
    ----------
    caches
        A cache, or several; ``cache`` is then the first column.

    Returns
    -------
    pandas.DataFrame
        One row per layer of a manifest, sorted by reference and position.

        ==============  ========  =============================================================
        column          dtype     meaning
        ==============  ========  =============================================================
        reference       category  the app
        position        Int64     place in the manifest, from 0
        digest          category  digest of the layer
        media_type      category  as the manifest says
        role            category  what Spin does with it: ``wasm``, ``data``, ``archive``,
                                  ``application`` (the locked app) or ``other``
        declared_bytes  Int64     size by the manifest
        stored          boolean   whether a regular file of just that size is there; for the locked
                                  app, whether ``config.json`` hashes to its digest
        ==============  ========  =============================================================
    """
    return layers_of(find(caches))


def components(caches: Caches, *, toolchains: bool = True) -> pd.DataFrame:
    """List the components of the cached apps.

    Parameters
    ----------
    caches
        A cache, or several; ``cache`` is then the first column.
    toolchains
        Whether to look into the WebAssembly binaries for what made them; each is read once, a few
        pages of it. If not, the last two columns are missing values.

    Returns
    -------
    pandas.DataFrame
        One row per component of a locked app, sorted by reference and component.

        ================  ========  ===========================================================
        column            dtype     meaning
        ================  ========  ===========================================================
        reference         category  the app
        component         string    id of the component
        source_digest     category  digest of its WebAssembly binary
        source_bytes      Int64     stored size of that, missing if it is not stored
        file_count        Int64     mounted files
        files_bytes       Int64     their sizes, missing if one of them is not known
        dependency_count  Int64     components it is composed with, trigger dependencies included
        languages         string    languages it was written in, by the producers sections of its
                                    binary and of all nested in it: sorted, commas between them
        toolchains        string    kits, compilers and tools that made it, with versions: likewise
        ================  ========  ===========================================================

    Notes
    -----
    `languages` and `toolchains` are what the stored binary says of itself, and missing where it says
    nothing, is not stored, or is not a whole WebAssembly binary. Tools can leave the sections out, and
    strip them.
    """
    return components_of(find(caches), toolchains=toolchains)


def files(caches: Caches) -> pd.DataFrame:
    """List the files that the cached apps mount; their content is never shown.

    Parameters
    ----------
    caches
        A cache, or several; ``cache`` is then the first column.

    Returns
    -------
    pandas.DataFrame
        One row per mounted file of a component, sorted by reference, component and path.

        ==========  ========  =================================================================
        column      dtype     meaning
        ==========  ========  =================================================================
        reference   category  the app
        component   category  id of the component
        path        string    where it is mounted, as the locked app says
        digest      category  digest of its content, if the locked app gives one
        inline      boolean   whether the locked app carries the content, so that no blob is needed
        size_bytes  Int64     size of the inline content or of the stored blob, missing if neither
                              is there
        ==========  ========  =================================================================
    """
    return files_of(find(caches))


def apps_of(found: Found) -> pd.DataFrame:
    """Make the frame of apps from inventories."""
    listed = list(found.apps())
    rows = [app for _, app in listed]
    return found.frame(
        APPS_SCHEMA,
        (name for name, _ in listed),
        {
            "reference": (app.reference for app in rows),
            "registry": (app.tag.registry for app in rows),
            "repository": (app.tag.repository for app in rows),
            "tag": (app.tag.tag for app in rows),
            "kind": (app.kind for app in rows),
            "name": (_said(app, "name", "title") for app in rows),
            "version": (_said(app, "version", "version") for app in rows),
            "description": (_said(app, "description", "description") for app in rows),
            "created_at": (_annotation(app, "created") for app in rows),
            "pulled_at": (app.tag.modified_ns for app in rows),
            "manifest_digest": (_text(app.manifest_digest) for app in rows),
            "config_digest": (_text(app.manifest.config.digest) if app.manifest else None for app in rows),
            "config_bytes": (app.manifest.config.size if app.manifest else None for app in rows),
            "layer_count": (len(app.layers) if app.manifest else None for app in rows),
            "component_count": (len(app.locked_app.components) if app.locked_app else None for app in rows),
            "declared_bytes": found.layers.declared([app.manifest for app in rows]),
            "stored_bytes": found.uses.totals()[[user.is_app for user in found.users]],
        },
    )


def layers_of(found: Found) -> pd.DataFrame:
    """Make the frame of layers from inventories."""
    listed = list(found.apps())
    rows = found.layers
    return found.frame(
        LAYERS_SCHEMA,
        picked([name for name, _ in listed], rows.owners),
        {
            "reference": picked([app.reference for _, app in listed], rows.owners),
            "position": rows.positions,
            "digest": rows.digests,
            "media_type": rows.media_types,
            "role": rows.roles,
            "declared_bytes": rows.sizes,
            "stored": rows.stored,
        },
    )


@dataclass(frozen=True, slots=True)
class _OfComponent:
    """A component, and the sizes of its files as far as they are known."""

    cache: str
    reference: str
    component: Component
    source: StoredBlob | None
    files: tuple[tuple[MountedFile, int | None], ...]

    @property
    def source_bytes(self) -> int | None:
        """Stored size of its wasm, or None if it is not stored."""
        return self.source.stored_bytes if self.source is not None else None

    @property
    def files_bytes(self) -> int | None:
        """Bytes of all its files, or None if one is not known."""
        known = [size for _, size in self.files if size is not None]
        return sum(known) if len(known) == len(self.files) else None


def components_of(found: Found, *, toolchains: bool = True) -> pd.DataFrame:
    """Make the frame of components from inventories, and unless told otherwise look into each wasm once."""
    rows = list(_components(found))
    known = Toolchains()
    made = [known.of(row.source.path) if toolchains and row.source else Made() for row in rows]
    return found.frame(
        COMPONENTS_SCHEMA,
        (row.cache for row in rows),
        {
            "reference": (row.reference for row in rows),
            "component": (row.component.id for row in rows),
            "source_digest": (_text(row.component.source.digest) for row in rows),
            "source_bytes": (row.source_bytes for row in rows),
            "file_count": (len(row.files) for row in rows),
            "files_bytes": (row.files_bytes for row in rows),
            "dependency_count": (len(row.component.dependencies) for row in rows),
            "languages": (one.languages for one in made),
            "toolchains": (one.toolchains for one in made),
        },
    )


def files_of(found: Found) -> pd.DataFrame:
    """Make the frame of mounted files from inventories."""
    rows = [(row, file, size) for row in _components(found) for file, size in row.files]
    return found.frame(
        FILES_SCHEMA,
        (row.cache for row, _, _ in rows),
        {
            "reference": (row.reference for row, _, _ in rows),
            "component": (row.component.id for row, _, _ in rows),
            "path": (file.path for _, file, _ in rows),
            "digest": (_text(file.content.digest) for _, file, _ in rows),
            "inline": (file.content.inline for _, file, _ in rows),
            "size_bytes": (size for _, _, size in rows),
        },
    )


def _components(found: Found) -> Iterator[_OfComponent]:
    for name, app in found.apps():
        listed = app.locked_app.components if app.locked_app is not None else ()
        blobs = {(use.blob.area, use.digest): use.blob for use in app.uses} if listed else {}
        for component in sorted(listed, key=lambda one: one.id):
            source = component.source.digest
            stored = blobs.get(("wasm", source), blobs.get(("data", source))) if source is not None else None
            mounted = []
            for file in sorted(component.files, key=lambda one: one.path):
                size = file.content.inline_bytes
                if size is None and file.content.digest is not None:
                    blob = blobs.get(("data", file.content.digest))
                    size = blob.stored_bytes if blob is not None else None
                mounted.append((file, size))
            yield _OfComponent(name, app.reference, component, stored, tuple(mounted))


def _said(app: CachedApp, field: str, annotation: str) -> str | None:
    value: str | None = getattr(app.locked_app, field, None)
    return value if value is not None else _annotation(app, annotation)


def _annotation(app: CachedApp, name: str) -> str | None:
    return app.manifest.annotations.get(_IMAGE + name) if app.manifest is not None else None


def _text(digest: Digest | None) -> str | None:
    return str(digest) if digest is not None else None
