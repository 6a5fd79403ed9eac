"""The engine for one machine: SQL over Parquet files, which spills to disk what memory does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.analysis.replay import Rules
from spincache_nb.fleet.catalog import Catalog
from spincache_nb.fleet.engines import statements


class DuckDBEngine:
    """Adds up in SQL.

    Parameters
    ----------
    catalog
        Of the dataset; its connection is used.
    """

    name = "duckdb"

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @cached_property
    def _blobs_made(self) -> bool:
        """Make the tables ``blob`` and ``host_sum``; always true."""
        assert self._catalog.checked
        in_parts = self._catalog.dataset.in_parts
        for statement in statements.BLOBS_OF_PARTS if in_parts else statements.BLOBS:
            self._catalog.connection.execute(statement)
        return True

    def hosts(self) -> pd.DataFrame:
        assert self._blobs_made
        return self._catalog.frame("SELECT * FROM host_sum")

    def first_hosts(self) -> pd.DataFrame:
        assert self._blobs_made
        return self._catalog.frame(statements.FIRST_HOSTS)

    def host_counts(self) -> pd.DataFrame:
        assert self._blobs_made
        return self._catalog.frame(statements.HOST_COUNTS)

    def digests(self, *, top: int | None = None, only: npt.NDArray[np.int64] | None = None) -> pd.DataFrame:
        assert self._blobs_made
        assert self._manifests_made
        if only is not None:
            self._catalog.put("only_key", {"key": only})
        return self._catalog.frame(
            statements.DIGESTS.format(
                condition="" if only is None else "WHERE key IN (SELECT key FROM only_key)",
                limit="" if top is None else statements.MOST_SAVING.format(top=int(top)),
            )
        )

    @cached_property
    def _manifests_made(self) -> bool:
        """Make the table ``manifest_count``; always true."""
        assert self._catalog.checked
        assert self._catalog.app_count >= 0
        self._catalog.connection.execute(statements.MANIFEST_COUNTS)
        return True

    def host_pairs(self, hosts: Sequence[int]) -> pd.DataFrame:
        assert self._catalog.checked
        self._catalog.put("wanted_host", {"host": np.array(hosts, dtype=np.int32)})
        return self._catalog.frame(statements.HOST_PAIRS)

    def app_pairs(self, items: dict[str, Any]) -> pd.DataFrame:
        assert self._catalog.checked
        self._catalog.put("item", items)
        return self._catalog.frame(statements.APP_PAIRS)

    def fetches(self, versions: pd.DataFrame, rules: Rules) -> pd.DataFrame:
        assert self._catalog.checked
        assert self._catalog.version_count >= 0
        names = ("version", "repository_number", "unchanged")
        self._catalog.put("wanted_version", {name: versions[name].to_numpy() for name in names})
        for statement in statements.fetches(rules):
            self._catalog.connection.execute(statement)
        return self._catalog.frame(statements.FETCH_TOTALS)

    def close(self) -> None:
        self._catalog.close()
