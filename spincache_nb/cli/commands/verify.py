"""``spincache-nb verify``: hash everything that is stored."""

from __future__ import annotations

import argparse

from spincache_nb.cli.command import DONE, FINDING, Command
from spincache_nb.cli.commands.problems import show_problem
from spincache_nb.cli.options import add_cache_dir, add_json, add_projects, add_threads, cache_of
from spincache_nb.cli.output import Output

_DESCRIPTION = """\
Hash every stored blob and list what is wrong with the cache: damaged, truncated and
missing blobs, missing members of archives, stale documents, leftovers. Nothing is changed.

What seems damaged is read again before it is reported. The exit status is 1 if something
is damaged or missing; leftovers and foreign files alone are no damage."""

_FIELDS = ("path", "reference", "kind", "detail", "remedy")
"""As the columns of `frames.problems`, which is not asked: hashing needs no DataFrame."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_threads(parser, what="files hashed at a time (default: one for each processor)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_projects(parser)
    add_cache_dir(parser)
    add_json(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Print a paragraph per problem; status 1 if one of them is damage."""
    from spincache_nb.upkeep import check_cache, is_damage

    cache = cache_of(args)
    progress = None if args.quiet else True
    problems = check_cache(cache, jobs=args.jobs, progress=progress, projects=args.projects)
    damaged = sum(is_damage(problem.kind, problem.reference) for problem in problems)
    found = [{name: getattr(problem, name) for name in _FIELDS} for problem in problems]
    if output.as_json:
        output.document(found)
    elif not found:
        output.note(f"everything stored in {cache.path} is whole")
    else:
        for problem in found:
            show_problem(problem, output)
        output.line(f"{len(found)} {'problem' if len(found) == 1 else 'problems'}, {damaged} of them damage")
    return FINDING if damaged else DONE


COMMAND = Command(
    "verify",
    "hash everything stored and list what is damaged",
    _DESCRIPTION,
    _arguments,
    run,
    ("verify", "verify --json --quiet"),
)
