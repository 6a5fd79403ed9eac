"""The engine for one machine: SQL over Parquet files, which spills to disk what memory does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.analysis.replay import Rules
from spincache_nb.fleet.catalog import Catalog
from spincache_nb.fleet.engines import statements


class DuckDBEngine:
    """Adds up in SQL."""

    name = "duckdb"

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def _add_up_blobs(self) -> None:
        """Make the tables ``blob`` and ``host_sum``."""
        self._catalog.check_keys()
        in_parts = self._catalog.dataset.in_parts
        self._catalog.run_once(*(statements.BLOBS_OF_PARTS if in_parts else statements.BLOBS))

    def hosts(self) -> pd.DataFrame:
        self._add_up_blobs()
        return self._catalog.frame("SELECT * FROM host_sum")

    def first_hosts(self) -> pd.DataFrame:
        self._add_up_blobs()
        return self._catalog.frame(statements.FIRST_HOSTS)

    def host_counts(self) -> pd.DataFrame:
        self._add_up_blobs()
        return self._catalog.frame(statements.HOST_COUNTS)

    def digests(self, *, top: int | None = None) -> pd.DataFrame:
        self._add_up_blobs()
        self._catalog.number_manifests()
        self._catalog.run_once(statements.MANIFEST_COUNTS)
        limit = "" if top is None else statements.MOST_SAVING.format(top=int(top))
        return self._catalog.frame(statements.DIGESTS.format(limit=limit))

    def users_of(self, keys: npt.NDArray[np.int64]) -> pd.DataFrame:
        self._catalog.check_keys()
        self._catalog.put("wanted", {"key": keys})
        return self._catalog.frame(statements.USERS_OF)

    def host_pairs(self, hosts: Sequence[int]) -> pd.DataFrame:
        self._catalog.check_keys()
        self._catalog.put("wanted_host", {"host": np.array(hosts, dtype=np.int32)})
        return self._catalog.frame(statements.HOST_PAIRS)

    def app_pairs(self, items: dict[str, Any]) -> pd.DataFrame:
        self._catalog.check_keys()
        self._catalog.put("item", items)
        return self._catalog.frame(statements.APP_PAIRS)

    def fetches(self, versions: pd.DataFrame, rules: Rules) -> pd.DataFrame:
        self._catalog.check_keys()
        self._catalog.number_versions()
        names = ("version", "repository_number", "unchanged")
        self._catalog.put("wanted_version", {name: versions[name].to_numpy() for name in names})
        for statement in statements.fetches(rules):
            self._catalog.connection.execute(statement)
        return self._catalog.frame(statements.FETCH_TOTALS)

    def close(self) -> None:
        self._catalog.close()
