"""Which content a package was when its sources were last fetched; kept beside the history of pulls.

A ``spin.toml`` names a package by a version requirement, and only its registry knows what content that
is. So that the blobs of a project can be told offline, `pull_sources` notes what it found out. The
record is a file of JSON lines in this toolkit's state directory; it holds no paths and no credentials.
``SPINCACHE_HISTORY=off`` switches it off, too.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spincache_nb.core.digest import Digest
from spincache_nb.core.journal import HistoryWarning, LineFile, switched_on
from spincache_nb.core.paths import state_dir
from spincache_nb.errors import InvalidDigestError

MAX_RECORD_BYTES = 1 << 20
"""Limit of the whole record in bytes; room for some 3,000 lines."""

PackageKey = tuple[str, str, str | None]
"""Package, requirement, and the registry that the spin.toml names, or None."""


@dataclass(frozen=True, slots=True)
class PackageRecord:
    """What a package was at one moment."""

    at: datetime
    package: str
    requirement: str
    registry: str | None
    version: str
    digest: Digest

    @property
    def key(self) -> PackageKey:
        """What it is looked up by."""
        return self.package, self.requirement, self.registry


class PackageLog:
    """The record of packages on this machine."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        enabled: bool | None = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        enabled = switched_on(environ) if enabled is None else enabled
        if path is None and enabled:
            folder = state_dir(environ=environ)
            path = folder / "packages.jsonl" if folder is not None else None
        self.enabled = enabled
        self.path = Path(path) if path is not None else None

    def append(self, records: Iterable[PackageRecord]) -> None:
        """Note what packages are now, as far as it is news."""
        if not self.enabled or self.path is None:
            return
        known = self.known()
        news = [record for record in records if known.get(record.key) != record.digest]
        try:
            for record in news:
                LineFile(self.path, max_bytes=MAX_RECORD_BYTES).append(_to_line(record))
        except OSError as exc:
            _warn(f"packages are not recorded: {self.path}: {exc.strerror or exc}")

    def known(self) -> dict[PackageKey, Digest]:
        """Digests of packages as they were last looked up."""
        if not self.enabled or self.path is None:
            return {}
        lines = LineFile(self.path, max_bytes=MAX_RECORD_BYTES).read("the record of packages")
        records = (_parse_line(line) for line in lines)
        return {record.key: record.digest for record in records if record is not None}


def _to_line(record: PackageRecord) -> bytes:
    document = {
        "at": record.at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "package": record.package,
        "requirement": record.requirement,
        "registry": record.registry,
        "version": record.version,
        "digest": str(record.digest),
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n"


def _parse_line(line: bytes) -> PackageRecord | None:
    """Read a line back; None where it is none."""
    try:
        document = json.loads(line)
        registry = document.get("registry")
        return PackageRecord(
            datetime.fromisoformat(document["at"]),
            _text(document["package"]),
            _text(document["requirement"]),
            _text(registry) if registry is not None else None,
            _text(document["version"]),
            Digest.parse(document["digest"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InvalidDigestError):
        return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


def _warn(message: str) -> None:
    warnings.warn(message, HistoryWarning, stacklevel=3)
