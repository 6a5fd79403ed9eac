"""Showing the plan of a removal, asking, and carrying it out: what remove, prune and clear share."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spincache_nb.cli import cells
from spincache_nb.cli.command import DONE, FAILED, INTERRUPTED, UsageError
from spincache_nb.cli.output import Output
from spincache_nb.cli.tables import Column, size_column

if TYPE_CHECKING:
    from spincache_nb.upkeep import RemovalPlan, RemovalResult, Skipped

_ROWS_IN_A_TERMINAL = 40
_ITEMS = (
    Column("what", "WHAT"),
    Column("path", "PATH", shortest=24, cut="middle"),
    size_column("stored_bytes", "SIZE"),
    Column("reason", "WHY", shortest=20, rank=1),
)
_KEPT = (
    Column("path", "KEPT", shortest=24, cut="middle"),
    size_column("stored_bytes", "SIZE"),
    Column("reason", "WHY", shortest=20),
    Column("users", "FOR", lambda users: ", ".join(users), shortest=20, cut="start"),
)
_SIZE = re.compile(r"([0-9]+)\s*(?:([KMGT])(i?)B?|B)?", re.IGNORECASE)
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}


def add_removal(parser: argparse.ArgumentParser) -> None:
    """Let the user skip the question, or see the plan only."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--yes", action="store_true", help="do not ask")
    group.add_argument("--dry-run", action="store_true", help="show the plan and end; nothing is removed")


def size_in_bytes(text: str) -> int:
    """Parse a size, for argparse."""
    match = _SIZE.fullmatch(text.strip()) if text.isascii() else None
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a size such as 500MiB, got {text!r}")
    number, unit, binary = match.groups()
    if unit is None:
        return int(number)
    decimal = not binary and text.strip()[-1] in "bB"
    return int(number) * int((1000 if decimal else 1024) ** _POWERS[unit.upper()])


def run_removal(plan: RemovalPlan, args: argparse.Namespace, output: Output, *, nothing: str) -> int:
    """Show a plan, ask unless told not to, and carry it out."""
    if output.as_json:
        return _run_json(plan, args, output)
    if plan.items:
        _show(plan, output)
    else:
        output.note(nothing)
    if args.dry_run or not plan.items:
        return DONE
    if not args.yes and not _asked(plan, output):
        output.note("nothing was removed")
        return INTERRUPTED
    result = plan.execute()
    output.line(cells.text(result.summary()))
    for left in (*result.failed, *result.skipped):
        output.note(f"{left.item.path} stays: {left.reason}")
    return FAILED if result.failed else DONE


def _run_json(plan: RemovalPlan, args: argparse.Namespace, output: Output) -> int:
    if not (args.yes or args.dry_run):
        raise UsageError("--json needs --yes or --dry-run, since a program cannot be asked")
    result = plan.execute() if args.yes else None
    output.document({**plan_record(plan), "result": None if result is None else _result_record(result)})
    return FAILED if result is not None and result.failed else DONE


def _show(plan: RemovalPlan, output: Output) -> None:
    record = plan_record(plan)
    _table(record["items"], _ITEMS, output)
    if plan.kept:
        output.line()
        _table(record["kept"], _KEPT, output)
    output.line()
    for note in plan.notes:
        output.paragraph(note)
    output.line(cells.text(plan.summary()))


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], output: Output) -> None:
    shown = len(rows) if output.width is None else _ROWS_IN_A_TERMINAL
    output.table(rows[:shown], columns)
    if len(rows) > shown:
        output.line(f"and {len(rows) - shown} more; --json lists all")


def _asked(plan: RemovalPlan, output: Output) -> bool:
    """Ask on standard error, read from standard input; anything but yes is no."""
    output.flush()
    output.note(plan.notice)
    sys.stderr.write("Go on? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        sys.stderr.write("\n")
        raise UsageError("nobody answered; --yes goes on without asking, --dry-run only shows the plan")
    return answer.strip().lower() in ("y", "yes")


def plan_record(plan: RemovalPlan) -> dict[str, Any]:
    """Give a plan as a record for JSON."""
    return {
        "kind": plan.kind,
        "cache": str(plan.cache.path),
        "freed_bytes": plan.freed_bytes,
        "references": list(plan.references),
        "items": [
            {
                "path": item.path,
                "what": item.what,
                "digest": item.digest,
                "reference": item.reference,
                "stored_bytes": item.stored_bytes,
                "reason": item.reason,
            }
            for item in plan.items
        ],
        "kept": [
            {
                "path": blob.path,
                "area": blob.area,
                "digest": blob.digest,
                "stored_bytes": blob.stored_bytes,
                "users": list(blob.users),
                "reason": blob.reason,
            }
            for blob in plan.kept
        ],
        "notes": list(plan.notes),
        "notice": plan.notice,
    }


def _result_record(result: RemovalResult) -> dict[str, Any]:
    return {
        "freed_bytes": result.freed_bytes,
        "removed": [item.path for item in result.removed],
        "skipped": _left(result.skipped),
        "failed": _left(result.failed),
    }


def _left(things: Sequence[Skipped]) -> list[dict[str, str]]:
    return [{"path": left.item.path, "reason": left.reason} for left in things]
