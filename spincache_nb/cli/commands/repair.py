"""``spincache-nb repair``: fetch again what is damaged or missing."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from spincache_nb.cli import cells
from spincache_nb.cli.command import DONE, FAILED, FINDING, Command
from spincache_nb.cli.commands.problems import show_problem
from spincache_nb.cli.options import (
    add_cache_dir,
    add_json,
    add_projects,
    add_registry,
    cache_of,
    registry_options,
)
from spincache_nb.cli.output import Output

if TYPE_CHECKING:
    from spincache_nb.upkeep import RepairResult

_DESCRIPTION = """\
Hash every stored blob, then fetch exactly what is damaged or missing from the registry
that its app came from, by digest, and unpack archives again whose members are missing.
Damaged sources that a --project names come from where its spin.toml says.

A damaged file stays until its good copy is there. This writes to the cache, which goes
beyond what Spin promises; so does every pull with this toolkit. The exit status is 3 if
something could not be fetched, and 1 if damage remains for which there is no source."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--durable", action="store_true", help="wait until the disk has every file (slower)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_projects(parser)
    add_cache_dir(parser)
    add_json(parser)
    add_registry(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Repair, and print what remains."""
    from spincache_nb.upkeep import repair

    result = repair(
        cache_of(args),
        progress=None if args.quiet else True,
        durable=args.durable,
        projects=args.projects,
        **registry_options(args),
    )
    if output.as_json:
        output.document(
            {
                "repaired": [asdict(row) for row in result.repaired],
                "remaining": [asdict(row) for row in result.remaining],
                "failed": result.failed,
                "wire_bytes": result.wire_bytes,
                "seconds": result.seconds,
            }
        )
    else:
        _show(result, output)
    return FAILED if result.failed else FINDING if result.damaged else DONE


def _show(result: RepairResult, output: Output) -> None:
    for row in result.repaired:
        output.paragraph(f"repaired: {row.path} ({row.kind})", hang="  ")
    if result.repaired and result.remaining:
        output.line()
    for row in result.remaining:
        show_problem(asdict(row), output)
    output.line(cells.text(result.summary()))


COMMAND = Command(
    "repair",
    "fetch again what is damaged or missing",
    _DESCRIPTION,
    _arguments,
    run,
    ("repair", "repair --ca company.pem", "repair --json --quiet"),
)
