"""Two app versions side by side: what is the same, changed, added, gone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from typing import NamedTuple, TypeAlias

import pandas as pd

from spincache_nb.analysis.inputs import Source, bundle, resolve_references, rows
from spincache_nb.analysis.schemas import COMPARE_SCHEMA
from spincache_nb.core.reference import Reference
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import build

STATUSES = ("changed", "added", "gone", "same")
"""What can be said of a layer or file, in the order in which the rows are listed."""


class _Thing(NamedTuple):
    digest: str | None
    size: int | None


_Things: TypeAlias = dict[Hashable, tuple[str | None, str, _Thing]]


def compare(source: Source, a: str | Reference, b: str | Reference) -> pd.DataFrame:
    """Compare two apps, layer by layer and file by file.

    Layers have no names. A layer of ``b`` that has the digest of one of ``a`` is the same; of the
    rest, those that go by the same name (component whose source it is, dependency, path of the file it
    holds, role of the layer) and by no other are one layer that changed.

    Parameters
    ----------
    source
        A cache, or loaded frames: apps, layers, components, files, dependencies.
    a, b
        References of two cached apps.

    Returns
    -------
    pandas.DataFrame
        One row per layer and per mounted file: layers first, then changed, added, gone, same, then
        by name. A digest that one manifest lists twice is one layer.

        =========  ========  =====================================================
        column     dtype     meaning
        =========  ========  =====================================================
        what       category  ``layer`` or ``file``
        component  string    id of the component that mounts the file
        name       string    path of the file; what the layer goes by
        status     category  ``same``, ``changed``, ``added`` or ``gone``
        digest_a   string    missing if added
        digest_b   string    missing if gone
        bytes_a    Int64     declared bytes of the layer, bytes of the file; missing if added
        bytes_b    Int64     likewise; missing if gone
        =========  ========  =====================================================

    Raises
    ------
    NotInCacheError
        If the cache holds no such app.
    """
    frames = bundle(source, "apps", "layers", "components", "files", "dependencies")
    (left,) = resolve_references(frames.need("apps"), [a])
    (right,) = resolve_references(frames.need("apps"), [b])
    lines = [
        *_compared("layer", *_paired_layers(frames, left, right)),
        *_compared("file", _files(frames, left), _files(frames, right)),
    ]
    lines.sort(key=lambda line: (line[0] == "file", STATUSES.index(line[3]), line[1] or "", line[2]))
    return build(COMPARE_SCHEMA, lines)


_Line: TypeAlias = tuple[str, str | None, str, str, str | None, str | None, int | None, int | None]


def _compared(what: str, left: _Things, right: _Things) -> Iterator[_Line]:
    nothing = _Thing(None, None)
    for key in dict.fromkeys([*left, *right]):
        component, name, _ = left.get(key) or right[key]
        before = left[key][2] if key in left else nothing
        after = right[key][2] if key in right else nothing
        if key not in left:
            status = "added"
        elif key not in right:
            status = "gone"
        else:
            same = before.digest is not None and before.digest == after.digest
            status = "same" if same else "changed"
        yield what, component, name, status, before.digest, after.digest, before.size, after.size


def _files(frames: Frames, reference: str) -> _Things:
    """Key files by component, path and, where a path is mounted twice, by which time."""
    found: _Things = {}
    seen: Counter[tuple[str, str]] = Counter()
    columns = ("reference", "component", "path", "digest", "size_bytes")
    for owner, component, path, digest, size in rows(frames.need("files"), *columns):
        if owner == reference:
            found[component, path, seen[component, path]] = (component, path, _Thing(digest, size))
            seen[component, path] += 1
    return found


def _paired_layers(frames: Frames, left: str, right: str) -> tuple[_Things, _Things]:
    before, after = _layers(frames, left), _layers(frames, right)
    only = (before.keys() - after.keys(), after.keys() - before.keys())
    names = [
        Counter(things[digest][1] for digest in digests)
        for things, digests in zip((before, after), only, strict=True)
    ]
    changed = {name for name in names[0] if names[0][name] == names[1][name] == 1}

    def keyed(things: _Things, unmatched: set[Hashable]) -> _Things:
        return {
            ("changed", thing[1]) if digest in unmatched and thing[1] in changed else digest: thing
            for digest, thing in things.items()
        }

    return keyed(before, only[0]), keyed(after, only[1])


def _layers(frames: Frames, reference: str) -> _Things:
    names: dict[str, set[str]] = defaultdict(set)
    for owner, component, digest in rows(
        frames.need("components"), "reference", "component", "source_digest"
    ):
        if owner == reference:
            names[digest].add(f"component {component}")
    for owner, path, digest in rows(frames.need("files"), "reference", "path", "digest"):
        if owner == reference:
            names[digest].add(path)
    for owner, name, digest in _dependencies(frames):
        if owner == reference:
            names[digest].add(f"dependency {name}")
    found: _Things = {}
    columns = ("reference", "digest", "role", "declared_bytes")
    for owner, digest, role, size in rows(frames.need("layers"), *columns):
        if owner == reference and digest not in found:
            called = ", ".join(sorted(names[digest])) or f"{role} layer"
            found[digest] = (None, called, _Thing(digest, size))
    return found


def _dependencies(frames: Frames) -> Iterator[tuple[str, str, str]]:
    if frames.holds("dependencies"):
        yield from rows(frames.need("dependencies"), "reference", "name", "digest")
