"""What a walk over a cache finds, as values.

What there are very many of are named tuples: they are made, compared and hashed several times faster
than frozen data classes, and a walk makes one of each for every file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar, overload

from spincache_nb.core.cache.files import read_bounded
from spincache_nb.core.cache.layout import LOCKED_APP_FILE, MANIFEST_FILE, NameForm
from spincache_nb.core.digest import Digest

DiskArea = Literal["wasm", "data", "manifests", "other"]
_Item = TypeVar("_Item")


class Later(Sequence[_Item]):
    """A sequence that is made when somebody looks at it, and equal to any of equal items.

    Parameters
    ----------
    make
        Gives the items; called once, or again by a thread that looks at the same moment.
    """

    __slots__ = ("_items", "_make")

    def __init__(self, make: Callable[[], Iterable[_Item]]) -> None:
        self._make = make
        self._items: tuple[_Item, ...] | None = None

    def _made(self) -> tuple[_Item, ...]:
        if self._items is None:
            self._items = tuple(self._make())
        return self._items

    def __len__(self) -> int:
        return len(self._made())

    @overload
    def __getitem__(self, place: int) -> _Item: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[_Item, ...]: ...
    def __getitem__(self, place: int | slice) -> _Item | tuple[_Item, ...]:
        return self._made()[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._made() == tuple(other)

    def __hash__(self) -> int:
        return hash(self._made())

    def __repr__(self) -> str:
        return repr(self._made())


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a cache, in plain words.

    Parameters
    ----------
    path
        Relative to ``registry``, with ``/``; printable.
    kind
        Few words that name the kind of fault, the same for every fault of that kind.
    detail
        What was expected and what was found.
    remedy
        What to do about it.
    reference
        The app it concerns, or None.
    """

    path: str
    kind: str
    detail: str
    remedy: str
    reference: str | None = None


class DiskFile(NamedTuple):
    """A regular file under ``registry``; a hard link counts its bytes under its first name only.

    Parameters
    ----------
    path
        Relative to ``registry``, with ``/``; printable.
    area
        Which part of the cache it is in.
    stored_bytes
        Its size; 0 for further names of a file that has several.
    same_as
        The name that counts the bytes, for such a further name; else None.
    """

    path: str
    area: DiskArea
    stored_bytes: int
    same_as: str | None = None


class StoredBlob(NamedTuple):
    """A regular file in ``wasm/`` or ``data/``.

    Parameters
    ----------
    name
        File name, printable.
    location
        Where it is, as the system spells it.
    area
        ``wasm`` or ``data``.
    stored_bytes
        Its size.
    modified_ns
        Modification time in nanoseconds since 1970 (UTC).
    form
        What the name is: a digest, temporary, bare hex or other.
    digest
        The digest that the name gives, or None.
    """

    name: str
    location: str
    area: Literal["wasm", "data"]
    stored_bytes: int
    modified_ns: int
    form: NameForm
    digest: Digest | None

    @property
    def path(self) -> Path:
        """Where it is; made when it is asked for, since making 100,000 paths takes longer than the walk."""
        return Path(self.location)


@dataclass(frozen=True, slots=True)
class CachedTag:
    """A directory with a manifest, a locked app, or both.

    Parameters
    ----------
    registry, repository, tag
        As the directories spell them; ``tag`` is None where the directory is a digest.
    digest
        The digest that the directory is named after, or None.
    path
        The directory.
    modified_ns
        Modification time of ``manifest.json`` in nanoseconds since 1970, or None without one.
    """

    registry: str
    repository: str
    tag: str | None
    digest: Digest | None
    path: Path
    modified_ns: int | None

    @property
    def reference(self) -> str:
        """``registry/repository:tag``, or ``registry/repository@digest``."""
        filed = f"@{self.digest}" if self.digest is not None else f":{self.tag}"
        return f"{self.registry}/{self.repository}{filed}"

    @property
    def manifest_path(self) -> Path:
        """Where its ``manifest.json`` is, or would be."""
        return self.path / MANIFEST_FILE

    @property
    def locked_app_path(self) -> Path:
        """Where its locked app is: ``config.json``, whatever the name suggests."""
        return self.path / LOCKED_APP_FILE

    def read_manifest(self, *, limit: int = 4 << 20) -> bytes:
        """Read ``manifest.json``, of at most `limit` bytes.

        Raises
        ------
        NotInCacheError
            If it is not there, or not a regular file.
        LimitError
            If it is larger than `limit`.
        CacheError
            If it cannot be read.
        """
        return read_bounded(self.manifest_path, limit=limit)

    def read_locked_app(self, *, limit: int = 64 << 20) -> bytes:
        """Read ``config.json``, of at most `limit` bytes.

        Raises
        ------
        NotInCacheError
            If it is not there, or not a regular file.
        LimitError
            If it is larger than `limit`.
        CacheError
            If it cannot be read.
        """
        return read_bounded(self.locked_app_path, limit=limit)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a walk found.

    Parameters
    ----------
    blobs
        Files in ``wasm/`` and ``data/``, whatever their names.
    tags
        Cached tags, sorted by reference.
    files
        Every regular file under ``registry``, the blobs included; made when it is looked at.
    problems
        Links, folders and other things in wrong places; what cannot be read.
    """

    blobs: tuple[StoredBlob, ...]
    tags: tuple[CachedTag, ...]
    files: Sequence[DiskFile]
    problems: tuple[Problem, ...]
