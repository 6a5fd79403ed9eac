"""Time and memory of large frames."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd

from spincache_nb.core.cache import Cache
from spincache_nb.core.scan import CachedTag, StoredBlob
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import DATA, Descriptor
from spincache_nb.frames.contents import layers_of
from spincache_nb.frames.found import Found
from spincache_nb.frames.storage import uses_of
from spincache_nb.inventory import CachedApp, CachedLayer, Inventory, Use

APPS, LAYERS = 500, 400
ROWS = APPS * LAYERS


def inventory() -> Inventory:
    """500 apps of 400 layers each, of which 20,000 are different."""
    digests = [Digest.of(b"%d" % number) for number in range(20_000)]
    layers = [CachedLayer(place, Descriptor(DATA, digest, 7), True) for place, digest in enumerate(digests)]
    blobs = [StoredBlob(str(one), str(one), "data", 7, 0, "digest", one) for one in digests]
    apps = []
    for number in range(APPS):
        tag = CachedTag("ghcr.io", f"org/app-{number:03}", "v1", None, Path("x"), 0)
        start = number * 39
        chosen = tuple(layers[start : start + LAYERS])
        uses = tuple(
            Use(tag.reference, blob, blob.digest, "layer")
            for blob in blobs[start : start + LAYERS]
            if blob.digest is not None
        )
        apps.append(CachedApp(tag, "app", None, None, None, "locked app", chosen, uses))
    return Inventory(Cache("/nowhere"), tuple(apps), (), (), (), (), ())


def bytes_per_row(frame: pd.DataFrame) -> float:
    return float(frame.memory_usage(deep=True).sum()) / len(frame)


def test_large_frames_are_made_in_seconds_and_small_in_memory() -> None:
    found = Found((inventory(),), ("/nowhere/registry",), False)
    for make in (layers_of, uses_of):
        start = time.process_time()
        frame = make(found)
        taken = time.process_time() - start
        assert len(frame) == ROWS
        assert taken < 4.0, f"{make.__name__}: {taken:.1f} s for {ROWS} rows"
        assert bytes_per_row(frame) <= 60
