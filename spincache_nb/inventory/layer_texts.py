"""Reading the manifests of many apps, whose layers are mostly the same.

`parse_manifest` decodes every layer of every manifest, and that is what an inventory of many apps would
spend its time on. Here the text between two layers is cut, and a text that was seen before has a number
already, by which all else is known of the layer. The result is the one of `parse_manifest`, or none at all:

- what is left of the manifest without its layers is read by `parse_manifest`, and is one with an empty
  list of layers at that very place;
- each of the texts that are cut out is a JSON object by itself, so all of them are a list of such;
- nothing in either is escaped, so a quote always begins or ends a string.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count, repeat
from operator import xor
from typing import NamedTuple

from spincache_nb.core.manifest import Descriptor, Manifest, parse_manifest, role_of
from spincache_nb.errors import ManifestError
from spincache_nb.inventory.numbered import NumberedDescriptors, NumberedLayers

_SPACE = r"[ \t\n\r]*"
_START = re.compile(rf'"layers"{_SPACE}:{_SPACE}\[(?={_SPACE}\{{)'.encode())
_BETWEEN = re.compile(rf"\}}{_SPACE},{_SPACE}\{{".encode())
_END = "\0"  # of a text, since no text has it
_UNKNOWN = -1
_SIZE = rf'"size"{_SPACE}:{_SPACE}(0|[1-9][0-9]{{0,17}})'
_LAYERS = re.compile(
    rf'(?:\A|(?<={_END})){_SPACE}"mediaType"{_SPACE}:{_SPACE}"([ !#-\[\]-~]*)"{_SPACE},{_SPACE}'
    rf'(?:{_SIZE}{_SPACE},{_SPACE})?"digest"{_SPACE}:{_SPACE}"(sha256:[0-9a-f]{{64}})"{_SPACE}'
    rf"(?:,{_SPACE}{_SIZE}{_SPACE})?{_END}"
)
"""What is between the braces of a layer as Spin, Docker and most others write it."""


class KnownLayers(NamedTuple):
    """A manifest whose layers are known by their texts."""

    manifest: Manifest
    numbers: array[int]


class LayerTexts:
    """Layers by the text between their braces, for the manifests of one inventory."""

    def __init__(self) -> None:
        self.layers = NumberedLayers()
        self._numbers: dict[bytes, int] = {}
        self._by_value: dict[tuple[str, str, int], int] = {}
        self._applications: set[int] = set()
        self._layer_sizes: dict[str, int] = {}
        self._config_sizes: dict[str, int] = {}
        self._two_sizes = False
        self._one_text_each = True  # or else some digest is in two texts

    def numbers_of(self, layers: Iterable[Descriptor]) -> array[int]:
        """Number layers that `parse_manifest` has read; annotations do not tell them apart."""
        numbers = array("q")
        for layer in layers:
            value = layer.media_type, str(layer.digest), layer.size
            if value not in self._by_value:
                self._by_value[value] = len(self.layers)
                self.layers.extend([layer.media_type], [value[1]], [layer.size])
            numbers.append(self._by_value[value])
        return numbers

    def parse(self, data: bytes) -> KnownLayers | None:
        """Read a manifest."""
        cut = _cut(data)
        if cut is None:
            return None
        rest, texts = cut
        try:
            manifest = parse_manifest(rest, where="")
        except ManifestError:
            return None
        if not isinstance(manifest, Manifest) or manifest.layers:
            return None
        numbers = list(map(self._numbers.get, texts, repeat(_UNKNOWN)))
        if min(numbers) == _UNKNOWN:
            unknown = [text for text, number in zip(texts, numbers, strict=True) if number == _UNKNOWN]
            if not self._learn(list(dict.fromkeys(unknown))):
                return None
            learned = map(self._numbers.__getitem__, unknown)
            numbers = [next(learned) if number == _UNKNOWN else number for number in numbers]
        return self._known(manifest, array("q", numbers))

    def _known(self, manifest: Manifest, numbers: array[int]) -> KnownLayers | None:
        config = manifest.config
        self._note_config(str(config.digest), config.size)
        if self._two_sizes and not self._agree(config, numbers):
            return None
        application = None
        if self._applications and not self._applications.isdisjoint(numbers):
            last = next(number for number in reversed(numbers) if number in self._applications)
            application = self.layers.descriptor(last)
        total = partial(_sum, config, self.layers, numbers) if self._one_text_each else None
        layers = NumberedDescriptors(self.layers, numbers)
        return KnownLayers(manifest.with_layers(layers, application, total), numbers)

    # What all layers are ---------------------------------------------------------------------

    def _learn(self, texts: Sequence[bytes]) -> bool:
        """Number new texts; if one is not as nearly all are, `parse_manifest` knows what it is."""
        found = _LAYERS.findall(b"\0".join([*texts, b""]).decode("utf-8", "replace"))
        if len(found) != len(texts):
            return False
        media_types, before, digests, after = zip(*found, strict=True)
        if not all(map(xor, map(bool, before), map(bool, after))):  # no size, or two
            return False
        self._numbers.update(zip(texts, count(len(self.layers))))
        self._add(media_types, digests, [int(one or other) for one, other in zip(before, after, strict=True)])
        return True

    def _add(self, media_types: Sequence[str], digests: Sequence[str], sizes: list[int]) -> None:
        if any(role_of(media_type) == "application" for media_type in set(media_types)):
            roles = enumerate(map(role_of, media_types), len(self.layers))
            self._applications.update(number for number, role in roles if role == "application")
        self.layers.extend(media_types, digests, sizes)
        before = len(self._layer_sizes)
        if list(map(self._layer_sizes.setdefault, digests, sizes)) != sizes:
            self._two_sizes = True
        if len(self._layer_sizes) < before + len(sizes):
            self._one_text_each = False
        if any(map(self._config_sizes.__contains__, digests)):
            self._one_text_each = False
            self._two_sizes |= list(map(self._config_sizes.get, digests, sizes)) != sizes

    def _note_config(self, digest: str, size: int) -> None:
        known = self._layer_sizes.get(digest)
        if known is not None:
            self._one_text_each = False
        if self._config_sizes.setdefault(digest, size) != size or known not in (None, size):
            self._two_sizes = True

    def _agree(self, config: Descriptor, numbers: array[int]) -> bool:
        """Whether no digest has two sizes."""
        sizes = {str(config.digest): config.size}
        named = ((self.layers.digests[number], self.layers.sizes[number]) for number in numbers)
        return all(sizes.setdefault(digest, size) == size for digest, size in named)


def _sum(config: Descriptor, layers: NumberedLayers, numbers: array[int]) -> int:
    """What config and layers take, each once, where no digest has two numbers."""
    return config.size + sum(map(layers.sizes.__getitem__, set(numbers)))


def _cut(data: bytes) -> tuple[bytes, list[bytes]] | None:
    """Take the layers out of a manifest: the rest, with an empty list, and the text of each layer."""
    start = _START.search(data)
    end = data.find(b"]", start.end()) if start is not None else -1
    if start is None or end < 0:
        return None
    rest = data[: start.end()] + data[end:]
    listed = data[start.end() : end].strip(b" \t\n\r")
    if b"\\" in rest or rest.count(b'"layers"') != 1 or not listed.endswith(b"}") or b"\0" in listed:
        return None
    between = _BETWEEN.search(listed)
    texts = listed.split(between[0]) if between is not None else [listed]
    texts[0] = texts[0][1:]
    texts[-1] = texts[-1][:-1]
    return rest, texts
