from __future__ import annotations

from spincache_nb.wasm import walk
from tests.wasm.builders import code, component, custom, module, nested, section


def test_walk_lists_sections_of_a_module_by_hand_counted_offsets():
    binary = module(section(1, b"\x00"), custom("hi", b"!!"), code())
    walked = walk(binary)
    assert [(s.kind, s.name, s.start, s.body, s.end) for s in walked.sections] == [
        ("type", "", 8, 10, 11),
        ("custom", "hi", 11, 13, 18),
        ("code", "", 18, 20, 21),
    ]
    assert [tuple(b) for b in walked.binaries] == [(0, -1, "module", 0, 21, 0)]


def test_walk_of_a_module_without_sections_is_its_preamble():
    walked = walk(module())
    assert walked.sections == ()
    assert walked.size == 8


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
