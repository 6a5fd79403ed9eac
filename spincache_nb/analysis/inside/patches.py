"""The size of a binary patch, as ``zstd --patch-from`` makes it (``zstandard``, extra ``grains``).

The old bytes are the dictionary and the window reaches over all of them. A patch between two
versions is close to the least that any scheme has to transfer, but it needs the old version whole
and one patch for each pair of versions.
"""

from __future__ import annotations

import importlib
from typing import Final

from spincache_nb.analysis.inside.chunks import INSTALL
from spincache_nb.errors import MissingExtraError

LEVEL: Final = 9
"""At this level the search tables can be made to cover the dictionary at 25 MB/s and more; level 19
makes patches a tenth smaller and takes twenty times as long."""

_LARGEST_TABLE_LOG: Final = 26
_SMALLEST_TABLE_LOG: Final = 10
_LARGEST_WINDOW_LOG: Final = 31


def patch_bytes(old: memoryview, new: memoryview) -> int:
    """Measure a patch that turns old bytes into new ones."""
    return len(make_patch(old, new))


def make_patch(old: memoryview, new: memoryview) -> bytes:
    """Make the patch; a zstd frame that needs the old bytes as a raw dictionary to unpack."""
    require_zstandard()
    import zstandard

    window = (len(old) + len(new)).bit_length()
    table = min(max(len(old).bit_length(), _SMALLEST_TABLE_LOG), _LARGEST_TABLE_LOG)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL,
        source_size=len(new),
        dict_size=len(old),
        window_log=min(max(window, _SMALLEST_TABLE_LOG), _LARGEST_WINDOW_LOG),
        hash_log=table,
        chain_log=table,
    )
    if not len(old):
        return zstandard.ZstdCompressor(compression_params=parameters).compress(new)
    dictionary = zstandard.ZstdCompressionDict(bytes(old), dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters).compress(new)


def require_zstandard() -> None:
    """Check that the package that makes patches can be imported."""
    try:
        importlib.import_module("zstandard")
    except ImportError as exc:
        raise MissingExtraError("grain patch", "the package zstandard", "none", INSTALL) from exc
