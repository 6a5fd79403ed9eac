"""A folder that fsspec can reach, local or in an object store, its errors in our words, its files' names."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from spincache_nb.errors import MissingExtraError, SpinCacheError

_FILE = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-([0-9a-f]{16})\.parquet")
_MOMENT = "%Y%m%dT%H%M%S.%fZ"
_LOCAL = ("file", "local")
_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
}
"""What fsspec needs for the buckets of the large providers; none of them has folders to be made."""
_FLAT = frozenset({*_PACKAGES, "memory", "http", "https"})
_DEEPEST = 3
_SECRET = re.compile(r"//[^/@]*@")
_REFUSED = re.compile(
    r"credential|access ?denied|forbidden|signature|authenticat|authoriz|access ?key|token|\b40[13]\b", re.I
)
_MISSING = re.compile(
    r"no ?such ?bucket|bucket does not exist|container ?not ?found|container does not", re.I
)
_DEAD = re.compile(r"connect|endpoint|timed? ?out|timeout|resolve|unreachable|name or service", re.I)


def load(module: str, *, extra: str = "fleet") -> Any:
    """Import a module of an extra when it is first needed."""
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        package = module.partition(".")[0]
        raise MissingExtraError(
            "spincache_nb.fleet", f"the package {package}", "none", f'pip install "spincache-nb[{extra}]"'
        ) from exc


class Entry(NamedTuple):
    """What a listing says of a file."""

    size: int | None
    regular: bool


class Place:
    """Where a dataset is."""

    def __init__(
        self, target: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
    ) -> None:
        core = load("fsspec.core")
        self._address = os.fspath(target)
        with self._explained():
            self.fs, root = core.url_to_fs(self._address, **dict(storage_options or {}))
        protocol = self.fs.protocol
        self.protocol: str = protocol if isinstance(protocol, str) else protocol[0]
        self.root = root.rstrip("/") or root

    @property
    def local(self) -> bool:
        """Whether the folder is in this machine's file system."""
        return self.protocol in _LOCAL

    def __repr__(self) -> str:
        return f"Place({str(self)!r})"

    def __str__(self) -> str:
        return _SECRET.sub("//", self._address)

    def path(self, name: str) -> str:
        """Path of a file by its name below the folder, as the file system takes it."""
        return f"{self.root}/{name}"

    def address(self, name: str) -> str:
        """The same for an engine: a path, or a path with its protocol."""
        return self.path(name) if self.local else f"{self.protocol}://{self.path(name)}"

    def files(self, folder: str = "") -> dict[str, Entry]:
        """Every file that a dataset may have, by its name below the folder; none is hidden."""
        depth = _DEEPEST - folder.count("/") - bool(folder)
        start = len(self.root.rstrip("/")) + 1
        with self._explained():
            self.fs.invalidate_cache()
            where = self.path(folder) if folder else self.root
            bounded = {"maxdepth": depth} if self.local else {}
            try:
                found = self.fs.find(where, detail=True, **bounded)
            except (FileNotFoundError, NotADirectoryError):
                found = {}
            if not found and not self.local:
                self._look_for_bucket()
        return {
            name: Entry(entry.get("size"), entry.get("type") == "file")
            for path, entry in found.items()
            if (name := path[start:]) and "/." not in f"/{name}"
        }

    def _look_for_bucket(self) -> None:
        """Tell an empty bucket from one that is not there, which a search does not."""
        if self.protocol in _PACKAGES:
            self.fs.ls(self.root.partition("/")[0], detail=False, refresh=True)

    def tail(self, name: str, count: int, size: int) -> bytes:
        """The last bytes of a file of a known size."""
        start = max(0, size - count)
        with self._explained():
            if not self.local:
                content: bytes = self.fs.cat_file(self.path(name), start=start, end=size)
                return content
            with _opened(self.path(name)) as file:
                file.seek(start)
                return bytes(file.read(count))

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[Any]:
        """Open a file to read it."""
        with self._explained():
            opened = _opened(self.path(name)) if self.local else self.fs.open(self.path(name), "rb")
        with opened as file:
            yield file

    def write(self, content: bytes | Path, name: str) -> None:
        """Write a file, from memory or a local file: others see the old one or the new one, never a part."""
        target = self.path(name)
        with self._explained():
            if self.local:
                self._replace(Path(target), content)
                return
            if self.protocol not in _FLAT:
                self.fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            if isinstance(content, bytes):
                self.fs.pipe_file(target, content)
            else:
                self.fs.put_file(str(content), target)

    @staticmethod
    def _replace(path: Path, content: bytes | Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            if isinstance(content, bytes):
                temporary.write_bytes(content)
            else:
                shutil.copyfile(content, temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a file; it may be gone. A local folder that is empty then goes with it."""
        with self._explained():
            try:
                self.fs.rm_file(self.path(name))
            except FileNotFoundError:
                return
            if self.local:
                with contextlib.suppress(OSError):
                    Path(self.path(name)).parent.rmdir()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (SpinCacheError, GeneratorExit):
            raise
        except Exception as exc:
            fault = explained(exc, str(self))
            if fault is None:
                raise
            raise fault from exc


def explained(exc: BaseException, where: str) -> SpinCacheError | None:
    """What a fault of a file system means, as one of our errors; None for faults of no file system."""
    protocol = where.partition("://")[0] if "://" in where else "file"
    told = " ".join(f"{type(fault).__name__} {fault}" for fault in _causes(exc))
    said = _SECRET.sub("//", f"{type(exc).__name__}: {str(exc) or 'no more is said'}").splitlines()[0][:300]
    if isinstance(exc, ImportError):
        package = _PACKAGES.get(protocol, "that fsspec names")
        return MissingExtraError(where, f"the package {package}", "none", f"pip install {package}")
    if protocol == "file":
        local = isinstance(exc, OSError)
        return (
            SpinCacheError(where, "a folder that can be read and written", said, "see what it says")
            if local
            else None
        )
    if isinstance(exc, ValueError) and "rotocol" in str(exc):
        return SpinCacheError(where, "an address that fsspec knows", said, "check the part before ://")
    if _MISSING.search(told) or isinstance(exc, FileNotFoundError):
        return SpinCacheError(
            where, "a bucket that is there", said, "check its name, or create it: it is not created here"
        )
    if isinstance(exc, PermissionError) or _REFUSED.search(told):
        return SpinCacheError(
            where,
            "credentials that may do this",
            said,
            "check storage_options, or the environment's credentials, and the rights they have",
        )
    if _DEAD.search(told):
        return SpinCacheError(
            where, "an object store that answers", said, "check the endpoint and the network"
        )
    return SpinCacheError(where, "an object store that does as it is asked", said, "see what it says")


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _opened(path: str) -> Any:
    """Open a local file unless it is something else, such as a pipe that would block."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SpinCacheError(path, "a regular file", "something else", "move it away")
    return os.fdopen(descriptor, "rb")


# Names of files ---------------------------------------------------------------------------------


class File(NamedTuple):
    """A snapshot's file, as its name tells."""

    name: str
    host: str
    day: date
    moment: datetime
    content: str


def file_name(host: str, day: date, moment: datetime, content: str) -> str:
    """Name of a snapshot's file below its dataset; what is special in a path is escaped.

    >>> file_name("127.0.0.1:5000", date(2026, 3, 2), datetime(2026, 3, 2, 3, tzinfo=UTC), "0" * 16)
    'host=127.0.0.1%3A5000/day=2026-03-02/20260302T030000.000000Z-0000000000000000.parquet'
    """
    return f"{folder_name(host, day)}/{moment.astimezone(UTC).strftime(_MOMENT)}-{content}.parquet"


def folder_name(host: str, day: date) -> str:
    """Name of the folder of a host's day."""
    return f"host={quote(host, safe='')}/day={day.isoformat()}"


def parse_folder(name: str) -> tuple[str, date] | None:
    """Host and day of a folder's name, or of a file's in it; None if it is no such name."""
    parts = name.split("/")
    if len(parts) < 2 or not parts[0].startswith("host=") or not parts[1].startswith("day="):
        return None
    try:
        return unquote(parts[0][5:], errors="strict"), date.fromisoformat(parts[1][4:])
    except ValueError:
        return None


def parse_file(name: str) -> File | None:
    """Read the name of a snapshot's file; None if it is none."""
    folder, _, last = name.rpartition("/")
    found, match = parse_folder(folder), _FILE.fullmatch(last)
    if found is None or match is None or folder != folder_name(*found):
        return None
    try:
        moment = datetime.strptime(match[1], _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return File(name, *found, moment, match[2])


def newest_first(names: Iterable[str]) -> list[File]:
    """The snapshots among some files."""
    files = [file for file in map(parse_file, names) if file is not None]
    return sorted(files, key=lambda file: (file.moment, file.name), reverse=True)


def superseded(newest_first: Sequence[File], before: datetime) -> list[File]:
    """Files of one host and day in whose place another was written before some moment."""
    return [older for newer, older in pairwise(newest_first) if newer.moment <= before]
