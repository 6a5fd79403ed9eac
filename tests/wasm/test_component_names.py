from __future__ import annotations

from spincache_nb.wasm import read_nested_names, walk
from tests.wasm.builders import component, custom, leb, module, name, nested, section, vector

CORE_MODULE_SORT = b"\x00\x11"
COMPONENT_SORT = b"\x04"


def names_section(sort: bytes, names: dict[int, str]) -> bytes:
    entries = vector(*(leb(index) + name(text) for index, text in names.items()))
    return custom("component-name", section(1, sort + entries))


def read(binary: bytes) -> dict[int, str]:
    return read_nested_names(binary, walk(binary), 0)


def test_read_nested_names_tells_modules_from_components():
    binary = component(
        nested(component()),
        nested(module()),
        nested(module()),
        names_section(CORE_MODULE_SORT, {0: "libc", 1: "main"}),
    )
    assert read(binary) == {2: "libc", 3: "main"}
    with_components = component(nested(component()), names_section(COMPONENT_SORT, {0: "inner"}))
    assert read(with_components) == {1: "inner"}


def test_read_nested_names_counts_what_imports_aliases_and_exports_take():
    binary = component(
        section(10, vector(b"\x00" + name("a") + b"\x00\x11\x00", b"\x01" + name("b") + b"\x01\x00")),
        nested(module()),  # module 1
        section(6, vector(b"\x00\x11" + b"\x00\x00" + name("x"), b"\x03\x02\x01\x00")),  # module 2, a type
        section(11, vector(b"\x00" + name("m") + b"\x00\x11\x01" + b"\x00")),  # module 3
        section(11, vector(b"\x00" + name("n") + b"\x05\x00" + b"\x01\x05\x00")),  # an instance
        nested(module()),  # module 4
        names_section(CORE_MODULE_SORT, {0: "imported", 1: "first", 3: "exported", 4: "second"}),
    )
    assert read(binary) == {1: "first", 2: "second"}


def test_read_nested_names_ignores_malformed_sections():
    bad_alias = section(6, b"\x05\xff")
    binary = component(nested(module()), bad_alias, names_section(CORE_MODULE_SORT, {0: "main"}))
    assert read(binary) == {}
    cut_off = component(nested(module()), custom("component-name", b"\x01\x20\x00\x11"))
    assert read(cut_off) == {}


def test_read_nested_names_of_a_component_without_names_is_empty():
    assert read(component(nested(module()))) == {}
