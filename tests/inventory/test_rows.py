"""Rows that are made when they are looked at."""

from __future__ import annotations

from array import array

import pytest

from spincache_nb.core.scan import StoredBlob
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import DATA, Descriptor
from spincache_nb.inventory import CachedLayer, LayerUses, ManifestLayers, Use
from spincache_nb.inventory.layer_texts import LayerTexts
from spincache_nb.inventory.lookups import BlobTable
from spincache_nb.inventory.numbered import NumberedLayers
from spincache_nb.inventory.plain import PlacedLayers

DIGESTS = [Digest("sha256", letter * 64) for letter in "abc"]
BLOBS = [StoredBlob(str(one), str(one), "data", 5 + n, 0, "digest", one) for n, one in enumerate(DIGESTS)]
DESCRIPTORS = [Descriptor(DATA, one, 5) for one in DIGESTS]


def test_layer_uses_are_uses_of_the_table() -> None:
    placed = PlacedLayers(NumberedLayers(), BlobTable([BLOBS]), array("q", [2, -1, 0, 1]), {1})
    uses = LayerUses("r", array("q", [0, 1, 2, 0]), placed)
    expected = (Use("r", BLOBS[0], DIGESTS[0], "layer"), Use("r", BLOBS[2], DIGESTS[2], "layer"))
    assert tuple(uses) == expected == uses
    assert (uses[1], uses[-1], uses[1:]) == (expected[1], expected[1], expected[1:])
    assert (len(uses), uses.stored_bytes, set(uses.blobs())) == (2, 12, {BLOBS[0], BLOBS[2]})
    assert (hash(uses), repr(uses)) == (hash(expected), repr(expected))
    with pytest.raises(IndexError):
        uses[2]


def test_layer_uses_are_sorted_by_digest_then_area() -> None:
    wasm = [blob._replace(area="wasm") for blob in BLOBS[1:]]
    table = BlobTable([BLOBS[::-1], wasm])
    uses = LayerUses(
        "r", array("q", [4, 3, 2, 1, 0]), PlacedLayers(NumberedLayers(), table, array("q", range(5)), set())
    )
    assert [use.blob for use in uses] == [BLOBS[0], BLOBS[1], wasm[0], BLOBS[2], wasm[1]]
    assert [table.numbers("wasm")[str(digest)] for digest in DIGESTS[1:]] == [3, 4]
    assert (table.first_wasm, len(table)) == (3, 5)


def test_manifest_layers_are_layers_with_their_positions() -> None:
    texts = LayerTexts()
    numbers = texts.numbers_of(DESCRIPTORS)
    layers = ManifestLayers(DESCRIPTORS, numbers, {numbers[1]}, texts.layers)
    expected = tuple(CachedLayer(n, one, n != 1) for n, one in enumerate(DESCRIPTORS))
    assert tuple(layers) == expected == layers
    assert (layers[-1], layers[0:2]) == (expected[-1], expected[:2])
    with pytest.raises(IndexError):
        layers[3]
