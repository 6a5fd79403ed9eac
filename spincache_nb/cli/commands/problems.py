"""``spincache-nb problems``: what is wrong with the cache."""

from __future__ import annotations

import argparse

from spincache_nb.cli import cells
from spincache_nb.cli.command import DONE, FINDING, Command
from spincache_nb.cli.options import add_cache_dir, add_json, cache_of
from spincache_nb.cli.output import Output
from spincache_nb.cli.records import Record, records

_DESCRIPTION = """\
List what is wrong with the cache: missing, truncated and misplaced files,
documents that cannot be read. Blobs are not hashed for this.

The exit status is 1 if there is any problem."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_cache_dir(parser)
    add_json(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Print a paragraph per problem; status 1 if there is one."""
    from spincache_nb import frames

    cache = cache_of(args)
    found = records(frames.problems(cache))
    if output.as_json:
        output.document(found)
    elif not found:
        output.note(f"no problems in {cache.path}")
    else:
        for problem in found:
            show_problem(problem, output)
        output.line(f"{len(found)} {'problem' if len(found) == 1 else 'problems'}")
    return FINDING if found else DONE


def show_problem(problem: Record, output: Output) -> None:
    """Print one problem as a paragraph: what and where, whose, why, what to do."""
    output.paragraph(f"{problem['kind']}: {problem['path']}", hang="  ")
    if problem["reference"]:
        output.paragraph(f"of {problem['reference']}", indent="  ")
    output.paragraph(cells.text(problem["detail"]), indent="  ")
    output.paragraph(cells.text(problem["remedy"]), indent="  -> ", hang="     ")
    output.line()


COMMAND = Command(
    "problems",
    "list what is wrong with the cache",
    _DESCRIPTION,
    _arguments,
    run,
    ("problems", "problems --json"),
)
