"""Commands that fetch: plan, pull, pull-sources."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from spincache_nb import show
from spincache_nb.cli.options import (
    CACHE_DIR,
    DONE,
    DURABLE,
    FAILED,
    JOBS,
    JSON,
    MANIFEST_LIMIT,
    QUIET,
    cache_of,
    command,
    option,
    references,
    registry,
    registry_options,
    transfer_options,
)
from spincache_nb.cli.output import DIGEST, REFERENCE, Output, in_a_shell
from spincache_nb.show import Column

if TYPE_CHECKING:
    from spincache_nb.core.plans import PlannedBlob, PullPlan
    from spincache_nb.project.sources import SourcesPlan

_LAYERS = (
    Column("position", "#", "count"),
    Column("role", "Role"),
    DIGEST,
    Column("size_bytes", "Size", "size"),
    Column("stored", "", show=lambda stored: "stored" if stored else "to fetch"),
    Column("media_type", "Media type", shortest=24, rank=1),
)


@command(
    "plan",
    "fetch",
    "say what a pull would fetch, without fetching it",
    """\
Ask for manifests and say what a pull would fetch and what it would reuse.

No layer is downloaded and nothing is written. Of several references, what two
of them share is to be fetched by the first only.""",
    references("+", "an app or package, such as ghcr.io/org/app:v1"),
    CACHE_DIR,
    JSON,
    JOBS,
    MANIFEST_LIMIT,
    registry,
    examples=("plan ghcr.io/org/app:v2", "plan ghcr.io/org/app:v2 --json | jq '.[0].fetch_bytes'"),
)
def plan(args: argparse.Namespace, output: Output) -> int:
    """Print the layers of each reference and what they add up to."""
    from spincache_nb.core.pull import plan_pull

    plans = plan_pull(cache_of(args), args.references, **registry_options(args))
    if output.as_json:
        output.document([plan_record(plan) | _blobs(plan) for plan in plans])
        return DONE
    for place, one in enumerate(plans):
        if place:
            output.line()
        _show_plan(one, output)
    if len(plans) > 1:
        output.line(f"\nall: {_sums(*plans)}")
    return DONE


def plan_record(plan: PullPlan) -> dict[str, Any]:
    """Give what a plan or a result says of an app as a whole."""
    return {
        "reference": plan.reference,
        "kind": plan.kind,
        "manifest_digest": plan.manifest_digest,
        "index_digest": plan.index_digest,
        "layer_count": len(plan.layers),
        "total_bytes": plan.total_bytes,
        "reused_bytes": plan.reused_bytes,
        "fetch_bytes": plan.fetch_bytes,
    }


def _blobs(plan: PullPlan) -> dict[str, Any]:
    layers = [{"position": position, **_blob(layer)} for position, layer in enumerate(plan.layers)]
    return {"config": _blob(plan.config), "layers": layers}


def _blob(blob: PlannedBlob) -> dict[str, Any]:
    return {
        "digest": blob.digest,
        "media_type": blob.media_type,
        "role": blob.role,
        "size_bytes": blob.size,
        "stored": blob.stored,
    }


def _show_plan(plan: PullPlan, output: Output) -> None:
    output.line(show.plain(plan.reference))
    output.line(show.plain(f"  {plan.manifest_digest}"))
    parts = _blobs(plan)
    config = {**parts["config"], "position": None, "role": "config"}
    output.table([config, *parts["layers"]], _LAYERS, indent="  ")
    output.line(f"  {_sums(plan)}")


def _sums(*plans: PullPlan) -> str:
    total, reused, fetched = (
        show.size_text(sum(getattr(plan, name) for plan in plans))
        for name in ("total_bytes", "reused_bytes", "fetch_bytes")
    )
    return f"{fetched} to fetch, {reused} stored, {total} in all"


_PULLED = (
    REFERENCE,
    Column("kind", "Kind", rank=2),
    Column("manifest_digest", "Manifest", shortest=16, cut="end", rank=3),
    Column("total_bytes", "Total", "size"),
    Column("reused_bytes", "Reused", "size"),
    Column("fetch_bytes", "Fetched", "size"),
    Column("seconds", "Time", "seconds", rank=1),
)


@command(
    "pull",
    "fetch",
    "fetch apps into the cache",
    """\
Fetch apps and packages from their registries and store them as Spin would, so
that Spin finds them. What is stored already is reused; what comes is checked
against its digest.

Credentials are those of `spin registry login`, then Docker's, then Podman's.""",
    references("+", "an app or package, such as ghcr.io/org/app:v1; what several share comes once"),
    option(
        "--keep-going", action="store_true", help="when one fails, go on with the others; the status is 3"
    ),
    DURABLE,
    QUIET,
    CACHE_DIR,
    JSON,
    JOBS,
    MANIFEST_LIMIT,
    registry,
    examples=(
        "pull ghcr.io/org/app:v1 ghcr.io/org/app:v2",
        "pull ghcr.io/org/app:v1 ghcr.io/org/site:v1 --keep-going",
        "pull registry.example.com/app:v1 --ca company.pem",
        "pull ghcr.io/org/private:v1 --username ann --password-stdin < token",
    ),
)
def pull(args: argparse.Namespace, output: Output) -> int:
    """Pull, with a bar on a terminal and plain lines elsewhere, and print what came."""
    from spincache_nb.core.plans import PullFailure
    from spincache_nb.core.pull import pull

    on_error: Any = "keep" if args.keep_going else "raise"
    results = pull(cache_of(args), args.references, on_error=on_error, **transfer_options(args))
    failed = [one for one in results if isinstance(one, PullFailure)]
    records = [
        {**plan_record(one), "wire_bytes": one.wire_bytes, "seconds": one.seconds}
        for one in results
        if not isinstance(one, PullFailure)
    ]
    if output.as_json:
        output.document(records + [{"reference": one.reference, "error": str(one.error)} for one in failed])
        return FAILED if failed else DONE
    if records:
        output.table(records, _PULLED)
    if len(records) > 1:
        total, reused, fetched = (
            show.size_text(sum(row[name] for row in records))
            for name in ("total_bytes", "reused_bytes", "fetch_bytes")
        )
        output.line(f"\n{len(records)} pulled: {fetched} fetched, {reused} reused, {total} in all")
    for one in failed:
        output.note(in_a_shell(str(one)))
    return FAILED if failed else DONE


_SOURCES = (
    Column("what", "For", shortest=12),
    Column("origin", "From", shortest=20, cut="start", rank=1),
    DIGEST,
    Column("size_bytes", "Size", "size"),
    Column("state", ""),
)


@command(
    "pull-sources",
    "fetch",
    "fetch what a project's spin.toml names",
    """\
Fetch the WebAssembly that a project's spin.toml names by address and digest, or
as packages of a registry, and store it as Spin would: for all components,
dependencies and build profiles.

Which registry serves a package is configured in wasm-pkg/config.toml, as for
Spin. `spin build` and `spin registry push` look for sources in this user's own
cache, whatever --cache-dir says.""",
    option(
        "path", nargs="?", default=".", metavar="PATH", help="a spin.toml, or a folder with one (default: .)"
    ),
    option("--dry-run", action="store_true", help="say what would be fetched, fetch nothing"),
    DURABLE,
    QUIET,
    CACHE_DIR,
    JSON,
    JOBS,
    registry,
    examples=(
        "pull-sources",
        "pull-sources my-app/spin.toml --dry-run",
        "pull-sources my-app --json | jq '.sources[].digest'",
    ),
)
def pull_sources(args: argparse.Namespace, output: Output) -> int:
    """Fetch, or plan, and print each source and what they add up to."""
    from spincache_nb.project.sources import plan_sources, pull_sources

    if args.dry_run:
        _show_sources(plan_sources(cache_of(args), args.path, **registry_options(args)), {}, output)
        return DONE
    result = pull_sources(cache_of(args), args.path, **transfer_options(args))
    _show_sources(result, {"wire_bytes": result.wire_bytes, "seconds": result.seconds}, output)
    return DONE


def _show_sources(plan: SourcesPlan, cost: dict[str, Any], output: Output) -> None:
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
        sums = ("path", "name", "total_bytes", "reused_bytes", "fetch_bytes", "unknown_count")
        output.document({name: getattr(plan, name) for name in sums} | cost | {"sources": sources})
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
    output.line(
        f"{show.size_text(plan.fetch_bytes)}{unknown} {fetched}, {show.size_text(plan.reused_bytes)} stored, "
        f"{show.size_text(plan.total_bytes)} in all"
    )
