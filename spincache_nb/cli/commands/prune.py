"""``spincache-nb prune``: remove what nothing needs."""

from __future__ import annotations

import argparse

from spincache_nb.cli.command import Command
from spincache_nb.cli.options import add_cache_dir, add_json, add_projects, cache_of
from spincache_nb.cli.output import Output
from spincache_nb.cli.removals import add_removal, run_removal, size_in_bytes

_DESCRIPTION = """\
Remove blobs that no cached app and no given project needs, and leftovers of downloads
that were killed. The plan says why each is thought unneeded; then you are asked. What is
younger than the grace period stays: a pull that goes on may need it.

With a budget, apps go too, the least recently pulled first.

This goes beyond what Spin promises: it documents only the deletion of the whole registry
directory (`spincache-nb clear`). Spin downloads again what it needs."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--grace",
        type=_seconds,
        metavar="SECONDS",
        help="keep what was written or touched within so many seconds (default: 3600)",
    )
    parser.add_argument(
        "--keep-bytes",
        type=size_in_bytes,
        metavar="SIZE",
        help="remove apps, the least recently pulled first, until the cache is no larger, such as 2GiB",
    )
    parser.add_argument(
        "--keep-newest",
        type=_whole_number,
        metavar="N",
        help="keep the N most recently pulled apps in any case; without --keep-bytes remove all others",
    )
    add_removal(parser)
    add_projects(parser)
    add_cache_dir(parser)
    add_json(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Show the plan, ask, remove."""
    from spincache_nb.upkeep import GRACE_SECONDS, plan_prune

    cache = cache_of(args)
    plan = plan_prune(
        cache,
        projects=args.projects,
        grace_seconds=GRACE_SECONDS if args.grace is None else args.grace,
        keep_bytes=args.keep_bytes,
        keep_newest=args.keep_newest,
    )
    nothing = f"nothing to prune in {cache.path}"
    if plan.kept:
        files = "file is" if len(plan.kept) == 1 else "files are"
        nothing += f"; {len(plan.kept)} unneeded {files} younger than the grace period"
    return run_removal(plan, args, output, nothing=nothing)


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    return float(_whole_number(text))


COMMAND = Command(
    "prune",
    "remove what nothing needs",
    _DESCRIPTION,
    _arguments,
    run,
    ("prune --dry-run", "prune --project ~/src/my-app", "prune --keep-bytes 2GiB --keep-newest 5 --yes"),
)
