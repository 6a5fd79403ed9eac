"""What pulls would fetch: manifests replayed against a cache that starts empty.

Pure, and the same for versions in a cache and for tags that are still in a registry. The rules:

``spin``
    The config is fetched on every pull. A layer is skipped if a file of its digest is in ``wasm/``
    or ``data/``, whatever its media type; that file may be a member that an earlier archive was
    unpacked into. The application layer becomes ``config.json`` and is never stored as a blob, so
    it is fetched on every pull too (Spin v2.0 to main, crates/oci/src/client.rs: pull).
``spincache``
    As this toolkit pulls. A layer is skipped if it is stored in the area where its role belongs, or
    can be copied from the other area. The application layer is skipped if ``config.json`` of the
    same reference is that layer, and then the config is skipped too; where there is no application
    layer (Spin v0.8 to v1.5, packages), ``config.json`` is the config itself.

Sizes are the declared ones. Config and layers count, each digest once; the manifest does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias, get_args

import pandas as pd

from spincache_nb.analysis.schemas import UPGRADE_MATRIX_SCHEMA, VERSION_SAVINGS_SCHEMA
from spincache_nb.analysis.tags import tag_key
from spincache_nb.frames.schemas import build
from spincache_nb.show import rows

Rules: TypeAlias = Literal["spin", "spincache"]
Row: TypeAlias = tuple[object, ...]
_CONTENT = frozenset({"wasm", "data", "archive", "other"})
"""Roles of layers that are stored as blobs."""


@dataclass(frozen=True)
class Version:
    """One manifest: size and roles of its config and layers by digest ("" if that is not known)."""

    reference: str
    tag: str | None
    created_at: pd.Timestamp | None
    parts: Mapping[str, tuple[int, frozenset[str]]]
    document: str | None
    """Digest of what becomes ``config.json``: the last application layer, or else the config."""
    members: Mapping[str, int] | None
    """Size of each archive member by digest; None if the members are not known."""


class Cost(NamedTuple):
    """What one pull costs, in bytes."""

    total: int
    reused: int
    archive_fetch: int
    archive_known: int | None


@dataclass
class Store:
    """A cache that holds nothing but what was pulled into it."""

    rules: Rules
    blobs: set[str] = field(default_factory=set)
    documents: dict[str, str] = field(default_factory=dict)

    def cost(self, version: Version) -> Cost:
        """Say what pulling a version now would fetch and reuse."""
        reused = {digest for digest in version.parts if self._stored(digest, version)}
        total = sum(size for size, _ in version.parts.values())
        archives = sum(
            size
            for digest, (size, roles) in version.parts.items()
            if "archive" in roles and digest not in reused
        )
        known: int | None = 0
        if archives:
            members = version.members
            known = None if not members else sum(members[name] for name in members if name in self.blobs)
        return Cost(total, sum(version.parts[digest][0] for digest in reused), archives, known)

    def pull(self, version: Version) -> None:
        """Store what a version needs."""
        self.blobs.update(digest for digest, (_, roles) in version.parts.items() if roles & _CONTENT)
        self.blobs.update(version.members or {})
        if version.document is not None:
            self.documents[version.reference] = version.document

    def _stored(self, digest: str, version: Version) -> bool:
        roles = version.parts[digest][1]
        if self.rules == "spin":
            return "config" not in roles and digest in self.blobs
        if digest == version.document or "config" in roles:
            return version.document is not None and self.documents.get(version.reference) == version.document
        return bool(roles & _CONTENT) and digest in self.blobs


class _Part(NamedTuple):
    """One row of the manifests, without its reference."""

    tag: str | None
    created_at: pd.Timestamp | None
    position: int | None
    digest: str | None
    role: str
    size: int | None


def read_versions(manifests: pd.DataFrame, members: pd.DataFrame | None = None) -> dict[str, Version]:
    """Read versions from frames of ``MANIFESTS_SCHEMA`` and, if members are known, ``MEMBERS_SCHEMA``."""
    unpacked: dict[str, dict[str, int]] = {}
    if members is not None:
        for reference, digest, size in rows(members, "reference", "digest", "size_bytes"):
            unpacked.setdefault(reference, {})[digest] = size or 0
    described: dict[str, list[_Part]] = {}
    columns = ("reference", "tag", "created_at", "position", "digest", "role", "declared_bytes")
    for reference, *values in rows(manifests, *columns):
        described.setdefault(reference, []).append(_Part(*values))
    return {name: _version(name, parts, unpacked.get(name)) for name, parts in described.items()}


def _version(reference: str, parts: Sequence[_Part], members: Mapping[str, int] | None) -> Version:
    distinct: dict[str, tuple[int, frozenset[str]]] = {}
    for part in parts:
        size, roles = distinct.get(part.digest or "", (0, frozenset[str]()))
        distinct[part.digest or ""] = (max(size, part.size or 0), roles | {part.role})
    configs = [part for part in parts if part.role == "config"]
    applications = [part for part in parts if part.role == "application"]
    applications.sort(key=lambda part: part.position or 0)
    document = next((part.digest or "" for part in [*applications[::-1], *configs]), None)
    return Version(reference, parts[0].tag, parts[0].created_at, distinct, document, members)


def savings_rows(
    versions: Mapping[str, Version], *, rules: Rules = "spin", order: Sequence[str] | None = None
) -> list[Row]:
    """Pull versions one after the other into an empty cache: rows of ``VERSION_SAVINGS_SCHEMA``."""
    store = Store(rules)
    totals = fetched = 0
    lines: list[Row] = []
    for position, reference in enumerate(_ordered(versions, order)):
        version = versions[reference]
        cost = store.cost(version)
        store.pull(version)
        fetch = cost.total - cost.reused
        totals += cost.total
        fetched += fetch
        share = cost.reused / cost.total if cost.total else None
        lines.append(
            (
                *(position, reference, version.tag, version.created_at),
                *(cost.total, cost.reused, fetch, share),
                *(totals, fetched, totals - fetched),
                *(cost.archive_fetch, cost.archive_known),
            )
        )
    return lines


def replay_savings(
    manifests: pd.DataFrame,
    members: pd.DataFrame | None = None,
    *,
    rules: Rules = "spin",
    order: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Say what each version costs, one pulled after the other, from frames; see `version_savings`."""
    check_rules(rules)
    versions = read_versions(manifests, members)
    return build(VERSION_SAVINGS_SCHEMA, savings_rows(versions, rules=rules, order=order))


def replay_upgrades(
    manifests: pd.DataFrame,
    members: pd.DataFrame | None = None,
    *,
    rules: Rules = "spin",
    order: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Say what any version costs where one other was pulled before, from frames; see `upgrade_matrix`."""
    check_rules(rules)
    versions = read_versions(manifests, members)
    chosen = list(dict.fromkeys(_ordered(versions, order)))
    lines = []
    for start in chosen:
        store = Store(rules)
        store.pull(versions[start])
        for end in chosen:
            cost = store.cost(versions[end])
            lines.append((start, end, cost.total - cost.reused, cost.reused))
    return build(UPGRADE_MATRIX_SCHEMA, lines)


def check_rules(rules: str) -> None:
    """Refuse rules that are neither Spin's nor ours."""
    if rules not in get_args(Rules):
        raise ValueError(f"rules are one of {', '.join(get_args(Rules))}, not {rules!r}")


def in_order(versions: Iterable[tuple[str, str | None, pd.Timestamp | None]]) -> list[str]:
    """Put versions (reference, tag, time of creation) of one repository in the order of `tag_key`."""

    def place(version: tuple[str, str | None, pd.Timestamp | None]) -> tuple[bytes, str]:
        reference, tag, created_at = version
        return tag_key(tag, None if created_at is None else created_at.value), reference

    return [version[0] for version in sorted(versions, key=place)]


def _ordered(versions: Mapping[str, Version], order: Sequence[str] | None) -> list[str]:
    """Give references in the order asked for by tag or reference, or else in their own."""
    if order is None:
        return in_order((one.reference, one.tag, one.created_at) for one in versions.values())
    by_name = {one.tag: one.reference for one in versions.values() if one.tag is not None}
    by_name.update({reference: reference for reference in versions})
    unknown = [name for name in order if name not in by_name]
    if unknown:
        raise ValueError(f"no such version: {unknown[0]!r}; there are {sorted(by_name)[:10]}")
    return [by_name[name] for name in order]
