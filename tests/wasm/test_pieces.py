from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given

from spincache_nb.wasm import WASM_GRAINS, cuts, walk
from tests.wasm.builders import CORE, active, body, code, component, data, module, nested, section
from tests.wasm.generated import binaries

FIELDS = dict(zip(WASM_GRAINS[1:], ("section", "module", "nested", "function", "segment"), strict=True))


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
