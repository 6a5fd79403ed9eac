"""Languages and toolchains of components: written by hand, and never a reason to fail."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from spincache_nb import frames
from spincache_nb.core.cache import Cache
from spincache_nb.frames import making
from spincache_nb.frames.making import Made, Pages, how_made
from tests.support.artifact import sha256
from tests.support.artifacts import Component, new_style
from tests.support.caches import blob, pulled
from tests.support.payloads import payload
from tests.support.trees import union, write_tree
from tests.wasm.builders import component, custom, module, name, nested, producers, section

RUST = module(producers(language=[("Rust", "")], processed_by=[("rustc", "1.90.0"), ("LLD", "19")]))
MIXED = component(
    custom("padding", b"x" * 10_000),
    nested(module(producers(language=[("Rust", "2024"), ("C11", "")], sdk=[("wasi-sdk", "27")]))),
    custom("padding", b"x" * 10_000),
    nested(RUST),
    producers(processed_by=[("wac", "1")]),
)


def made(tmp_path: Path, content: bytes) -> Made:
    path = tmp_path / "blob"
    path.write_bytes(content)
    return how_made(path)


def test_how_made_puts_names_in_order_with_commas(tmp_path: Path) -> None:
    assert made(tmp_path, MIXED) == Made("C11, Rust, Rust 2024", "LLD 19, rustc 1.90.0, wac 1, wasi-sdk 27")


def test_how_made_real_builds(tmp_path: Path) -> None:
    built = how_made(payload("hello-js/1.0.0.wasm"))
    assert built == Made("Rust", "rustc 1.96.0 (ac68faa20 2026-05-25), wit-component 0.258.0")
    assert how_made(payload("web-tree-sitter/0.26.8.wasm")) == Made(None, None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0asm",
        b"(module)",
        b"body { margin: 0 }",
        module(),
        module(producers()),
        RUST[:-5],
        RUST + b"\x01\x7f",
        b"\0asm\x01\0\0\0\x00\xff\xff\xff\xff\x0f",
        module(producers(language=[("", "")])),
        module(producers(language=[("Rust", "x" * 2_000_000)])),
    ],
    ids=[
        "empty",
        "magic only",
        "text format",
        "no wasm",
        "no producers",
        "nothing in them",
        "cut off",
        "damaged at the end",
        "size of 4 GiB",
        "no name",
        "section of 2 MB",
    ],
)
def test_how_made_knows_nothing_where_nothing_can_be_known(tmp_path: Path, content: bytes) -> None:
    assert made(tmp_path, content) == Made(None, None)


def test_how_made_survives_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(payload("hello-js/1.0.0.wasm"))
    for path in (tmp_path, tmp_path / "none", tmp_path / "link"):
        assert how_made(path) == Made(None, None)


def test_how_made_escapes_what_tools_call_themselves(tmp_path: Path) -> None:
    odd = producers(language=[("two\nlines", "1,2"), ("Rust", "")], sdk=[("x" * 600, "")])
    found = made(tmp_path, module(odd))
    assert found.languages == "Rust, two\\nlines 1;2"
    assert found.toolchains == "x" * 500 + "..."


def test_how_made_counts_what_is_beyond_twenty(tmp_path: Path) -> None:
    odd = producers(language=[(f"language-{number:02}", "") for number in range(23)])
    languages = (made(tmp_path, module(odd)).languages or "").split(", ")
    assert (languages[0], languages[19], languages[20:]) == ("language-00", "language-19", ["and 3 more"])


def test_how_made_refuses_a_binary_of_too_many_sections_in_time(tmp_path: Path) -> None:
    many = module(producers(language=[("Rust", "")]), custom("x") * 1_000_000)
    start = time.process_time()
    assert made(tmp_path, many) == Made(None, None)
    assert time.process_time() - start < 2.0


def test_pages_read_little_of_a_large_binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = module(
        section(1, b"x" * 10_000_000), producers(language=[("Rust", "")]), section(1, b"x" * 10**7)
    )
    read: list[int] = []
    original = Pages._read
    monkeypatch.setattr(
        Pages, "_read", lambda self, at, size: (read.append(size), original(self, at, size))[1]
    )
    assert made(tmp_path, large).languages == "Rust"
    assert 0 < sum(read) < 50_000


def test_pages_give_the_bytes_of_the_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 40  # two and a half pages
    path = tmp_path / "blob"
    path.write_bytes(content)
    with path.open("rb", buffering=0) as stream:
        pages = Pages(stream)  # type: ignore[arg-type]
        assert len(pages) == len(content)
        for at in (0, 4095, 4096, 9000, 10239, 1):
            assert pages[at] == content[at]
            assert pages[at : at + 5000] == content[at : at + 5000]
        with pytest.raises(IndexError):
            pages[len(content)]


def test_how_made_a_file_that_becomes_shorter_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "blob"
    path.write_bytes(MIXED)
    original = Pages.__init__

    def cut(self: Pages, stream: object) -> None:
        original(self, stream)  # type: ignore[arg-type]
        path.write_bytes(MIXED[:9000])

    monkeypatch.setattr(Pages, "__init__", cut)
    assert how_made(path) == Made(None, None)


def app(repository: str, wasm: bytes) -> dict[str, bytes]:
    return pulled(new_style(repository, "v1", components=[Component("web", wasm, {})]))


def test_components_say_what_made_them_and_read_each_blob_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = [app("org/a", RUST), app("org/b", MIXED), app("org/c", RUST), app("org/d", b"(module)")]
    lost = app("org/e", module(producers(language=[("Go", "1.24")])))
    lost = {path: data for path, data in lost.items() if not path.startswith("wasm/")}
    write_tree(tmp_path / "registry", union(*trees, lost))
    read: list[str] = []
    monkeypatch.setattr(making, "how_made", lambda path: (read.append(path.name), how_made(path))[1])
    components = frames.components(Cache(tmp_path))
    assert components["languages"].fillna("-").tolist() == ["Rust", "C11, Rust, Rust 2024", "Rust", "-", "-"]
    assert components["toolchains"].fillna("-").tolist() == [
        "LLD 19, rustc 1.90.0",
        "LLD 19, rustc 1.90.0, wac 1, wasi-sdk 27",
        "LLD 19, rustc 1.90.0",
        "-",
        "-",
    ]
    assert sorted(read) == sorted([sha256(RUST), sha256(MIXED), sha256(b"(module)")])
    assert (tmp_path / "registry" / blob("wasm", RUST)).is_file()


def test_components_without_toolchains_open_no_binary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path / "registry", app("org/a", RUST))
    monkeypatch.setattr(making, "how_made", lambda path: pytest.fail(f"{path} was read"))
    for frame in (
        frames.components(Cache(tmp_path), toolchains=False),
        frames.load(Cache(tmp_path), toolchains=False).need("components"),
    ):
        assert frame[["languages", "toolchains"]].isna().all(axis=None)
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == dict(frames.COMPONENTS_SCHEMA)


def test_components_know_wasm_that_is_in_data(tmp_path: Path) -> None:
    tree = app("org/a", RUST)
    tree[blob("data", RUST)] = tree.pop(blob("wasm", RUST))
    write_tree(tmp_path / "registry", tree)
    assert frames.components(Cache(tmp_path))["languages"].tolist() == ["Rust"]


def test_name_is_no_producers_section_by_its_bytes_alone(tmp_path: Path) -> None:
    """Bytes that look like a section, inside another, are not read as one."""
    hidden = section(1, custom("producers", b"\x01" + name("language") + b"\x01" + name("Go") + name("")))
    assert made(tmp_path, module(hidden)) == Made(None, None)
