"""The SQL of all analyses, from ``queries.sql``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

VIEWS = ("apps", "needs", "blobs", "manifests")
"""Views over ``snapshots``, in the order to make them."""


@cache
def texts() -> Mapping[str, str]:
    """Every text by its name."""
    content = files("spincache_nb.fleet").joinpath("queries.sql").read_text(encoding="utf-8")
    parts = [part.partition("\n") for part in content.split("-- name: ")[1:]]
    return MappingProxyType({name.strip(): text.strip() for name, _, text in parts})


def query(name: str, **words: object) -> str:
    """A text with its words filled in."""
    text = texts()[name]
    return text.format(**words) if words else text
