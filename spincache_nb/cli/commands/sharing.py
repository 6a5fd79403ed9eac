"""``spincache-nb sharing``: what several apps have in common."""

from __future__ import annotations

import argparse

from spincache_nb.cli import cells
from spincache_nb.cli.command import DONE, Command
from spincache_nb.cli.options import add_cache_dir, add_json, add_projects, cache_of
from spincache_nb.cli.output import Output
from spincache_nb.cli.records import records
from spincache_nb.cli.tables import Column, count_column, digest_column, size_column

_DESCRIPTION = """\
List the blobs that several apps need, most bytes saved first, and what storing
each of them once saves in all.

USERS are apps and projects; MANIFESTS counts tags of one manifest once."""
_COLUMNS = (
    digest_column(),
    size_column("stored_bytes", "SIZE"),
    count_column("user_count", "USERS"),
    count_column("manifest_count", "MANIFESTS", rank=1),
    size_column("saved_bytes", "SAVED"),
    Column("names", "NAMES", shortest=12),
)
_MOST = 20


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="blobs with one user, too")
    parser.add_argument(
        "--top",
        type=_count,
        metavar="N",
        help="how many blobs to list, 0 for all of them (default: 20; with --json all)",
    )
    add_projects(parser)
    add_cache_dir(parser)
    add_json(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Print one row per shared digest, and the sums."""
    from spincache_nb import analysis
    from spincache_nb.frames import load

    cache = cache_of(args)
    source = load(cache, projects=args.projects, toolchains=False)
    shared = analysis.sharing(source)
    if not args.all:
        shared = shared[shared["user_count"] > 1]
    most = args.top if args.top is not None else 0 if output.as_json else _MOST
    listed = shared.head(most) if most else shared
    output.frame(listed, _COLUMNS, empty=f"nothing in {cache.path} is shared")
    if not output.as_json:
        if len(listed) < len(shared):
            output.line(f"and {len(shared) - len(listed)} more; `--top 0` lists all")
        show_summary(records(analysis.summary(source))[0], output)
    return DONE


def _count(text: str) -> int:
    """Parse a whole number, for argparse."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def show_summary(summary: dict[str, int | float | None], output: Output) -> None:
    """Print what a cache would take without sharing, and what it takes."""
    logical, stored, saved = (
        cells.size(int(summary[name] or 0)) for name in ("logical_bytes", "stored_bytes", "saved_bytes")
    )
    ratio = summary["dedup_ratio"]
    times = f", {ratio:.2f} to 1" if ratio is not None else ""
    output.line()
    output.line(f"needed {logical}, stored {stored}, saved {saved}{times}")


COMMAND = Command(
    "sharing",
    "show what apps share and what that saves",
    _DESCRIPTION,
    _arguments,
    run,
    ("sharing", "sharing --all"),
)
