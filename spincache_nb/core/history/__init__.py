"""This toolkit's own record of pulls: which digest a tag meant when, and what it cost.

Spin records none of it. The record is a file of JSON lines in this toolkit's state directory, never
in Spin's cache. It holds no credentials: a reference and a cache's path are all that names anything.
``SPINCACHE_HISTORY=off`` switches it off.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spincache_nb.core.history.lines import LineFile
from spincache_nb.core.history.record import PullRecord, parse_line, to_line
from spincache_nb.core.paths import state_dir

__all__ = ["HISTORY_VARIABLE", "MAX_HISTORY_BYTES", "History", "HistoryScan", "HistoryWarning", "PullRecord"]

HISTORY_VARIABLE = "SPINCACHE_HISTORY"
"""Environment variable that switches the history off (``off``, ``0``, ``no`` or ``false``)."""

MAX_HISTORY_BYTES = 4 << 20
"""Default limit of the whole record in bytes; room for some 10,000 pulls."""

_OFF = frozenset({"off", "0", "no", "false"})


class HistoryWarning(UserWarning):
    """A pull was done but could not be recorded, or the record could not be read."""


@dataclass(frozen=True, slots=True)
class HistoryScan:
    """What the record holds."""

    records: tuple[PullRecord, ...]
    damaged: int


class History:
    """The record of pulls on this machine.

    Parameters
    ----------
    path
        File of JSON lines; ``history.jsonl`` in the state directory by default. The files beside it
        with ``.1`` and ``.lock`` at the end of their names belong to it.
    enabled
        Whether to write and read at all; by default unless ``SPINCACHE_HISTORY`` says off.
    max_bytes
        Limit of the whole record in bytes; the oldest pulls go first.
    environ
        Variables to go by; those of the process by default.

    Notes
    -----
    Making one touches nothing. `append` makes the file, for this user alone (mode 0600).

    Examples
    --------
    >>> History(enabled=False).read()
    ()
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        enabled: bool | None = None,
        *,
        max_bytes: int = MAX_HISTORY_BYTES,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        variables = os.environ if environ is None else environ
        if enabled is None:
            enabled = variables.get(HISTORY_VARIABLE, "").strip().lower() not in _OFF
        if path is None and enabled:
            folder = state_dir(environ=environ)
            path = folder / "history.jsonl" if folder is not None else None
        self.enabled = enabled
        self.path = Path(path) if path is not None else None
        self.max_bytes = max_bytes

    def append(self, record: PullRecord) -> None:
        """Add one pull."""
        if not self.enabled:
            return
        if self.path is None:
            _warn("the pull is not recorded: there is no home directory to record it in")
            return
        try:
            LineFile(self.path, max_bytes=self.max_bytes).append(to_line(record))
        except (OSError, ValueError) as exc:
            _warn(f"the pull is not recorded: {_reason(exc, self.path)}")

    def read(self) -> tuple[PullRecord, ...]:
        """All pulls, oldest first, as far as they are legible."""
        return self.scan().records

    def scan(self) -> HistoryScan:
        """All pulls, with the number of lines that are not legible."""
        if not self.enabled or self.path is None:
            return HistoryScan((), 0)
        try:
            rows = [parse_line(line) for line in LineFile(self.path, max_bytes=self.max_bytes).read()]
        except (OSError, ValueError) as exc:
            _warn(f"the history of pulls is not read: {_reason(exc, self.path)}")
            return HistoryScan((), 0)
        records = tuple(row for row in rows if row is not None)
        return HistoryScan(records, len(rows) - len(records))


def _reason(exc: Exception, path: Path) -> str:
    return f"{path}: {getattr(exc, 'strerror', None) or exc}"


def _warn(message: str) -> None:
    warnings.warn(message, HistoryWarning, stacklevel=3)
