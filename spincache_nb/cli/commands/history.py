"""``spincache-nb history``: which pulls there were."""

from __future__ import annotations

import argparse

from spincache_nb.cli import cells
from spincache_nb.cli.command import DONE, Command
from spincache_nb.cli.options import add_cache_dir, add_json, cache_of
from spincache_nb.cli.output import Output
from spincache_nb.cli.tables import Column, digest_column, reference_column, size_column, time_column

_DESCRIPTION = """\
List the pulls that this toolkit made on this machine, oldest first: which digest
a tag meant when, and what it cost. Spin keeps no such record, and its own pulls
are not in it.

With --cache-dir only pulls into that cache are listed."""
_COLUMNS = (
    time_column("at", "AT"),
    reference_column(),
    digest_column("manifest_digest", "MANIFEST", rank=2),
    size_column("fetch_bytes", "FETCHED"),
    size_column("reused_bytes", "REUSED", rank=1),
    size_column("wire_bytes", "RECEIVED", rank=4),
    Column("seconds", "TIME", cells.seconds, right=True, rank=3),
    Column("cache", "CACHE", shortest=20, cut="start", rank=5),
)


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_cache_dir(parser)
    add_json(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Print one row per pull."""
    from spincache_nb import frames

    cache = cache_of(args) if args.cache_dir is not None else None
    output.frame(frames.history(cache), _COLUMNS, empty="no pulls are recorded")
    return DONE


COMMAND = Command(
    "history", "list the pulls made on this machine", _DESCRIPTION, _arguments, run, ("history",)
)
