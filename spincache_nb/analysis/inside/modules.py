"""Modules and components that several blobs hold: a libc, an adapter, a language runtime."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import pandas as pd

from spincache_nb.analysis.inputs import rows
from spincache_nb.analysis.inside.pair import Row
from spincache_nb.analysis.inside.schemas import MODULE_USES_SCHEMA, SHARED_MODULES_SCHEMA
from spincache_nb.analysis.inside.sources import BlobFinder, BlobSource, OpenBlob, opened
from spincache_nb.analysis.inside.trees import label
from spincache_nb.analysis.labels import some_of
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.errors import CacheError, LimitError, WasmFormatError
from spincache_nb.frames import load
from spincache_nb.frames.schemas import build
from spincache_nb.wasm import Producers, Walk, producers_of, read_producers

logger = logging.getLogger(__name__)

_DEEPEST_COMPONENT: Final = 16

UsedBlobs: TypeAlias = Cache | Iterable[tuple[str, BlobSource]]
"""A cache, or pairs of a user (an app's reference, a path) and a blob."""


def module_uses(source: UsedBlobs) -> pd.DataFrame:
    """List the core modules and components inside blobs, with who uses the blobs.

    Parameters
    ----------
    source
        A cache, or pairs of user and blob. Blobs are read one at a time. Blobs that are not
        WebAssembly are left out; malformed and unreadable ones too, which is logged as a warning.

    Returns
    -------
    pandas.DataFrame
        One row per module, blob and user, the outermost module or component included.

        =============  ========  =====================================================================
        column         dtype     meaning
        =============  ========  =====================================================================
        module_digest  category  sha256 of the module's bytes: its name, were it stored by itself
        layer          category  ``module`` or ``component``
        name           string    what the component around it calls it, else what it calls itself, else
                                 the language it was written in; missing if nothing says
        module_bytes   Int64     its size
        blob_digest    category  the blob it is in
        user           category  who uses the blob
        count          Int64     how many times it is in the blob
        =============  ========  =====================================================================
    """
    found: list[Row] = []
    for digest, users, blob_source, finder in _used(source):
        try:
            with opened(blob_source, cache=finder) as blob:
                if blob.walked is not None:
                    name = digest or str(Digest("sha256", hashlib.sha256(blob.view).hexdigest()))
                    found.extend(_rows(blob, blob.walked, name, users))
        except (OSError, CacheError, WasmFormatError, LimitError) as exc:
            logger.warning("%s is left out: %s", digest or "a blob", exc)
    return build(MODULE_USES_SCHEMA, dict.fromkeys(found), sort=["module_digest", "blob_digest", "user"])


def shared_modules(source: UsedBlobs | pd.DataFrame) -> pd.DataFrame:
    """Find modules and components that are in several different blobs.

    Parameters
    ----------
    source
        As for `module_uses`, or the frame that it returns.

    Returns
    -------
    pandas.DataFrame
        One row per module in two blobs or more, those that repeat the most bytes first. What is
        nested in a shared component is shared as well, so rows can overlap.

        ==============  ========  ====================================================================
        column          dtype     meaning
        ==============  ========  ====================================================================
        module_digest   string    sha256 of the module's bytes
        layer           category  ``module`` or ``component``
        names           string    up to three names it goes by, the most frequent first, and how many
                                  more; missing if it has none
        module_bytes    Int64     its size
        blob_count      Int64     different blobs that hold it
        user_count      Int64     different users of those blobs
        users           string    up to three of them, and how many more
        repeated_bytes  Int64     its size for each blob beyond the first
        ==============  ========  ====================================================================
    """
    uses = source if isinstance(source, pd.DataFrame) else module_uses(source)
    groups: dict[str, list[tuple[str, str | None, int, str, str]]] = {}
    columns = ("module_digest", "layer", "name", "module_bytes", "blob_digest", "user")
    for digest, *use in rows(uses, *columns):
        groups.setdefault(digest, []).append(tuple(use))
    shared = [_shared(digest, group) for digest, group in groups.items()]
    lines = [line for line in shared if line[4] > 1]
    lines.sort(key=lambda line: (-line[7], line[0]))
    return build(SHARED_MODULES_SCHEMA, lines)


def producers(blob: BlobSource, *, cache: BlobFinder | None = None) -> Producers:
    """Read which languages and tools made a blob.

    Parameters
    ----------
    blob
        Bytes, a path, or a digest (with `cache`).
    cache
        Where to look digests up.

    Returns
    -------
    Producers
        Languages, tools and kits with their versions, of everything nested too; empty where nothing
        is said and for what is not WebAssembly.

    Raises
    ------
    WasmFormatError
        If the blob claims to be WebAssembly and is malformed.
    NotInCacheError, LimitError, ValueError, OSError
        As for `grains`.
    """
    with opened(blob, cache=cache) as opening:
        return Producers() if opening.walked is None else producers_of(opening.view, opening.walked)


def _used(source: UsedBlobs) -> Iterator[tuple[str | None, tuple[str, ...], BlobSource, BlobFinder | None]]:
    """Yield each blob once: digest if it is known, users, and where to read it."""
    if not isinstance(source, Cache):
        yield from ((None, (user,), blob, None) for user, blob in source)
        return
    users: dict[str, set[str]] = {}
    for user, digest in rows(load(source, "uses").need("uses"), "user", "digest"):
        users.setdefault(digest, set()).add(user)
    for digest in sorted(users):
        yield digest, tuple(sorted(users[digest])), Digest.parse(digest), source


def _rows(blob: OpenBlob, walked: Walk, blob_digest: str, users: tuple[str, ...]) -> Iterator[Row]:
    labels = label(blob.view, walked)
    keys: Counter[tuple[str, str, str | None, int]] = Counter()
    for binary in walked.binaries:
        if binary.layer == "component" and binary.depth > _DEEPEST_COMPONENT:
            continue  # hashing a nest of any depth level by level would cost its square
        data = blob.view[binary.start : binary.end]
        name = labels.names[binary.number] or _language(data, binary.layer)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        keys[digest, binary.layer, name, len(data)] += 1
    for (digest, layer, name, size), count in keys.items():
        for user in users:
            yield digest, layer, name, size, blob_digest, user, count


def _language(data: memoryview, layer: str) -> str | None:
    tools = read_producers(data).languages if layer == "module" else ()
    return tools[0].name if tools else None


def _shared(
    digest: str, uses: list[tuple[str, str | None, int, str, str]]
) -> tuple[str, str, str | None, int, int, int, str, int]:
    names = Counter({(name, blob) for _, name, _, blob, _ in uses if name})
    frequent = Counter(name for name, _ in names)
    ordered = sorted(frequent, key=lambda name: (-frequent[name], name or ""))
    users = sorted({user for *_, user in uses})
    layer, _, size, *_ = uses[0]
    blobs = len({blob for _, _, _, blob, _ in uses})
    shown = some_of([name for name in ordered if name]) or None
    return digest, layer, shown, size, blobs, len(users), some_of(users), size * (blobs - 1)
