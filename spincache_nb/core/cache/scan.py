"""A walk over everything under ``registry``, which follows no link and raises for nothing it finds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Literal

from spincache_nb.core.cache.blobs import FoundBlobs, PlainBlobs, StoredBlob
from spincache_nb.core.cache.files import is_folder, is_link
from spincache_nb.core.cache.found import (
    CachedTag,
    DiskArea,
    DiskFile,
    Problem,
    Scan,
)
from spincache_nb.core.cache.layout import (
    AREAS,
    HARMLESS_NAMES,
    LOCKED_APP_FILE,
    MANIFEST_FILE,
    MANIFESTS,
    digest_of_name,
    form_of_name,
    registry_of_segment,
    shown,
)
from spincache_nb.core.cache.scan_blobs import EVERYBODY, look_at_blobs
from spincache_nb.core.later import Later

_LOOK = "look at what it is; neither Spin nor this toolkit put it there"


def scan(root: Path) -> Scan:
    """Walk a ``registry`` directory once, blobs before tags."""
    return _Walk(root).run()


def scan_tags(root: Path) -> tuple[CachedTag, ...]:
    """Walk ``manifests/`` alone."""
    walk = _Walk(root)
    folder = root / MANIFESTS
    if is_folder(folder) and not is_link(folder):
        walk.walk_manifests(folder)
    return tuple(sorted(walk.tags, key=lambda tag: tag.reference))


class _Walk:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.prefix = len(os.fspath(root))
        self.plain: list[PlainBlobs] = []  # of which nothing more is to be said, and not in `files`
        self.odd: list[StoredBlob] = []
        self.tags: list[CachedTag] = []
        self.files: list[DiskFile] = []
        self.problems: dict[str, Problem] = {}
        self.seen_links: dict[tuple[int, int], str] = {}
        self.unlisted: set[Path] = set()

    def run(self) -> Scan:
        top = {entry.name: entry for entry in self.entries(self.root)}
        for area in AREAS:
            if (entry := top.pop(area, None)) is not None and self.is_directory(entry):
                self.blob_area(Path(entry.path), area)
        manifests = top.pop(MANIFESTS, None)
        for entry in top.values():
            self.foreign(entry)
        if manifests is not None and self.is_directory(manifests):
            self.walk_manifests(Path(manifests.path))
        self.tags.sort(key=lambda tag: tag.reference)
        files = Later(partial(_all_files, self.plain, self.files))
        blobs = FoundBlobs(tuple(self.plain), tuple(self.odd))
        return Scan(blobs, tuple(self.tags), files, tuple(self.problems.values()))

    def entries(self, directory: Path) -> list[os.DirEntry[str]]:
        """Entries of a folder by name; none, and a problem, where it cannot be listed."""
        try:
            with os.scandir(directory) as found:
                return sorted(found, key=attrgetter("name"))
        except FileNotFoundError:
            return []
        except OSError as exc:
            self.unlistable(directory, exc)
            return []

    def unlistable(self, directory: Path, error: OSError) -> None:
        self.unlisted.add(directory)
        self.problem(
            directory, "unreadable folder", f"the system says: {error.strerror}", "check its permissions"
        )

    def problem(self, path: os.PathLike[str], kind: str, detail: str, remedy: str) -> None:
        """Report a fault; the first that is found with a path is the one that counts."""
        place = self.relative(path)
        self.problems.setdefault(place, Problem(place, kind, detail, remedy))

    def relative(self, path: os.PathLike[str]) -> str:
        text = os.fspath(path)[self.prefix :].lstrip(os.sep)
        return shown(text.replace(os.sep, "/")) or "."

    def is_directory(self, entry: os.DirEntry[str]) -> bool:
        """Whether to go into an entry that should be a folder; says why not."""
        if _is_link(entry):
            self.problem(
                entry, "link", "a symbolic link is in a folder's place; it is not followed", "remove it"
            )
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
                self.problem(
                    entry, "link", "a symbolic link is in a file's place; it is not followed", "remove it"
                )
                return None
            info = entry.stat(follow_symlinks=False)
        except OSError as exc:
            self.problem(entry, "unreadable file", f"the system says: {exc.strerror}", "look again later")
            return None
        if not stat.S_ISREG(info.st_mode):
            self.problem(entry, "not a file", "neither a regular file nor a folder", _LOOK)
            return None
        path, first = self.relative(entry), None
        if info.st_nlink > 1:
            first = self.seen_links.setdefault((info.st_dev, info.st_ino), path)
        if first is None or first == path:
            self.files.append(DiskFile(path, area, info.st_size))
        else:
            self.files.append(DiskFile(path, area, 0, first))
        return info

    def check_readable(self, entry: os.DirEntry[str], info: os.stat_result) -> None:
        """Ask the system whether this user may read a file whose mode leaves somebody out."""
        if info.st_mode & EVERYBODY != EVERYBODY and not os.access(entry.path, os.R_OK):
            self.problem(
                entry,
                "unreadable file",
                "this user may not read it; Spin cannot either",
                "check its permissions",
            )

    def blob_area(self, directory: Path, area: Literal["wasm", "data"]) -> None:
        """List an area; nearly every file is plain, the others are looked at closely."""
        try:
            plain, odd = look_at_blobs(directory, area)
        except FileNotFoundError:
            return
        except OSError as exc:
            self.unlistable(directory, exc)
            return
        self.plain.append(plain)
        for entry in self.entries(directory) if odd else ():
            if entry.name in odd:
                self.odd_name(entry, area)

    def odd_name(self, entry: os.DirEntry[str], area: Literal["wasm", "data"]) -> None:
        """Look closely at an entry of an area that is not what nearly all are."""
        if _is_folder(entry):
            self.problem(entry, "folder in a file's place", "a folder lies among the blobs", _LOOK)
            self.count_below(Path(entry.path))
            return
        info = self.regular(entry, area)
        if info is None:
            return
        self.check_readable(entry, info)
        name, digest = shown(entry.name), digest_of_name(entry.name)
        form = "digest" if digest is not None else form_of_name(entry.name)
        self.odd.append(StoredBlob(name, entry.path, area, info.st_size, info.st_mtime_ns, form, digest))

    def foreign(self, entry: os.DirEntry[str]) -> None:
        """Count what lies beside the three directories."""
        if entry.name not in HARMLESS_NAMES and not _is_link(entry):
            self.problem(entry, "foreign", "it is no part of a Spin registry cache", _LOOK)
        if _is_folder(entry):
            self.count_below(Path(entry.path))
        else:
            self.regular(entry, "other")

    def count_below(self, directory: Path) -> None:
        """Count files in a folder that should not be there, without reading them."""
        for folder, entry in self.below(directory):
            del folder
            self.regular(entry, "other")

    def below(self, directory: Path) -> Iterator[tuple[Path, os.DirEntry[str]]]:
        """All entries below a directory that are no folders, with their folder; no recursion."""
        waiting = [directory]
        while waiting:
            folder = waiting.pop()
            entries = self.entries(folder)
            if not entries and folder != directory and folder not in self.unlisted:
                self.empty_folder(folder)
            for entry in entries:
                if _is_folder(entry):
                    waiting.append(Path(entry.path))
                else:
                    yield folder, entry

    def empty_folder(self, folder: Path) -> None:
        if self.relative(folder).startswith(f"{MANIFESTS}/"):
            self.problem(
                folder,
                "empty tag folder",
                "a pull stopped before it wrote the manifest, or the app was removed",
                "pull the app again, or remove the folder",
            )

    def walk_manifests(self, directory: Path) -> None:
        documents: dict[Path, dict[str, int]] = {}
        for folder, entry in self.below(directory):
            names_document = entry.name in (MANIFEST_FILE, LOCKED_APP_FILE)
            info = self.regular(entry, "manifests" if names_document else "other")
            if info is None:
                continue
            if names_document:
                documents.setdefault(folder, {})[entry.name] = info.st_mtime_ns
            elif form_of_name(entry.name) == "temporary":
                self.problem(
                    entry,
                    "temporary file",
                    "a pull was killed while it wrote this tag",
                    "the next pull of this app removes it",
                )
            elif entry.name not in HARMLESS_NAMES:
                self.problem(entry, "foreign", "neither a manifest nor a locked app", _LOOK)
        for folder, modified in documents.items():
            self.tag(folder, directory, modified.get(MANIFEST_FILE))

    def tag(self, folder: Path, manifests: Path, modified_ns: int | None) -> None:
        parts = folder.relative_to(manifests).parts
        if len(parts) < 3:
            self.problem(
                folder,
                "misplaced manifest",
                "a manifest belongs in manifests/<registry>/<repository>/<tag>",
                "remove it; Spin never looks there",
            )
            return
        digest = digest_of_name(parts[-1])
        self.tags.append(
            CachedTag(
                registry=registry_of_segment(shown(parts[0])),
                repository="/".join(shown(part) for part in parts[1:-1]),
                tag=None if digest else shown(parts[-1]),
                digest=digest,
                path=folder,
                modified_ns=modified_ns,
            )
        )


def _all_files(plain: Sequence[PlainBlobs], others: Sequence[DiskFile]) -> Iterator[DiskFile]:
    for some in plain:
        for name, size in zip(some.names, some.sizes, strict=True):
            yield DiskFile(f"{some.area}/{name}", some.area, size)
    yield from others


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
