"""Directories as ``{relative path: bytes}`` and the comparison of two of them."""

import hashlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path

Tree = dict[str, bytes]
"""Path relative to ``registry``, with forward slashes, to content."""


def read_tree(folder: Path) -> Tree:
    tree: Tree = {}
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            assert not path.is_symlink(), f"{path} is a symbolic link"
            if name in files:
                assert path.is_file(), f"{path} is not a regular file"
                tree[path.relative_to(folder).as_posix()] = path.read_bytes()
    return tree


def write_tree(folder: Path, tree: Mapping[str, bytes]) -> Path:
    """Write a tree below a folder and return the folder; used to lay out a cache without any writer."""
    for name, data in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def union(*trees: Mapping[str, bytes]) -> Tree:
    """Return the tree that several pulls leave one after the other; later ones overwrite."""
    merged: Tree = {}
    for tree in trees:
        merged.update(tree)
    return merged


def differences(expected: Mapping[str, bytes], actual: Mapping[str, bytes]) -> list[str]:
    """Return one line for each path that is missing, unexpected or of other content; empty if equal."""
    lines = []
    for path in sorted({*expected, *actual}):
        if path not in actual:
            lines.append(f"missing     {path} ({len(expected[path])} bytes)")
        elif path not in expected:
            lines.append(f"unexpected  {path} ({_brief(actual[path])})")
        elif expected[path] != actual[path]:
            lines.append(f"differs     {path}: expected {_brief(expected[path])}, got {_brief(actual[path])}")
    return lines


def assert_same_tree(
    expected: Mapping[str, bytes], actual: Mapping[str, bytes] | Path, *, allowed: Collection[str] = ()
) -> None:
    """Assert that a directory holds exactly the expected files and bytes."""
    found = read_tree(actual) if isinstance(actual, Path) else actual
    kept = {path: data for path, data in found.items() if path in expected or path not in allowed}
    lines = differences(expected, kept)
    assert not lines, "the trees differ:\n" + "\n".join(lines)


def _brief(data: bytes) -> str:
    return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:12]}, {data[:40]!r}"
