"""The walker against parsers of other hands: wasm-tools reads, wasmtime assembles."""

import random
from itertools import pairwise

import pytest

from spincache_nb.wasm.naming import read_names, read_nested_names, read_producers
from spincache_nb.wasm.walker import body_ends, cuts, segment_ends, walk
from tests.support.payloads import WASM_PAYLOADS, payload

pytest.importorskip("wasm_tools")
wasmtime = pytest.importorskip("wasmtime")

from wasm_tools.component import parse_component_bytes  # noqa: E402
from wasm_tools.parser import BinaryReader  # noqa: E402
from wasm_tools.visitor import BinaryReaderNop  # noqa: E402


class Seen(BinaryReaderNop):
    """What the other parser reports of a core module."""

    def __init__(self):
        self.sections, self.customs, self.bodies, self.segments = [], [], [], []
        self.names, self.producers, self.errors = {}, {}, []
        self.offset = 0

    def begin_section(self, section_index, section_code, size):
        self.sections.append((section_code, self.offset, size))

    def begin_custom_section(self, section_index, size, section_name):
        self.customs.append(section_name)

    def begin_function_body(self, index, size):
        self.bodies.append((index, size))

    def on_data(self, index, mode, memory, expression, size, content, **more):
        self.segments.append(bytes(content))

    def on_function_name(self, index, text):
        self.names[index] = text

    def on_producers_field(self, field, entries):
        self.producers.setdefault(field, []).extend(entries)

    def on_error(self, message):
        self.errors.append(message)


def compare_module(binary: bytes) -> None:
    seen = Seen()
    BinaryReader(binary, seen).read_module()
    assert seen.errors == []
    walked = walk(binary)
    assert [(s.id, s.body, s.end - s.body) for s in walked.sections] == seen.sections
    assert [s.name for s in walked.sections if s.kind == "custom"] == seen.customs
    names = read_names(binary, walked, 0)
    assert names.functions == seen.names
    bodies, segments = [], []
    for section in walked.sections:
        if section.kind == "code":
            ends = body_ends(binary, section, where="t", limit=10**7)
            bodies += [(a, b) for a, b in pairwise(ends)]
        if section.kind == "data":
            ends = segment_ends(binary, section, where="t", limit=10**7)
            segments += [binary[a:b] for a, b in pairwise(ends)]
    assert [names.imported + place for place in range(len(bodies))] == [index for index, _ in seen.bodies]
    for (start, end), (_, size) in zip(bodies, seen.bodies, strict=True):
        assert 1 <= end - start - size <= 5  # the prefix
    assert len(segments) == len(seen.segments)
    for segment, content in zip(segments, seen.segments, strict=True):
        assert segment.endswith(content)
        assert len(segment) - len(content) <= 22
    own = read_producers(binary)
    assert [tuple(tool) for tool in own.languages] == list(dict.fromkeys(seen.producers.get("language", [])))
    assert [tuple(tool) for tool in own.processed_by] == list(
        dict.fromkeys(seen.producers.get("processed-by", []))
    )


def compare(binary: bytes) -> None:
    """Compare a binary and everything nested in it."""
    waiting = [binary]
    while waiting:
        data = waiting.pop()
        walked = walk(data)
        if walked.binaries[0].layer == "module":
            compare_module(data)
            continue
        seen = parse_component_bytes(data)
        own = walked.by_binary[0]
        assert [(s.id, s.body, s.end - s.body) for s in own] == [
            (found["id"], found["offset"], found["size"]) for found in seen["sections"]
        ]
        waiting += [data[s.body : s.end] for s in own if s.nested >= 0]


@pytest.mark.parametrize("path", WASM_PAYLOADS)
def test_walk_agrees_with_wasm_tools_on_payloads(path):
    compare(payload(path).read_bytes())


def random_module(rng: random.Random) -> str:
    functions = "".join(
        f"(func $f{n} (param i32) (result i32) (local i64) i32.const {rng.randrange(-(2**31), 2**31)} "
        + "local.get 0 i32.add " * rng.randrange(60)
        + ")"
        for n in range(rng.randrange(30))
    )
    segments = "".join(
        f'(data (i32.const {rng.randrange(60000)}) "{"x" * rng.randrange(300)}")'
        if rng.random() < 0.7
        else f'(data "{"y" * rng.randrange(20)}")'
        for _ in range(rng.randrange(20))
    )
    imports = "".join(f'(import "m" "f{n}" (func $i{n} (param i32)))' for n in range(rng.randrange(4)))
    return f"{imports}(memory 1)(table 1 funcref)(global (mut i32) (i32.const 7)){functions}{segments}"


def random_component(rng: random.Random, depth: int = 0) -> str:
    parts = []
    for n in range(rng.randrange(1, 4)):
        if depth < 3 and rng.random() < 0.4:
            parts.append(f"(component $c{n} {random_component(rng, depth + 1)})")
        else:
            parts.append(f"(core module $m{n} {random_module(rng)})")
    return "".join(parts)


@pytest.mark.parametrize("seed", range(20))
def test_walk_agrees_with_wasm_tools_on_assembled_modules(seed):
    compare(bytes(wasmtime.wat2wasm(f"(module $app {random_module(random.Random(seed))})")))


@pytest.mark.parametrize("seed", range(20))
def test_walk_agrees_with_wasm_tools_on_assembled_components(seed):
    binary = bytes(wasmtime.wat2wasm(f"(component {random_component(random.Random(seed))})"))
    compare(binary)
    assert cuts(binary, walk(binary), "data segment")[-1] == len(binary)


def test_read_names_reads_what_wasmtime_assembled():
    text = '(module $app (import "m" "f" (func $imported)) (func $first) (func) (func $third))'
    binary = bytes(wasmtime.wat2wasm(text))
    names = read_names(binary, walk(binary), 0)
    assert names.module == "app"
    assert [names.function(place) for place in range(3)] == ["first", "func[2]", "third"]


def test_read_nested_names_reads_what_wasmtime_assembled():
    text = """(component
        (core module $libc) (import "x" (core module $given)) (core module $main)
        (component $inner) (core instance $i (instantiate $libc)) (component $other))"""
    binary = bytes(wasmtime.wat2wasm(text))
    assert read_nested_names(binary, walk(binary), 0) == {1: "libc", 2: "main", 3: "inner", 4: "other"}
