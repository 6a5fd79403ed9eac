"""Repositories in a cache that have versions to compare."""

from __future__ import annotations

from spincache_nb.analysis.inputs import Source, bundle, rows


def versioned_repositories(source: Source) -> list[str]:
    """Name the repositories for which `version_savings` has something to say."""
    counts: dict[str, int] = {}
    sizes: dict[str, int] = {}
    columns = ("registry", "repository", "layer_count", "declared_bytes")
    for registry, repository, layer_count, declared in rows(bundle(source, "apps").need("apps"), *columns):
        if layer_count is not None:
            name = f"{registry}/{repository}"
            counts[name] = counts.get(name, 0) + 1
            sizes[name] = sizes.get(name, 0) + (declared or 0)
    return sorted((name for name in counts if counts[name] > 1), key=lambda name: (-sizes[name], name))
