"""Thresholds for CI: what is wrong with a cache, in sentences."""

from __future__ import annotations

import pandas as pd

from spincache_nb.analysis.inputs import rows
from spincache_nb.show import size_text


def shortfalls(
    summary: pd.DataFrame,
    *,
    least_dedup: float | None = None,
    most_unreferenced_bytes: int | None = None,
    no_problems: bool = False,
) -> list[str]:
    """Say which thresholds a cache misses.

    Parameters
    ----------
    summary
        What `analysis.summary` gives.
    least_dedup
        Bytes needed over bytes stored, at least. A cache that stores nothing has no such ratio, and
        misses every threshold.
    most_unreferenced_bytes
        Bytes that nothing needs, at most.
    no_problems
        Whether any problem is one too many.

    Returns
    -------
    list of str
        A sentence for each; none if all are met.

    Examples
    --------
    >>> from spincache_nb.analysis.schemas import SUMMARY_SCHEMA
    >>> from spincache_nb.frames.schemas import build
    >>> summary = build(SUMMARY_SCHEMA, [(300, 200, 1.5, 100, 0, 2, 5, 4096, 9000)])
    >>> shortfalls(summary, least_dedup=1.6, most_unreferenced_bytes=4096)
    ['the dedup ratio is 1.5, under 1.6']
    """
    ratio, idle, problems = next(rows(summary, "dedup_ratio", "unreferenced_bytes", "problem_count"))
    found = []
    if least_dedup is not None and ratio is None:
        found.append(f"nothing is stored, so there is no dedup ratio to reach {least_dedup:g}")
    elif least_dedup is not None and ratio < least_dedup:
        found.append(f"the dedup ratio is {ratio:.6g}, under {least_dedup:g}")
    if most_unreferenced_bytes is not None and idle > most_unreferenced_bytes:
        limit = f"{size_text(most_unreferenced_bytes)} ({most_unreferenced_bytes} bytes)"
        found.append(f"{size_text(idle)} ({idle} bytes) are unreferenced, over {limit}")
    if no_problems and problems:
        found.append(f"there {'is 1 problem' if problems == 1 else f'are {problems} problems'}")
    return found
