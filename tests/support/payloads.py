"""Paths of the real payloads in ``data-fixtures/``."""

from __future__ import annotations

from spincache_nb.demo import payload as payload

WASM_PAYLOADS = (
    "hello-js/1.0.0.wasm",
    "hello-js/1.0.0-rebuild.wasm",
    "hello-js/1.0.1.wasm",
    "web-tree-sitter/0.26.8.wasm",
    "web-tree-sitter/0.26.9.wasm",
    "web-tree-sitter/0.26.10.wasm",
    "tree-sitter-json/0.24.8.wasm",
    "redact/1.11.0.wasm",
    "redact/1.12.0.wasm",
)
