"""Which content a package was when its sources were last fetched; kept beside the history of pulls.

A ``spin.toml`` names a package by a version requirement, and only its registry knows what content that
is. So that the blobs of a project can be told offline, `pull_sources` notes what it found out. The
record is a file of JSON lines in this toolkit's state directory; it holds no paths and no credentials.
``SPINCACHE_HISTORY=off`` switches it off, too.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from spincache_nb.core.digest import Digest
from spincache_nb.core.journal import HistoryWarning, LineFile, switched_on
from spincache_nb.core.paths import state_dir
from spincache_nb.core.settings import PACKAGE_RECORD_BYTES
from spincache_nb.errors import InvalidDigestError

PackageKey = tuple[str, str, str | None]
"""Package, requirement, and the registry that the spin.toml names, or None."""


class PackageRecord(msgspec.Struct, frozen=True):
    """What a package was at one moment: a line of the record."""

    at: datetime
    package: str
    requirement: str
    registry: str | None
    version: str
    digest: str


class PackageLog:
    """The record of packages on this machine."""

    def __init__(self, path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> None:
        folder = state_dir(environ=os.environ if environ is None else environ)
        if path is None and folder is not None and switched_on(environ):
            path = folder / "packages.jsonl"
        self.path = path

    def append(self, records: Iterable[PackageRecord]) -> None:
        """Note what packages are now, as far as it is news."""
        if self.path is None:
            return
        lines, known = LineFile(self.path, max_bytes=PACKAGE_RECORD_BYTES), self.known()
        try:
            for record in records:
                if str(known.get((record.package, record.requirement, record.registry))) != record.digest:
                    lines.append(msgspec.json.encode(record) + b"\n")
        except OSError as exc:
            warnings.warn(
                f"packages are not recorded: {self.path}: {exc.strerror or exc}", HistoryWarning, stacklevel=2
            )

    def known(self) -> dict[PackageKey, Digest]:
        """Digests of packages as they were last looked up; lines that are none are passed over."""
        known: dict[PackageKey, Digest] = {}
        if self.path is not None:
            lines = LineFile(self.path, max_bytes=PACKAGE_RECORD_BYTES)
            for line in lines.read("the record of packages"):
                with contextlib.suppress(ValueError, RecursionError, InvalidDigestError):
                    record = msgspec.json.decode(line, type=PackageRecord)
                    key = record.package, record.requirement, record.registry
                    known[key] = Digest.parse(record.digest)
        return known
