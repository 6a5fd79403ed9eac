"""Where modules, sections and pieces are: what was put together, what is malformed, what is made to cost."""

import pickle
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.errors import LimitError, SpinCacheError, WasmFormatError
from spincache_nb.wasm.naming import read_names, read_nested_names, read_producers
from spincache_nb.wasm.walker import WASM_GRAINS, Limits, body_ends, cuts, segment_address, segment_ends, walk
from tests.support.memory import memory_below
from tests.wasm.builders import (
    CORE,
    active,
    body,
    code,
    component,
    custom,
    data,
    deep_nest,
    leb,
    module,
    nested,
    section,
)
from tests.wasm.generated import binaries

LEVELS = 100_000
FIELDS = dict(zip(WASM_GRAINS[1:], ("section", "module", "nested", "function", "segment"), strict=True))


def test_walk_lists_sections_of_a_module_by_hand_counted_offsets():
    binary = module(section(1, b"\x00"), custom("hi", b"!!"), code())
    walked = walk(binary)
    assert [(s.kind, s.name, s.start, s.body, s.end) for s in walked.sections] == [
        ("type", "", 8, 10, 11),
        ("custom", "hi", 11, 13, 18),
        ("code", "", 18, 20, 21),
    ]
    assert [tuple(b) for b in walked.binaries] == [(0, -1, "module", 0, 21, 0)]


def test_walk_numbers_binaries_before_what_they_hold():
    inner = component(nested(module(custom("deep"))), custom("after"))
    binary = component(nested(module()), nested(inner), nested(module(custom("last"))))
    walked = walk(binary)
    assert [(b.number, b.parent, b.layer, b.depth) for b in walked.binaries] == [
        (0, -1, "component", 0),
        (1, 0, "module", 1),
        (2, 0, "component", 1),
        (3, 2, "module", 2),
        (4, 0, "module", 1),
    ]
    assert [(s.binary, s.kind, s.name, s.nested) for s in walked.sections] == [
        (0, "core module", "", 1),
        (0, "component", "", 2),
        (2, "core module", "", 3),
        (3, "custom", "deep", -1),
        (2, "custom", "after", -1),
        (0, "core module", "", 4),
        (4, "custom", "last", -1),
    ]
    for inside in walked.binaries[1:]:
        assert binary[inside.start : inside.start + 4] == b"\0asm"


def test_walk_groups_sections_by_the_binary_they_are_in():
    binary = component(custom("a"), nested(module(custom("b"))), custom("c"))
    groups = walk(binary).by_binary
    assert [[s.name for s in group] for group in groups] == [["a", "", "c"], ["b"]]


def test_walk_tells_a_module_section_from_a_component_section_of_the_same_id():
    core = walk(module(section(10, b"\x00"))).sections[0]
    outer = walk(component(section(10, b"\x00"))).sections[0]
    assert (core.kind, outer.kind) == ("code", "import")


def test_walk_reads_a_memoryview_as_it_reads_bytes():
    binary = component(nested(module(custom("b"))))
    assert walk(memoryview(binary)) == walk(binary)


def pieces(binary, grain):
    return tuple(binary[a:b] for a, b in pairwise(cuts(binary, walk(binary), grain)))


@given(binaries)
def test_cuts_give_the_pieces_a_binary_was_made_of(made):
    assert pieces(made.binary, "blob") == (made.binary,)
    for grain, field in FIELDS.items():
        assert pieces(made.binary, grain) == getattr(made, field), grain


@given(binaries)
def test_cuts_cover_every_byte_and_each_grain_refines_the_one_before(made):
    coarser: set[int] = set()
    for grain in WASM_GRAINS:
        offsets = cuts(made.binary, walk(made.binary), grain).tolist()
        assert offsets[0] == 0
        assert offsets[-1] == len(made.binary)
        assert offsets == sorted(set(offsets))
        assert coarser <= set(offsets)
        coarser = set(offsets)


def test_cuts_of_a_component_by_hand():
    first, second = body(b"\x00\x0b"), body(b"\x00\x01\x0b")
    segment = active(8, b"data")
    core = module(section(3, b"\x02\x00\x00"), code(first, second), data(segment))
    binary = component(section(7, b"\x00"), nested(core))
    head = bytes([1, len(core)])
    function_section = section(3, b"\x02\x00\x00")
    assert pieces(binary, "section") == (binary[:8], section(7, b"\x00"), head + core)
    assert pieces(binary, "module") == (binary[:8], section(7, b"\x00"), head, core)
    assert pieces(binary, "function") == (
        binary[:8],
        section(7, b"\x00"),
        head,
        CORE,
        function_section,
        b"\x0a\x08\x02",
        first,
        second,
        data(segment),
    )
    assert pieces(binary, "data segment")[-2:] == (b"\x0b\x0a\x01", segment)


@pytest.mark.parametrize("grain", WASM_GRAINS)
def test_cuts_of_the_smallest_module_are_one_piece(grain):
    assert pieces(module(), grain) == (CORE,)


def ends(split, binary, limit=1000):
    (only,) = walk(binary).sections
    return list(split(binary, only, where="app.wasm", limit=limit))


def test_body_ends_include_size_prefixes_of_any_width():
    binary = module(code(body(b"ab"), body(b"c" * 200), body(b"d", width=5)))
    start = 8 + 1 + 2 + 1
    assert ends(body_ends, binary) == [start, start + 3, start + 205, start + 211]


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
    altered = bytes(binary)
    try:
        walked = walk(altered)
        for grain in WASM_GRAINS:
            assert cuts(altered, walked, grain)[-1] == len(altered)
        read_producers(altered)
        for found in walked.binaries:
            read_names(altered, walked, found.number)
            read_nested_names(altered, walked, found.number)
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
    with memory_below(30 * 2**20), pytest.raises(LimitError):
        walk(binary, limits=Limits(sections=50_000))


def test_cuts_of_many_empty_bodies_take_few_bytes_for_each():
    count = 300_000
    binary = module(section(10, leb(count) + bytes(count)))
    with memory_below(40 * count):
        assert len(cuts(binary, walk(binary), "function")) == count + 3
