"""tar+gzip layers: as Spin pushes them, and such as nobody should unpack."""

import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath


def compress(data: bytes) -> bytes:
    """Return a gzip stream without a time in it, so that equal input gives equal bytes."""
    return gzip.compress(data, 6, mtime=0)


def member(name: str, kind: bytes = tarfile.REGTYPE, *, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info


def tar(members: Iterable[tuple[tarfile.TarInfo, bytes]], *, tar_format: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def mount_archive(files: Mapping[str, bytes]) -> bytes:
    """Return the archive layer of one ``files`` mount: folders first, names relative to ``.``."""
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
    entries = [(member("./", tarfile.DIRTYPE), b"")]
    entries += [(member("./" + name, tarfile.DIRTYPE), b"") for name in sorted(folders)]
    entries += [(member("./" + name, size=len(data)), data) for name, data in sorted(files.items())]
    return compress(tar(entries))


def with_links(files: Mapping[str, bytes], target: str) -> bytes:
    """Return an archive of files, plus a symbolic link, a dangling one and a hard link to ``target``.

    None of the links adds content: Spin stores regular files only, and a hard link has its target's bytes.
    """
    entries = [(member("./" + name, size=len(data)), data) for name, data in files.items()]
    entries += [
        (member("./symlink", tarfile.SYMTYPE, link=target), b""),
        (member("./dangling", tarfile.SYMTYPE, link="/etc/passwd-not-there"), b""),
        (member("./hardlink", tarfile.LNKTYPE, link="./" + target), b""),
    ]
    return compress(tar(entries))


def bomb(unpacked_bytes: int) -> bytes:
    """Return a small gzip stream with one member of ``unpacked_bytes`` zeros (about 1000 to 1)."""
    out = io.BytesIO()
    block = bytes(1 << 20)
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9, mtime=0) as stream:
        stream.write(member("./zeros", size=unpacked_bytes).tobuf(tarfile.GNU_FORMAT))
        padded = -(-unpacked_bytes // 512) * 512
        for start in range(0, padded + 1024, len(block)):
            stream.write(block[: min(len(block), padded + 1024 - start)])
    return out.getvalue()
