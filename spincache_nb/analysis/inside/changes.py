"""Why the digest of a new version differs: which modules, sections, functions and data do."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from spincache_nb.analysis.inside.matching import Pair, match_differing, match_equal
from spincache_nb.analysis.inside.pair import Row
from spincache_nb.analysis.inside.pieces import same_bytes
from spincache_nb.analysis.inside.schemas import CHANGES_SCHEMA
from spincache_nb.analysis.inside.sides import Kept, Side
from spincache_nb.analysis.inside.sources import BlobFinder, BlobSource, OpenBlob, opened
from spincache_nb.frames.schemas import build
from spincache_nb.wasm import Section


def why_changed(old: BlobSource, new: BlobSource, *, cache: BlobFinder | None = None) -> pd.DataFrame:
    """Find what differs between two versions of a module or component.

    Parts are matched by their bytes first, wherever they are; what remains by name (data segments by
    address), and what has no name by what is around it and its size. So a function that moved is no
    difference, and one whose code names another function by a number that shifted is one.

    Parameters
    ----------
    old, new
        Each bytes, a path, or a digest (with `cache`).
    cache
        Where to look digests up.

    Returns
    -------
    pandas.DataFrame
        One row per difference, what holds a difference before what is in it; no rows for the same
        bytes. Two blobs of which one is not WebAssembly give one row of kind ``blob``.

        =========  ========  =========================================================================
        column     dtype     meaning
        =========  ========  =========================================================================
        path       string    the module or component, by the names around it; empty for the outermost
        kind       category  ``blob``, ``module``, ``component``, ``section``, ``custom section``,
                             ``function``, ``data segment``, ``layout``
        name       string    name of the module, section, custom section or function; functions that
                             have none are numbered. A ``layout`` is the ``order of sections``, the
                             ``order of custom sections``, or the ``encoding``: the same numbers,
                             written with more or fewer bytes
        change     category  ``changed``, ``added``, ``removed``
        old_bytes  Int64     size in the old version, missing if added
        new_bytes  Int64     size in the new version, missing if removed
        =========  ========  =========================================================================

    Raises
    ------
    WasmFormatError
        If a version claims to be WebAssembly and is malformed.
    LimitError
        If a version has more structure than is reasonable.
    NotInCacheError, ValueError, OSError
        As for `grains`.

    Examples
    --------
    >>> module = bytes.fromhex("0061736d01000000" "0003026869")
    >>> frame = why_changed(module, module[:-1] + b"o")
    >>> frame[["kind", "name", "change"]].values.tolist()
    [['custom section', 'ho', 'added'], ['custom section', 'hi', 'removed']]
    """
    with opened(old, cache=cache) as before, opened(new, cache=cache) as after:
        return build(CHANGES_SCHEMA, _rows(before, after))


def _rows(old: OpenBlob, new: OpenBlob) -> list[Row]:
    if same_bytes(old, new):
        return []
    if old.walked and new.walked and old.walked.binaries[0].layer == new.walked.binaries[0].layer:
        return list(_differences(Side(old.view, old.walked), Side(new.view, new.walked)))
    return [("", "blob", None, "changed", len(old.view), len(new.view))]


def _differences(old: Side, new: Side) -> Iterator[Row]:
    """Yield what differs, going into pairs of nested modules and components from a stack."""
    waiting = [(0, 0)]
    while waiting:
        before, after = waiting.pop()
        path = new.labels.paths[after]
        left, right = match_equal(old.digests(before), new.digests(after))
        pairs = match_differing(old.sections(before, left), new.sections(after, right))
        if name := _layout(old.kept(before, left), new.kept(after, right), bool(pairs)):
            yield path, "layout", name, "changed", old.size(before), new.size(after)
        deeper: list[tuple[int, int]] = []
        for pair in pairs:
            yield _row(path, pair)
            if pair[0] is None or pair[1] is None:
                continue
            sections = old.section(before, pair[0].place), new.section(after, pair[1].place)
            if sections[0].nested >= 0:
                deeper.append((sections[0].nested, sections[1].nested))
            elif new.is_split(sections[1]):
                yield from (_row(path, inner) for inner in _inner_pairs(old, new, *sections))
        waiting.extend(reversed(deeper))


def _layout(old: Kept, new: Kept, explained: bool) -> str | None:
    """Name what differs between two binaries beside their parts, given those that both have."""
    if [digest for digest, custom in old if not custom] != [digest for digest, custom in new if not custom]:
        return "order of sections"
    if old != new:
        return "order of custom sections"
    return None if explained else "encoding"


def _inner_pairs(old: Side, new: Side, before: Section, after: Section) -> list[Pair]:
    """Pair the function bodies or data segments that differ."""
    old_ends, old_digests = old.inner_digests(before)
    new_ends, new_digests = new.inner_digests(after)
    left, right = match_equal(old_digests, new_digests)
    return match_differing(old.inner(before, old_ends, left), new.inner(after, new_ends, right))


def _row(path: str, pair: Pair) -> Row:
    old, new = pair
    part = new or old
    assert part is not None
    change = "removed" if new is None else "added" if old is None else "changed"
    return path, part.kind, part.name or None, change, old and old.size, new and new.size
