"""The one walk over everything under ``registry``: it follows no link and raises for nothing it finds.

There may be 100,000 blobs, and to make a value of each takes as long as to ask the system for all of them.
So of the plain ones, nearly all, there are columns; a `StoredBlob` is made when somebody wants one.
"""

from __future__ import annotations

import contextlib
import os
import stat
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, count, islice
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area
from spincache_nb.core.files import Folder, read_bounded
from spincache_nb.core.layout import (
    AREAS,
    LOCKED_APP_FILE,
    MANIFEST_FILE,
    MANIFESTS,
    NameForm,
    digest_of_name,
    form_of_name,
    is_left_by_system,
    is_snapshot,
    registry_of_segment,
    shown,
    usual_digests,
)
from spincache_nb.core.settings import LOCKED_APP_BYTES, STORED_MANIFEST_BYTES
from spincache_nb.errors import CacheError, NotInCacheError, printable
from spincache_nb.show import block, count_text, escaped

DiskArea = Literal["wasm", "data", "manifests", "other"]

MOST_COUNTED = 1000
"""Apps, and files of each area, that a glance counts; of more it says that there are more."""

_FOLDERS_READ = 5000
_LEFT_BY_SYSTEM = (
    "an operating system or a tool left it; it is no part of a Spin registry cache",
    "leave it: nothing touches it, and only the folder that holds it cannot be removed",
)
_LOOK = "look at what it is; neither Spin nor this toolkit put it there"
_EVERYBODY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_KIND_AND_READABLE = stat.S_IFMT(0o177777) | _EVERYBODY
_PLAIN = stat.S_IFREG | _EVERYBODY
_SIGN = len("sha256")
_DIGITS = len("sha256:")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a cache, in plain words."""

    path: str
    kind: str
    detail: str
    remedy: str
    reference: str | None = None


class StoredBlob(NamedTuple):
    """A regular file in ``wasm/`` or ``data/``."""

    name: str
    location: str
    area: Area
    stored_bytes: int
    modified_ns: int
    form: NameForm
    digest: Digest | None

    @property
    def path(self) -> Path:
        """Where it is; made when it is asked for, since making 100,000 paths takes longer than the walk."""
        return Path(self.location)


class DiskFile(NamedTuple):
    """A regular file under ``registry``; a hard link counts its bytes under its first name only."""

    path: str
    area: DiskArea
    stored_bytes: int
    same_as: str | None = None


class CachedTag(NamedTuple):
    """A directory with a manifest, a locked app, or both."""

    registry: str
    repository: str
    tag: str | None
    digest: Digest | None
    location: str
    modified_ns: int | None

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.location)

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

    def read_manifest(self, *, limit: int = STORED_MANIFEST_BYTES) -> bytes:
        """Read ``manifest.json``, of at most `limit` bytes."""
        return read_bounded(self.manifest_path, limit=limit)

    def read_locked_app(self, *, limit: int = LOCKED_APP_BYTES) -> bytes:
        """Read ``config.json``, of at most `limit` bytes."""
        return read_bounded(self.locked_app_path, limit=limit)


@dataclass(frozen=True, slots=True)
class PlainBlobs:
    """The plain files of one area as columns: of SHA-256 names in one spelling, readable, not empty."""

    area: Area
    folder: str
    names: Sequence[str]
    sizes: array[int]
    times: array[int]

    @property
    def digests(self) -> Sequence[str]:
        """Digests as text."""
        is_own = not self.names or self.names[0][_SIGN] == ":"
        return self.names if is_own else [f"sha256:{name[_DIGITS:]}" for name in self.names]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[StoredBlob]:
        folder = os.path.join(self.folder, "")  # noqa: PTH118 - text, as `StoredBlob.location` is
        for name, size, time in zip(self.names, self.sizes, self.times, strict=True):
            digest = Digest("sha256", name[_DIGITS:])
            yield StoredBlob(name, folder + name, self.area, size, time, "digest", digest)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a walk found: columns of plain blobs, and a value for each of the few other files."""

    plain: tuple[PlainBlobs, ...]
    odd: tuple[StoredBlob, ...]
    tags: tuple[CachedTag, ...]
    others: tuple[DiskFile, ...]
    problems: tuple[Problem, ...]

    @property
    def blobs(self) -> list[StoredBlob]:
        """All files in ``wasm/`` and ``data/``, area by area and sorted by place."""
        found = [*self.odd, *(blob for some in self.plain for blob in some)]
        return sorted(found, key=lambda blob: (AREAS.index(blob.area), blob.location))

    @property
    def files(self) -> list[DiskFile]:
        """All regular files."""
        plain = (
            DiskFile(f"{some.area}/{name}", some.area, size)
            for some in self.plain
            for name, size in zip(some.names, some.sizes, strict=True)
        )
        return [*plain, *self.others]


@dataclass(frozen=True, slots=True)
class Glance:
    """What a first look shows."""

    path: Path
    exists: bool
    apps: int = 0
    blobs: int = 0
    more: bool = False

    def __str__(self) -> str:
        return f"Spin cache at {printable(str(self.path))}: {self.summary()}"

    def html(self) -> str:
        """The same as HTML, escaped."""
        return block("Spin cache", self.summary(), f"<code>{escaped(str(self.path))}</code>")

    def summary(self) -> str:
        """What is in it, in a few words."""
        if not self.exists:
            return "nothing there yet"
        least = "at least " if self.more else ""
        return f"{least}{count_text(self.apps, 'app')}, {least}{count_text(self.blobs, 'blob')}"


def scan(root: Path) -> Scan:
    """Walk a ``registry`` directory once, blobs before tags."""
    walk = _Walk(root)
    walk.all()
    return walk.found()


def scan_tags(root: Path) -> tuple[CachedTag, ...]:
    """Walk ``manifests/`` alone."""
    walk = _Walk(root)
    walk.manifests()
    return walk.found().tags


def glance(root: Path, *, most: int = MOST_COUNTED) -> Glance:
    """Take a first look at a cache; no file is opened, and no more than some thousand names are read."""
    if not os.path.isdir(root):  # noqa: PTH112 - a closed folder makes the methods of Path raise
        return Glance(root, exists=False)
    counts = [sum(1 for _ in islice(_Walk(root).listed(root / area), most + 1)) for area in AREAS]
    tags = 0
    walk = _Walk(root)
    for _, entries in walk.below(root / MANIFESTS, most=_FOLDERS_READ):
        if not {MANIFEST_FILE, LOCKED_APP_FILE}.isdisjoint(entry.name for entry in entries):
            tags += 1
        if tags > most:
            break
    more = walk.is_cut or any(count > most for count in (tags, *counts))
    return Glance(root, True, min(tags, most), sum(min(count, most) for count in counts), more)


class _Walk:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.prefix = len(os.fspath(root))
        self.plain: list[PlainBlobs] = []
        self.odd: list[StoredBlob] = []
        self.tags: list[CachedTag] = []
        self.others: list[DiskFile] = []
        self.problems: dict[str, Problem] = {}
        self.first_names: dict[tuple[int, int], str] = {}
        self.unlisted: set[str] = set()
        self.is_cut = False

    def found(self) -> Scan:
        self.tags.sort(key=lambda tag: tag.reference)
        return Scan(
            tuple(self.plain),
            tuple(self.odd),
            tuple(self.tags),
            tuple(self.others),
            tuple(self.problems.values()),
        )

    def all(self) -> None:
        top = {entry.name: entry for entry in self.entries(self.root)}
        for area in AREAS:
            if area in top and self.is_directory(top.pop(area)):
                self.area(area)
        has_manifests = MANIFESTS in top and self.is_directory(top.pop(MANIFESTS))
        for entry in top.values():
            self.foreign(entry)
        if has_manifests:
            self.manifests()

    def listed(self, directory: str | Path) -> Iterator[os.DirEntry[str]]:
        """Entries of a folder as they come; none, and a problem, where it cannot be listed or is a link."""
        if os.path.islink(directory) and directory != self.root:  # noqa: PTH114
            return
        try:
            with os.scandir(directory) as found:
                yield from found
        except FileNotFoundError:
            return
        except OSError as exc:
            self.unlistable(directory, exc.strerror or str(exc))

    def entries(self, directory: str | Path) -> list[os.DirEntry[str]]:
        return sorted(self.listed(directory), key=attrgetter("name"))

    def below(
        self, directory: str | Path, *, most: int | None = None
    ) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
        """Folders from a directory down, each with its entries that are no folders; no recursion."""
        waiting = [os.fspath(directory)]
        for read in count():
            self.is_cut = bool(waiting) and read == most
            if self.is_cut or not waiting:
                return
            folder = waiting.pop()
            entries = self.entries(folder)
            if not entries and folder != os.fspath(directory) and folder not in self.unlisted:
                self.empty_folder(folder)
            files = []
            for entry in entries:
                is_folder = _is_folder(entry)
                if is_left_by_system(entry.name, folder=is_folder):
                    self.left_by_system(entry)
                elif is_folder:
                    waiting.append(entry.path)
                else:
                    files.append(entry)
            yield folder, files

    def unlistable(self, directory: str | Path, reason: str) -> None:
        self.unlisted.add(os.fspath(directory))
        self.problem(directory, "unreadable folder", f"the system says: {reason}", "check its permissions")

    def problem(self, path: str | os.PathLike[str], kind: str, detail: str, remedy: str) -> None:
        """Report a fault; the first that is found with a path is the one that counts."""
        place = self.relative(path)
        self.problems.setdefault(place, Problem(place, kind, detail, remedy))

    def relative(self, path: str | os.PathLike[str]) -> str:
        text = os.fspath(path)[self.prefix :].lstrip(os.sep)
        return shown(text.replace(os.sep, "/")) or "."

    def is_directory(self, entry: os.DirEntry[str]) -> bool:
        """Whether to go into an entry that should be a folder; says why not."""
        if _is_link(entry):
            detail = "a symbolic link is in a folder's place; it is not followed"
            self.problem(entry, "link", detail, "remove it")
            return False
        if _is_folder(entry):
            return True
        self.problem(entry, "file in a folder's place", "Spin keeps a folder of this name", _LOOK)
        self.regular(entry, "other")
        return False

    def regular(self, entry: os.DirEntry[str], area: DiskArea) -> os.stat_result | None:
        """Count a regular file; anything else becomes a problem."""
        try:
            if entry.is_symlink():
                detail = "a symbolic link is in a file's place; it is not followed"
                self.problem(entry, "link", detail, "remove it")
                return None
            info = entry.stat(follow_symlinks=False)
        except OSError as exc:
            self.problem(entry, "unreadable file", f"the system says: {exc.strerror}", "look again later")
            return None
        if not stat.S_ISREG(info.st_mode):
            self.problem(entry, "not a file", "neither a regular file nor a folder", _LOOK)
            return None
        self.count(self.relative(entry), area, info)
        return info

    def count(self, path: str, area: DiskArea, info: os.stat_result) -> None:
        """Count a regular file, whose bytes count under its first name."""
        first = self.first_name(path, info)
        size = info.st_size if first == path else 0
        self.others.append(DiskFile(path, area, size, None if first == path else first))

    def left_by_system(self, entry: os.DirEntry[str]) -> None:
        """Report what systems and tools leave, and count its files; whether it can be read is no matter."""
        self.problem(entry, "system file", *_LEFT_BY_SYSTEM)
        files = [entry.path]
        if _is_folder(entry):
            inside = () if is_snapshot(entry.name) else os.walk(entry.path)
            files = [os.path.join(folder, name) for folder, _, names in inside for name in names]  # noqa: PTH118
        for file in files:
            with contextlib.suppress(OSError):
                info = os.lstat(file)
                if stat.S_ISREG(info.st_mode):
                    self.count(self.relative(file), "other", info)

    def first_name(self, path: str, info: os.stat_result) -> str:
        """The name under which the bytes of a file count."""
        if info.st_nlink == 1:
            return path
        return self.first_names.setdefault((info.st_dev, info.st_ino), path)

    def foreign(self, entry: os.DirEntry[str]) -> None:
        """Count what lies beside the three directories."""
        if is_left_by_system(entry.name):
            self.left_by_system(entry)
            return
        if not _is_link(entry):
            self.problem(entry, "foreign", "it is no part of a Spin registry cache", _LOOK)
        if _is_folder(entry):
            self.count_below(entry.path)
        else:
            self.regular(entry, "other")

    def count_below(self, directory: str) -> None:
        """Count files in a folder that should not be there, without reading them."""
        for _, entries in self.below(directory):
            for entry in entries:
                self.regular(entry, "other")

    def area(self, area: Area) -> None:
        """List an area; nearly every file is plain, the others are looked at closely."""
        try:
            plain, odd = self.look_at_blobs(area)
        except NotInCacheError:
            return
        except CacheError as exc:
            self.unlistable(self.root / area, exc.found)
            return
        self.plain.append(plain)
        for entry in self.entries(self.root / area) if odd else ():
            if entry.name in odd:
                self.odd_name(entry, area)

    def look_at_blobs(self, area: Area) -> tuple[PlainBlobs, set[str]]:
        """Give the plain files of an area, and the names of all else: the one loop over very many files."""
        names: list[str] = []
        sizes, times = array("q"), array("q")
        odd: set[str] = set()
        others: list[tuple[str, os.stat_result]] = []
        with (
            Folder(self.root, (area,), linked_root=True) as folder,
            folder.listable() as place,
            os.scandir(place) as found,
        ):
            for entry in found:
                try:
                    info = entry.stat(follow_symlinks=False)
                    size = info.st_size
                    if info.st_mode & _KIND_AND_READABLE == _PLAIN and info.st_nlink == 1 and size:
                        times.append(info.st_mtime_ns)  # the first, since it may not fit
                        sizes.append(size)
                        names.append(entry.name)
                    elif size and abs(info.st_mtime_ns) < 1 << 63 and _may_read(info, folder, entry.name):
                        others.append((entry.name, info))
                    else:
                        odd.add(entry.name)
                except (OSError, OverflowError):
                    odd.add(entry.name)
        for name, info in sorted(others):  # of a private mode, or with several names
            if self.first_name(f"{area}/{name}", info) == f"{area}/{name}":
                times.append(info.st_mtime_ns)
                sizes.append(info.st_size)
                names.append(name)
            else:
                odd.add(name)
        alike = usual_digests(names)
        if not all(alike):
            odd.update(name for name, plain in zip(names, alike, strict=True) if not plain)
            names = list(compress(names, alike))
            sizes, times = (array("q", compress(column, alike)) for column in (sizes, times))
        return PlainBlobs(area, os.fspath(folder.path), names, sizes, times), odd

    def odd_name(self, entry: os.DirEntry[str], area: Area) -> None:
        """Look closely at an entry of an area that is not what nearly all are."""
        if is_left_by_system(entry.name, folder=True) and (_is_folder(entry) or _is_link(entry)):
            self.left_by_system(entry)
            return
        if _is_folder(entry):
            self.problem(entry, "folder in a file's place", "a folder lies among the blobs", _LOOK)
            self.count_below(entry.path)
            return
        info = self.regular(entry, area)
        if info is None:
            return
        if is_left_by_system(entry.name, folder=False):
            self.problem(entry, "system file", *_LEFT_BY_SYSTEM)
        elif info.st_mode & _EVERYBODY != _EVERYBODY and not os.access(entry.path, os.R_OK):
            detail = "this user may not read it; Spin cannot either"
            self.problem(entry, "unreadable file", detail, "check its permissions")
        name, digest = shown(entry.name), digest_of_name(entry.name)
        form = "digest" if digest is not None else form_of_name(entry.name)
        self.odd.append(StoredBlob(name, entry.path, area, info.st_size, info.st_mtime_ns, form, digest))

    def manifests(self) -> None:
        for folder, entries in self.below(self.root / MANIFESTS):
            modified = {}
            for entry in entries:
                names_document = entry.name in (MANIFEST_FILE, LOCKED_APP_FILE)
                info = self.regular(entry, "manifests" if names_document else "other")
                if info is None:
                    continue
                if names_document:
                    modified[entry.name] = info.st_mtime_ns
                elif form_of_name(entry.name) == "temporary":
                    detail = "a pull was killed while it wrote this tag"
                    self.problem(entry, "temporary file", detail, "the next pull of this app removes it")
                else:
                    self.problem(entry, "foreign", "neither a manifest nor a locked app", _LOOK)
            if modified:
                self.tag(folder, modified.get(MANIFEST_FILE))

    def empty_folder(self, folder: str) -> None:
        if self.relative(folder).startswith(f"{MANIFESTS}/"):
            detail = "a pull stopped before it wrote the manifest, or the app was removed"
            self.problem(folder, "empty tag folder", detail, "pull the app again, or remove the folder")

    def tag(self, folder: str, modified_ns: int | None) -> None:
        parts = folder[self.prefix :].lstrip(os.sep).split(os.sep)[1:]  # noqa: PTH206 - text, as there may be many
        if len(parts) < 3:
            detail = "a manifest belongs in manifests/<registry>/<repository>/<tag>"
            self.problem(folder, "misplaced manifest", detail, "remove it; Spin never looks there")
            return
        digest = digest_of_name(parts[-1])
        registry, tag = registry_of_segment(shown(parts[0])), None if digest else shown(parts[-1])
        repository = "/".join(map(shown, parts[1:-1]))
        self.tags.append(CachedTag(registry, repository, tag, digest, folder, modified_ns))


def _may_read(info: os.stat_result, folder: Folder, name: str) -> bool:
    """Whether this user may read a regular file whose mode leaves somebody out; the system is asked."""
    return stat.S_ISREG(info.st_mode) and os.access(folder.name(name), os.R_OK, dir_fd=folder.handle)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_link(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink()
    except OSError:
        return False
