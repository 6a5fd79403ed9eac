"""The cache as an object: where things are, and the few ways anything is written into it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Collection, Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from spincache_nb.core import paths
from spincache_nb.core.cache import files, layout
from spincache_nb.core.cache.found import CachedTag, Scan
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area
from spincache_nb.core.journal import History
from spincache_nb.core.reference import Reference
from spincache_nb.errors import (
    CacheError,
    NoSpaceError,
    NotACacheError,
    NotInCacheError,
    SizeMismatchError,
)

if TYPE_CHECKING:
    from spincache_nb.core.cache.glance import Glance

STALE_SECONDS = 3600
"""Age from which an unfinished file of ours is taken for the leftover of a killed pull."""

_MEMBER_BUFFER_BYTES = 1 << 20


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

    Attributes
    ----------
    path : pathlib.Path
        The ``registry`` directory; it may not exist yet.
    history : History
        As given.

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
            self.path = paths.cache_root()
        else:
            folder = Path(root).expanduser().absolute()
            _refuse_registry_itself(folder)
            self.path = folder / layout.REGISTRY
        self.windows_names = os.name == "nt" if windows_names is None else windows_names
        self.history = history if history is not None else History()

    def __repr__(self) -> str:
        return f"Cache({str(self.path.parent)!r})"

    def glance(self) -> Glance:
        """Take a first look: whether the cache is there, and how many apps and blobs it has, roughly."""
        from spincache_nb.core.cache.glance import glance

        return glance(self.path)

    def _repr_html_(self) -> str:
        return self.glance().html()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Show the cache in IPython's terminal."""
        printer.text(repr(self) if cycle else str(self.glance()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cache) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    # Where things are ------------------------------------------------------------------------

    def blob_path(self, area: Area, digest: Digest) -> Path:
        """Where a blob is; where it would be written, if it is not there.

        Parameters
        ----------
        area
            ``wasm`` or ``data``.
        digest
            The blob's digest.
        """
        return Path(self._look_up(area, digest)[0])

    def blob_size(self, area: Area, digest: Digest) -> int | None:
        """Size in bytes of the regular file that is the blob, or None."""
        return self._look_up(area, digest)[1]

    def find_blob(self, digest: Digest) -> Path | None:
        """Path of a blob in either area, ``wasm/`` first as Spin does, or None."""
        for area in layout.AREAS:
            location, size = self._look_up(area, digest)
            if size is not None:
                return Path(location)
        return None

    def _look_up(self, area: Area, digest: Digest) -> tuple[str, int | None]:
        """Where a blob is or would be, and its size if it is there; on text, since a pull asks often."""
        folder = os.path.join(self.path, area)  # noqa: PTH118
        own, other = self._spellings(digest, folder)
        found, size = own, files.regular_size(own)
        if size is None:
            found, size = other, files.regular_size(other)
        if size is None or files.is_link(folder):
            return own, None
        return found, size

    def _place_of(self, digest: Digest, folder: Path) -> str:
        """Where a blob is written: over the file of the other spelling, if that is all there is."""
        own, other = self._spellings(digest, folder)
        foreign = files.regular_size(other) is not None and files.regular_size(own) is None
        return other if foreign else own

    def _spellings(self, digest: Digest, folder: str | Path) -> tuple[str, str]:
        """Where a blob is by this system's spelling, and by the other one."""
        own = os.path.join(folder, layout.file_name(digest, windows=self.windows_names))  # noqa: PTH118
        other = os.path.join(folder, layout.file_name(digest, windows=not self.windows_names))  # noqa: PTH118
        return own, other

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Open a stored blob for reading, without checking its bytes.

        Raises
        ------
        NotInCacheError
            If there is none.
        CacheError
            If it cannot be read.
        """
        path = self.find_blob(digest)
        if path is None:
            raise NotInCacheError(str(digest), "a stored blob", "none", "pull the app that needs it")
        return files.open_regular(path)

    def tag_path(self, reference: Reference) -> Path:
        """Directory of a cached tag, whether or not it exists."""
        own = self._tag_path(reference, windows=self.windows_names)
        other = self._tag_path(reference, windows=not self.windows_names)
        return other if files.is_folder(other) and not files.is_folder(own) else own

    def _tag_path(self, reference: Reference, *, windows: bool) -> Path:
        segments = layout.tag_segments(reference, windows=windows)
        return self.path.joinpath(layout.MANIFESTS, *segments)

    def cached_tag(self, reference: Reference | str) -> CachedTag:
        """Find one app.

        Raises
        ------
        NotInCacheError
            If the cache has no such tag.
        InvalidReferenceError
            If `reference` is not one.
        """
        wanted = Reference.parse(reference)
        folder = self.tag_path(wanted)
        try:
            modified = (folder / layout.MANIFEST_FILE).lstat().st_mtime_ns
        except OSError:
            modified = None
        if modified is None and files.regular_size(folder / layout.LOCKED_APP_FILE) is None:
            raise NotInCacheError(
                wanted.cached_name, "an app in the cache", "none", "pull it, or see frames.apps(cache)"
            )
        digest = wanted.digest if wanted.tag is None else None
        return CachedTag(wanted.registry, wanted.repository, wanted.tag, digest, folder, modified)

    def scan(self) -> Scan:
        """Walk the whole cache; see `spincache_nb.core.cache.scan.scan`."""
        from spincache_nb.core.cache.scan import scan

        return scan(self.path)

    def free_bytes(self) -> int:
        """Bytes that this user can still write on the disk of the cache.

        Where the system does not say, they are as many as can be.
        """
        for folder in (self.path, *self.path.parents):
            with contextlib.suppress(OSError):
                return shutil.disk_usage(folder).free
        return sys.maxsize

    # Writing ---------------------------------------------------------------------------------

    def require_room(self, count: int) -> None:
        """Make sure that there is room for what is to come, before any of it is fetched.

        Raises
        ------
        NoSpaceError
            If the disk has fewer bytes free.
        """
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
        """Store a blob from a stream, checking it on the way.

        Parameters
        ----------
        area
            ``wasm`` or ``data``.
        digest
            What the bytes must hash to.
        chunks
            The bytes, in pieces of any size.
        size
            What they must add up to; not checked if not given.
        where
            What to call their source in an error.
        durable
            Whether to return only when the disk has them.

        Returns
        -------
        int
            Number of bytes stored.

        Raises
        ------
        DigestMismatchError, SizeMismatchError
            If the bytes are not the right ones; nothing is stored then.
        NoSpaceError, CacheWriteError
            If the system refuses the write.
        """
        where = where or str(digest)
        hasher = digest.hasher()
        count = 0
        new, created = files.new_file_in(self.path / area, root=self.path, durable=durable)
        try:
            target = self._place_of(digest, new.directory)
            for chunk in chunks:
                count += len(chunk)
                if size is not None and count > size:
                    raise SizeMismatchError(where, f"{size} bytes", "more", "the registry is at fault")
                hasher.update(chunk)
                new.write(chunk)
            if size is not None and count != size:
                raise SizeMismatchError(where, f"{size} bytes", f"{count}", "pull again")
            digest.check(hasher.hexdigest(), where=where)
            new.replace(target)
        except BaseException:
            new.discard()
            files.remove_if_empty(created)
            raise
        finally:
            if isinstance(chunks, Generator):
                chunks.close()  # which lets its connection go now, and not some time
        return count

    def put_unnamed(
        self, chunks: Iterable[bytes], *, durable: bool = False, renew: Collection[Digest] = ()
    ) -> tuple[Digest, int]:
        """Store bytes in ``data/`` under the digest they turn out to have, unless it is there.

        Parameters
        ----------
        chunks
            The bytes; small content is hashed before anything is written.
        durable
            Whether to return only when the disk has them.
        renew
            Digests that are written again even if a file of that name and size is there.

        Returns
        -------
        tuple of Digest and int
            Their sha256 digest, as Spin names archive members, and their number.

        Raises
        ------
        NoSpaceError, CacheWriteError
            If the system refuses the write.
        """
        folder = self.path / layout.DATA
        hasher = Digest.of(b"").hasher()
        buffered: list[bytes] = []
        count = 0
        new = None
        try:
            for chunk in chunks:
                hasher.update(chunk)
                count += len(chunk)
                buffered.append(bytes(chunk))
                if count > _MEMBER_BUFFER_BYTES:
                    if new is None:
                        files.make_directory(folder, root=self.path)
                        new = files.NewFile(folder, durable=durable)
                    _flush(new, buffered)
            digest = Digest("sha256", hasher.hexdigest())
            if self.blob_size("data", digest) == count and digest not in renew:
                self.touch_blob("data", digest)
                return digest, count
            if new is None:
                files.make_directory(folder, root=self.path)
                new = files.NewFile(folder, durable=durable)
            _flush(new, buffered)
            new.replace(self.blob_path("data", digest))
            new = None
        finally:
            if new is not None:
                new.discard()
        return digest, count

    def copy_blob(self, digest: Digest, *, source: Area, target: Area, size: int) -> None:
        """Store bytes of one area in the other too, checking them on the way.

        Raises
        ------
        DigestMismatchError, SizeMismatchError
            If the stored bytes are not what their name says.
        NoSpaceError, CacheWriteError, CacheError
            If the system refuses.
        """
        path = self.blob_path(source, digest)
        with files.open_regular(path) as stream:
            chunks = files.read_chunks(stream, path)
            self.put_blob(target, digest, chunks, size=size, where=f"{source}/{digest}")

    def touch_blob(self, area: Area, digest: Digest) -> None:
        """Make a blob young, if it is there, so that a prune running beside a pull leaves it alone."""
        location, size = self._look_up(area, digest)
        if size is not None:
            with contextlib.suppress(OSError):  # another user's file may not be touched; it is no fault
                os.utime(location)

    def write_tag(
        self, reference: Reference, *, locked_app: bytes, manifest: bytes, durable: bool = False
    ) -> Path:
        """Write a cached tag: the locked app first, the manifest last.

        Parameters
        ----------
        reference
            Its registry, repository and tag (or digest) name the directory.
        locked_app
            Bytes of ``config.json``.
        manifest
            Bytes of ``manifest.json``, as the registry served them.
        durable
            Whether to return only when the disk has them.

        Returns
        -------
        pathlib.Path
            The directory.

        Raises
        ------
        NoSpaceError, CacheWriteError
            If the system refuses; a manifest is not written then.
        """
        folder = self.tag_path(reference)
        first, created = files.new_file_in(folder, root=self.path, durable=durable)
        documents = [(first, folder / layout.LOCKED_APP_FILE)]
        try:
            documents.append((files.NewFile(folder, durable=durable), folder / layout.MANIFEST_FILE))
            for (new, _), content in zip(documents, (locked_app, manifest), strict=True):
                new.write(content)
            for new, target in documents:
                new.replace(target)
        except BaseException:
            for new, _ in documents:
                new.discard()
            files.remove_if_empty(created)
            raise
        return folder

    def remove_if_empty(self) -> None:
        """Remove the ``registry`` directory if nothing at all is in it but empty areas."""
        if not files.is_link(self.path):
            files.remove_if_empty([self.path, *(self.path / area for area in layout.AREAS)])

    def remove_stale(self, reference: Reference | None = None, *, older_than: float = STALE_SECONDS) -> int:
        """Remove unfinished files of killed pulls of this toolkit; never Spin's.

        Parameters
        ----------
        reference
            Also look in this app's tag directory.
        older_than
            Age in seconds from which a file is taken for a leftover.

        Returns
        -------
        int
            Number of files removed.
        """
        folders = [self.path / area for area in layout.AREAS]
        if reference is not None:
            folders.append(self.tag_path(reference))
        oldest = time.time() - older_than
        removed = 0
        for path in (path for folder in folders for path in _own_temporary(folder)):
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime < oldest:
                    path.unlink()
                    removed += 1
        return removed


def _flush(new: files.NewFile, buffered: list[bytes]) -> None:
    for chunk in buffered:
        new.write(chunk)
    buffered.clear()


def _own_temporary(folder: Path) -> Iterator[Path]:
    if files.is_link(folder):
        return
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.name.startswith(layout.TEMPORARY_PREFIX)]
    except OSError:
        return
    for name in names:
        yield folder / name


def _refuse_registry_itself(folder: Path) -> None:
    parts = (layout.WASM, layout.DATA, layout.MANIFESTS)
    try:
        found = [part for part in parts if (folder / part).is_dir()]
        nested = (folder / layout.REGISTRY).is_dir()
        is_file = folder.exists() and not folder.is_dir()
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise CacheError(
            layout.shown(str(folder)), "a folder to look into", reason, "check its permissions"
        ) from exc
    if is_file:
        raise NotACacheError(
            layout.shown(str(folder)), "the directory that holds `registry`", "a file", "name a directory"
        )
    if nested or not found:
        return
    if folder.name == layout.REGISTRY or layout.MANIFESTS in found:
        raise NotACacheError(
            str(folder),
            "the directory that holds `registry`",
            "a `registry` directory itself",
            f"you probably mean Cache({str(folder.parent)!r})",
        )
