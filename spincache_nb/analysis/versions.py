"""The order of versions: semantic versions, then the time of creation, then the tag."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import pandas as pd

_VERSION = re.compile(
    r"[vV]?(?P<major>[0-9]+)(?:\.(?P<minor>[0-9]+))?(?:\.(?P<patch>[0-9]+))?"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:[+_][0-9A-Za-z.-]+)?"
)
_Identifier: TypeAlias = tuple[int, int, str]
VersionKey: TypeAlias = tuple[int, int, int, int, tuple[_Identifier, ...]]


def version_key(tag: str) -> VersionKey | None:
    """Make a sort key of a tag that is a semantic version."""
    match = _VERSION.fullmatch(tag)
    if match is None:
        return None
    major, minor, patch = (int(match[name] or 0) for name in ("major", "minor", "patch"))
    pre = tuple(_identifier(part) for part in match["pre"].split(".")) if match["pre"] else ()
    return major, minor, patch, 0 if pre else 1, pre


def _identifier(part: str) -> _Identifier:
    return (0, int(part), "") if part.isdigit() else (1, 0, part)


def in_order(versions: Sequence[tuple[str, str | None, pd.Timestamp | None]]) -> list[str]:
    """Put versions of one repository in order."""
    return [reference for reference, _, _ in sorted(versions, key=_order_key)]


def _order_key(version: tuple[str, str | None, pd.Timestamp | None]) -> tuple[object, ...]:
    reference, tag, created_at = version
    key = version_key(tag) if tag is not None else None
    time = (1, 0) if created_at is None else (0, created_at.value)
    return (1, ()) if key is None else (0, key), time, tag or "", reference


def choose_order(references: Sequence[tuple[str, str | None]], order: Sequence[str]) -> list[str]:
    """Follow an order that the caller gives."""
    by_name = {tag: reference for reference, tag in references if tag is not None}
    by_name.update({reference: reference for reference, _ in references})
    unknown = [name for name in order if name not in by_name]
    if unknown:
        raise ValueError(f"no such version: {unknown[0]!r}; there are {sorted(by_name)[:10]}")
    return [by_name[name] for name in order]
