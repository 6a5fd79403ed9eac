from __future__ import annotations

import pytest

from spincache_nb.errors import LimitError, WasmFormatError
from spincache_nb.wasm import Section, body_ends, segment_address, segment_ends, walk
from tests.wasm.builders import active, body, code, data, leb, module, section


def only_section(binary: bytes) -> Section:
    (found,) = walk(binary).sections
    return found


def ends(split, binary, limit=1000):
    return list(split(binary, only_section(binary), where="app.wasm", limit=limit))


def test_body_ends_include_size_prefixes_of_any_width():
    binary = module(code(body(b"ab"), body(b"c" * 200), body(b"d", width=5)))
    start = 8 + 1 + 2 + 1
    assert ends(body_ends, binary) == [start, start + 3, start + 205, start + 211]


def test_body_ends_of_no_bodies_is_the_end_of_the_section():
    assert ends(body_ends, module(code())) == [11]


@pytest.mark.parametrize(
    ("content", "offset"),
    [
        (b"\x02\x02\x00\x0b", 14),  # two announced, one there
        (b"\x01\x02\x00\x0b\x00", 14),  # a byte too many
        (b"\x01\x05\x00\x0b", 12),  # longer than the section
        (b"\x01\x80\x80\x80\x80\x80\x00", 11),  # size in six bytes
        (b"\xff\xff\xff\xff\x0f", 10),  # four thousand million bodies
        (b"", 10),  # no count
    ],
)
def test_body_ends_refuses_malformed_sections_with_the_offset(content, offset):
    with pytest.raises(WasmFormatError) as caught:
        ends(body_ends, module(section(10, content)))
    assert (caught.value.where, caught.value.offset) == ("app.wasm", offset)


def test_body_ends_stops_at_the_limit():
    with pytest.raises(LimitError):
        ends(body_ends, module(code(*[b"\x00"] * 11)), limit=10)


def test_segment_ends_of_all_kinds_of_segment():
    segments = [
        active(1024, b"abc"),
        active(-1, b""),
        b"\x01" + leb(2) + b"xy",  # passive
        b"\x02\x01\x41\x10\x0b" + leb(1) + b"z",  # memory 1
        b"\x00\x23\x85\x01\x0b" + leb(3) + b"pic",  # global.get
        b"\x00\x42\xff\xff\xff\xff\xff\x0f\x0b" + leb(1) + b"m",  # 64-bit memory
        b"\x00\x23\x00\x41\x08\x6a\x0b" + leb(1, 3) + b"e",  # extended constant expression
    ]
    binary = module(data(*segments))
    expected = [8 + 3]
    for segment in segments:
        expected.append(expected[-1] + len(segment))
    assert ends(segment_ends, binary) == expected


@pytest.mark.parametrize(
    ("segment", "offset"),
    [
        (b"\x03\x00", 11),  # unknown flags
        (b"\x00\x41\x08", 14),  # expression without end
        (b"\x00\x10\x00\x0b\x00", 12),  # a call is not constant
        (b"\x00\x41\x08\x0b\x09abc", 15),  # longer than the section
    ],
)
def test_segment_ends_refuses_malformed_segments_with_the_offset(segment, offset):
    with pytest.raises(WasmFormatError) as caught:
        ends(segment_ends, module(section(11, b"\x01" + segment)))
    assert caught.value.offset == offset


def test_segment_address_reads_constant_addresses_only():
    assert segment_address(active(70000, b"abc"), 0, 9) == 70000
    assert segment_address(active(-4, b""), 0, 6) == -4
    assert segment_address(b"\x01\x00", 0, 2) is None
    assert segment_address(b"\x00\x23\x00\x0b\x00", 0, 5) is None
