"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "attention"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    topic
        What it belongs to, such as ``cache``.
    name
        What was looked at; ends in ``_bytes`` where `value` is a size.
    value
        What was found; None for nothing.
    state
        ``ok``; ``note`` for what may surprise; ``attention`` for what will keep something from
        working.
    remedy
        What to do about it, if there is something.
    """

    topic: str
    name: str
    value: str | int | bool | None
    state: State = "ok"
    remedy: str = ""
