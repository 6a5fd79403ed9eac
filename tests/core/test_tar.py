"""The reader of tars, beside the standard library's: what one writes the other must read alike."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spincache_nb.core.archive import TarReader
from spincache_nb.errors import ArchiveError, LimitError
from tests.support import archives
from tests.support.isolation import need

KINDS = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CONTTYPE)
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


class Stream:
    """Bytes that can only be read on, a few at a time."""

    def __init__(self, data: bytes, most: int = 1 << 30) -> None:
        self._stream = io.BytesIO(data)
        self._most = most

    def read(self, size: int) -> bytes:
        return self._stream.read(min(size, self._most))


def written(entries: list[tuple[str, bytes, bytes]], tar_format: int) -> bytes:
    regular = (tarfile.REGTYPE, tarfile.CONTTYPE)
    members = [
        (archives.member(name, kind, size=len(content) if kind in regular else 0, link="target"), content)
        for name, kind, content in entries
    ]
    return archives.tar(members, tar_format=tar_format)


def read_here(data: bytes, most: int = 1 << 30) -> list[tuple[str, bytes | None]]:
    reader = TarReader(Stream(data, most), where="test")
    return [(entry.name, b"".join(reader.chunks(entry)) if entry.is_file else None) for entry in reader]


def read_there(data: bytes) -> list[tuple[str, bytes | None]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = []
        for entry in tar:
            content = tar.extractfile(entry) if entry.isreg() else None
            found.append((entry.name, content.read() if content is not None else None))
        return found


NAMES = st.one_of(
    st.text("abc./ü", min_size=1, max_size=90),
    st.text("ab/ä", min_size=101, max_size=400).map(lambda text: text.strip("/") or "a"),
)


@given(
    entries=st.lists(st.tuples(NAMES, st.sampled_from(KINDS), st.binary(max_size=1500)), max_size=6),
    tar_format=st.sampled_from(FORMATS),
    most=st.sampled_from([1 << 30, 100]),
)
@settings(max_examples=150, deadline=None)
def test_reader_reads_as_the_standard_library_does(
    entries: list[tuple[str, bytes, bytes]], tar_format: int, most: int
) -> None:
    try:
        data = written(entries, tar_format)
    except ValueError:  # a name that ustar cannot hold
        return
    there = [(name.rstrip("/"), content) for name, content in read_there(data)]
    assert [(name.rstrip("/"), content) for name, content in read_here(data, most)] == there


def test_reader_passes_over_content_that_nobody_takes() -> None:
    entries = [(f"{n}", tarfile.REGTYPE, bytes([n]) * 5000) for n in range(5)]
    data = written(entries, tarfile.GNU_FORMAT)
    for stream in (Stream(data), io.BytesIO(data)):
        reader = TarReader(stream, where="test")
        places = [(entry.name, data[entry.offset : entry.offset + entry.size]) for entry in reader]
        assert places == [(name, content) for name, _, content in entries]


def test_reader_reads_sparse_files_as_gnu_tar_writes_them(tmp_path: Path) -> None:
    tar = need("tar")
    content = b"begin" + bytes(300_000) + b"middle" + bytes(5_000_000) + b"end"
    with (tmp_path / "holes").open("wb") as file:
        file.write(b"begin")
        file.seek(300_005)
        file.write(b"middle")
        file.seek(5_300_011)
        file.write(b"end")
    command = [tar, "--format=gnu", "--sparse", "-C", str(tmp_path), "-cf", str(tmp_path / "a.tar"), "holes"]
    subprocess.run(command, check=True)
    data = (tmp_path / "a.tar").read_bytes()
    assert len(data) < 1_000_000  # else it is not sparse
    assert read_here(data) == [("holes", content)]


def test_reader_reads_what_gnu_tar_writes(tmp_path: Path) -> None:
    tar = need("tar")
    files = {"a.txt": b"a" * 700, "d/" + "long-name" * 20: b"b", "ä/ö": b""}
    for name, content in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    for kind in ("v7", "gnu", "ustar", "pax", "oldgnu"):
        options = ["--no-recursion"] if kind == "v7" else []
        names = ["a.txt"] if kind in ("v7", "ustar") else ["."]
        command = [tar, f"--format={kind}", *options, "-C", str(tmp_path / "in"), "-cf", "-", *names]
        done = subprocess.run(command, check=True, capture_output=True)
        found = {name.removeprefix("./"): data for name, data in read_here(done.stdout) if data is not None}
        assert found == ({"a.txt": files["a.txt"]} if kind in ("v7", "ustar") else files), kind


def test_reader_refuses_empty_pax_values() -> None:
    info = tarfile.TarInfo("x")
    info.type, body = tarfile.XHDTYPE, b"8 path=\n"
    info.size = len(body)
    end = written([("a", tarfile.REGTYPE, b"")], tarfile.GNU_FORMAT)
    with pytest.raises(ArchiveError):
        read_here(info.tobuf(tarfile.GNU_FORMAT) + body + bytes(504) + end)


@pytest.mark.parametrize("cut", [1, 100, 511, 513, 600, 1000])
def test_reader_says_so_when_a_tar_breaks_off(cut: int) -> None:
    data = written([("a", tarfile.REGTYPE, b"x" * 700), ("b", tarfile.REGTYPE, b"y")], tarfile.GNU_FORMAT)
    with pytest.raises(ArchiveError):
        read_here(data[:cut])


def test_reader_ends_at_the_end_of_a_tar_without_its_last_blocks() -> None:
    data = written([("a", tarfile.REGTYPE, b"x" * 512)], tarfile.GNU_FORMAT)
    assert read_here(data[:1024]) == [("a", b"x" * 512)]


@pytest.mark.parametrize("at", [0, 124, 130, 156, 300])
def test_reader_checks_the_checksum(at: int) -> None:
    data = bytearray(written([("a", tarfile.REGTYPE, b"x")], tarfile.GNU_FORMAT))
    data[at] ^= 1
    with pytest.raises(ArchiveError):
        read_here(bytes(data))


@pytest.mark.parametrize("size", [b"\x80" + (1 << 63).to_bytes(11, "big"), b"\xff" * 12, b"00000000008\0"])
def test_reader_refuses_sizes_that_are_none(size: bytes) -> None:
    header = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    header[124:136], header[148:156] = size, b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(ArchiveError, match="a number that is none"):
        read_here(bytes(header) + bytes(1024))


def test_reader_refuses_extended_headers_without_end() -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 5
    one = info.tobuf(tarfile.GNU_FORMAT) + b"name\0" + bytes(507)
    end = written([("a", tarfile.REGTYPE, b"")], tarfile.GNU_FORMAT)
    assert read_here(one + end) == [("name", b"")]
    for broken in (one * 2 + end, one):
        with pytest.raises(ArchiveError):
            read_here(broken)
    info.type = tarfile.XGLTYPE
    everywhere = info.tobuf(tarfile.GNU_FORMAT) + b"6 a=b\n" + bytes(506)
    assert read_here(everywhere * 16 + end) == [("a", b"")]
    with pytest.raises(LimitError):
        read_here(everywhere * 17 + end)


def test_reader_reads_the_size_that_a_pax_header_says() -> None:
    """A size in a pax header goes before the one in the entry's own header."""
    body = b"12 size=513\n"
    extended = tarfile.TarInfo("x")
    extended.type, extended.size = tarfile.XHDTYPE, len(body)
    entry = tarfile.TarInfo("a")
    data = extended.tobuf(tarfile.GNU_FORMAT) + body + bytes(500) + entry.tobuf(tarfile.GNU_FORMAT)
    data += b"z" * 513 + bytes(511)
    assert read_here(data) == [("a", b"z" * 513)]
