"""How far something is, in words."""

from __future__ import annotations

from spincache_nb.show import size_text, wait_text


def progress_text(done: int, total: int, speed: float | None, seconds_left: float | None) -> str:
    """Show how far something is."""
    parts = [f"{size_text(done)} of {size_text(total)}"]
    if speed is not None:
        parts.append(f"{size_text(round(speed))}/s")
    if seconds_left is not None:
        parts.append(f"{wait_text(seconds_left)} left")
    return ", ".join(parts)
