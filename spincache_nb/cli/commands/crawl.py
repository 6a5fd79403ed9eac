"""``spincache-nb crawl``: what a registry holds, from its manifests alone."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from spincache_nb.cli.command import DONE, Command
from spincache_nb.cli.commands.snapshot import show_written
from spincache_nb.cli.options import add_json, add_registry, add_threads, registry_options
from spincache_nb.cli.output import Output

_DESCRIPTION = """\
Write what a registry holds as Parquet files, beside the snapshots of caches or in a
folder of its own: lists of tags and manifests are fetched, no layer is. Without a
REPOSITORY, all that the registry lists; many public ones offer no such list.

It waits when the registry asks it to, and then goes on at half the pace. A crawl that
was stopped, killed even, goes on where it was: run it again. What cannot be had is
listed in the crawl as a problem.

Needs: pip install "spincache-nb[fleet]\""""
_SECONDS_BETWEEN_NOTES = 5.0


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("registry", metavar="REGISTRY", help="host and port, such as ghcr.io")
    parser.add_argument("target", metavar="TARGET", help="folder or address of the dataset")
    parser.add_argument("repositories", nargs="*", metavar="REPOSITORY", help="such as org/app")
    parser.add_argument(
        "--per-second", type=_rate, metavar="N", help="most requests in a second (default: no limit of ours)"
    )
    parser.add_argument(
        "--anew", action="store_true", help="begin today's anew, do not go on with one of another day"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_threads(parser, what="requests at a time (default: 4)")
    add_json(parser)
    add_registry(parser, jobs=False)


def run(args: argparse.Namespace, output: Output) -> int:
    """Crawl, and say what was written where."""
    from spincache_nb.fleet import crawl

    taken = crawl(
        args.registry,
        args.repositories or None,
        args.target,
        per_second=args.per_second,
        resume=not args.anew,
        progress=None if args.quiet else _progress(output),
        **registry_options(args),
    )
    show_written(taken, "crawl", "registry", output)
    return DONE


def _progress(output: Output) -> Callable[[int], None]:
    """Say now and then how far it is: lines, since nobody knows how many manifests there are."""
    said_at = time.monotonic()

    def tell(count: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= _SECONDS_BETWEEN_NOTES:
            said_at = time.monotonic()
            output.note(f"{count} manifests so far")

    return tell


def _rate(text: str) -> float:
    """Parse a number of requests in a second, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number such as 2 or 0.5, got {text!r}")
    return number


COMMAND = Command(
    "crawl",
    "write what a registry holds, from its manifests",
    _DESCRIPTION,
    _arguments,
    run,
    (
        "crawl ghcr.io /mnt/registry org/app org/site --per-second 5",
        "crawl registry.example:5000 s3://bucket/registry --jobs 8",
    ),
)
