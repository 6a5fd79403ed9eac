"""What every engine can do. Results are frames of integers; `spincache_nb.fleet.fleet` dresses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.analysis.replay import Rules


class Engine(Protocol):
    """Adds up the rows of a dataset."""

    name: str

    def hosts(self) -> pd.DataFrame:
        """Per host: ``logical``, ``stored``, ``blobs``."""

    def first_hosts(self) -> pd.DataFrame:
        """Per host, hosts without any left out: ``new``, ``only_here``."""

    def host_counts(self) -> pd.DataFrame:
        """Per number of ``hosts``: ``blobs``, ``size``, ``stored``."""

    def digests(self, *, top: int | None = None) -> pd.DataFrame:
        """Per key: ``areas``, sums of ``stored``, ``size``, ``users``, ``apps``, ``hosts``, ``needed``, and
        ``manifests``."""

    def users_of(self, keys: npt.NDArray[np.int64]) -> pd.DataFrame:
        """Per key, of some, that is needed at all: ``hosts``."""

    def host_pairs(self, hosts: Sequence[int]) -> pd.DataFrame:
        """Per pair of some hosts: ``a``, ``b`` (numbers of hosts) and ``shared`` bytes; none that are 0."""

    def app_pairs(self, items: dict[str, Any]) -> pd.DataFrame:
        """Per pair of some references: ``a``, ``b`` (items) and ``shared`` bytes; none that are 0."""

    def fetches(self, versions: pd.DataFrame, rules: Rules) -> pd.DataFrame:
        """Per version that has rows: ``fetch``, ``archive_fetch``, ``known``, ``members``."""

    def close(self) -> None:
        """Free what is held."""


def most_saving(digests: pd.DataFrame, top: int | None) -> pd.DataFrame:
    """Choose the rows that save most; ties by key, as an unsigned number."""
    if top is None or len(digests) <= top:
        return digests
    saved = digests["needed"].to_numpy() - digests["stored"].to_numpy()
    unsigned = digests["key"].to_numpy().view(np.uint64)
    return digests.iloc[np.lexsort((unsigned, -saved))[:top]].reset_index(drop=True)


def version_arrays(versions: pd.DataFrame) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Number of the repository (-1 for versions of no interest) and ``unchanged``, by number of version."""
    size = int(versions["version"].max()) + 1 if len(versions) else 0
    repositories = np.full(size, -1, dtype=np.int32)
    unchanged = np.zeros(size, dtype=bool)
    number = versions["version"].to_numpy()
    repositories[number] = versions["repository_number"]
    unchanged[number] = versions["unchanged"]
    return repositories, unchanged
