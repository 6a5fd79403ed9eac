"""Faults, speeds and times as a person says them."""

from __future__ import annotations

import math

from spincache_nb.core.display import size_text
from spincache_nb.errors import SpinCacheError, printable


def error_text(fault: BaseException) -> str:
    """Say what went wrong in one line."""
    if isinstance(fault, SpinCacheError):
        return str(fault)
    if isinstance(fault, OSError) and fault.strerror:
        named = f"{fault.filename}: " if fault.filename else ""
        return printable(f"{named}{fault.strerror}")
    lines = str(fault).splitlines()
    said = f"{type(fault).__name__}: {lines[0]}" if lines else type(fault).__name__
    return printable(f"unexpected {said}")


def time_text(seconds: float) -> str:
    """Show how long something takes, rounded up to whole seconds."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def progress_text(done: int, total: int, speed: float | None, seconds_left: float | None) -> str:
    """Show how far something is."""
    parts = [f"{size_text(done)} of {size_text(total)}"]
    if speed is not None:
        parts.append(f"{size_text(round(speed))}/s")
    if seconds_left is not None:
        parts.append(f"{time_text(seconds_left)} left")
    return ", ".join(parts)
