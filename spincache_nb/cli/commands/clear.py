"""``spincache-nb clear``: remove the whole cache."""

from __future__ import annotations

import argparse

from spincache_nb.cli.command import Command
from spincache_nb.cli.options import add_cache_dir, add_json, cache_of
from spincache_nb.cli.output import Output
from spincache_nb.cli.removals import add_removal, run_removal

_DESCRIPTION = """\
Remove the whole `registry` directory, the one operation on the cache that Spin documents.
It is renamed first, so that a Spin starting at that moment sees either the old cache or
none. Spin downloads again what it needs.

A directory that is no Spin registry cache is refused: a home directory, a link, a folder
with other files in it."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_removal(parser)
    add_cache_dir(parser)
    add_json(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Show the plan, ask, clear."""
    from spincache_nb.upkeep import plan_clear

    cache = cache_of(args)
    return run_removal(plan_clear(cache), args, output, nothing=f"there is no cache at {cache.path}")


COMMAND = Command(
    "clear", "remove the whole cache", _DESCRIPTION, _arguments, run, ("clear --dry-run", "clear --yes")
)
