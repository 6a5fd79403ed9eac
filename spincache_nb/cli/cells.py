"""One value as a person reads it; the forms of `spincache_nb.show` under their short names."""

from __future__ import annotations

from spincache_nb.show import Cut as Cut
from spincache_nb.show import plain as text
from spincache_nb.show import seconds_text as seconds
from spincache_nb.show import share_text as share
from spincache_nb.show import shorten as shorten
from spincache_nb.show import size_text as size
from spincache_nb.show import time_text as time
from spincache_nb.show import width as width

__all__ = ["Cut", "seconds", "share", "shorten", "size", "text", "time", "width", "yes"]


def yes(value: bool | None) -> str:
    """Show a flag."""
    return "" if value is None else "yes" if value else "no"
