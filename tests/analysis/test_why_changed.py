from __future__ import annotations

import pytest
from hypothesis import given

from spincache_nb.analysis import Verdict, verdict, why_changed
from spincache_nb.analysis.changes import Part, match_differing, match_equal
from tests.support.payloads import payload
from tests.wasm.builders import (
    active,
    body,
    code,
    component,
    custom,
    data,
    deep_nest,
    function_names,
    module,
    nested,
    producers,
    section,
)
from tests.wasm.generated import binaries

ONE, TWO, THREE, FOUR = (body(bytes([0, 0x41, n, 0x0B])) for n in range(4))


def rows(old, new):
    frame = why_changed(old, new)
    return [
        tuple(None if value is None or value != value else value for value in row)
        for row in frame.astype(object).where(frame.notna(), None).itertuples(index=False)
    ]


def test_why_changed_names_functions_by_the_name_section():
    names = function_names({0: "main", 1: "middle", 2: "tail"})
    old = module(code(ONE, TWO, THREE), names)
    new = module(code(ONE, body(b"\x00\x01\x01\x0b"), THREE), names)
    assert rows(old, new) == [
        ("", "section", "code", "changed", 18, 18),
        ("", "function", "middle", "changed", 5, 5),
    ]
    assert verdict(why_changed(old, new)) == Verdict("other code", functions=1)


def test_why_changed_finds_added_and_removed_functions_by_name():
    old = module(code(ONE, TWO), function_names({0: "kept", 1: "gone"}))
    new = module(code(THREE, ONE), function_names({0: "fresh", 1: "kept"}))
    assert [row[1:4] for row in rows(old, new) if row[1] == "function"] == [
        ("function", "fresh", "added"),
        ("function", "gone", "removed"),
    ]


def test_why_changed_knows_a_rust_function_by_its_name_without_the_hash():
    old = module(code(ONE), function_names({0: "_ZN3app4main17h0123456789abcdefE"}))
    new = module(code(TWO), function_names({0: "_ZN3app4main17hfedcba9876543210E"}))
    (changed,) = (row for row in rows(old, new) if row[1] == "function")
    assert changed[2:4] == ("_ZN3app4main17hfedcba9876543210E", "changed")


def test_why_changed_places_nameless_functions_by_their_neighbours():
    def sized(size, mark):
        return body(bytes([mark]) * size)

    anchors = [sized(30, n) for n in range(3)]
    old = module(code(anchors[0], sized(100, 7), anchors[1], sized(50, 7), sized(9, 7), anchors[2]))
    new = module(
        code(anchors[0], sized(101, 8), anchors[1], sized(8, 8), sized(48, 8), sized(11, 8), anchors[2])
    )
    changed = [row[2:] for row in rows(old, new) if row[1] == "function"]
    assert changed == [
        ("func[1]", "changed", 101, 102),
        ("func[3]", "changed", 10, 9),
        ("func[4]", "changed", 51, 49),
        ("func[5]", "added", None, 12),
    ]


def test_why_changed_finds_a_rebuild_with_the_same_code():
    core = code(ONE, TWO)
    old = module(core, producers(processed_by=[("rustc", "1.89.0")]), custom("sourceMappingURL", b"a"))
    new = module(core, producers(processed_by=[("rustc", "1.90.0")]), custom("sourceMappingURL", b"a"))
    found = verdict(why_changed(component(nested(old)), component(nested(new))))
    assert found == Verdict("same code and data", custom_sections=("producers",))
    assert found.same_code
    assert "rebuilt" in str(found)


def test_why_changed_tells_data_from_code():
    old = module(code(ONE), data(active(8, b"one"), active(64, b"kept")))
    new = module(code(ONE), data(active(8, b"other"), active(64, b"kept")))
    assert [row[1:] for row in rows(old, new)] == [
        ("section", "data", "changed", 21, 23),
        ("data segment", "data at 0x8", "changed", 8, 10),
    ]
    found = verdict(why_changed(old, new))
    assert (found.kind, found.data_bytes, found.same_code) == ("same code", 10, True)


def test_why_changed_tells_order_and_declarations_from_code():
    reordered = verdict(why_changed(module(code(ONE, TWO)), module(code(TWO, ONE))))
    assert (reordered.kind, reordered.functions) == ("same functions", 0)
    export = verdict(why_changed(module(section(7, b"\x00")), module(section(7, b"\x01"))))
    assert export.kind == "same functions"
    assert not export.same_code


def test_why_changed_goes_into_nested_modules_by_name_and_path():
    names = custom("component-name", section(1, b"\x00\x11\x01\x00\x04main"))

    def app(main, extra=b""):
        return component(nested(module(custom("libc"))), nested(component(nested(main), names)), extra)

    old, new = app(module(code(ONE))), app(module(code(TWO)), nested(module(code(FOUR))))
    assert [row[:4] for row in rows(old, new)] == [
        ("", "component", None, "changed"),
        ("", "module", None, "added"),
        ("component 0", "module", "main", "changed"),
        ("component 0 > main", "section", "code", "changed"),
        ("component 0 > main", "function", "func[0]", "changed"),
    ]
    assert verdict(why_changed(old, new)).kind == "other code"


def test_why_changed_of_blobs_that_are_no_wasm_or_of_two_kinds_is_one_row():
    for old, new in ((b"a {}", b"b {}"), (module(), component()), (module(), b"text")):
        assert rows(old, new) == [("", "blob", None, "changed", len(old), len(new))]
        assert verdict(why_changed(old, new)).kind == "not comparable"


@given(binaries)
def test_why_changed_of_the_same_bytes_is_empty(made):
    frame = why_changed(made.binary, bytearray(made.binary))
    assert len(frame) == 0
    assert verdict(frame) == Verdict("same bytes")


@given(binaries, binaries)
def test_why_changed_gives_a_reason_exactly_where_bytes_differ(old, new):
    frame = why_changed(old.binary, new.binary)
    assert (len(frame) == 0) == (old.binary == new.binary)
    assert (verdict(frame).kind == "same bytes") == (old.binary == new.binary)
    added = frame["new_bytes"].notna()
    assert (frame["change"][~added] == "removed").all()


def test_why_changed_names_an_encoding_that_differs_though_no_part_does():
    padded = component(b"\x01\x88\x00" + module())
    assert rows(component(b"\x01\x08" + module()), padded) == [
        ("", "module", None, "changed", 10, 11),
        ("module 0", "layout", "encoding", "changed", 8, 8),
    ]
    found = verdict(why_changed(component(nested(module())), padded))
    assert found.kind == "same code and data"
    assert str(found) == "rebuilt, the same code: only the layout of the file differs"


def test_verdict_of_a_custom_section_without_a_name():
    found = verdict(why_changed(module(), module(custom(""), custom("b"))))
    assert found == Verdict("same code and data", custom_sections=("(no name)", "b"))


def test_why_changed_names_an_order_that_differs():
    first, second = nested(module(code(ONE))), nested(module(code(TWO)))
    old, new = component(first, second), component(second, first)
    assert rows(old, new) == [("", "layout", "order of sections", "changed", len(old), len(new))]
    assert verdict(why_changed(old, new)).kind == "same functions", "another module may run"
    old, new = module(custom("a"), custom("b")), module(custom("b"), custom("a"))
    assert rows(old, new) == [("", "layout", "order of custom sections", "changed", len(old), len(new))]
    assert verdict(why_changed(old, new)).kind == "same code and data"


def test_verdict_counts_in_words():
    one, twice = component(nested(module(code(ONE)))), component(nested(module(code(ONE))) * 2)
    assert str(verdict(why_changed(one, twice))) == "other code: whole modules or components came or went"
    other = component(nested(module(code(TWO))))
    assert str(verdict(why_changed(one, other))) == "other code: 1 function body differs"


def test_why_changed_goes_down_ten_thousand_levels_in_linear_time():
    old = deep_nest(10_000)
    new = deep_nest(9_999)[:-8] + component(custom("x"))
    frame = why_changed(old, new)
    assert len(frame) > 9_000
    assert frame["path"].str.len().max() < 400


def test_why_changed_of_a_rebuilt_component_finds_the_same_code():
    old, rebuilt = payload("hello-js/1.0.0.wasm"), payload("hello-js/1.0.0-rebuild.wasm")
    frame = why_changed(old, rebuilt)
    found = verdict(frame)
    assert found.same_code
    assert (found.kind, found.functions) == ("same code", 0)
    assert found.data_bytes < 1000  # seeds of hash tables
    assert set(frame["kind"]) == {"component", "module", "section", "data segment"}


def test_why_changed_of_a_changed_core_module_names_its_functions():
    old, new = (payload(f"web-tree-sitter/0.26.{patch}.wasm") for patch in (9, 10))
    frame = why_changed(old, new)
    assert frame["kind"].tolist() == ["section"] + ["function"] * 4
    assert frame["change"].tolist() == ["changed"] * 5
    assert str(verdict(frame)) == "other code: 4 function bodies differ"


@pytest.mark.parametrize("versions", [(8, 9), (9, 10)])
def test_why_changed_agrees_with_another_parser_on_which_functions_differ(versions):
    pytest.importorskip("wasm_tools")
    from wasm_tools.parser import BinaryReader
    from wasm_tools.visitor import BinaryReaderNop

    class Bodies(BinaryReaderNop):
        def begin_function_body(self, index, size):
            self.found.append((index, data[reader.offset : reader.offset + size]))

    sides = []
    for patch in versions:
        data = payload(f"web-tree-sitter/0.26.{patch}.wasm").read_bytes()
        bodies = Bodies()
        bodies.found = []
        reader = BinaryReader(data, bodies)
        reader.read_module()
        sides.append(bodies.found)
    known = {content for _, content in sides[0]}
    expected = [f"func[{index}]" for index, content in sides[1] if content not in known]
    frame = why_changed(*(payload(f"web-tree-sitter/0.26.{patch}.wasm") for patch in versions))
    functions = frame[(frame["kind"] == "function") & frame["new_bytes"].notna()]
    assert functions["name"].tolist() == expected


def test_match_equal_pairs_repeated_digests_first_with_first():
    left, right = match_equal([b"a", b"a", b"b", b"a"], [b"a", b"c", b"a"])
    assert left == {2: 1, 3: 1}
    assert right == {1: 0}


def test_match_differing_pairs_a_lone_module_that_was_renamed():
    old = [Part("module", "app-1", 10, 0, -1)]
    new = [Part("module", "app-2", 12, 3, 2)]
    assert match_differing(old, new) == [(old[0], new[0])]


@pytest.mark.parametrize("kind", ["section", "custom section"])
def test_match_differing_pairs_sections_by_name_and_neighbour(kind):
    old = [Part(kind, "alias", 5, 2, 1), Part(kind, "alias", 6, 9, 8)]
    new = [Part(kind, "alias", 7, 10, 8)]
    assert match_differing(old, new) == [(old[1], new[0]), (old[0], None)]
