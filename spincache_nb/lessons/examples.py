"""An app of a cache that is good to look at."""

from __future__ import annotations

from spincache_nb.core.cache import Cache
from spincache_nb.core.documents import Manifest, parse_manifest
from spincache_nb.errors import SpinCacheError
from spincache_nb.frames import apps

_MOST_LOOKED_AT = 50


def example(cache: Cache) -> str:
    """Pick an app whose tree can be shown and whose first component is there to be changed in a copy.

    Parameters
    ----------
    cache
        The reader's own, or the demo's.

    Returns
    -------
    str
        Its reference: of the first 50 apps the one with the most layers.

    Raises
    ------
    ValueError
        If the cache holds no such app.
    """
    table = apps(cache)
    found: list[tuple[int, str]] = []
    for reference in table.loc[table["kind"] == "app", "reference"].head(_MOST_LOOKED_AT):
        layers = _layers(cache, str(reference))
        if layers:
            found.append((layers, str(reference)))
    if not found:
        raise ValueError("there is no app in this cache that can be shown; pull one first")
    return max(found, key=lambda pair: pair[0])[1]


def _layers(cache: Cache, reference: str) -> int:
    """How many content layers an app has; 0 if it cannot be shown."""
    try:
        tag = cache.cached_tag(reference)
        manifest = parse_manifest(tag.read_manifest(), where=tag.reference)
        if not isinstance(manifest, Manifest) or not manifest.content_layers:
            return 0
        tag.read_locked_app()
        first = manifest.content_layers[0]
        if first.role != "wasm":
            return 0
        with cache.open_blob(first.digest) as stream:
            return len(manifest.content_layers) if stream.read(1) else 0
    except SpinCacheError:
        return 0
