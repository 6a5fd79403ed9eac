from __future__ import annotations

import hashlib
import logging

from spincache_nb.analysis import producers, shared_modules
from spincache_nb.analysis.modules import module_uses
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.wasm.naming import Tool
from tests.support.payloads import payload
from tests.wasm import builders
from tests.wasm.builders import component, custom, deep_nest, function_names, module, nested, section


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


LIBC = module(custom("pad", bytes(100)), function_names({}, module="libc.so"))
RUST = module(builders.producers(language=[("Rust", "")]))


def test_module_uses_lists_every_module_of_every_blob():
    one = component(nested(LIBC), nested(component(nested(LIBC))))
    uses = module_uses([("r.io/a:1", one), ("r.io/b:1", LIBC), ("assets", b"text")])
    found = {(use.module_digest, use.blob_digest, use.user): (use.layer, use.times) for use in uses}
    inner = component(nested(LIBC))
    assert found == {
        (sha256(one), sha256(one), "r.io/a:1"): ("component", 1),
        (sha256(LIBC), sha256(one), "r.io/a:1"): ("module", 2),
        (sha256(inner), sha256(one), "r.io/a:1"): ("component", 1),
        (sha256(LIBC), sha256(LIBC), "r.io/b:1"): ("module", 1),
    }


def test_module_uses_names_by_component_then_by_itself_then_by_language():
    names = custom("component-name", section(1, b"\x00\x11\x01\x00\x05outer"))
    uses = module_uses([("u", component(nested(LIBC), names)), ("v", LIBC), ("w", RUST), ("x", module())])
    assert {(use.user, use.layer): use.name for use in uses} == {
        ("u", "module"): "outer",
        ("u", "component"): None,
        ("v", "module"): "libc.so",
        ("w", "module"): "Rust",
        ("x", "module"): None,
    }


def test_shared_modules_are_those_in_several_different_blobs():
    apps = [component(nested(LIBC), nested(module(custom(f"app{n}")))) for n in range(3)]
    users = [("r.io/a:1", apps[0]), ("r.io/a:2", apps[0]), ("r.io/b:1", apps[1]), ("r.io/c:1", apps[2])]
    frame = shared_modules([*users, ("twice", module(custom("only")))])
    (row,) = frame.to_dict("records")
    assert row == {
        "module_digest": sha256(LIBC),
        "layer": "module",
        "names": "libc.so",
        "module_bytes": len(LIBC),
        "blob_count": 3,
        "user_count": 4,
        "users": "r.io/a:1, r.io/a:2, r.io/b:1 +1",
        "repeated_bytes": 2 * len(LIBC),
    }


def test_shared_modules_puts_the_largest_repetition_first():
    large, small = module(custom("large", bytes(500))), module(custom("small"))
    blobs = [component(nested(small), nested(large), custom(str(n))) for n in range(2)]
    frame = shared_modules([("a", blobs[0]), ("b", blobs[1])])
    assert frame["module_digest"].tolist() == [sha256(large), sha256(small)]


def test_shared_modules_of_the_demo_payloads_finds_the_runtime():
    frame = shared_modules([(v, payload(f"hello-js/{v}.wasm")) for v in ("1.0.0", "1.0.0-rebuild", "1.0.1")])
    first = frame.iloc[0]
    assert (first["names"], first["module_bytes"], first["blob_count"]) == (
        "componentize_qjs_runtime.wasm",
        770_362,
        3,
    )
    assert "wit-component:adapter:wasi_snapshot_preview1" in set(frame["names"].dropna())


def test_module_uses_leaves_malformed_blobs_out_and_logs_them(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="spincache_nb"):
        uses = module_uses([("a", module() + b"\x01"), ("b", tmp_path / "missing"), ("c", module())])
    assert [use.user for use in uses] == ["c"]
    assert caplog.text.count("left out") == 2


def test_module_uses_of_a_deep_nest_hashes_its_outer_levels_only():
    assert len(module_uses([("u", deep_nest(50_000))])) == 17


def test_producers_gives_languages_and_tools():
    found = producers(payload("hello-js/1.0.0.wasm"))
    assert found.languages == (Tool("Rust", ""),)
    assert [tool.name for tool in found.toolchains] == ["wit-component", "rustc"]
    assert producers(b"text").languages == ()


def test_producers_finds_a_digest_in_a_cache(tmp_path):
    cache = Cache(tmp_path)
    cache.put_blob("wasm", Digest.of(RUST), [RUST])
    assert producers(str(Digest.of(RUST)), cache=cache).languages == (Tool("Rust", ""),)
