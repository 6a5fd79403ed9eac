"""Two versions of an app: layer by layer and file by file, and whether its binaries are the same code."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import pandas as pd

from spincache_nb.analysis.changes import CONTAINERS, why_changed
from spincache_nb.analysis.inputs import Source, bundle, one_cache, resolve_references
from spincache_nb.analysis.schemas import COMPARE_SCHEMA, REBUILDS_SCHEMA
from spincache_nb.analysis.versions import versions_of
from spincache_nb.core.cache import Cache
from spincache_nb.core.reference import Reference
from spincache_nb.errors import SpinCacheError
from spincache_nb.frames import Frames, load
from spincache_nb.frames.schemas import build
from spincache_nb.show import rows

VerdictKind: TypeAlias = Literal[
    "same bytes", "same code and data", "same code", "same functions", "other code", "not comparable"
]

_DATA_SECTIONS: Final = frozenset({"data", "data count"})
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
        A cache or its path, or loaded frames; None for this user's cache.
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
    columns = ("component", "path", "digest", "size_bytes")
    for component, path, digest, size in _of(frames, "files", reference, *columns):
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


@dataclass(frozen=True)
class Verdict:
    """What the differences between two versions amount to.

    Parameters
    ----------
    kind
        ``same bytes``. ``same code and data``: only custom sections differ, or how the file is laid
        out, neither of which does anything when the program runs. ``same code``: data differs too;
        where an interpreter or a snapshot is inside, that may be a new program or only another
        seed. ``same functions``: every function body is there unchanged, but their order, types,
        imports, exports or wiring differ. ``other code``. ``not comparable``: one is no
        WebAssembly, or of another kind.
    functions
        Number of function bodies that differ.
    data_bytes
        Bytes of data segments that differ, as they are in the new version.
    custom_sections
        Names of custom sections that differ, each once, sorted.
    """

    kind: VerdictKind
    functions: int = 0
    data_bytes: int = 0
    custom_sections: tuple[str, ...] = ()

    @property
    def same_code(self) -> bool:
        """Whether it is the same code, however the bytes around it differ."""
        return self.kind in ("same bytes", "same code and data", "same code")

    def __str__(self) -> str:
        custom = ", ".join(self.custom_sections)
        bodies = "body differs" if self.functions == 1 else "bodies differ"
        other = (
            f"{self.functions} function {bodies}"
            if self.functions
            else "whole modules or components came or went"
        )
        only = f"custom sections differ ({custom})" if custom else "the layout of the file differs"
        texts: dict[VerdictKind, str] = {
            "same bytes": "the same bytes",
            "same code and data": f"rebuilt, the same code: only {only}",
            "same code": (
                f"rebuilt, the same code: data segments of {self.data_bytes} bytes differ (with an "
                "interpreter or a snapshot inside, that may be the program)"
            ),
            "same functions": "the same functions; their order, declarations or wiring differ",
            "other code": f"other code: {other}",
            "not comparable": "not two binaries of one kind",
        }
        return texts[self.kind]


def verdict(changes: pd.DataFrame) -> Verdict:
    """Say what the differences between two versions amount to.

    Parameters
    ----------
    changes
        What `why_changed` returns.

    Returns
    -------
    Verdict
        Its text says it in one line.

    Examples
    --------
    >>> module = bytes.fromhex("0061736d01000000")
    >>> str(verdict(why_changed(module, module + bytes.fromhex("0003026869"))))
    'rebuilt, the same code: only custom sections differ (hi)'
    """
    functions = data_bytes = 0
    custom: set[str] = set()
    data = declarations = replaced = False
    for kind, name, change, new_bytes in rows(changes, "kind", "name", "change", "new_bytes"):
        if kind == "blob":
            return Verdict("not comparable")
        if kind == "custom section":
            custom.add(name or "(no name)")
        elif kind == "function":
            functions += 1
        elif kind == "data segment":
            data_bytes += new_bytes or 0
        elif kind == "layout":
            declarations = declarations or name == "order of sections"
        elif kind in CONTAINERS:
            replaced = replaced or change != "changed"
        elif name in _DATA_SECTIONS:
            data = True
        else:
            declarations = declarations or name != "code" or change != "changed"
    reordered = bool(((changes["kind"] == "section") & (changes["name"] == "code")).any())
    found: VerdictKind = "same code" if data else "same code and data"
    if not len(changes):
        found = "same bytes"
    elif functions or replaced:
        found = "other code"
    elif declarations or reordered:
        found = "same functions"
    return Verdict(found, functions, data_bytes, tuple(sorted(custom)))


@REBUILDS_SCHEMA.describes
def rebuilds(cache: Source = None) -> pd.DataFrame:
    """Give a verdict on each new binary of a component, from one version of an app to the next.

    Parameters
    ----------
    cache
        This user's cache unless given; a cache or its path. Two binaries at a time are in memory.

    Returns
    -------
    pandas.DataFrame
        One row per component and pair of successive versions whose binaries differ, by repository,
        version and component.

        {columns}
    """
    held = one_cache(cache)
    known: dict[tuple[str, str], tuple[str, str]] = {}
    lines = []
    for repository, component, before, after, old, new in _replaced(load(held, "apps", "components")):
        if (old, new) not in known:
            known[old, new] = _judged(old, new, held)
        lines.append((repository, component, before, after, old, new, *known[old, new]))
    return build(REBUILDS_SCHEMA, lines)


def _judged(old: str, new: str, cache: Cache) -> tuple[str, str]:
    try:
        found = verdict(why_changed(old, new, cache=cache))
    except (SpinCacheError, OSError) as exc:
        return Verdict("not comparable").kind, str(exc)
    return found.kind, str(found)


def _replaced(frames: Frames) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Yield repository, component, the two versions and the two digests."""
    sources: dict[str, dict[str, str]] = {}
    columns = ("reference", "component", "source_digest")
    for reference, component, digest in rows(frames.need("components"), *columns):
        if digest is not None:
            sources.setdefault(reference, {})[component] = digest
    for name, listed in versions_of(frames).items():
        for before, after in pairwise(listed):
            for component, new in sorted(sources.get(after, {}).items()):
                old = sources.get(before, {}).get(component)
                if old is not None and old != new:
                    yield name, component, before, after, old, new
