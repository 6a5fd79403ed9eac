"""``spincache-nb blobs``: the files in ``wasm/`` and ``data/``."""

from __future__ import annotations

import argparse

from spincache_nb.cli.command import DONE, Command
from spincache_nb.cli.options import add_cache_dir, add_json, add_projects, cache_of
from spincache_nb.cli.output import Output
from spincache_nb.cli.tables import Column, size_column, time_column

STANDINGS = ("referenced", "unreferenced", "temporary", "misnamed")

_DESCRIPTION = """\
List the files in wasm/ and data/ and how each stands: referenced by an app or a
project, unreferenced, temporary (a download that was not finished) or misnamed.

A blob that no cached app needs may still be the source of a component in a
spin.toml: name such projects with --project before calling it unneeded."""
_COLUMNS = (
    Column("area", "AREA"),
    Column("name", "NAME", shortest=20),
    size_column("stored_bytes", "SIZE"),
    Column("standing", "STANDING"),
    time_column("modified_at", "MODIFIED", rank=1),
)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--standing",
        choices=STANDINGS,
        metavar="STANDING",
        help="only files that stand so: referenced, unreferenced, temporary or misnamed",
    )
    add_projects(parser)
    add_cache_dir(parser)
    add_json(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Print one row per file."""
    from spincache_nb import frames

    cache = cache_of(args)
    blobs = frames.blobs(cache, projects=args.projects)
    if args.standing is not None:
        blobs = blobs[blobs["standing"] == args.standing]
    output.frame(blobs, _COLUMNS, empty=f"no such files in {cache.path}")
    return DONE


COMMAND = Command(
    "blobs",
    "list the stored files and who needs them",
    _DESCRIPTION,
    _arguments,
    run,
    ("blobs", "blobs --standing unreferenced --project ~/src/my-app"),
)
