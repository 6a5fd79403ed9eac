"""``spincache-nb pull``: fetch apps into the cache, as Spin would."""

from __future__ import annotations

import argparse

from spincache_nb.cli import cells
from spincache_nb.cli.command import DONE, Command
from spincache_nb.cli.commands.plan import plan_record
from spincache_nb.cli.options import (
    add_cache_dir,
    add_json,
    add_references,
    add_registry,
    cache_of,
    registry_options,
)
from spincache_nb.cli.output import Output
from spincache_nb.cli.tables import Column, digest_column, reference_column, size_column

_DESCRIPTION = """\
Fetch apps and packages from their registries and store them as Spin would, so
that Spin finds them. What is stored already is reused; what comes is checked
against its digest.

Credentials are those of `spin registry login`, then Docker's, then Podman's."""
_COLUMNS = (
    reference_column(),
    Column("kind", "KIND", rank=2),
    digest_column("manifest_digest", "MANIFEST", rank=3),
    size_column("total_bytes", "TOTAL"),
    size_column("reused_bytes", "REUSED"),
    size_column("fetch_bytes", "FETCHED"),
    Column("seconds", "TIME", cells.seconds, right=True, rank=1),
)


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_references(
        parser, what="an app or package, such as ghcr.io/org/app:v1; what several share comes once"
    )
    parser.add_argument("--durable", action="store_true", help="wait until the disk has every file (slower)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_cache_dir(parser)
    add_json(parser)
    add_registry(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Pull, with a bar on a terminal and plain lines elsewhere, and print what came."""
    from spincache_nb.core.pull import pull

    results = pull(
        cache_of(args),
        args.references,
        progress=None if args.quiet else True,
        durable=args.durable,
        **registry_options(args),
    )
    records = [
        {**plan_record(result), "wire_bytes": result.wire_bytes, "seconds": result.seconds}
        for result in results
    ]
    if output.as_json:
        output.document(records)
    else:
        output.table(records, _COLUMNS)
    return DONE


COMMAND = Command(
    "pull",
    "fetch apps into the cache",
    _DESCRIPTION,
    _arguments,
    run,
    (
        "pull ghcr.io/org/app:v1 ghcr.io/org/app:v2",
        "pull registry.example.com/app:v1 --ca company.pem",
        "pull ghcr.io/org/private:v1 --username ann --password-stdin < token",
    ),
)
