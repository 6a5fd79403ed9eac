"""The small tables of a dataset, in DuckDB: hosts, apps, versions, names, and the check of keys.

"Small" is a hundredth of the rows: what is one per app or per snapshot. Every engine asks here for
what an app's number means; the rows of uses and layers are its own to read.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.fleet import sql
from spincache_nb.fleet.clashes import Fix, fixes_for
from spincache_nb.fleet.dataset import Dataset
from spincache_nb.fleet.extras import load
from spincache_nb.fleet.reading import Job, Numbers
from spincache_nb.fleet.tables import TABLES

_KEYED = ("uses", "layers", "members", "blobs", "digests")
_NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Settings:
    """How much of this machine DuckDB may use."""

    memory_limit: str | None = None
    threads: int | None = None
    spill_folder: str | os.PathLike[str] | None = None


class Catalog:
    """A DuckDB connection that knows a dataset."""

    def __init__(self, dataset: Dataset, settings: Settings | None = None) -> None:
        self.dataset = dataset
        self._run: set[str] = set()
        with contextlib.ExitStack() as stack:
            self.connection = _connect(settings or Settings(), stack)
            self._closing = stack.pop_all()
        if not dataset.place.local:
            self.connection.register_filesystem(dataset.place.fs)
        units = dataset.units
        self.put(
            "unit", {"unit": [unit.number for unit in units], "host": [unit.host_number for unit in units]}
        )
        for table in TABLES:
            files = ", ".join(sql.literal(sql.unglobbed(name)) for name in dataset.addresses(table))
            self.connection.execute(
                f"CREATE VIEW raw_{table} AS SELECT CAST(file_index AS INTEGER) AS unit, * "  # noqa: S608
                f"FROM read_parquet([{files}], hive_partitioning = false)"
            )

    def close(self) -> None:
        """Close the connection and remove what was spilled."""
        self._closing.close()

    def put(self, name: str, columns: dict[str, Any]) -> None:
        """Make a temporary table."""
        table = load("pyarrow").table(columns)
        self.connection.register("incoming", table)
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM incoming")  # noqa: S608
        self.connection.unregister("incoming")

    def frame(self, query: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """Run a query that gives a frame."""
        frame: pd.DataFrame = self.connection.execute(query, list(parameters)).df()
        return frame

    def arrays(self, query: str) -> dict[str, npt.NDArray[Any]]:
        """Run a query that gives columns of numbers."""
        found: dict[str, npt.NDArray[Any]] = self.connection.execute(query).fetchnumpy()
        return found

    @cached_property
    def fixes(self) -> list[Fix]:
        """Look at every digest of the data; give those whose keys would be mistaken others."""
        rows = self.connection.execute(sql.CLASHES).fetchall()
        fixes = fixes_for(((unit, key, bytes(digest)) for unit, key, digest in rows), self._taken)
        columns = ("unit", "key", "digest", "new_key")
        self.put(
            "fix", {name: [getattr(fix, name) for fix in fixes] for name in columns} if fixes else _NO_FIX
        )
        return fixes

    def _taken(self, keys: Collection[int]) -> set[int]:
        listed = ", ".join(map(str, keys))
        query = f"SELECT DISTINCT key FROM raw_digests WHERE key IN ({listed})"  # noqa: S608
        return {key for (key,) in self.connection.execute(query).fetchall()}

    def run_once(self, *statements: str) -> None:
        """Run statements that make tables or views, but for those that were run before."""
        for statement in statements:
            if statement not in self._run:
                self.connection.execute(statement)
                self._run.add(statement)

    def check_keys(self) -> None:
        """Make the views whose keys are safe to join on."""
        template = sql.FIXED_VIEW if self.fixes else sql.PLAIN_VIEW
        chosen = {table: template if table in _KEYED else sql.PLAIN_VIEW for table in TABLES}
        self.run_once(*(view.format(table=table) for table, view in chosen.items()))

    def number_manifests(self) -> None:
        """Make the table ``app``, in which manifests have numbers."""
        self.run_once(sql.APPS)

    def number_versions(self) -> None:
        """Make the table ``version``, numbered repository by repository, in order."""
        self.run_once(sql.APPS, sql.VERSIONS)

    def jobs(self, query: str | None = None) -> list[Job]:
        """Give every unit with what is needed to read it."""
        new_keys: dict[int, dict[int, int]] = {}
        for fix in self.fixes:
            new_keys.setdefault(fix.unit, {})[fix.key] = fix.new_key
        units = self.dataset.units
        numbers = self._by_unit(query) if query is not None else [None] * len(units)
        return [
            Job(self.dataset.place, unit, new_keys.get(unit.number, {}), number)
            for unit, number in zip(units, numbers, strict=True)
        ]

    def manifest_jobs(self) -> list[Job]:
        """The same, with the numbers of those manifests that are in several snapshots."""
        self.number_manifests()
        return self.jobs(sql.MANIFEST_NUMBERS)

    def version_jobs(self, versions: npt.NDArray[np.int64]) -> list[Job]:
        """Units in which an app stands for one of some versions, with the numbers of these."""
        self.number_versions()
        self.put("wanted_version", {"version": versions})
        return _with_numbers(self.jobs(sql.VERSION_NUMBERS))

    def item_jobs(self, items: dict[str, Any]) -> list[Job]:
        """Units that have one of some references, with the numbers of these: ``item``, ``reference``."""
        self.put("item", items)
        return _with_numbers(self.jobs(sql.ITEM_NUMBERS))

    def _by_unit(self, query: str) -> list[Numbers]:
        """Columns ``number`` of a query over all apps, in order, one array per unit."""
        numbers = self.arrays(query)["number"].astype(np.int32)
        counts = [unit.part["apps"].row_count for unit in self.dataset.units]
        return np.split(numbers, np.cumsum(counts)[:-1])

    def versions(self, repository: str | None = None) -> pd.DataFrame:
        """Describe the versions, of one repository or of all."""
        self.number_versions()
        condition = "" if repository is None else "WHERE repository = ?"
        query = sql.VERSION_ROWS.format(condition=condition)
        return self.frame(query, [] if repository is None else [repository])

    def repositories(self) -> list[str]:
        """Names ``registry/repository`` of all apps whose manifest could be read."""
        self.number_versions()
        query = "SELECT DISTINCT repository FROM version ORDER BY repository"
        return [name for (name,) in self.connection.execute(query).fetchall()]

    def digests(self, keys: npt.NDArray[np.int64]) -> pd.DataFrame:
        """Look digests up: ``key``, ``digest`` (bytes), sorted by key."""
        self.check_keys()
        self.put("wanted", {"key": keys})
        return self.frame(sql.DIGESTS)

    def names(self, keys: npt.NDArray[np.int64]) -> pd.DataFrame:
        """Look names up: ``key``, ``name_count``, ``names`` (the first three and how many more)."""
        self.check_keys()
        self.put("wanted", {"key": keys})
        return self.frame(sql.NAMES, [_NAMES_SHOWN, _NAMES_SHOWN, _NAMES_SHOWN])


def _with_numbers(jobs: list[Job]) -> list[Job]:
    """Those in which some app has a number; at least one, which has all columns."""
    return [job for job in jobs if job.numbers is not None and (job.numbers >= 0).any()] or jobs[:1]


_NO_FIX: dict[str, list[Any]] = {"unit": [], "key": [], "digest": [], "new_key": []}


def _connect(settings: Settings, stack: contextlib.ExitStack) -> Any:
    folder = settings.spill_folder
    if folder is None:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="spincache-fleet-"))
    config: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "preserve_insertion_order": "false",
        "temp_directory": os.fspath(folder),
    }
    if settings.memory_limit is not None:
        config["memory_limit"] = settings.memory_limit
    if settings.threads is not None:
        config["threads"] = settings.threads
    connection = load("duckdb").connect(":memory:", config=config)
    stack.callback(connection.close)
    return connection
