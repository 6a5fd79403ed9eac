"""``spincache-nb plan``: what a pull would fetch."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from spincache_nb.cli import cells
from spincache_nb.cli.command import DONE, Command
from spincache_nb.cli.options import (
    add_cache_dir,
    add_json,
    add_references,
    add_registry,
    cache_of,
    registry_options,
)
from spincache_nb.cli.output import Output
from spincache_nb.cli.tables import Column, count_column, digest_column, size_column

if TYPE_CHECKING:
    from spincache_nb.core.plans import PlannedBlob, PullPlan

_DESCRIPTION = """\
Ask for manifests and say what a pull would fetch and what it would reuse.

No layer is downloaded and nothing is written. Of several references, what two
of them share is to be fetched by the first only."""
_COLUMNS = (
    count_column("position", "#"),
    Column("role", "ROLE"),
    digest_column(),
    size_column("size_bytes", "SIZE"),
    Column("stored", "", lambda stored: "stored" if stored else "to fetch"),
    Column("media_type", "MEDIA TYPE", shortest=24, rank=1),
)


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_references(parser, what="an app or package, such as ghcr.io/org/app:v1")
    add_cache_dir(parser)
    add_json(parser)
    add_registry(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Print the layers of each reference and what they add up to."""
    from spincache_nb.core.pull import plan_pull

    plans = plan_pull(cache_of(args), args.references, **registry_options(args))
    if output.as_json:
        output.document([plan_record(plan) | _blobs(plan) for plan in plans])
        return DONE
    for place, plan in enumerate(plans):
        if place:
            output.line()
        _show(plan, output)
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


def _show(plan: PullPlan, output: Output) -> None:
    output.line(cells.text(plan.reference))
    output.line(cells.text(f"  {plan.manifest_digest}"))
    parts = _blobs(plan)
    config = {**parts["config"], "position": None, "role": "config"}
    output.table([config, *parts["layers"]], _COLUMNS, indent="  ")
    output.line(f"  {_sums(plan)}")


def _sums(*plans: PullPlan) -> str:
    total, reused, fetched = (
        sum(getattr(plan, name) for plan in plans) for name in ("total_bytes", "reused_bytes", "fetch_bytes")
    )
    return f"{cells.size(fetched)} to fetch, {cells.size(reused)} stored, {cells.size(total)} in all"


COMMAND = Command(
    "plan",
    "say what a pull would fetch, without fetching it",
    _DESCRIPTION,
    _arguments,
    run,
    ("plan ghcr.io/org/app:v2", "plan ghcr.io/org/app:v2 --json | jq '.[0].fetch_bytes'"),
)
