"""One byte changed in a copy, and every name that changes with it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Descriptor, Manifest, parse_manifest
from spincache_nb.core.reference import Reference
from spincache_nb.errors import ManifestError, NotInCacheError
from spincache_nb.frames.schemas import Schema, build

RIPPLE_SCHEMA: Schema = MappingProxyType(
    {"what": "string", "before": "string", "after": "string", "changed": "boolean"}
)


def ripple(cache: Cache, reference: str | Reference, *, position: int = 0, offset: int = -1) -> pd.DataFrame:
    """Change one byte of one layer in a copy in memory, and say what it does to every name above.

    Parameters
    ----------
    cache
        Where the app is; nothing in it is touched.
    reference
        The app, as in ``frames.apps``.
    position
        Which layer, from 0.
    offset
        Which byte of it; the last one unless given.

    Returns
    -------
    pandas.DataFrame
        One row per name, from the layer up.

        =======  =======  ===================================================
        column   dtype    meaning
        =======  =======  ===================================================
        what     string   the layer, the locked app, the manifest, the tag
        before   string   its digest (of the tag: the tag)
        after    string   the same once the byte is changed
        changed  boolean  whether they differ
        =======  =======  ===================================================

    Raises
    ------
    NotInCacheError
        If the cache has no such app or layer, or the layer has no bytes.
    ManifestError
        If its manifest cannot be read.
    """
    tag = cache.cached_tag(reference)
    content = tag.read_manifest()
    manifest = parse_manifest(content, where=tag.reference)
    if not isinstance(manifest, Manifest):
        raise ManifestError(tag.reference, "a manifest", "an index", "pull the app again")
    layers = manifest.content_layers
    if not -len(layers) <= position < len(layers):
        raise NotInCacheError(tag.reference, f"a layer {position}", f"{len(layers)} layers", "count from 0")
    layer = layers[position]
    changed = _changed(cache, layer, offset)
    names = {str(layer.digest): str(Digest.of(changed, layer.digest.algorithm))}
    rows = [(f"layer {position}", str(layer.digest), names[str(layer.digest)])]
    document = manifest.tag_document
    if manifest.kind == "app":
        locked = _renamed(tag.read_locked_app(), names)
        names[str(document.digest)] = str(Digest.of(locked, document.digest.algorithm))
        rows.append(("locked app", str(document.digest), names[str(document.digest)]))
    rows.append(("manifest", str(Digest.of(content)), str(Digest.of(_renamed(content, names)))))
    rows.append(("tag", tag.tag or str(tag.digest), tag.tag or str(tag.digest)))
    return build(RIPPLE_SCHEMA, [(*row, row[1] != row[2]) for row in rows])


def _renamed(document: bytes, names: Mapping[str, str]) -> bytes:
    """The document with old digests replaced by new ones; everything else stays, byte for byte."""
    for old, new in names.items():
        document = document.replace(old.encode(), new.encode())
    return document


def _changed(cache: Cache, layer: Descriptor, offset: int) -> bytes:
    with cache.open_blob(layer.digest) as stream:
        content = bytearray(stream.read())
    if not content:
        raise NotInCacheError(str(layer.digest), "a byte to change", "an empty layer", "take another layer")
    content[offset] ^= 1
    return bytes(content)
