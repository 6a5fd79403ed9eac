from __future__ import annotations

import pytest

from spincache_nb.errors import WasmFormatError
from spincache_nb.wasm import Producers, Tool, read_producers
from tests.wasm.builders import component, custom, module, nested, producers


def test_read_producers_puts_together_what_is_nested():
    rust = module(
        producers(language=[("Rust", "")], processed_by=[("rustc", "1.90.0"), ("wit-component", "0.2")])
    )
    c = module(producers(language=[("C11", ""), ("Rust", "")], sdk=[("wasi-sdk", "27")]))
    binary = component(nested(rust), nested(component(nested(c))), producers(processed_by=[("wac", "1")]))
    assert read_producers(binary) == Producers(
        languages=(Tool("Rust", ""), Tool("C11", "")),
        processed_by=(Tool("rustc", "1.90.0"), Tool("wit-component", "0.2"), Tool("wac", "1")),
        sdks=(Tool("wasi-sdk", "27"),),
    )
    assert [str(tool) for tool in read_producers(binary).toolchains] == [
        "wasi-sdk 27",
        "rustc 1.90.0",
        "wit-component 0.2",
        "wac 1",
    ]


def test_read_producers_reads_a_malformed_section_up_to_the_fault():
    whole = producers(language=[("Go", "1"), ("C11", "")])
    cut_off = custom("producers", whole[12:-2])
    assert read_producers(module(cut_off)).languages == (Tool("Go", "1"),)


def test_read_producers_ignores_unknown_fields():
    assert read_producers(module(producers(colour=[("blue", "")]))) == Producers()


def test_read_producers_refuses_a_malformed_binary():
    with pytest.raises(WasmFormatError):
        read_producers(module() + b"\x01\x7f")
