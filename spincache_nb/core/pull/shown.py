"""Plans and results as people see them: HTML for a notebook, and text of several together."""

from __future__ import annotations

from collections.abc import Sequence

from spincache_nb.core.pull.values import PullPlan, PullResult
from spincache_nb.show import (
    Cell,
    block,
    count_text,
    digest_cell,
    more_text,
    share_bar,
    size_cell,
    size_text,
    table,
)

ROWS_SHOWN = 12
"""Rows of a table, unless told otherwise."""


def html(plan: PullPlan, most: int) -> str:
    """A plan or result as HTML, escaped, with at most so many rows."""
    named = [("config", plan.config), *((layer.role, layer) for layer in plan.layers)]
    rows = [
        (
            Cell(what),
            digest_cell(blob.digest),
            size_cell(blob.size),
            Cell("stored" if blob.stored else _lacking(plan)),
        )
        for what, blob in named
    ]
    return block(
        plan.reference,
        _summary(plan),
        share_bar(plan.reused_bytes, plan.total_bytes),
        table(("what", "digest", "size", ""), rows, most=most),
    )


def _summary(plan: PullPlan) -> str:
    bytes_of_all = f"{size_text(plan.fetch_bytes)} of {size_text(plan.total_bytes)}"
    if isinstance(plan, PullResult):
        return f"{plan.kind}, fetched {bytes_of_all} in {plan.seconds:.2f} s"
    return f"{plan.kind}, to fetch {bytes_of_all}"


def _lacking(plan: PullPlan) -> str:
    return "fetched" if isinstance(plan, PullResult) else "to fetch"


def together_html(plans: Sequence[PullPlan], verb: str) -> str:
    """Several of them as one table, under what was or is to be done."""
    rows = [
        (
            Cell(plan.reference, "code"),
            Cell(count_text(len(plan.layers), "layer"), "number"),
            size_cell(plan.total_bytes),
            size_cell(plan.reused_bytes),
            size_cell(plan.fetch_bytes),
        )
        for plan in plans
    ]
    total, reused, fetch = _sums(plans)
    return block(
        "",
        f"{count_text(len(plans), 'reference')}: {verb} {size_text(fetch)} of {size_text(total)}",
        share_bar(reused, total),
        table(("reference", "layers", "size", "stored", verb), rows, most=ROWS_SHOWN),
    )


def together_text(plans: Sequence[PullPlan], verb: str) -> str:
    """Several of them as lines, under their sums."""
    total, reused, fetch = _sums(plans)
    first = f"{count_text(len(plans), 'reference')}: {total} bytes, {reused} stored, {fetch} {verb}"
    lines = [f"  {plan}" for plan in plans[:ROWS_SHOWN]]
    more = more_text(len(plans), ROWS_SHOWN)
    return "\n".join([first, *lines, *([f"  {more}"] if more else [])])


def _sums(plans: Sequence[PullPlan]) -> tuple[int, int, int]:
    return (
        sum(plan.total_bytes for plan in plans),
        sum(plan.reused_bytes for plan in plans),
        sum(plan.fetch_bytes for plan in plans),
    )
