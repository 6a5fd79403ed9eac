from __future__ import annotations

from spincache_nb.wasm import read_module_name, read_names, walk
from tests.wasm.builders import code, custom, function_names, leb, module, name, section, vector


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
    assert read(module(custom("name", content))).functions == {0: "f"}


def test_read_names_gives_none_where_imports_are_of_an_unknown_form():
    binary = module(imports(b"\x09\x00"), function_names({0: "f"}))
    assert read(binary).functions == {}


def test_read_module_name_is_empty_where_there_is_none():
    binary = module(function_names({0: "f"}))
    assert read_module_name(binary, walk(binary), 0) == ""
