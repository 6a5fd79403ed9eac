"""Binaries that are malformed, or made to cost time and memory."""

from __future__ import annotations

import pickle
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.errors import LimitError, SpinCacheError, WasmFormatError
from spincache_nb.wasm import (
    WASM_GRAINS,
    Limits,
    cuts,
    read_names,
    read_nested_names,
    read_producers,
    walk,
)
from tests.wasm.builders import CORE, code, component, custom, leb, module, nested, section
from tests.wasm.generated import binaries

LEVELS = 100_000


def deep_nest(levels: int) -> bytes:
    """Nest components by building the headers from the inside out, in one pass."""
    headers = []
    size = 8
    for _ in range(levels):
        header = b"\x04" + leb(size)
        headers.append(b"\0asm\x0d\x00\x01\x00" + header)
        size += len(header) + 8
    return b"".join(reversed(headers)) + b"\0asm\x0d\x00\x01\x00"


@pytest.mark.parametrize(
    ("binary", "offset"),
    [
        (b"", 0),
        (b"\0as", 0),
        (b"\0asm\x01\x00\x00", 0),
        (b"\0asm\x02\x00\x00\x00", 0),  # a version that does not exist
        (b"\0asm\x0d\x00\x02\x00", 0),  # a layer that does not exist
        (b"body { margin: 0 }", 0),
        (CORE + b"\x0e\x00", 8),  # no section of a module has this id
        (CORE + b"\xff\x00", 8),
        (component() + b"\x0d\x00", 8),  # nor of a component
        (CORE + b"\x01", 9),  # cut off before the size
        (CORE + b"\x01\x80", 9),  # in the size
        (CORE + b"\x01\x05abcd", 8),  # size past the end
        (CORE + b"\x01\xff\xff\xff\xff\x0f", 8),
        (CORE + b"\x01\x80\x80\x80\x80\x80\x00", 9),  # size in six bytes
        (CORE + b"\x01\xff\xff\xff\xff\x1f", 9),  # size above 2**32
        (CORE + b"\x00\x00", 10),  # a custom section without a name
        (CORE + b"\x00\x02\x05a", 10),  # a name past its section
        (component(section(1, b"\0asm")), 10),  # a nested module cut off
        (component(section(1, b"")), 10),
        (component(section(4, CORE)), 10),  # a module where a component belongs
        (component(nested(module() + b"\x01\x02\x00")), 18),  # a section past its module
    ],
)
def test_walk_refuses_malformed_binaries_with_the_offset(binary, offset):
    with pytest.raises(WasmFormatError) as caught:
        walk(binary, where="wasm/sha256:ab")
    assert (caught.value.where, caught.value.offset) == ("wasm/sha256:ab", offset)
    assert f"at byte {offset}" in str(caught.value)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.offset, copy.args) == (offset, caught.value.args)


@given(binaries, st.data())
def test_walk_of_a_truncated_binary_raises_our_error_or_finds_a_whole_one(made, drawn):
    cut = made.binary[: drawn.draw(st.integers(0, len(made.binary)))]
    fault = None
    try:
        walked = walk(cut)
        for grain in WASM_GRAINS:
            assert cuts(cut, walked, grain)[-1] == len(cut)
    except WasmFormatError as error:
        fault = error
    assert fault is None or 0 <= fault.offset <= len(cut)


@given(binaries, st.data())
def test_walk_of_altered_bytes_raises_nothing_but_our_errors(made, drawn):
    binary = bytearray(made.binary)
    for _ in range(drawn.draw(st.integers(1, 4))):
        binary[drawn.draw(st.integers(0, len(binary) - 1))] = drawn.draw(st.integers(0, 255))
    data = bytes(binary)
    try:
        walked = walk(data)
        for grain in WASM_GRAINS:
            assert cuts(data, walked, grain)[-1] == len(data)
        read_producers(data)
        for found in walked.binaries:
            read_names(data, walked, found.number)
            read_nested_names(data, walked, found.number)
    except SpinCacheError:
        pass


def test_walk_goes_down_a_hundred_thousand_levels():
    binary = deep_nest(LEVELS)
    started = time.process_time()
    walked = walk(binary)
    assert walked.binaries[-1].depth == LEVELS
    assert len(cuts(binary, walked, "function")) == 2 * LEVELS + 2
    assert time.process_time() - started < 10


def test_walk_stops_at_the_limit_of_sections():
    binary = module(*[custom("")] * 11)
    assert len(walk(binary, limits=Limits(sections=11)).sections) == 11
    with pytest.raises(LimitError):
        walk(binary, limits=Limits(sections=10))


def test_cuts_stop_at_the_limit_of_pieces():
    binary = module(code(*[b"\x00"] * 100))
    with pytest.raises(LimitError):
        cuts(binary, walk(binary, limits=Limits(pieces=50)), "function")


def test_walk_of_many_tiny_sections_stops_before_it_costs_memory():
    binary = CORE + b"\x00\x01\x00" * 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(LimitError):
            walk(binary, limits=Limits(sections=50_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30 * 2**20


def test_cuts_of_many_empty_bodies_take_few_bytes_for_each():
    count = 300_000
    binary = module(section(10, leb(count) + bytes(count)))
    tracemalloc.start()
    try:
        found = cuts(binary, walk(binary), "function")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == count + 3
    assert peak < 40 * count


@pytest.mark.parametrize("count", [b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x08"])
def test_readers_of_custom_sections_are_not_led_on_by_a_huge_count(count):
    names = custom("name", section(1, count))
    tools = custom("producers", b"\x01\x08language" + count)
    binary = module(names, tools)
    walked = walk(binary)
    assert read_names(binary, walked, 0).functions == {}
    assert read_producers(binary).languages == ()
