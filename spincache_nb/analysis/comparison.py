"""Two app versions side by side: what is the same, changed, added, gone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple, TypeAlias

import pandas as pd

from spincache_nb.analysis.inputs import Source, bundle, resolve_references
from spincache_nb.analysis.schemas import COMPARE_SCHEMA
from spincache_nb.core.reference import Reference
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import build
from spincache_nb.show import rows

_STATUSES = ("changed", "added", "gone", "same")  # in the order of the rows


class _Thing(NamedTuple):
    """A layer or file of one app."""

    component: str | None
    name: str
    digest: str | None
    size: int | None


_Things: TypeAlias = dict[Hashable, _Thing]


@COMPARE_SCHEMA.describes
def compare(cache: Source, a: str | Reference, b: str | Reference) -> pd.DataFrame:
    """Compare two apps, layer by layer and file by file.

    Layers have no names. A layer of ``b`` that has the digest of one of ``a`` is the same; of the
    rest, those that go by the same name (component whose source it is, dependency, path of the file it
    holds, role of the layer) and by no other are one layer that changed.

    Parameters
    ----------
    cache
        A cache or its path, or loaded frames: apps, layers, components, files, dependencies; None for this
        user's cache.
    a, b
        References of two cached apps.

    Returns
    -------
    pandas.DataFrame
        One row per layer and per mounted file: layers first, then changed, added, gone, same, then
        by name. A digest that one manifest lists twice is one layer.

        {columns}

    Raises
    ------
    NotInCacheError
        If the cache holds no such app.
    """
    frames = bundle(cache, "apps", "layers", "components", "files", "dependencies")
    (left,) = resolve_references(frames.need("apps"), [a])
    (right,) = resolve_references(frames.need("apps"), [b])
    lines = [
        *_compared("layer", *_paired_layers(_layers(frames, left), _layers(frames, right))),
        *_compared("file", _files(frames, left), _files(frames, right)),
    ]
    lines.sort(key=lambda line: (line[0] == "file", _STATUSES.index(line[3]), line[1] or "", line[2]))
    return build(COMPARE_SCHEMA, lines)


def _compared(what: str, left: _Things, right: _Things) -> Iterator[tuple[Any, ...]]:
    for key in dict.fromkeys([*left, *right]):
        before, after = left.get(key), right.get(key)
        called = before or after
        assert called is not None
        if before is None or after is None:
            status = "added" if before is None else "gone"
        else:
            same = before.digest is not None and before.digest == after.digest
            status = "same" if same else "changed"
        sides = before or _Thing(None, "", None, None), after or _Thing(None, "", None, None)
        digests, sizes = (one.digest for one in sides), (one.size for one in sides)
        yield what, called.component, called.name, status, *digests, *sizes


def _files(frames: Frames, reference: str) -> _Things:
    """Key files by component, path and, where a path is mounted twice, by which time."""
    found: _Things = {}
    seen: Counter[tuple[str, str]] = Counter()
    for component, path, digest, size in _of(
        frames, "files", reference, "component", "path", "digest", "size_bytes"
    ):
        found[component, path, seen[component, path]] = _Thing(component, path, digest, size)
        seen[component, path] += 1
    return found


def _paired_layers(before: _Things, after: _Things) -> tuple[_Things, _Things]:
    """Give layers that are the same thing in both apps one key: the digest, or the one name they go by."""
    only_before = Counter(before[digest].name for digest in before.keys() - after.keys())
    only_after = Counter(after[digest].name for digest in after.keys() - before.keys())
    changed = {name for name in only_before if only_before[name] == only_after[name] == 1}

    def keyed(things: _Things, others: _Things) -> _Things:
        return {
            digest if digest in others or thing.name not in changed else ("changed", thing.name): thing
            for digest, thing in things.items()
        }

    return keyed(before, after), keyed(after, before)


def _layers(frames: Frames, reference: str) -> _Things:
    names: dict[str, set[str]] = defaultdict(set)
    for component, digest in _of(frames, "components", reference, "component", "source_digest"):
        names[digest].add(f"component {component}")
    for path, digest in _of(frames, "files", reference, "path", "digest"):
        names[digest].add(path)
    if frames.holds("dependencies"):
        for name, digest in _of(frames, "dependencies", reference, "name", "digest"):
            names[digest].add(f"dependency {name}")
    found: _Things = {}
    for digest, role, size in _of(frames, "layers", reference, "digest", "role", "declared_bytes"):
        if digest not in found:
            called = ", ".join(sorted(names[digest])) or f"{role} layer"
            found[digest] = _Thing(None, called, digest, size)
    return found


def _of(frames: Frames, name: str, reference: str, *columns: str) -> Iterator[tuple[Any, ...]]:
    frame = frames.need(name)
    return rows(frame[frame["reference"] == reference], *columns)
