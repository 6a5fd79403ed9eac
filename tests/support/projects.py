"""Projects beside a cache: a ``spin.toml`` and the lock of its target environments, written by hand."""

import json
from pathlib import Path

from tests.support.artifact import sha256
from tests.support.trees import write_tree


def write_project(
    folder: Path, *sources: bytes, place: str = "https://example.com", environment: str = ""
) -> Path:
    """Write a project that names sources by URL and digest, and an environment's interfaces by digest.

    The first source is ``0.wasm`` at the place, the second ``1.wasm``, and so on.
    """
    text = 'spin_manifest_version = 2\n[application]\nname = "p"\n'
    for number, data in enumerate(sources):
        source = f'{{ url = "{place}/{number}.wasm", digest = "{sha256(data)}" }}'
        text += f"[component.c{number}]\nsource = {source}\n"
    tree = {"spin.toml": text.encode()}
    if environment:
        lock = {"ghcr.io/spin/up:4.1.0": {"package": {"spin:up@4.1.0": environment}}}
        tree[".spin/target-environments.lock"] = json.dumps(lock).encode()
    return write_tree(folder, tree)
