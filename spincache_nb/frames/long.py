"""Columns of the frames that can have millions of rows: layers, and uses.

A layer is what many manifests have, a use is a blob that many apps need. An inventory holds of each app a
list of numbers, and of each number what it is, column by column. So the rows of all apps are made at once
by numpy, and no value is made for any of them. What an inventory holds in another form gets numbers here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from spincache_nb.core.documents import Manifest, role_of
from spincache_nb.frames.picking import AREAS_IN_ORDER, Places, Ranked, picked
from spincache_nb.inventory import CachedLayer, LayerUses, ManifestLayers, Use, Via
from spincache_nb.inventory.layer_texts import LayerTexts
from spincache_nb.inventory.numbered import NumberedLayers
from spincache_nb.inventory.plain import NO_BLOB

Integers = npt.NDArray[np.int64]
_VIAS: tuple[Via, ...] = get_args(Via)


class LayerRanks:
    """The digests of layers in order, found out once for several frames."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[NumberedLayers, Ranked]] = {}

    def of(self, layers: NumberedLayers) -> Ranked:
        """Digests of layers by their numbers."""
        if id(layers) not in self._found:
            self._found[id(layers)] = layers, Ranked.of(layers.digests)
        return self._found[id(layers)][1]


class LayerColumns:
    """What the rows of layers say."""

    def __init__(self, layers: Sequence[Sequence[CachedLayer]], ranks: LayerRanks) -> None:
        lengths = np.fromiter(map(len, layers), np.int64, len(layers))
        self.owners: Places = np.repeat(np.arange(len(layers), dtype=np.intp), lengths)
        self.positions: Integers = np.arange(len(self.owners)) - np.repeat(
            np.cumsum(lengths) - lengths, lengths
        )
        self.stored = np.concatenate([np.empty(0, bool), *map(_stored, layers)])
        known, places = _numbered(layers)
        digests = ranks.of(known)
        self._known, self._numbers = known, places
        self._one_number_each = len(digests.distinct) == len(known)
        self.digests = digests.picked(places)
        self.sizes = np.asarray(known.sizes, np.int64)[places]
        types = list(dict.fromkeys(known.media_types))
        numbers = dict(zip(types, range(len(types)), strict=True))
        type_of = np.fromiter(map(numbers.__getitem__, known.media_types), np.intp, len(known))[places]
        self.media_types = picked(types, type_of)
        self.roles = picked([role_of(one) for one in types], type_of)

    def declared(self, manifests: Sequence[Manifest | None]) -> list[int | None]:
        """As `Manifest.total_bytes`: what config and layers of each app take, each digest once."""
        if not self._one_number_each:  # so that to count each number once would not do
            return [one.total_bytes if one is not None else None for one in manifests]
        owners, numbers = _distinct(self.owners, self._numbers)
        sums = _sums(owners, np.asarray(self._known.sizes, np.int64)[numbers], len(manifests))
        configs = {str(one.config.digest) for one in manifests if one is not None}
        number_of = {digest: n for n, digest in enumerate(self._known.digests) if digest in configs}
        starts = np.searchsorted(owners, np.arange(len(manifests) + 1)).tolist()
        totals: list[int | None] = []
        for app, (manifest, total) in enumerate(zip(manifests, sums.tolist(), strict=True)):
            if manifest is None:
                totals.append(None)
                continue
            config = number_of.get(str(manifest.config.digest))
            is_layer = config is not None and config in numbers[starts[app] : starts[app + 1]]
            totals.append(total if is_layer else total + manifest.config.size)
        return totals


def _numbered(layers: Sequence[Sequence[CachedLayer]]) -> tuple[NumberedLayers, Places]:
    """All different layers, and of each row its number among them."""
    others = LayerTexts()
    pairs = [
        (some.known, some.numbers)
        if isinstance(some, ManifestLayers)
        else (others.layers, others.numbers_of(layer.descriptor for layer in some))
        for some in layers
    ]
    each = {id(known): known for known, _ in pairs}
    starts = dict(zip(each, np.cumsum([0, *map(len, each.values())]).tolist(), strict=False))
    places = [np.asarray(numbers, np.int64) + starts[id(known)] for known, numbers in pairs]
    return NumberedLayers.joined(each.values()), np.concatenate([np.empty(0, np.int64), *places])


def _stored(layers: Sequence[CachedLayer]) -> npt.NDArray[np.bool_]:
    if isinstance(layers, ManifestLayers) and not layers.lacking:
        return np.ones(len(layers), bool)
    return np.fromiter((layer.stored for layer in layers), bool, len(layers))


class _Needed(NamedTuple):
    """What rows of uses say, user by user; `digests` are places in `texts`, distinct and in order."""

    owners: Places
    digests: Places
    texts: npt.NDArray[Any]
    areas: Places
    sizes: Integers
    vias: Places


class UseColumns:
    """What the rows of uses say, whoever the users are."""

    def __init__(self, uses: Sequence[Sequence[Use]], ranks: LayerRanks) -> None:
        self._users = len(uses)
        of_layers: dict[int, list[tuple[int, LayerUses]]] = {}
        others: list[int] = []
        for user, some in enumerate(uses):
            if isinstance(some, LayerUses):
                of_layers.setdefault(id(some.placed), []).append((user, some))
            else:
                others.append(user)
        parts = [_of_layers(pairs, ranks) for pairs in of_layers.values()]
        if others or not parts:
            parts.append(_of_uses(others, [uses[user] for user in others]))
        rows = parts[0] if len(parts) == 1 else _joined(parts)
        self.owners = rows.owners
        self.digests = picked(rows.texts, rows.digests)._replace(in_order=True)
        self.areas = picked(AREAS_IN_ORDER, rows.areas)
        self.sizes = rows.sizes
        self.vias = picked(_VIAS, rows.vias)

    def totals(self) -> Integers:
        """Bytes that each of the users needs."""
        return _sums(self.owners, self.sizes, self._users)


def _of_layers(users: Sequence[tuple[int, LayerUses]], ranks: LayerRanks) -> _Needed:
    """Rows of users of whom it is only known which layers they have: each blob once, in order."""
    placed = users[0][1].placed
    layers = np.concatenate([np.asarray(some.layers, np.int64) for _, some in users])
    owners = np.repeat([user for user, _ in users], [len(some.layers) for _, some in users])
    blob_of_layer = np.asarray(placed.blobs, np.int64)
    plain = blob_of_layer != NO_BLOB
    if not plain.all():
        owners, layers = owners[plain[layers]], layers[plain[layers]]
    ranked = ranks.of(placed.layers)
    in_wasm = blob_of_layer >= placed.table.first_wasm
    order = 2 * ranked.ranks[: len(plain)] + in_wasm  # of blobs, by digest and area
    owners, needed = _distinct(owners, order[layers])
    blobs = np.zeros(2 * len(ranked.distinct), np.int64)
    blobs[order[plain]] = blob_of_layer[plain]
    sizes = np.asarray(placed.table.sizes, np.int64)[blobs[needed]]
    return _Needed(owners, needed >> 1, ranked.distinct, needed & 1, sizes, np.zeros(len(needed), np.intp))


def _distinct(owners: Integers, numbers: Integers) -> tuple[Integers, Integers]:
    """Each number of each owner once, in order; an owner has few rows, and they are together."""
    new = np.ones(len(owners), bool)
    new[1:] = owners[1:] != owners[:-1]
    starts = np.flatnonzero(new).tolist()
    numbers = numbers.copy()
    for start, end in pairwise([*starts, len(numbers)]):
        numbers[start:end].sort()
    new[1:] |= numbers[1:] != numbers[:-1]
    return owners[new], numbers[new]


def _sums(owners: Integers, sizes: Integers, count: int) -> Integers:
    """Sums for each owner, of whom the rows are in order; of any size, since sizes are what somebody says."""
    fit = int(sizes.max(initial=0)) * len(sizes) < 1 << 63
    added = np.cumsum(sizes if fit else sizes.astype(object))
    return np.diff(
        np.concatenate([np.zeros(1, sizes.dtype), added])[np.searchsorted(owners, np.arange(count + 1))]
    )


def _of_uses(users: Sequence[int], uses: Sequence[Sequence[Use]]) -> _Needed:
    rows = [use for some in uses for use in some]
    ranked = Ranked.of([str(use.digest) for use in rows])
    return _Needed(
        np.repeat(np.array(users, np.int64), [len(some) for some in uses]),
        ranked.ranks,
        ranked.distinct,
        np.array([AREAS_IN_ORDER.index(use.area) for use in rows], np.intp),
        np.array([use.stored_bytes for use in rows], np.int64),
        np.array([_VIAS.index(use.via) for use in rows], np.intp),
    )


def _joined(parts: Sequence[_Needed]) -> _Needed:
    """Rows of all users in the order of the users."""
    ranked = Ranked.of([text for part in parts for text in part.texts])
    starts = np.cumsum([0, *(len(part.texts) for part in parts)])
    digests = [ranked.ranks[part.digests + start] for part, start in zip(parts, starts, strict=False)]
    owners, areas, sizes, vias = (
        np.concatenate(columns)
        for columns in zip(*((part.owners, part.areas, part.sizes, part.vias) for part in parts), strict=True)
    )
    by_user = np.argsort(owners, kind="stable")
    return _Needed(
        owners[by_user],
        np.concatenate(digests)[by_user],
        ranked.distinct,
        areas[by_user],
        sizes[by_user],
        vias[by_user],
    )
