"""Where the bytes of a binary are: by section, nested, and shared with another version or not."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from spincache_nb.analysis.inside.pair import Row
from spincache_nb.analysis.inside.pieces import pieces
from spincache_nb.analysis.inside.schemas import SECTION_MAP_SCHEMA
from spincache_nb.analysis.inside.sources import BlobFinder, BlobSource, OpenBlob, opened
from spincache_nb.analysis.inside.trees import Labels, label
from spincache_nb.frames.schemas import build
from spincache_nb.wasm import Binary, Section, Walk, WasmGrain

_SHARING_GRAIN: WasmGrain = "data segment"


def section_map(blob: BlobSource, *, cache: BlobFinder | None = None) -> pd.DataFrame:
    """Say which section holds each byte of a module or component.

    Parameters
    ----------
    blob
        Bytes, a path, or a digest (with `cache`).
    cache
        Where to look digests up.

    Returns
    -------
    pandas.DataFrame
        One row per section, in the order of the bytes. Each byte is counted in exactly one row: a
        section that holds a module or component counts its own header only.

        =============  ========  =====================================================================
        column         dtype     meaning
        =============  ========  =====================================================================
        version        category  ``new`` (`section_maps` has ``old`` as well)
        path           string    the module or component it is in, by the names around it; empty for
                                 the outermost
        depth          Int64     number of components around that
        layer          category  ``module``, ``component``; ``other`` if it is not WebAssembly
        section        category  such as ``code``, ``custom``, ``core module``; ``preamble``
        name           string    name of a custom section, or of what is nested; missing if it has none
        offset         Int64     where the section starts
        section_bytes  Int64     its bytes, without those of what is nested in it
        shared_bytes   Int64     of those, bytes that the other version has too (as sections, functions
                                 or data segments); missing if there is no other
        =============  ========  =====================================================================

    Raises
    ------
    WasmFormatError
        If the blob claims to be WebAssembly and is malformed.
    NotInCacheError, LimitError, ValueError, OSError
        As for `grains`.

    Examples
    --------
    >>> frame = section_map(bytes.fromhex("0061736d01000000" "0003026869"))
    >>> frame[["section", "section_bytes"]].values.tolist()
    [['preamble', 8], ['custom', 5]]
    """
    with opened(blob, cache=cache) as opening:
        return build(SECTION_MAP_SCHEMA, [("new", *row, None) for row in _rows(opening)])


def section_maps(old: BlobSource, new: BlobSource, *, cache: BlobFinder | None = None) -> pd.DataFrame:
    """Say for two versions which section holds each byte, and which bytes they share.

    Parameters
    ----------
    old, new
        Each bytes, a path, or a digest (with `cache`).
    cache
        Where to look digests up.

    Returns
    -------
    pandas.DataFrame
        The rows of `section_map` of both, the old version first.

    Raises
    ------
    WasmFormatError, NotInCacheError, LimitError, ValueError, OSError
        As for `section_map`.
    """
    with opened(old, cache=cache) as before, opened(new, cache=cache) as after:
        rows = [
            *_marked("old", before, after),
            *_marked("new", after, before),
        ]
    return build(SECTION_MAP_SCHEMA, rows)


def _marked(version: str, blob: OpenBlob, other: OpenBlob) -> list[Row]:
    known = set(pieces(other, _SHARING_GRAIN)[0])
    rows = _rows(blob)
    starts = [int(str(row[5])) for row in rows]
    shared: Counter[int] = Counter()
    at = place = 0
    for digest, size in zip(*pieces(blob, _SHARING_GRAIN), strict=True):
        while place + 1 < len(starts) and starts[place + 1] <= at:
            place += 1
        if digest in known:
            shared[place] += size
        at += size
    return [(version, *row, shared[place]) for place, row in enumerate(rows)]


def _rows(blob: OpenBlob) -> list[tuple[object, ...]]:
    if blob.walked is None:
        return [("", 0, "other", "other", None, 0, len(blob.view))]
    walked, labels = blob.walked, label(blob.view, blob.walked)
    rows: list[tuple[object, ...]] = [_preamble(walked.binaries[0], labels)]
    for section in walked.sections:
        rows.append(_section(section, walked, labels))
        if section.nested >= 0:
            rows.append(_preamble(walked.binaries[section.nested], labels))
    return rows


def _preamble(binary: Binary, labels: Labels) -> tuple[object, ...]:
    path = labels.paths[binary.number]
    return path, binary.depth, binary.layer, "preamble", None, binary.start, 8


def _section(section: Section, walked: Walk, labels: Labels) -> tuple[object, ...]:
    binary = walked.binaries[section.binary]
    end = section.end if section.nested < 0 else section.body
    name = section.name if section.nested < 0 else labels.names[section.nested]
    path = labels.paths[binary.number]
    return path, binary.depth, binary.layer, section.kind, name or None, section.start, end - section.start
