"""``spincache-nb pull-sources``: fetch what a project's ``spin.toml`` names."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from spincache_nb.cli import cells
from spincache_nb.cli.command import DONE, Command
from spincache_nb.cli.options import add_cache_dir, add_json, add_registry, cache_of, registry_options
from spincache_nb.cli.output import Output
from spincache_nb.cli.tables import Column, digest_column, size_column

if TYPE_CHECKING:
    from spincache_nb.project.sources import SourcesPlan

_DESCRIPTION = """\
Fetch the WebAssembly that a project's spin.toml names by address and digest, or
as packages of a registry, and store it as Spin would: for all components,
dependencies and build profiles.

Which registry serves a package is configured in wasm-pkg/config.toml, as for
Spin. `spin build` and `spin registry push` look for sources in this user's own
cache, whatever --cache-dir says."""
_COLUMNS = (
    Column("what", "FOR", shortest=12),
    Column("origin", "FROM", shortest=20, cut="start", rank=1),
    digest_column(),
    size_column("size_bytes", "SIZE"),
    Column("state", ""),
)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", nargs="?", default=".", metavar="PATH", help="a spin.toml, or a folder with one (default: .)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be fetched, fetch nothing")
    parser.add_argument("--durable", action="store_true", help="wait until the disk has every file (slower)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_cache_dir(parser)
    add_json(parser)
    add_registry(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Fetch, or plan, and print each source and what they add up to."""
    from spincache_nb.project.sources import plan_sources, pull_sources

    cache, options = cache_of(args), registry_options(args)
    if args.dry_run:
        _show(plan_sources(cache, args.path, **options), {}, output)
        return DONE
    result = pull_sources(
        cache, args.path, progress=None if args.quiet else True, durable=args.durable, **options
    )
    _show(result, {"wire_bytes": result.wire_bytes, "seconds": result.seconds}, output)
    return DONE


def _show(plan: SourcesPlan, cost: dict[str, Any], output: Output) -> None:
    sources = [
        {
            "component": source.component,
            "trigger": source.trigger,
            "dependency": source.dependency,
            "profile": source.profile,
            "kind": source.kind,
            "origin": source.origin,
            "package": source.package,
            "version": source.version,
            "digest": source.digest,
            "size_bytes": source.size,
            "stored": source.stored,
        }
        for source in plan.sources
    ]
    if output.as_json:
        sums = {
            "path": plan.path,
            "name": plan.name,
            "total_bytes": plan.total_bytes,
            "reused_bytes": plan.reused_bytes,
            "fetch_bytes": plan.fetch_bytes,
            "unknown_count": plan.unknown_count,
        }
        output.document(sums | cost | {"sources": sources})
        return
    if not sources:
        output.note(f"{plan.path} names local files only: nothing to fetch")
        return
    fetched = "fetched" if cost else "to fetch"
    rows = [
        {**row, "what": source.what, "state": "stored" if source.stored else fetched}
        for row, source in zip(sources, plan.sources, strict=True)
    ]
    output.table(rows, _COLUMNS)
    unknown = f" and {plan.unknown_count} of unknown size" if plan.unknown_count else ""
    output.line(
        f"{cells.size(plan.fetch_bytes)}{unknown} {fetched}, {cells.size(plan.reused_bytes)} stored, "
        f"{cells.size(plan.total_bytes)} in all"
    )


COMMAND = Command(
    "pull-sources",
    "fetch what a project's spin.toml names",
    _DESCRIPTION,
    _arguments,
    run,
    (
        "pull-sources",
        "pull-sources my-app/spin.toml --dry-run",
        "pull-sources my-app --json | jq '.sources[].digest'",
    ),
)
