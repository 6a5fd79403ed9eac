"""The order of versions as bytes that sort like it, so that an engine can sort without Python."""

from __future__ import annotations

import pandas as pd

from spincache_nb.core.tags import tag_key


def sort_key(reference: str, tag: str | None, created_at: pd.Timestamp | None) -> bytes:
    """Make the bytes by which a version is sorted among those of its repository."""
    return tag_key(tag, None if created_at is None else created_at.value) + b"\x00" + reference.encode()
