"""Documents of any shape, for parsers that must read or refuse them all; packages, and configurations."""

from typing import Any

from hypothesis import strategies as st

from spincache_nb.project.package_config import PackageConfig, parse_package_config
from tests.support.artifact import Artifact
from tests.support.artifacts import package


def config(text: str) -> PackageConfig:
    return parse_package_config(text.encode(), where="config.toml")


def tools(version: str, repository: str = "acme/tools") -> Artifact:
    """Version of a package whose content is its own."""
    return package(repository, version, seed=f"{repository} {version}")


def content(artifact: Artifact) -> bytes:
    return artifact.blobs[artifact.layers[0]["digest"]]


def values(leaves: list[Any], words: list[str]) -> st.SearchStrategy[Any]:
    """Nested values of some leaves, booleans and small numbers, under keys of some words."""
    return st.recursive(
        st.booleans() | st.integers(0, 3) | st.sampled_from(leaves),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(words), inner, max_size=3)
        ),
        max_leaves=12,
    )


def as_toml(value: Any) -> str:
    """A value as inline TOML; a time for None, which TOML lacks."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {as_toml(item)}' for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if value is None:
        return "2026-01-01T00:00:00Z"
    return str(value) if isinstance(value, int) else f'"{value}"'
