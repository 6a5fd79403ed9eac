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
from collections.abc import Mapping
from dataclasses import replace

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


class LayerTexts(dict[str, Descriptor]):
    """Descriptors by the text between their braces, for the manifests of one inventory.

    Equal texts give the very same descriptor, so that what is found out about it can be kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[Digest, int] = {}
        self._two_sizes = False

    def __missing__(self, text: str) -> Descriptor:
        match = _LAYER.fullmatch(text)
        if match is None or (match[2] is None) is (match[4] is None):
            raise _OddLayerError
        digest = Digest("sha256", match[3])
        layer = Descriptor(sys.intern(match[1]), digest, int(match[2] or match[4]), _NOTHING)
        self._note_size(layer)
        self[text] = layer
        return layer

    def _note_size(self, descriptor: Descriptor) -> None:
        if self._sizes.setdefault(descriptor.digest, descriptor.size) != descriptor.size:
            self._two_sizes = True

    def parse(self, data: bytes) -> Manifest | None:
        """Read a manifest.

        Parameters
        ----------
        data
            The document as stored.

        Returns
        -------
        Manifest or None
            What `parse_manifest` gives; None where it has to be asked, be it for the error.
        """
        cut = _cut(data)
        if cut is None:
            return None
        rest, texts = cut
        try:
            manifest = parse_manifest(rest, where="")
            layers = tuple(map(self.__getitem__, texts))
        except (ManifestError, _OddLayerError):
            return None
        if not isinstance(manifest, Manifest) or manifest.layers:
            return None
        self._note_size(manifest.config)
        if self._two_sizes and not _agree((manifest.config, *layers)):
            return None
        return replace(manifest, layers=layers)


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
