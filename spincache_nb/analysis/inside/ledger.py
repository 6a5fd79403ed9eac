"""Count distinct pieces of many blobs in bounded memory."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from spincache_nb.analysis.inside.pieces import Pieces

_KEPT_BYTES: Final = 16
_LEAST_PENDING: Final = 1 << 18

_Digests = npt.NDArray[np.bytes_]
_Sizes = npt.NDArray[np.int64]


class PieceLedger:
    """Remembers which pieces were seen, 24 bytes for each."""

    def __init__(self) -> None:
        self.total_bytes = 0
        self.piece_count = 0
        self._digests: _Digests = np.empty(0, f"S{_KEPT_BYTES}")
        self._sizes: _Sizes = np.empty(0, np.int64)
        self._pending: list[tuple[_Digests, _Sizes]] = []
        self._pending_count = 0

    def add(self, pieces: Pieces) -> None:
        """Add the pieces of a blob."""
        digests, sizes = pieces
        if not digests:
            return
        kept = np.frombuffer(b"".join(digests), "S32").astype(f"S{_KEPT_BYTES}")
        self._pending.append((kept, np.array(sizes, np.int64)))
        self._pending_count += len(kept)
        self.piece_count += len(kept)
        self.total_bytes += sum(sizes)
        if self._pending_count >= max(_LEAST_PENDING, len(self._digests)):
            self._merge()

    def distinct_bytes(self) -> int:
        """Count the bytes of the pieces added, each piece once."""
        self._merge()
        return int(self._sizes.sum())

    def _merge(self) -> None:
        runs = [(self._digests, self._sizes), *self._pending]
        digests: npt.NDArray[Any] = np.concatenate([run[0] for run in runs])
        sizes = np.concatenate([run[1] for run in runs])
        self._pending.clear()
        self._pending_count = 0
        self._digests, first = np.unique(digests, return_index=True)
        self._sizes = sizes[first]
