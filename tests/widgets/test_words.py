"""How far something is."""

from __future__ import annotations

from spincache_nb.widgets.words import progress_text


def test_progress_text_leaves_out_what_is_not_known() -> None:
    assert progress_text(0, 1024, None, None) == "0 B of 1.0 KiB"
    assert progress_text(0, 1024, 0.0, None) == "0 B of 1.0 KiB, 0 B/s"
