"""The encodings, against bytes written by hand and against the standard library's readers."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib

import pytest

from spincache_nb.demo import encode


def test_serde_json_keeps_the_order_and_raw_utf8() -> None:
    value = {"z": "Zoë–", "a": [None, False, 2], "m": 'tab\t"quote"\\'}
    assert encode.serde_json(value) == '{"z":"Zoë–","a":[null,false,2],"m":"tab\\t\\"quote\\"\\\\"}'.encode()


def test_serde_json_refuses_what_json_has_no_word_for() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode.serde_json({"a": float("nan")})


def test_canonical_json_sorts_at_every_depth() -> None:
    value = {"b": {"d": 1, "c": [{"y": 2, "x": None}]}, "a": True}
    assert encode.canonical_json(value) == b'{"a":true,"b":{"c":[{"x":null,"y":2}],"d":1}}'


def test_canonical_json_escapes_only_quote_and_backslash() -> None:
    assert encode.canonical_json('a"b\\c\n/é') == b'"a\\"b\\\\c\n/\xc3\xa9"'


def test_canonical_json_composes_characters() -> None:
    assert encode.canonical_json("Zoe\u0308") == b'"Zo\xc3\xab"'


def test_canonical_json_refuses_fractions() -> None:
    with pytest.raises(TypeError, match="float"):
        encode.canonical_json({"a": 1.5})


@pytest.mark.parametrize(("data", "text"), [(b"", ""), (b"a", "YQ"), (b"ab", "YWI"), (b"abc", "YWJj")])
def test_base64_unpadded_has_no_padding(data: bytes, text: str) -> None:
    assert encode.base64_unpadded(data) == text


def test_base64_unpadded_uses_the_standard_alphabet() -> None:
    assert encode.base64_unpadded(b"\xfb\xff\xfe") == "+//+"


def test_tar_archive_lays_out_headers_as_the_tar_crate_does() -> None:
    archive = encode.tar_archive({"d/f": b"x"})
    root, folder, file, content, end = (archive[i : i + 512] for i in range(0, 2560, 512))
    assert len(archive) == 6 * 512
    assert root[:3] == b"./\0"
    assert folder[:4] == b"d\0\0\0"
    assert folder[100:108] == b"0040755\0"
    assert folder[156:157] == b"5"
    assert file[:4] == b"d/f\0"
    numbers = [b"0100644", b"0000000", b"0000000", b"00000000001", b"00000000000"]  # mode ... mtime
    assert file[100:148].split(b"\0") == [*numbers, b""]
    assert file[156:157] == b"0"
    assert file[257:265] == b"ustar  \0"
    assert file[265:] == bytes(247)
    assert content == b"x" + bytes(511)
    assert end == bytes(512)


def test_tar_archive_is_read_by_another_program() -> None:
    files = {"a/b/c.txt": b"c" * 700, "a/d.txt": b"", "e.txt": b"e" * 512}
    with tarfile.open(fileobj=io.BytesIO(encode.tar_archive(files)), mode="r:") as archive:
        members = archive.getmembers()
        regular = {m.name: archive.extractfile(m).read() for m in members if m.isfile()}  # type: ignore[union-attr]
    assert [m.name for m in members] == [".", "a", "a/b", "a/b/c.txt", "a/d.txt", "e.txt"]
    assert [m.isdir() for m in members] == [True, True, True, False, False, False]
    assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {(0, 0, 0, "")}
    assert regular == files


def test_tar_archive_does_not_depend_on_the_order_given() -> None:
    assert encode.tar_archive({"b": b"1", "a": b"2"}) == encode.tar_archive({"a": b"2", "b": b"1"})


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../b", "é.txt", "n" * 101])
def test_tar_archive_refuses_names_it_cannot_hold(name: str) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode.tar_archive({name: b""})


@pytest.mark.parametrize("size", [0, 1, 65534, 65535, 65536, 131070, 200_000])
def test_stored_gzip_gives_the_bytes_back(size: int) -> None:
    data = bytes(i * 7 % 256 for i in range(size))
    assert gzip.decompress(encode.stored_gzip(data)) == data


def test_stored_gzip_writes_what_rfc_1951_and_1952_say() -> None:
    assert encode.stored_gzip(b"ab") == (
        bytes.fromhex("1f8b0800 00000000 00ff")  # gzip, deflate, no flags, time 0, no hint, system unknown
        + bytes.fromhex("01 0200 fdff")  # last block, stored, length 2 and its complement
        + b"ab"
        + zlib.crc32(b"ab").to_bytes(4, "little")
        + bytes.fromhex("02000000")
    )
