from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.errors import WasmFormatError
from spincache_nb.wasm.leb128 import read_name, read_signed, read_u32
from tests.wasm.builders import leb, name, sleb


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.binary(max_size=3), st.binary(max_size=3))
def test_read_u32_reads_what_an_encoder_wrote(value, width, before, after):
    encoded = leb(value, width)
    data = before + encoded + after
    assert read_u32(data, len(before), len(data), "t") == (value, len(before) + len(encoded))


@given(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=3))
def test_read_signed_reads_what_an_encoder_wrote(value, after):
    encoded = sleb(value)
    assert read_signed(encoded + after, 0, len(encoded + after), "t") == (value, len(encoded))


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        (b"\x00", 0),
        (b"\x7f", 127),
        (b"\x80\x01", 128),
        (b"\x80\x00", 0),  # redundant, and allowed
        (b"\xff\xff\xff\xff\x0f", 2**32 - 1),
        (b"\x80\x80\x80\x80\x00", 0),
    ],
)
def test_read_u32_reads_values_of_the_specification(encoded, value):
    assert read_u32(memoryview(encoded), 0, len(encoded), "t") == (value, len(encoded))


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x80",
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\xff\x10",  # 2**32 and more
        b"\x80\x80\x80\x80\x80\x00",  # six bytes
        b"\xff" * 20,
    ],
)
def test_read_u32_refuses_malformed_integers_with_the_offset(encoded):
    with pytest.raises(WasmFormatError) as caught:
        read_u32(b"\x00\x00" + encoded, 2, 2 + len(encoded), "app.wasm")
    assert (caught.value.where, caught.value.offset) == ("app.wasm", 2)


def test_read_u32_does_not_read_past_the_end_it_is_given():
    with pytest.raises(WasmFormatError):
        read_u32(b"\x80\x01", 0, 1, "t")


@pytest.mark.parametrize("encoded", [b"", b"\xff" * 9, b"\xff" * 11 + b"\x00"])
def test_read_signed_refuses_malformed_integers(encoded):
    with pytest.raises(WasmFormatError):
        read_signed(encoded, 0, len(encoded), "t")


@given(st.text(max_size=300))
def test_read_name_reads_what_an_encoder_wrote(text):
    encoded = name(text)
    assert read_name(encoded, 0, len(encoded), "t") == (text, len(encoded))


def test_read_name_escapes_bytes_that_are_not_utf8():
    assert read_name(b"\x03a\xffb", 0, 4, "t") == ("a\\xffb", 4)


def test_read_name_refuses_a_length_past_the_end():
    with pytest.raises(WasmFormatError) as caught:
        read_name(b"\x05abc", 0, 4, "t")
    assert caught.value.offset == 0
