"""``spincache-nb apps``: what is in the cache."""

from __future__ import annotations

import argparse

from spincache_nb.cli.command import DONE, Command
from spincache_nb.cli.options import add_cache_dir, add_json, cache_of
from spincache_nb.cli.output import Output
from spincache_nb.cli.tables import (
    Column,
    count_column,
    digest_column,
    reference_column,
    size_column,
    time_column,
)

_DESCRIPTION = """\
List the apps and packages in the cache.

An app is one cached tag. STORED are the bytes of its blobs on disk, shared ones
included, so that the column adds up to more than the cache takes."""
_COLUMNS = (
    reference_column(),
    Column("kind", "KIND", rank=2),
    Column("name", "NAME", shortest=12, rank=4),
    Column("version", "VERSION", shortest=7, rank=6),
    count_column("component_count", "COMPONENTS", rank=7),
    count_column("layer_count", "LAYERS", rank=3),
    size_column("declared_bytes", "DECLARED", rank=5),
    size_column("stored_bytes", "STORED"),
    time_column("pulled_at", "PULLED", rank=1),
    digest_column("manifest_digest", "MANIFEST", rank=8),
)


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_cache_dir(parser)
    add_json(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Print one row per cached tag."""
    from spincache_nb import frames

    cache = cache_of(args)
    output.frame(
        frames.apps(cache),
        _COLUMNS,
        empty=f"no apps in {cache.path}; fetch one with `spincache-nb pull REFERENCE`",
    )
    return DONE


COMMAND = Command(
    "apps", "list the apps in the cache", _DESCRIPTION, _arguments, run, ("apps", "apps --json")
)
