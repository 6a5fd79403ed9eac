"""What is in a cache, as values, and what is wrong with it, in plain words: each fault once."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area, Descriptor, Kind, Manifest
from spincache_nb.core.layout import AREAS, shown
from spincache_nb.core.locked_app import LockedApp
from spincache_nb.core.scan import CachedTag, DiskFile, Problem
from spincache_nb.core.settings import LOCKED_APP_BYTES, STORED_MANIFEST_BYTES, ArchiveLimits
from spincache_nb.errors import printable
from spincache_nb.inventory.columns import (
    AREAS_IN_ORDER,
    Integers,
    LayerColumns,
    MissingColumns,
    Needed,
    Packed,
    UseColumns,
    parsed,
)
from spincache_nb.inventory.stored import Members, StoredBlobs
from spincache_nb.project.spin_toml import EnvironmentLock, SpinManifest

MOST_FAULTS = 100
"""Faults reported of one document; what is beyond them is counted."""

_PULL = "pull the app again"
_PULL_HERE = f"{_PULL} with this toolkit"

WORDS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "layer": ("missing blob", "the app needs it, and it is not stored", _PULL),
        "content ref": (
            "missing blob",
            "the locked app names it, no layer of the manifest is it, and it is not stored",
            f"{_PULL}; if that does not help, push it again",
        ),
        "archive member": (
            "missing archive member",
            "the archive layer is stored, this file of it is not: unpacking it was interrupted",
            f"{_PULL_HERE}, which unpacks the archive again; Spin does not",
        ),
        "elsewhere": (
            "blob in the wrong area",
            "Spin looks for it in {wanted}/ only, and it is stored as {other}",
            f"{_PULL_HERE}, which stores both; Spin takes it for fetched",
        ),
        "shorter": (
            "damaged blob",
            "expected {expected} bytes, found {found}: it is truncated, and Spin uses it all the same",
            f"{_PULL_HERE}, which replaces it",
        ),
        "longer": (
            "damaged blob",
            "expected {expected} bytes, found {found}: it is not what it was declared to be, and Spin uses "
            "it all the same",
            f"{_PULL_HERE}, which replaces it",
        ),
        "other than in the archive": (
            "damaged blob",
            "expected {expected} bytes, as in the archive, found {found}",
            f"remove it, then {_PULL_HERE}, which unpacks the archive again",
        ),
        "empty and needed": (
            "damaged blob",
            "it is empty, and its name is the digest of something",
            f"{_PULL_HERE}, which replaces it",
        ),
        "empty": ("damaged blob", "it is empty, and its name is the digest of something", "prune it"),
        "bad archive": (
            "damaged archive",
            "its members cannot be listed: expected {expected}, found {found}",
            _PULL_HERE,
        ),
        "cut archive": (
            "cut archive",
            "its gzip stream breaks off, as Spin's main pushes archives since August 2026; what is whole in "
            "it is used here, and Spin's first pull of it fails",
            "whoever published the app pushes it again, with Spin v4.0.2 or one that ends the stream",
        ),
        "not pushed": (
            "file not pushed",
            "the locked app names it, and no layer or archive of the app holds it: it was pushed without it",
            "whoever published the app pushes it again",
        ),
        "impossible": (
            "impossible sizes",
            "its layers are declared to be {total} bytes in all, more than any disk holds",
            "whoever published the app must push it again; nothing here counts its declared size",
        ),
        "same app": (
            "second copy",
            "{chosen} is the same app, and the one that is shown",
            "remove it; it came from another system",
        ),
        "same blob": (
            "second copy",
            "{chosen} is the same blob, and the one that is used here",
            "remove it or prune; it came from another system",
        ),
        "temporary": (
            "temporary file",
            "a download that goes on or was killed; it is no blob",
            "if nothing is downloading, remove it or prune",
        ),
        "bare hex": (
            "name of an old Spin",
            "Spin v0.9 to v1.x kept a web source under this name; Spin v2.0 and later never finds it",
            "remove it or prune, unless an old Spin uses this cache",
        ),
        "other": (
            "misnamed file",
            "its name is no digest, so nothing finds it",
            "look at what it is, then move or remove it; prune leaves it",
        ),
    }
)
"""Kind, detail and remedy of what can be wrong with blobs and apps."""


class _Found(NamedTuple):
    """A problem on its way, and the numbers of the apps that are concerned."""

    problem: tuple[str, str, str, str]
    users: list[Sequence[int]]


class Faults:
    """Collects problems, one for each fault; apps are numbered in the order of their names."""

    def __init__(self, root: Path, scanned: tuple[Problem, ...] = ()) -> None:
        self._prefix = len(os.path.join(root, ""))  # noqa: PTH118 - text, since there may be many
        self._scanned = {
            one.path: _Found((one.path, one.kind, one.detail, one.remedy), []) for one in scanned
        }
        self._found: dict[tuple[str, ...], _Found] = {}
        self._steps: list[Callable[[], object]] = []
        self._problems: tuple[Problem, ...] | None = None

    def later(self, step: Callable[[], object]) -> None:
        """Do something when the problems are asked for, in the order in which it was said."""
        self._steps.append(step)

    def add(
        self,
        path: Path | str,
        kind: str,
        detail: str,
        remedy: str,
        *,
        users: Sequence[int] = (),
        one_of_many: bool = False,
    ) -> None:
        """Report a fault."""
        place = path if isinstance(path, str) else self.relative(path)
        step = partial(self._add, place, kind, detail, remedy, users, one_of_many)
        if self._steps:
            self.later(step)
        else:
            step()

    def _add(
        self, place: str, kind: str, detail: str, remedy: str, users: Sequence[int], one_of_many: bool
    ) -> None:
        found = self._scanned.get(place) or self._of_area(place) if self._scanned else None
        if found is None or found.problem[1] == "empty tag folder":  # that explains no lack of a document
            key = (place, kind, detail) if one_of_many else (place, kind)
            found = self._found.get(key)
            if found is None:
                found = self._found[key] = _Found((place, kind, printable(detail), remedy), [])
        if len(users):
            found.users.append(users)

    def _of_area(self, place: str) -> _Found | None:
        """What the walk found with the whole folder, which explains what is wrong in it."""
        area, slash, _ = place.partition("/")
        return self._scanned.get(area) if slash and area in AREAS else None

    def blame(self, path: str, users: Sequence[int]) -> None:
        """Say whom a problem of the walk concerns."""
        if path in self._scanned and len(users):
            self.later(lambda: self._scanned[path].users.append(users))

    def scanned_paths(self) -> set[str]:
        """Paths with which the walk found fault."""
        return set(self._scanned)

    def forget(self, path: str) -> None:
        """Drop what the walk found at a path, since it is gone by now."""
        self.later(lambda: self._scanned.pop(path, None))

    def relative(self, path: Path | str) -> str:
        """Path below the root, with ``/``, printable."""
        return shown(os.fspath(path)[self._prefix :].replace(os.sep, "/"))

    def problems(self, names: Sequence[str]) -> tuple[Problem, ...]:
        """All problems, sorted by path and kind."""
        if self._problems is None:
            steps, self._steps = self._steps, []
            for step in steps:
                step()
            found = sorted((*self._scanned.values(), *self._found.values()), key=itemgetter(0))
            self._problems = tuple(_with_users(one, names) for one in found)
        return self._problems

    def say(self, what: str, path: Path | str, *, users: Sequence[int] = (), **facts: object) -> None:
        """Report one of the faults for which there are words."""
        kind, detail, remedy = WORDS[what]
        self.add(path, kind, detail.format(**facts), remedy, users=users)

    def sentences(
        self, path: Path | str, kind: str, faults: Iterable[str], remedy: str, *, users: Sequence[int] = ()
    ) -> None:
        """Faults inside a document, one row each, up to a limit."""
        distinct = list(dict.fromkeys(faults))
        rest = len(distinct) - MOST_FAULTS
        if rest > 0:
            distinct[MOST_FAULTS:] = [f"and {rest} more faults"]
        for fault in distinct:
            self.add(path, kind, fault, remedy, users=users, one_of_many=True)


def _with_users(found: _Found, names: Sequence[str]) -> Problem:
    if not found.users:
        return Problem(*found.problem)
    path, kind, detail, remedy = found.problem
    users = {*found.users[0]} if len(found.users) == 1 else {user for some in found.users for user in some}
    others = len(users) - 1
    also = f"; it concerns {others} more {'app' if others == 1 else 'apps'}" if others else ""
    return Problem(path, kind, detail + also, remedy, names[min(users)])


ConfigKind = Literal[
    "locked app", "image config", "package config", "other JSON", "damaged", "unreadable", "missing"
]


@dataclass(frozen=True, slots=True)
class InventoryLimits:
    """How much is read of one document or archive."""

    manifest_bytes: int = STORED_MANIFEST_BYTES
    locked_app_bytes: int = LOCKED_APP_BYTES
    project_bytes: int = 4 << 20
    archive: ArchiveLimits = field(default_factory=ArchiveLimits)


@dataclass(frozen=True, eq=False)
class Contents:
    """Columns of an inventory, and what they number: users (apps, then projects), and digests in order."""

    users: Sequence[str]
    digests: Sequence[str]
    layers: LayerColumns
    blobs: StoredBlobs
    rows: Integers
    needed: Needed

    @cached_property
    def uses(self) -> UseColumns:
        """Who needs which stored blob; not every frame has to know, and to sort them takes a while."""
        needed = self.needed.first_of_each()
        blobs = self.rows[needed.places]
        users, places, vias = needed.only(blobs >= 0)
        codes = (places >> 1).astype(np.int32)
        return UseColumns(
            users.astype(np.int32), codes, blobs[blobs >= 0].astype(np.int32), vias.astype(np.int8)
        )


class ListedLayers(NamedTuple):
    """The layers of a manifest, as columns; their types by number."""

    digests: Packed
    types: array[int]
    sizes: array[int]
    urls: Mapping[int, tuple[str, ...]]
    """Further addresses of layers, by position; hardly any layer has some."""


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    """What a manifest says, but for its layers."""

    config: Descriptor
    application: Descriptor | None
    kind: Kind
    annotations: Mapping[str, str]
    media_type: str | None
    artifact_type: str | None

    @property
    def tag_document(self) -> Descriptor:
        """Descriptor of what belongs into ``config.json``."""
        return self.application or self.config


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with one of the documents."""

    path: str
    kind: str
    detail: str
    remedy: str = _PULL


@dataclass(slots=True, eq=False)
class CachedApp:
    """A cached tag and what its documents say; its layers and uses are rows of the inventory's columns."""

    tag: CachedTag
    gone: bool = False
    facts: ManifestFacts | None = None
    listed: ListedLayers | None = field(default=None, repr=False)  # until they are rows of the columns
    manifest_digest: Digest | None = None
    locked_app: LockedApp | None = None
    config_kind: ConfigKind = "missing"
    current: bool = False
    recovered: int | None = None
    faults: list[Fault] = field(default_factory=list)
    number: int = field(default=-1, repr=False)
    contents: Contents = field(init=False, repr=False)

    @property
    def kind(self) -> Kind:
        """Spin tells an app by its ``config.json``, a package by being none."""
        if self.locked_app is not None or self.config_kind == "locked app":
            return "app"
        return self.facts.kind if self.facts is not None else "unknown"

    @property
    def is_stale(self) -> bool:
        """Whether the locked app is not the one of this manifest, which is a fault of its own."""
        return self.config_kind == "locked app" and self.facts is not None and not self.current

    @property
    def config(self) -> Descriptor | None:
        """The manifest's config."""
        return self.facts.config if self.facts is not None else None

    @property
    def reference(self) -> str:
        """``registry/repository:tag``, or ``registry/repository@digest``."""
        return self.tag.reference

    @property
    def layer_count(self) -> int:
        """Layers of the manifest."""
        starts = self.contents.layers.starts
        return int(starts[self.number + 1] - starts[self.number])

    @property
    def manifest(self) -> Manifest | None:
        """The manifest, without annotations of its layers; made at each access, None if it is not legible."""
        if self.facts is None:
            return None
        columns, texts = self.contents.layers, self.contents.digests
        start, end = columns.starts[self.number : self.number + 2].tolist()
        layers = tuple(
            Descriptor(
                columns.media_types[columns.types[row]],
                parsed(texts[columns.digests[row]]),
                int(columns.sizes[row]),
                urls=columns.urls.get(row, ()),
            )
            for row in range(start, end)
        )
        facts = self.facts
        return Manifest(facts.config, layers, facts.annotations, facts.media_type, facts.artifact_type)

    @property
    def stored_bytes(self) -> int:
        """Bytes of its distinct blobs, archives and their members included."""
        rows = self.contents.uses.blobs[self.contents.uses.of(self.number)]
        return sum(self.contents.blobs.sizes[rows].tolist())


@dataclass(frozen=True, slots=True, eq=False)
class Project:
    """A project that may use blobs of the cache, and those that it names: area, digest, number of `VIAS`."""

    name: str
    path: Path
    manifest: SpinManifest | None
    lock: EnvironmentLock | None
    complete: bool
    uses: tuple[tuple[int, str, int], ...] = field(repr=False)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Inventory:
    """Everything in a cache, at one moment."""

    cache: Cache
    apps: tuple[CachedApp, ...]
    projects: tuple[Project, ...]
    contents: Contents
    members: Members
    missing: MissingColumns
    faults: Faults = field(repr=False)

    @property
    def blobs(self) -> StoredBlobs:
        """The files in ``wasm/`` and ``data/``."""
        return self.contents.blobs

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong, sorted by path and kind; put into words when it is first asked for."""
        return self.faults.problems(self.contents.users)

    @property
    def files(self) -> list[DiskFile]:
        """Every regular file under ``registry``; sorted at each access."""
        return self.blobs.files()

    def users_of(self) -> dict[tuple[Area, str], list[str]]:
        """Who needs each stored blob, by area and digest."""
        found: dict[tuple[Area, str], list[str]] = {}
        blobs, names = self.blobs, self.contents.users
        keys = [
            (AREAS_IN_ORDER[a], d or "") for a, d in zip(blobs.areas.tolist(), blobs.digests, strict=True)
        ]
        columns = self.contents.uses
        for user, blob in zip(columns.users.tolist(), columns.blobs.tolist(), strict=True):
            found.setdefault(keys[blob], []).append(names[user])
        return found

    def __repr__(self) -> str:
        return (
            f"Inventory({self.cache!r}: {len(self.apps)} apps, {len(self.blobs)} blobs, "
            f"{len(self.problems)} problems)"
        )
