"""Projects beside a cache: a ``spin.toml`` and the lock of its target environments, written by hand."""

import json
from pathlib import Path

from tests.support.artifact import sha256
from tests.support.trees import write_tree


def write_project(folder: Path, *sources: bytes, environment: str = "") -> Path:
    """Write a project that names sources by URL and digest, and an environment's interfaces by digest."""
    text = 'spin_manifest_version = 2\n[application]\nname = "p"\n'
    for number, data in enumerate(sources):
        source = f'{{ url = "https://example.com/{number}.wasm", digest = "{sha256(data)}" }}'
        text += f"[component.c{number}]\nsource = {source}\n"
    tree = {"spin.toml": text.encode()}
    if environment:
        lock = {"ghcr.io/spin/up:4.1.0": {"package": {"spin:up@4.1.0": environment}}}
        tree[".spin/target-environments.lock"] = json.dumps(lock).encode()
    return write_tree(folder, tree)
