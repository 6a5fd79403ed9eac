"""The modules and components inside blobs: what they are called, who shares them, where their bytes are."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import pandas as pd

from spincache_nb.analysis.inputs import Source, one_cache, some_of
from spincache_nb.analysis.pieces import BlobSource, OpenBlob, opened, pieces
from spincache_nb.analysis.schemas import SECTION_MAP_SCHEMA, SHARED_MODULES_SCHEMA
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.errors import CacheError, LimitError, WasmFormatError
from spincache_nb.frames import load
from spincache_nb.frames.schemas import build
from spincache_nb.show import rows
from spincache_nb.wasm.encoding import Buffer
from spincache_nb.wasm.naming import (
    Producers,
    producers_of,
    read_module_name,
    read_nested_names,
    read_producers,
)
from spincache_nb.wasm.walker import PREAMBLE_BYTES, Binary, Walk, WasmGrain

logger = logging.getLogger(__name__)

_DEEPEST_COMPONENT: Final = 16
_SEPARATOR: Final = " > "
_LONGEST_PATH: Final = 300
_SHARING_GRAIN: Final[WasmGrain] = "data segment"

_Row: TypeAlias = tuple[Any, ...]


class Labels(NamedTuple):
    """What to call the modules and components of a binary: by itself, and with the names around it."""

    names: tuple[str, ...]
    paths: tuple[str, ...]


def label(data: Buffer, walked: Walk) -> Labels:
    """Name every module and component of a binary."""
    names = [""] * len(walked.binaries)
    for binary in walked.binaries:
        if binary.layer == "component":
            for number, name in read_nested_names(data, walked, binary.number).items():
                names[number] = name
        elif not names[binary.number]:
            names[binary.number] = read_module_name(data, walked, binary.number)
    paths = [""] * len(walked.binaries)
    counts: dict[tuple[int, str], int] = {}
    for binary in walked.binaries[1:]:
        place = counts.get((binary.parent, binary.layer), 0)
        counts[binary.parent, binary.layer] = place + 1
        own = names[binary.number] or f"{binary.layer} {place}"
        around = paths[binary.parent]
        path = f"{around}{_SEPARATOR}{own}" if around else own
        paths[binary.number] = path if len(path) <= _LONGEST_PATH else "…" + path[-_LONGEST_PATH:]
    return Labels(tuple(names), tuple(paths))


@SHARED_MODULES_SCHEMA.describes
def shared_modules(cache: Source | Iterable[tuple[str, BlobSource]] = None) -> pd.DataFrame:
    """Find modules and components that are in several different blobs: a libc, an adapter, a runtime.

    Parameters
    ----------
    cache
        This user's cache unless given; a cache or its path; or pairs of a user (an app's reference, a path)
        and a blob. Blobs are read one at a time. Blobs that are not WebAssembly are left out; malformed and
        unreadable ones too, which is logged as a warning.

    Returns
    -------
    pandas.DataFrame
        One row per module in two blobs or more, those that repeat the most bytes first. What is
        nested in a shared component is shared as well, so rows can overlap.

        {columns}
    """
    groups: dict[str, list[ModuleUse]] = {}
    for use in module_uses(cache):
        groups.setdefault(use.module_digest, []).append(use)
    lines = [_shared(digest, uses) for digest, uses in groups.items()]
    lines = sorted((line for line in lines if line[4] > 1), key=lambda line: (-line[7], line[0]))
    return build(SHARED_MODULES_SCHEMA, lines)


def _shared(digest: str, uses: list[ModuleUse]) -> _Row:
    frequent = Counter(name for name, _ in {(use.name, use.blob_digest) for use in uses} if name)
    names = some_of(sorted(frequent, key=lambda name: (-frequent[name], name))) or None
    users, blobs = sorted({use.user for use in uses}), len({use.blob_digest for use in uses})
    size = uses[0].module_bytes
    return digest, uses[0].layer, names, size, blobs, len(users), some_of(users), size * (blobs - 1)


class ModuleUse(NamedTuple):
    """A core module or component in a blob, by its digest, the outermost included, and a user of the blob."""

    module_digest: str
    layer: str
    name: str | None
    module_bytes: int
    blob_digest: str
    user: str
    times: int


def module_uses(cache: Source | Iterable[tuple[str, BlobSource]] = None) -> list[ModuleUse]:
    """List what is inside blobs, each once, with who uses the blobs."""
    found: list[ModuleUse] = []
    for digest, users, source, held in _used(cache):
        try:
            with opened(source, cache=held) as blob:
                if blob.walked is not None:
                    name = digest or f"sha256:{blob.digest.hex()}"
                    found.extend(_modules(blob, blob.walked, name, users))
        except (OSError, CacheError, WasmFormatError, LimitError) as exc:
            logger.warning("%s is left out: %s", digest or "a blob", exc)
    return sorted(set(found), key=lambda use: (use.module_digest, use.blob_digest, use.user))


def _used(cache: Any) -> Iterator[tuple[str | None, tuple[str, ...], BlobSource, Cache | None]]:
    """Yield each blob once: digest if it is known, users, and where to read it."""
    if isinstance(cache, Iterable) and not isinstance(cache, str):
        yield from ((None, (user,), blob, None) for user, blob in cache)
        return
    held = one_cache(cache)
    users: dict[str, set[str]] = {}
    for user, digest in rows(load(held, "uses").need("uses"), "user", "digest"):
        users.setdefault(digest, set()).add(user)
    for digest in sorted(users):
        yield digest, tuple(sorted(users[digest])), Digest.parse(digest), held


def _modules(blob: OpenBlob, walked: Walk, blob_digest: str, users: tuple[str, ...]) -> Iterator[ModuleUse]:
    labels = label(blob.view, walked)
    keys: Counter[tuple[str, str, str | None, int]] = Counter()
    for binary in walked.binaries:
        if binary.layer == "component" and binary.depth > _DEEPEST_COMPONENT:
            continue  # hashing a nest of any depth level by level would cost its square
        data = blob.view[binary.start : binary.end]
        name: str | None = labels.names[binary.number]
        if not name:  # else the language it was written in
            languages = read_producers(data).languages if binary.layer == "module" else ()
            name = languages[0].name if languages else None
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        keys[digest, binary.layer, name, len(data)] += 1
    for key, count in keys.items():
        yield from (ModuleUse(*key, blob_digest, user, count) for user in users)


def producers(blob: BlobSource, *, cache: Cache | None = None) -> Producers:
    """Read which languages and tools made a blob.

    Parameters
    ----------
    blob, cache
        Bytes, a path, or a digest and the cache that holds it.

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


@SECTION_MAP_SCHEMA.describes
def section_map(blob: BlobSource, *, cache: Cache | None = None) -> pd.DataFrame:
    """Say which section holds each byte of a module or component.

    Parameters
    ----------
    blob, cache
        As for `producers`.

    Returns
    -------
    pandas.DataFrame
        One row per section, in the order of the bytes; ``version`` is ``new``. Each byte is counted in
        exactly one row: a section that holds a module or component counts its own header only.

        {columns}

    Raises
    ------
    WasmFormatError, NotInCacheError, LimitError, ValueError, OSError
        As for `producers`.

    Examples
    --------
    >>> frame = section_map(bytes.fromhex("0061736d01000000" "0003026869"))
    >>> frame[["section", "section_bytes"]].values.tolist()
    [['preamble', 8], ['custom', 5]]
    """
    with opened(blob, cache=cache) as opening:
        return build(SECTION_MAP_SCHEMA, [("new", *row, None) for row in _sections(opening)])


def section_maps(old: BlobSource, new: BlobSource, *, cache: Cache | None = None) -> pd.DataFrame:
    """Say for two versions which section holds each byte, and which bytes they share.

    Parameters
    ----------
    old, new, cache
        As for `grains`.

    Returns
    -------
    pandas.DataFrame
        The rows of `section_map` of both, the old version first.

    Raises
    ------
    WasmFormatError, NotInCacheError, LimitError, ValueError, OSError
        As for `producers`.
    """
    with opened(old, cache=cache) as before, opened(new, cache=cache) as after:
        return build(SECTION_MAP_SCHEMA, [*_marked("old", before, after), *_marked("new", after, before)])


def _marked(version: str, blob: OpenBlob, other: OpenBlob) -> list[_Row]:
    known = set(pieces(other, _SHARING_GRAIN)[0])
    lines = _sections(blob)
    starts = [line[5] for line in lines]
    shared: Counter[int] = Counter()
    at = place = 0
    for digest, size in zip(*pieces(blob, _SHARING_GRAIN), strict=True):
        while place + 1 < len(starts) and starts[place + 1] <= at:
            place += 1
        if digest in known:
            shared[place] += size
        at += size
    return [(version, *line, shared[place]) for place, line in enumerate(lines)]


def _sections(blob: OpenBlob) -> list[_Row]:
    if blob.walked is None:
        return [("", 0, "other", "other", None, 0, len(blob.view))]
    walked, labels = blob.walked, label(blob.view, blob.walked)
    lines: list[_Row] = []

    def add(binary: Binary, kind: str, name: str | None, start: int, size: int) -> None:
        lines.append((labels.paths[binary.number], binary.depth, binary.layer, kind, name, start, size))

    add(walked.binaries[0], "preamble", None, 0, PREAMBLE_BYTES)
    for section in walked.sections:
        around, start = walked.binaries[section.binary], section.start
        if section.nested < 0:
            add(around, section.kind, section.name or None, start, section.end - start)
        else:
            add(around, section.kind, labels.names[section.nested] or None, start, section.body - start)
            add(walked.binaries[section.nested], "preamble", None, section.body, PREAMBLE_BYTES)
    return lines
