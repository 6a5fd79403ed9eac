"""The cache as an object: where things are, what is stored, and the few ways anything is written into it.

A digest is checked here, and a tag directory is written here; nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Collection, Generator, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from spincache_nb.core import layout, paths, removing
from spincache_nb.core.digest import Digest, hash_stream
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState, Folder, Parts, explained_reads, open_regular, read_chunks
from spincache_nb.core.journal import History
from spincache_nb.core.reference import Reference
from spincache_nb.core.settings import MEMBER_BUFFER_BYTES, STALE_SECONDS
from spincache_nb.core.writing import NewFile
from spincache_nb.errors import (
    CacheError,
    CacheWriteError,
    NoSpaceError,
    NotInCacheError,
    SizeMismatchError,
)

if TYPE_CHECKING:
    from spincache_nb.core.scan import CachedTag, Glance, Scan


class NewBlob:
    """Bytes on their way to become a blob: hashed and counted as they come, named once they are right."""

    def __init__(
        self,
        cache: Cache,
        area: Area,
        digest: Digest,
        size: int | None = None,
        where: str | None = None,
        *,
        durable: bool = False,
    ) -> None:
        self._cache = cache
        self._area = area
        self._digest = digest
        self._size = size
        self._where = where or str(digest)
        self._hasher = digest.hasher()
        self._count = 0
        self._file = NewFile(cache.path, (area,), durable=durable)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, value, trace)

    def write(self, chunk: bytes) -> None:
        """Add some bytes."""
        self._count += len(chunk)
        if self._size is not None and self._count > self._size:
            raise SizeMismatchError(self._where, f"{self._size} bytes", "more", "the registry is at fault")
        self._hasher.update(chunk)
        self._file.write(chunk)

    def keep(self, *, anew: bool = True) -> int:
        """Check what was written and store it under its digest; gives the number of bytes.

        If not `anew`, a file that came there meanwhile and has the same bytes stays: it may be open.
        """
        if self._size is not None and self._count != self._size:
            raise SizeMismatchError(self._where, f"{self._size} bytes", f"{self._count}", "pull again")
        self._digest.check(self._hasher.hexdigest(), where=self._where)
        name, there = self._cache._name_in(self._file.folder, self._digest)
        fits = there is not None and there.size == self._count
        if anew or not fits or not self._cache.has_good(self._digest, self._area):
            self._file.replace(name)
        return self._count


class Cache:
    """A Spin registry cache.

    Parameters
    ----------
    root
        Directory that holds ``registry``, as Spin's ``--cache-dir`` takes it; this user's own Spin
        cache unless given. It need not exist.
    windows_names
        Whether new files are spelled for Windows (``sha256_...``); this system's way unless given.
        Both spellings are read everywhere.
    history
        Where pulls into this cache are recorded, and what is asked which digest a tag had; this
        user's own record unless given. It lies outside the cache.

    Raises
    ------
    NotACacheError
        If `root` is a file, or itself a ``registry`` directory: its parent was probably meant.
    CacheError
        If no root is given and this system names no cache directory.

    Examples
    --------
    >>> Cache("/srv/spin").path.as_posix()
    '/srv/spin/registry'
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        windows_names: bool | None = None,
        history: History | None = None,
    ) -> None:
        if root is None:
            self._path = paths.cache_root()
        else:
            folder = Path(root).expanduser().absolute()
            layout.refuse_registry_itself(folder)
            self._path = folder / layout.REGISTRY
        self.windows_names = os.name == "nt" if windows_names is None else windows_names
        self.history = history if history is not None else History()

    @property
    def path(self) -> Path:
        """The ``registry`` directory; it may not exist yet."""
        return self._path

    def __repr__(self) -> str:
        return f"Cache({str(self.path.parent)!r})"

    def _repr_html_(self) -> str:
        return self.glance().html()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Show the cache in IPython's terminal."""
        printer.text(repr(self) if cycle else str(self.glance()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cache) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def glance(self) -> Glance:
        """Take a first look: whether the cache is there, and how many apps and blobs it has, roughly."""
        from spincache_nb.core.scan import glance  # which a pull has no use for

        return glance(self.path)

    def scan(self) -> Scan:
        """Walk the whole cache once."""
        from spincache_nb.core.scan import scan

        return scan(self.path)

    def blob_path(self, area: Area, digest: Digest) -> Path:
        """Where a blob is; where it would be written, if it is not there."""
        return Path(self._look_up(area, digest)[0])

    def blob_size(self, area: Area, digest: Digest) -> int | None:
        """Size in bytes of the regular file that is the blob, or None."""
        state = self._look_up(area, digest)[1]
        return state.size if state is not None else None

    def find_blob(self, digest: Digest) -> Path | None:
        """Path of a blob in either area, ``wasm/`` first as Spin does, or None."""
        for area in layout.AREAS:
            location, state = self._look_up(area, digest)
            if state is not None:
                return Path(location)
        return None

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Open a stored blob for reading, without checking its bytes."""
        path = self.find_blob(digest)
        if path is None:
            raise NotInCacheError(str(digest), "a stored blob", "none", "pull the app that needs it")
        with Folder(self.path, (path.parent.name,), linked_root=True) as folder:
            return open_regular(path.name, folder=folder)

    def is_whole(self, digest: Digest, area: Area | None = None) -> bool:
        """Whether a blob is stored, in either area unless one is named, and whole; it is read for that."""
        path = self.find_blob(digest) if area is None else self.blob_path(area, digest)
        if path is None:
            return False
        try:
            with open_regular(path) as stream, explained_reads(path):
                return hash_stream(stream, digest.algorithm)[0] == digest
        except NotInCacheError:
            return False

    def has_good(self, digest: Digest, area: Area) -> bool:
        """Whether a blob is stored in an area, and whole; one that cannot be read is as good as lost."""
        try:
            return self.is_whole(digest, area)
        except CacheError:
            return False

    def _look_up(self, area: Area, digest: Digest) -> tuple[str, FileState | None]:
        """Where a blob is or would be, and its state if it is there; on text, since a pull asks often."""
        folder = f"{self._path}{os.sep}{area}"
        own, other = (f"{folder}{os.sep}{name}" for name in self._spellings(digest))
        location, state = own, FileState.at(own)
        if state is None or not state.is_file:
            location, state = other, FileState.at(other)
        if state is None or not state.is_file:
            return own, None
        around = FileState.at(folder)
        return (location, state) if around is not None and around.is_folder else (own, None)

    def _spellings(self, digest: Digest) -> tuple[str, str]:
        """A blob's name by this system's spelling, and by the other one."""
        colon, underscore = ":".join(digest), "_".join(digest)
        return (underscore, colon) if self.windows_names else (colon, underscore)

    def tag_path(self, reference: Reference) -> Path:
        """Directory of a cached tag, whether or not it exists."""
        return self.path.joinpath(*self._tag_parts(reference))

    def _tag_parts(self, reference: Reference) -> Parts:
        own, other = (
            (layout.MANIFESTS, *layout.tag_segments(reference, windows=windows))
            for windows in (self.windows_names, not self.windows_names)
        )
        if other == own or _is_folder(self.path.joinpath(*own)):
            return own
        return other if _is_folder(self.path.joinpath(*other)) else own

    def cached_tag(self, reference: Reference | str) -> CachedTag:
        """Find one app; NotInCacheError if the cache has no such tag."""
        wanted = Reference.parse(reference)
        folder = self.tag_path(wanted)
        manifest = FileState.at(folder / layout.MANIFEST_FILE)
        locked_app = FileState.at(folder / layout.LOCKED_APP_FILE)
        if manifest is None and (locked_app is None or not locked_app.is_file):
            raise NotInCacheError(
                wanted.cached_name, "an app in the cache", "none", "pull it, or see frames.apps(cache)"
            )
        modified_ns = manifest.modified_ns if manifest is not None else None
        digest = wanted.digest if wanted.tag is None else None
        from spincache_nb.core.scan import CachedTag

        return CachedTag(
            wanted.registry, wanted.repository, wanted.tag, digest, os.fspath(folder), modified_ns
        )

    def free_bytes(self) -> int:
        """Bytes that this user can still write on the disk of the cache.

        Where the system does not say, they are as many as can be.
        """
        for folder in (self.path, *self.path.parents):
            with contextlib.suppress(OSError):
                return shutil.disk_usage(folder).free
        return sys.maxsize

    def require_room(self, count: int) -> None:
        """Make sure that there is room for what is to come, before any of it is fetched."""
        free = self.free_bytes()
        if count > free:
            from spincache_nb.show import size_text

            raise NoSpaceError(
                layout.shown(str(self.path)),
                f"{size_text(count)} free on the disk",
                size_text(free),
                "free some space, or use a directory on another disk",
            )

    def put_blob(
        self,
        area: Area,
        digest: Digest,
        chunks: Iterable[bytes],
        *,
        size: int | None = None,
        where: str | None = None,
        durable: bool = False,
    ) -> int:
        """Store a blob from a stream, checking its size and digest on the way; gives the number of bytes."""
        try:
            with NewBlob(self, area, digest, size, where, durable=durable) as new:
                for chunk in chunks:
                    new.write(chunk)
                return new.keep()
        finally:
            if isinstance(chunks, Generator):
                chunks.close()  # which lets its connection go now, and not some time

    def put_unnamed(
        self, chunks: Iterable[bytes], *, durable: bool = False, renew: Collection[Digest] = ()
    ) -> tuple[Digest, int]:
        """Store bytes in ``data/`` under the digest they turn out to have, unless that is there already.

        Small content is hashed before anything is written.
        """
        hasher = Digest.of(b"").hasher()
        buffered: list[bytes] = []
        count = 0
        with contextlib.ExitStack() as files:
            new = None
            for chunk in chunks:
                hasher.update(chunk)
                count += len(chunk)
                buffered.append(bytes(chunk))
                if count > MEMBER_BUFFER_BYTES:
                    new = new or files.enter_context(NewFile(self.path, (layout.DATA,), durable=durable))
                    _flush(new, buffered)
            digest = Digest("sha256", hasher.hexdigest())
            if self.blob_size("data", digest) == count and digest not in renew:
                self.touch_blobs([digest], ["data"])
                return digest, count
            new = new or files.enter_context(NewFile(self.path, (layout.DATA,), durable=durable))
            _flush(new, buffered)
            new.replace(self._name_in(new.folder, digest)[0])
        return digest, count

    def copy_blob(
        self, digest: Digest, *, source: Area, target: Area, size: int, durable: bool = False
    ) -> None:
        """Store bytes of one area in the other too, checking them on the way."""
        path = self.blob_path(source, digest)
        with open_regular(path) as stream:
            chunks = read_chunks(stream, path)
            self.put_blob(target, digest, chunks, size=size, where=f"{source}/{digest}", durable=durable)

    def touch_blobs(self, digests: Collection[Digest], areas: Sequence[Area] = layout.AREAS) -> None:
        """Make blobs young, as far as they are there, so that a prune beside a pull leaves them alone."""
        for area in areas:
            with contextlib.suppress(CacheError), Folder(self.path, (area,), linked_root=True) as folder:
                for digest in digests:
                    name, state = self._name_in(folder, digest)
                    if state is not None:
                        folder.touch(name)

    def _name_in(self, folder: Folder, digest: Digest) -> tuple[str, FileState | None]:
        """A blob's name, in the other spelling if that is all there is; and its state if it is there."""
        own, other = self._spellings(digest)
        for name in (own, other):
            state = folder.state(name)
            if state is not None and state.is_file:
                return name, state
        return own, None

    def write_tag(
        self, reference: Reference, *, locked_app: bytes, manifest: bytes, durable: bool = False
    ) -> Path:
        """Write a cached tag, the locked app first, the manifest as it was served last; its directory."""
        parts = self._tag_parts(reference)
        with (
            NewFile(self.path, parts, durable=durable) as first,
            NewFile(self.path, parts, durable=durable) as last,
        ):
            first.write(locked_app)
            last.write(manifest)
            first.replace(layout.LOCKED_APP_FILE)
            last.replace(layout.MANIFEST_FILE)
        return self.path.joinpath(*parts)

    def write_locked_app(self, tag: CachedTag, content: bytes, *, durable: bool = False) -> None:
        """Write ``config.json`` of a cached tag again, without touching its manifest."""
        if self.path not in tag.path.parents:
            raise CacheWriteError(
                str(tag.path), f"a folder below {self.path}", "another", "nothing was written"
            )
        with NewFile(self.path, tag.path.relative_to(self.path).parts, durable=durable) as new:
            new.write(content)
            new.replace(layout.LOCKED_APP_FILE)

    def remove_if_empty(self) -> None:
        """Remove the ``registry`` directory if nothing at all is in it but empty areas."""
        for area in layout.AREAS:
            removing.remove_empty_folders(self.path, (area,), above=0)
        removing.remove_root(self.path)

    def remove_stale(self, reference: Reference | None = None, *, older_than: float = STALE_SECONDS) -> int:
        """Remove unfinished files of killed pulls of this toolkit, never Spin's; how many.

        They are looked for in the areas and, if a reference is given, in its tag directory.
        """
        folders: list[Parts] = [(area,) for area in layout.AREAS]
        if reference is not None:
            folders.append(self._tag_parts(reference))
        return sum(removing.sweep(self.path, parts, older_than=older_than) for parts in folders)


def _flush(new: NewFile, buffered: list[bytes]) -> None:
    for chunk in buffered:
        new.write(chunk)
    buffered.clear()


def _is_folder(path: Path) -> bool:
    """Whether a path is a directory, or a link to one; what cannot be looked at is none."""
    return os.path.isdir(path)  # noqa: PTH112 - a closed folder makes the methods of Path raise
