"""Commands that fetch: plan, pull, pull-sources."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from spincache_nb import show
from spincache_nb.cli import command as cli
from spincache_nb.show import Column

if TYPE_CHECKING:
    from spincache_nb.core.plans import PlannedBlob, PullPlan
    from spincache_nb.project.sources import SourcesPlan

_BYTES = ("total_bytes", "reused_bytes", "fetch_bytes")
_LAYERS = (
    Column("position", "#", "count"),
    Column("role", "Role"),
    cli.DIGEST,
    Column("size_bytes", "Size", "size"),
    Column("stored", "", show=lambda stored: "stored" if stored else "to fetch"),
    Column("media_type", "Media type", shortest=24, rank=1),
)


@cli.command(
    """\
Ask for manifests and say what a pull would fetch and what it would reuse.

No layer is downloaded and nothing is written. Of several references, what two
of them share is to be fetched by the first only.""",
    cli.references("+", "an app or package, such as ghcr.io/org/app:v1"),
    *cli.CACHE,
    cli.JOBS,
    cli.MANIFEST_LIMIT,
    cli.registry,
    examples=("plan ghcr.io/org/app:v2", "plan ghcr.io/org/app:v2 --json | jq '.[0].fetch_bytes'"),
)
def plan(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb.core.pull import plan_pull

    plans = plan_pull(cli.cache_of(args), args.references, **cli.registry_options(args))
    if output.as_json:
        output.document([plan_record(plan) | _blobs(plan) for plan in plans])
        return cli.DONE
    for place, one in enumerate(plans):
        if place:
            output.line()
        _show_plan(one, output)
    if len(plans) > 1:
        output.line(f"\nall: {_sums(*plans)}")
    return cli.DONE


def plan_record(plan: PullPlan) -> dict[str, Any]:
    """Give what a plan or a result says of an app as a whole."""
    names = cli.fields(plan, "reference", "kind", "manifest_digest", "index_digest")
    return {**names, "layer_count": len(plan.layers), **cli.fields(plan, *_BYTES)}


def _blobs(plan: PullPlan) -> dict[str, Any]:
    layers = [{"position": position, **_blob(layer)} for position, layer in enumerate(plan.layers)]
    return {"config": _blob(plan.config), "layers": layers}


def _blob(blob: PlannedBlob) -> dict[str, Any]:
    return {
        **cli.fields(blob, "digest", "media_type", "role"),
        "size_bytes": blob.size,
        "stored": blob.stored,
    }


def _show_plan(plan: PullPlan, output: cli.Output) -> None:
    output.line(show.plain(plan.reference))
    output.line(show.plain(f"  {plan.manifest_digest}"))
    parts = _blobs(plan)
    config = {**parts["config"], "position": None, "role": "config"}
    output.table([config, *parts["layers"]], _LAYERS, indent="  ")
    output.line(f"  {_sums(plan)}")


def _sums(*plans: PullPlan) -> str:
    total, reused, fetched = _added(plan_record(plan) for plan in plans)
    return f"{fetched} to fetch, {reused} stored, {total} in all"


def _added(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Add up what is needed, reused and fetched."""
    listed = list(records)
    return [show.size_text(sum(record[name] for record in listed)) for name in _BYTES]


_PULLED = (
    cli.REFERENCE,
    Column("kind", "Kind", rank=2),
    cli.MANIFEST,
    *cli.COST,
    Column("seconds", "Time", "seconds", rank=1),
)


@cli.command(
    """\
Fetch apps and packages from their registries and store them as Spin would, so
that Spin finds them. What is stored already is reused; what comes is checked
against its digest.

Credentials are those of `spin registry login`, then Docker's, then Podman's.""",
    cli.references("+", "an app or package, such as ghcr.io/org/app:v1; what several share comes once"),
    cli.option(
        "--keep-going", action="store_true", help="when one fails, go on with the others; the status is 3"
    ),
    *cli.FETCHING,
    cli.MANIFEST_LIMIT,
    cli.registry,
    examples=(
        "pull ghcr.io/org/app:v1 ghcr.io/org/app:v2",
        "pull ghcr.io/org/app:v1 ghcr.io/org/site:v1 --keep-going",
        "pull registry.example.com/app:v1 --ca company.pem",
        "pull ghcr.io/org/private:v1 --username ann --password-stdin < token",
    ),
)
def pull(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb.core.plans import PullFailure
    from spincache_nb.core.pull import pull

    on_error: Any = "keep" if args.keep_going else "raise"
    results = pull(cli.cache_of(args), args.references, on_error=on_error, **cli.transfer_options(args))
    failed = [one for one in results if isinstance(one, PullFailure)]
    pulled = [one for one in results if not isinstance(one, PullFailure)]
    records = [plan_record(one) | cli.fields(one, "wire_bytes", "seconds") for one in pulled]
    if output.as_json:
        output.document(records + [{"reference": one.reference, "error": str(one.error)} for one in failed])
        return cli.FAILED if failed else cli.DONE
    if records:
        output.table(records, _PULLED)
    if len(records) > 1:
        total, reused, fetched = _added(records)
        output.line(f"\n{len(records)} pulled: {fetched} fetched, {reused} reused, {total} in all")
    for one in failed:
        output.note(cli.in_a_shell(str(one)))
    return cli.FAILED if failed else cli.DONE


_SOURCE = (
    *("component", "trigger", "dependency", "profile"),
    *("kind", "origin", "package", "version", "digest"),
)
_SOURCES = (
    Column("what", "For", shortest=12),
    Column("origin", "From", shortest=20, cut="start", rank=1),
    cli.DIGEST,
    Column("size_bytes", "Size", "size"),
    Column("state", ""),
)


@cli.command(
    """\
Fetch the WebAssembly that a project's spin.toml names by address and digest, or
as packages of a registry, and store it as Spin would: for all components,
dependencies and build profiles.

Which registry serves a package is configured in wasm-pkg/config.toml, as for
Spin. `spin build` and `spin registry push` look for sources in this user's own
cache, whatever --cache-dir says.""",
    cli.option(
        "path", nargs="?", default=".", metavar="PATH", help="a spin.toml, or a folder with one (default: .)"
    ),
    cli.option("--dry-run", action="store_true", help="say what would be fetched, fetch nothing"),
    *cli.FETCHING,
    cli.registry,
    examples=(
        "pull-sources",
        "pull-sources my-app/spin.toml --dry-run",
        "pull-sources my-app --json | jq '.sources[].digest'",
    ),
)
def pull_sources(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb.project.sources import plan_sources, pull_sources

    if args.dry_run:
        _show_sources(plan_sources(cli.cache_of(args), args.path, **cli.registry_options(args)), {}, output)
        return cli.DONE
    result = pull_sources(cli.cache_of(args), args.path, **cli.transfer_options(args))
    _show_sources(result, cli.fields(result, "wire_bytes", "seconds"), output)
    return cli.DONE


def _show_sources(plan: SourcesPlan, cost: dict[str, Any], output: cli.Output) -> None:
    sources = [
        {**cli.fields(source, *_SOURCE), "size_bytes": source.size, "stored": source.stored}
        for source in plan.sources
    ]
    if output.as_json:
        sums = cli.fields(plan, "path", "name", *_BYTES, "unknown_count")
        output.document({**sums, **cost, "sources": sources})
        return
    if not sources:
        output.note(f"{plan.path} names local files only: nothing to fetch")
        return
    fetched = "fetched" if cost else "to fetch"
    rows = [
        {**row, "what": source.what, "state": "stored" if source.stored else fetched}
        for row, source in zip(sources, plan.sources, strict=True)
    ]
    output.table(rows, _SOURCES)
    unknown = f" and {plan.unknown_count} of unknown size" if plan.unknown_count else ""
    total, reused, fetch = _added([cli.fields(plan, *_BYTES)])
    output.line(f"{fetch}{unknown} {fetched}, {reused} stored, {total} in all")
