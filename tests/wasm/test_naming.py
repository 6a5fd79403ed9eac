"""Integers, names, and what custom sections say."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.errors import WasmFormatError
from spincache_nb.wasm.encoding import LONGEST_NAME, read_name, read_signed, read_u32
from spincache_nb.wasm.naming import (
    Producers,
    Tool,
    read_module_name,
    read_names,
    read_nested_names,
    read_producers,
)
from spincache_nb.wasm.walker import walk
from tests.wasm.builders import (
    code,
    component,
    custom,
    function_names,
    leb,
    module,
    name,
    nested,
    producers,
    section,
    sleb,
    vector,
)

CORE_MODULE_SORT = b"\x00\x11"
COMPONENT_SORT = b"\x04"


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.binary(max_size=3), st.binary(max_size=3))
def test_read_u32_reads_what_an_encoder_wrote(value, width, before, after):
    encoded = leb(value, width)
    data = before + encoded + after
    assert read_u32(memoryview(data), len(before), len(data), "t") == (value, len(before) + len(encoded))


@given(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=3))
def test_read_signed_reads_what_an_encoder_wrote(value, after):
    encoded = sleb(value)
    assert read_signed(encoded + after, 0, len(encoded + after), "t") == (value, len(encoded))


@pytest.mark.parametrize(
    ("read", "encoded"),
    [
        (read_u32, b""),
        (read_u32, b"\x80"),
        (read_u32, b"\xff\xff\xff\xff"),
        (read_u32, b"\xff\xff\xff\xff\x10"),  # 2**32 and more
        (read_u32, b"\x80\x80\x80\x80\x80\x00"),  # six bytes
        (read_u32, b"\xff" * 20),
        (read_signed, b""),
        (read_signed, b"\xff" * 9),
        (read_signed, b"\xff" * 11 + b"\x00"),
        (read_name, b"\x05abc"),  # a length past the end
    ],
)
def test_readers_refuse_malformed_values_with_the_offset(read, encoded):
    with pytest.raises(WasmFormatError) as caught:
        read(b"\x00\x00" + encoded, 2, 2 + len(encoded), "app.wasm")
    assert (caught.value.where, caught.value.offset) == ("app.wasm", 2)


def test_read_u32_does_not_read_past_the_end_it_is_given():
    with pytest.raises(WasmFormatError):
        read_u32(b"\x80\x01", 0, 1, "t")


@given(st.text(max_size=300))
def test_read_name_reads_what_an_encoder_wrote(text):
    encoded = name(text)
    assert read_name(encoded, 0, len(encoded), "t") == (text, len(encoded))


def test_read_name_escapes_bytes_that_are_not_utf8():
    assert read_name(b"\x03a\xffb", 0, 4, "t") == ("a\\xffb", 4)


@pytest.mark.parametrize("letter", ["x", "é", "€", "𐍈"])
@pytest.mark.parametrize("before", range(4))
def test_a_long_name_is_cut_between_two_characters(letter, before):
    whole = "x" * before + letter * (LONGEST_NAME + 1)
    encoded = name(whole)
    text, end = read_name(encoded, 0, len(encoded), "t")
    assert end == len(encoded)
    assert text[-1] == "…"
    assert whole.startswith(text[:-1])
    assert LONGEST_NAME - 3 <= len(text[:-1].encode()) <= LONGEST_NAME


def test_names_of_megabytes_cost_no_more_than_their_bytes():
    huge = leb(12_000_000) + b"\xff" * 12_000_000
    entries = vector(leb(0) + huge, leb(1) + name("short"))
    binaries = [
        module(section(0, huge)),
        module(custom("name", section(0, huge) + section(1, entries))),
        module(custom("producers", vector(huge + vector(huge + huge), name("sdk") + vector(huge + huge)))),
        module(section(2, vector(huge + huge + b"\x00\x00")), function_names({0: "f"})),
        component(section(6, vector(b"\x03\x00\x00" + huge)), custom("component-name", b"\x01\x01\x04")),
    ]
    started = time.process_time()
    for binary in binaries:
        walked = walk(binary)
        names = read_names(binary, walked, 0)
        assert all(len(text) < 5 * LONGEST_NAME for text in [names.module, *names.functions.values()])
        assert all(len(tool.name) < 5 * LONGEST_NAME for tool in read_producers(binary).toolchains)
        read_nested_names(binary, walked, 0)
    assert time.process_time() - started < 3


def read(binary: bytes):
    return read_names(binary, walk(binary), 0)


def imports(*descriptions: bytes) -> bytes:
    return section(2, vector(*(name("env") + name("x") + found for found in descriptions)))


def test_read_names_numbers_bodies_after_imported_functions():
    binary = module(
        imports(
            b"\x00\x05",  # function of type 5
            b"\x01\x70\x00\x01",  # table of funcref, at least 1
            b"\x01\x63\x70\x01\x01\x80\x02",  # table of (ref null func), 1 to 256
            b"\x02\x03\x01\x02",  # shared memory
            b"\x02\x08\x01\x00",  # memory with a page size
            b"\x03\x7f\x01",  # mutable i32
            b"\x03\x64\x70\x00",  # (ref func)
            b"\x04\x00\x02",  # tag
            b"\x00\x80\x01",
        ),
        code(),
        function_names({1: "second import", 2: "first", 4: "third"}, module="app"),
    )
    names = read(binary)
    assert (names.imported, names.module) == (2, "app")
    assert [names.function(place) for place in range(3)] == ["first", "func[3]", "third"]


def test_read_names_without_a_name_section_numbers_functions():
    names = read(module(imports(b"\x00\x00")))
    assert (names.module, names.function(0)) == ("", "func[1]")


def test_read_names_keeps_what_comes_before_a_fault():
    entries = leb(3) + leb(0) + name("good") + leb(1) + name("fine") + leb(2) + b"\x50short"
    names = read(module(custom("name", section(0, name("app")) + section(1, entries))))
    assert (names.module, names.functions) == ("app", {0: "good", 1: "fine"})


def test_read_names_skips_subsections_it_does_not_know():
    content = section(9, b"\xff\xff\xff") + section(1, vector(leb(0) + name("f")))
    binary = module(custom("name", content))
    assert read(binary).functions == {0: "f"}
    assert read_module_name(binary, walk(binary), 0) == ""


def test_read_names_gives_none_where_imports_are_of_an_unknown_form():
    assert read(module(imports(b"\x09\x00"), function_names({0: "f"}))).functions == {}


def names_section(sort: bytes, names: dict[int, str]) -> bytes:
    entries = vector(*(leb(index) + name(text) for index, text in names.items()))
    return custom("component-name", section(1, sort + entries))


@pytest.mark.parametrize(
    ("binary", "expected"),
    [
        (
            component(
                nested(component()),
                nested(module()),
                nested(module()),
                names_section(CORE_MODULE_SORT, {0: "libc", 1: "main"}),
            ),
            {2: "libc", 3: "main"},
        ),
        (component(nested(component()), names_section(COMPONENT_SORT, {0: "inner"})), {1: "inner"}),
        (  # imports, aliases and exports take indices, too
            component(
                section(10, vector(b"\x00" + name("a") + b"\x00\x11\x00", b"\x01" + name("b") + b"\x01\x00")),
                nested(module()),  # module 1
                section(6, vector(b"\x00\x11\x00\x00" + name("x"), b"\x03\x02\x01\x00")),  # module 2, a type
                section(11, vector(b"\x00" + name("m") + b"\x00\x11\x01\x00")),  # module 3
                section(11, vector(b"\x00" + name("n") + b"\x05\x00\x01\x05\x00")),  # an instance
                nested(module()),  # module 4
                names_section(CORE_MODULE_SORT, {0: "imported", 1: "first", 3: "exported", 4: "second"}),
            ),
            {1: "first", 2: "second"},
        ),
        (  # a malformed alias
            component(
                nested(module()), section(6, b"\x05\xff"), names_section(CORE_MODULE_SORT, {0: "main"})
            ),
            {},
        ),
        (component(nested(module()), custom("component-name", b"\x01\x20\x00\x11")), {}),  # cut off
        (component(nested(module())), {}),  # no names
    ],
)
def test_read_nested_names(binary, expected):
    assert read_nested_names(binary, walk(binary), 0) == expected


def test_read_producers_puts_together_what_is_nested():
    tools = [("rustc", "1.90.0"), ("wit-component", "0.2")]
    rust = module(producers(language=[("Rust", "")], processed_by=tools))
    c = module(producers(language=[("C11", ""), ("Rust", "")], sdk=[("wasi-sdk", "27")]))
    binary = component(nested(rust), nested(component(nested(c))), producers(processed_by=[("wac", "1")]))
    found = read_producers(binary)
    assert found == Producers(
        languages=(Tool("Rust", ""), Tool("C11", "")),
        processed_by=(Tool("rustc", "1.90.0"), Tool("wit-component", "0.2"), Tool("wac", "1")),
        sdks=(Tool("wasi-sdk", "27"),),
    )
    shown = ["wasi-sdk 27", "rustc 1.90.0", "wit-component 0.2", "wac 1"]
    assert [str(tool) for tool in found.toolchains] == shown


def test_read_producers_reads_a_malformed_section_up_to_the_fault():
    whole = producers(language=[("Go", "1"), ("C11", "")])
    cut_off = custom("producers", whole[12:-2])
    assert read_producers(module(cut_off)).languages == (Tool("Go", "1"),)


def test_read_producers_ignores_unknown_fields():
    assert read_producers(module(producers(colour=[("blue", "")]))) == Producers()


def test_read_producers_refuses_a_malformed_binary():
    with pytest.raises(WasmFormatError):
        read_producers(module() + b"\x01\x7f")


@pytest.mark.parametrize("count", [b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x08"])
def test_readers_of_custom_sections_are_not_led_on_by_a_huge_count(count):
    names = custom("name", section(1, count))
    tools = custom("producers", b"\x01\x08language" + count)
    binary = module(names, tools)
    assert read(binary).functions == {}
    assert read_producers(binary).languages == ()
