"""Rows that are made when they are looked at."""

from __future__ import annotations

from array import array

import pytest

from spincache_nb.core.cache import StoredBlob
from spincache_nb.core.digest import Digest
from spincache_nb.core.inventory import CachedLayer, LayerUses, ManifestLayers, Use
from spincache_nb.core.inventory.rows import BlobTable
from spincache_nb.core.manifest import DATA, Descriptor

DIGESTS = [Digest("sha256", letter * 64) for letter in "abc"]
BLOBS = [StoredBlob(str(one), str(one), "data", 5 + n, 0, "digest", one) for n, one in enumerate(DIGESTS)]
DESCRIPTORS = [Descriptor(DATA, one, 5) for one in DIGESTS]


def test_layer_uses_are_uses_of_the_table() -> None:
    uses = LayerUses("r", BlobTable(BLOBS), array("q", [0, 2]))
    expected = (Use("r", BLOBS[0], DIGESTS[0], "layer"), Use("r", BLOBS[2], DIGESTS[2], "layer"))
    assert tuple(uses) == expected == uses
    assert (uses[1], uses[-1], uses[1:]) == (expected[1], expected[1], expected[1:])
    assert (len(uses), uses.stored_bytes, list(uses.blobs())) == (2, 12, [BLOBS[0], BLOBS[2]])
    assert (hash(uses), repr(uses)) == (hash(expected), repr(expected))
    with pytest.raises(IndexError):
        uses[2]


def test_manifest_layers_are_layers_with_their_positions() -> None:
    layers = ManifestLayers(DESCRIPTORS, {id(DESCRIPTORS[1])})
    expected = tuple(CachedLayer(n, one, n != 1) for n, one in enumerate(DESCRIPTORS))
    assert tuple(layers) == expected == layers
    assert (layers[-1], layers[0:2]) == (expected[-1], expected[:2])
    with pytest.raises(IndexError):
        layers[3]
