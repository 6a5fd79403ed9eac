"""``spincache-nb savings``: what a new version costs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from spincache_nb.cli import cells
from spincache_nb.cli.command import DONE, Command, UsageError
from spincache_nb.cli.options import add_cache_dir, add_json, add_registry, cache_of, registry_options
from spincache_nb.cli.output import Output
from spincache_nb.cli.records import Record, records
from spincache_nb.cli.tables import Column, size_column, time_column

if TYPE_CHECKING:
    from spincache_nb.core.cache import Cache

RULES = ("spin", "spincache")

_DESCRIPTION = """\
Replay the cached versions of a repository in order, as if each were pulled after
the one before into an empty cache: what it fetches, and what was there already.

Without a REPOSITORY, every repository with more than one cached version.

With --remote, the versions that the registry has: their manifests are fetched, no layer
is, and the cache does not matter."""
_COLUMNS = (
    Column("tag", "VERSION", lambda tag: tag or "(digest)", shortest=12),
    size_column("total_bytes", "TOTAL"),
    size_column("reused_bytes", "REUSED"),
    size_column("fetch_bytes", "FETCHED"),
    Column("saved_share", "SAVED", cells.share, right=True),
    size_column("cumulative_fetch_bytes", "FETCHED SO FAR", rank=2),
    size_column("cumulative_saved_bytes", "SAVED SO FAR", rank=1),
    time_column("created_at", "CREATED", rank=3),
)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repositories", nargs="*", metavar="REPOSITORY", help="such as ghcr.io/org/app")
    parser.add_argument(
        "--rules",
        choices=RULES,
        default="spin",
        help="what to count: what Spin fetches, or what this toolkit does, which fetches an unchanged "
        "config no second time (default: spin)",
    )
    parser.add_argument(
        "--remote", action="store_true", help="of all tags in the registry, whether they are cached or not"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_cache_dir(parser)
    add_json(parser)
    add_registry(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Print a table per repository."""
    cache = cache_of(args)
    found = _remote(args, output) if args.remote else _cached(args, cache)
    if output.as_json:
        output.document([{"repository": name, **row} for name, rows in found.items() for row in rows])
        return DONE
    if not found:
        output.note(f"no repository in {cache.path} has more than one version")
    for place, (repository, rows) in enumerate(found.items()):
        if place:
            output.line()
        show_savings(repository, rows, output)
    return DONE


def _cached(args: argparse.Namespace, cache: Cache) -> dict[str, list[Record]]:
    """Replay what is in the cache."""
    from spincache_nb import analysis
    from spincache_nb.analysis.versions import versioned_repositories
    from spincache_nb.frames import load

    frames = load(cache, "apps", "layers", "uses", "files")
    return {
        repository: records(analysis.version_savings(frames, repository, rules=args.rules))
        for repository in args.repositories or sorted(versioned_repositories(frames))
    }


def _remote(args: argparse.Namespace, output: Output) -> dict[str, list[Record]]:
    """Replay what the registries have."""
    from spincache_nb import analysis
    from spincache_nb.core.reference import Reference

    if not args.repositories:
        raise UsageError("--remote needs a REPOSITORY")
    options = registry_options(args)
    places = [Reference.parse(text) for text in args.repositories]
    found = {}
    for place in places:
        versions = analysis.remote_versions(place, progress=not args.quiet, **options)
        found[versions.repository] = records(analysis.remote_savings(versions, rules=args.rules))
        if len(versions.problems):
            kinds = ", ".join(sorted(set(versions.problems["kind"])))
            output.note(f"{versions.repository}: {len(versions.problems)} other tags ({kinds})")
    return found


def show_savings(repository: str, rows: list[Record], output: Output, *, indent: str = "") -> None:
    """Print the versions of one repository."""
    output.line(f"{indent}{cells.text(repository)}")
    output.table(rows, _COLUMNS, indent=f"{indent}  ")


COMMAND = Command(
    "savings",
    "show what each new version costs",
    _DESCRIPTION,
    _arguments,
    run,
    ("savings", "savings ghcr.io/org/app --rules spincache", "savings ghcr.io/org/app --remote"),
)
