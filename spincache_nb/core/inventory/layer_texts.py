"""Reading the manifests of many apps, whose layers are mostly the same.

`parse_manifest` decodes every layer of every manifest, and that is what an inventory of many apps would
spend its time on. Here the text between two layers is cut, and a text that was seen before is a
descriptor that is there already. The result is the one of `parse_manifest`, or none at all:

- nothing in the text is escaped, so a quote always begins or ends a string;
- what is left of the manifest without its layers is read by `parse_manifest`, and is one with an empty
  list of layers at that very place;
- each of the texts that are cut out is a JSON object by itself, so all of them are a list of such.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from spincache_nb.core.digest import Digest
from spincache_nb.core.manifest import Descriptor, Manifest, parse_manifest
from spincache_nb.errors import ManifestError

_NOTHING: Mapping[str, str] = {}
_SPACE = r"[ \t\n\r]*"
_START = re.compile(rf'"layers"{_SPACE}:{_SPACE}\[(?={_SPACE}\{{)')
_BETWEEN = re.compile(rf"\}}{_SPACE},{_SPACE}\{{")
_SIZE = rf'"size"{_SPACE}:{_SPACE}(0|[1-9][0-9]{{0,17}})'
_LAYER = re.compile(
    rf'{_SPACE}"mediaType"{_SPACE}:{_SPACE}"([ !#-\[\]-~]*)"{_SPACE},{_SPACE}(?:{_SIZE}{_SPACE},{_SPACE})?'
    rf'"digest"{_SPACE}:{_SPACE}"sha256:([0-9a-f]{{64}})"{_SPACE}(?:,{_SPACE}{_SIZE}{_SPACE})?'
)
"""What is between the braces of a layer as Spin, Docker and most others write it."""


class _OddLayerError(Exception):
    """A layer is not written as nearly all are; `parse_manifest` knows what it is."""


class KnownLayers(NamedTuple):
    """A manifest whose layers are known by their texts.

    Parameters
    ----------
    manifest
        As `parse_manifest` reads it.
    numbers
        Of each layer, its place in `LayerTexts.descriptors`.
    """

    manifest: Manifest
    numbers: array[int]


class LayerTexts(dict[str, int]):
    """Layers by the text between their braces, for the manifests of one inventory.

    Equal texts have the same number, so that what is found out about a layer can be kept, and found
    again, by number.

    Attributes
    ----------
    descriptors : list of Descriptor
        By number.
    """

    def __init__(self) -> None:
        super().__init__()
        self.descriptors: list[Descriptor] = []
        self._sizes: dict[Digest, int] = {}
        self._bytes = array("q")  # declared sizes by number
        self._configs: dict[Digest, int] = {}
        self._two_sizes = False
        self._one_text_each = True  # or else some digest is in two texts

    def __missing__(self, text: str) -> int:
        match = _LAYER.fullmatch(text)
        if match is None or (match[2] is None) is (match[4] is None):
            raise _OddLayerError
        digest = Digest("sha256", match[3])
        layer = Descriptor(sys.intern(match[1]), digest, int(match[2] or match[4]), _NOTHING)
        self._note_size(layer, self._sizes, self._configs)
        self._bytes.append(layer.size)
        number = self[text] = len(self.descriptors)
        self.descriptors.append(layer)
        return number

    def _note_size(self, one: Descriptor, these: dict[Digest, int], others: dict[Digest, int]) -> None:
        """Note the size of a digest, and whether it was met before, other than as the same config."""
        known = others.get(one.digest, these.get(one.digest) if these is self._sizes else None)
        if known is not None:
            self._one_text_each = False
        if these.setdefault(one.digest, one.size) != one.size or known not in (None, one.size):
            self._two_sizes = True

    def _sum(self, config: Descriptor, numbers: array[int]) -> int:
        """What config and layers take, each once, where no digest is in two texts."""
        return config.size + sum(map(self._bytes.__getitem__, set(numbers)))

    def parse(self, data: bytes) -> KnownLayers | None:
        """Read a manifest.

        Parameters
        ----------
        data
            The document as stored.

        Returns
        -------
        KnownLayers or None
            What `parse_manifest` gives; None where it has to be asked, be it for the error.
        """
        cut = _cut(data)
        if cut is None:
            return None
        rest, texts = cut
        try:
            manifest = parse_manifest(rest, where="")
            numbers = array("q", map(self.__getitem__, texts))
        except (ManifestError, _OddLayerError):
            return None
        if not isinstance(manifest, Manifest) or manifest.layers:
            return None
        layers = tuple(map(self.descriptors.__getitem__, numbers))
        self._note_size(manifest.config, self._configs, self._sizes)
        if self._two_sizes and not _agree((manifest.config, *layers)):
            return None
        manifest = replace(manifest, layers=layers)
        if self._one_text_each:
            manifest.know_total(self._sum(manifest.config, numbers))
        return KnownLayers(manifest, numbers)


def _cut(data: bytes) -> tuple[bytes, list[str]] | None:
    """Take the layers out of a manifest: the rest, with an empty list, and the text of each layer."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if "\\" in text or text.count('"layers"') != 1:
        return None
    start = _START.search(text)
    end = text.find("]", start.end()) if start is not None else -1
    if start is None or end < 0:
        return None
    listed = text[start.end() : end].strip(" \t\n\r")
    if not listed.endswith("}"):
        return None
    between = _BETWEEN.search(listed)
    inner = listed[1:-1]
    texts = inner.split(between[0]) if between is not None else [inner]
    return f"{text[: start.end()]}{text[end:]}".encode(), texts


def _agree(descriptors: tuple[Descriptor, ...]) -> bool:
    """Whether no digest has two sizes."""
    sizes: dict[Digest, int] = {}
    return all(sizes.setdefault(one.digest, one.size) == one.size for one in descriptors)
