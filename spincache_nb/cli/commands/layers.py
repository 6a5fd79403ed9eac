"""``spincache-nb layers``: what apps are made of."""

from __future__ import annotations

import argparse

from spincache_nb.cli import cells
from spincache_nb.cli.command import DONE, Command
from spincache_nb.cli.options import add_cache_dir, add_json, add_references, cache_of
from spincache_nb.cli.output import Output
from spincache_nb.cli.tables import Column, count_column, digest_column, reference_column, size_column

_DESCRIPTION = """\
List the layers that the manifests of cached apps name, and whether each is stored."""
_COLUMNS = (
    reference_column(),
    count_column("position", "#", rank=4),
    Column("role", "ROLE", shortest=8),
    digest_column(),
    size_column("declared_bytes", "SIZE"),
    Column("stored", "STORED", cells.yes, rank=3),
    Column("media_type", "MEDIA TYPE", shortest=24, rank=5),
)


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_references(parser, count="*", what="only the layers of these apps")
    add_cache_dir(parser)
    add_json(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Print one row per app and layer."""
    from spincache_nb import frames
    from spincache_nb.analysis.inputs import resolve_references

    cache = cache_of(args)
    layers = frames.layers(cache)
    if args.references:
        chosen = resolve_references(frames.apps(cache), args.references)
        layers = layers[layers["reference"].isin(chosen)]
    output.frame(layers, _COLUMNS, empty=f"no layers in {cache.path}")
    return DONE


COMMAND = Command(
    "layers",
    "list the layers of cached apps",
    _DESCRIPTION,
    _arguments,
    run,
    ("layers", "layers ghcr.io/org/app:v1"),
)
