"""``spincache-nb remove``: remove apps and what only they need."""

from __future__ import annotations

import argparse

from spincache_nb.cli.command import Command
from spincache_nb.cli.options import add_cache_dir, add_json, add_projects, add_references, cache_of
from spincache_nb.cli.output import Output
from spincache_nb.cli.removals import add_removal, run_removal

_DESCRIPTION = """\
Remove apps from the cache, with every blob that nobody else needs. The plan says what
goes, what stays, and which app it stays for; then you are asked.

This goes beyond what Spin promises: it documents only the deletion of the whole registry
directory (`spincache-nb clear`). An app that is removed is simply pulled again."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_references(parser, what="an app in the cache, as `spincache-nb apps` names it")
    add_removal(parser)
    add_projects(parser)
    add_cache_dir(parser)
    add_json(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Show the plan, ask, remove."""
    from spincache_nb.upkeep import plan_remove

    cache = cache_of(args)
    plan = plan_remove(cache, args.references, projects=args.projects)
    return run_removal(plan, args, output, nothing=f"nothing to remove from {cache.path}")


COMMAND = Command(
    "remove",
    "remove apps and what only they need",
    _DESCRIPTION,
    _arguments,
    run,
    ("remove ghcr.io/org/app:v1", "remove ghcr.io/org/app:v1 --dry-run", "remove ghcr.io/org/app:v1 --yes"),
)
