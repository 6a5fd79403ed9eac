"""An opened fleet: the same analyses as for one cache, over the snapshots of many."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal, Self

import pandas as pd

from spincache_nb.analysis.shared import pairs_in_order
from spincache_nb.analysis.versions import Rules, check_rules
from spincache_nb.errors import SpinCacheError
from spincache_nb.fleet import schemas
from spincache_nb.fleet.dataset import Dataset, Kind, Since, Skipped, choose
from spincache_nb.fleet.engines import (
    VIEWS,
    DuckDBEngine,
    Engine,
    GoneError,
    SparkEngine,
    faulty_files,
    query,
    snapshots_sql,
)
from spincache_nb.fleet.place import Place, load
from spincache_nb.fleet.schemas import TURNS, frame_of, full_name, in_turn, savings, warmest
from spincache_nb.frames.schemas import COUNT, Schema

_BYTES_A_ROW = 56
_LEAST_MIB = 512
_CANDIDATES = 400
_ATTEMPTS = 5
"""How often a query is begun again when files that it reads go or turn out to be damaged."""


class Fleet:
    """Snapshots of many caches, or of registries, and an engine to analyse them with.

    Made by `fleet.open`; a ``with`` statement closes it. Every analysis reads the snapshots that were each
    host's newest when the fleet was opened. If one of them is gone by then, replaced or expired, or is
    damaged, the analysis chooses again; what cannot be used is in `skipped`. Several threads may use it.
    """

    def __init__(
        self, place: Place, choice: Mapping[str, Any], engine: Any, settings: Mapping[str, Any]
    ) -> None:
        self._place, self._choice, self._chosen_engine, self._settings = place, choice, engine, settings
        self._lock = threading.Lock()
        self._broken: dict[str, str] = {}
        self._closed = False
        self._dataset, self._engine = self._chosen()
        self._replaced: list[Engine] = []

    def _chosen(self) -> tuple[Dataset, Engine]:
        """Choose what to read and make an engine for it; anew where a file goes in between."""
        for _ in range(_ATTEMPTS):
            dataset = choose(self._place, **self._choice, broken=self._broken)
            try:
                return dataset, self._made(dataset)
            except GoneError as exc:
                fault = exc
        raise fault

    def _made(self, dataset: Dataset) -> Engine:
        if self._chosen_engine in (None, "duckdb"):
            rows = sum(one.facts.row_count for one in dataset.chosen)
            limit = self._settings["memory_limit"] or f"{max(_LEAST_MIB, rows * _BYTES_A_ROW >> 20)}MiB"
            return DuckDBEngine(dataset, **{**self._settings, "memory_limit": limit})
        return SparkEngine(dataset, self._chosen_engine)

    @property
    def engine(self) -> str:
        """Name of the engine: ``duckdb`` or ``spark``."""
        return self._engine.name

    @property
    def kind(self) -> str:
        """``cache`` or ``registry``: what the snapshots are of."""
        return self._dataset.kind

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts, sorted."""
        return [one.host for one in self._dataset.chosen]

    @property
    def row_count(self) -> int:
        """Rows of all snapshots."""
        return sum(one.facts.row_count for one in self._dataset.chosen)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Snapshots that cannot be used, and why; an older one of that host stands in if there is one."""
        return self._dataset.skipped

    def __repr__(self) -> str:
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        closed = ", closed" if self._closed else ""
        what = f"{len(self.hosts)} {'caches' if self.kind == 'cache' else 'registries'}"
        return f"Fleet({what}, {self.row_count} rows, engine {self.engine!r}{skipped}{closed})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free memory and what was spilled to disk. An analysis of a closed fleet is an error."""
        with self._lock:
            engines, self._replaced = ([] if self._closed else [self._engine]) + self._replaced, []
            self._closed = True
        for engine in engines:
            engine.close()

    def _check_open(self) -> None:
        if self._closed:
            remedy = "open it again: fleet.open()"
            raise SpinCacheError(str(self._place), "an open fleet", "one that was closed", remedy)

    def _run(self, text: str, turns: Any = None) -> Any:
        """Run a query; where a file is gone or damaged, choose again and run it anew."""
        for attempt in range(_ATTEMPTS):
            self._check_open()
            engine = self._engine
            try:
                return engine.run(text, turns)
            except engine.faults as exc:
                self._check_open()
                if attempt + 1 == _ATTEMPTS or not self._chosen_anew(engine):
                    said = (str(exc) or type(exc).__name__).splitlines()[0][:300]
                    told = ("snapshots that can be analysed", said, "see Fleet.skipped, and what it says")
                    raise SpinCacheError(str(self._place), *told) from exc
        raise AssertionError("a query either gives something or fails")

    def _chosen_anew(self, failed: Engine) -> bool:
        """Look again which snapshots to read; say whether a query may give something now."""
        with self._lock:
            if self._engine is not failed:
                return True
            before = [one.name for one in self._dataset.chosen]
            again = choose(self._place, **self._choice, broken=self._broken)
            if [one.name for one in again.chosen] == before:
                self._broken |= faulty_files(self._dataset)
                again = choose(self._place, **self._choice, broken=self._broken)
            if [one.name for one in again.chosen] == before:
                return False
            self._dataset, self._engine = self._chosen()
            self._replaced.append(failed)
            return True

    def _frame(self, text: str, schema: Schema) -> pd.DataFrame:
        return frame_of(self._run(text), schema)

    def views(self) -> dict[str, str]:
        """The views that all analyses read, as SQL for DuckDB.

        Returns
        -------
        dict of str to str
            By name, in the order to create them: ``snapshots``, every row of each host's newest snapshot, and
            ``apps``, ``needs``, ``blobs`` and ``manifests`` over it. The columns are described in
            `spincache_nb.fleet.table`.
        """
        return {"snapshots": snapshots_sql(self._dataset), **{name: query(name) for name in VIEWS}}

    @schemas.SNAPSHOTS_SCHEMA.describes
    def snapshots(self) -> pd.DataFrame:
        """List the snapshots that are read.

        Returns
        -------
        pandas.DataFrame
            One row per host, by name.

            {columns}
        """
        self._check_open()
        pa, chosen, now = load("pyarrow"), self._dataset.chosen, datetime.now(UTC)
        table = {
            "host": pa.array([one.host for one in chosen], pa.string()),
            "kind": pa.array([one.facts.source for one in chosen], pa.string()),
            "day": pa.array([one.day for one in chosen], pa.date32()).cast(pa.timestamp("us")),
            "taken_at": pa.array([one.moment for one in chosen], pa.timestamp("us", "UTC")),
            "snapshot_age": pa.array([now - one.moment for one in chosen], pa.duration("us")),
            "row_count": pa.array([one.facts.row_count for one in chosen], pa.int64()),
            "size_bytes": pa.array([one.size_bytes for one in chosen], pa.int64()),
        }
        return frame_of(pa.table(table), schemas.SNAPSHOTS_SCHEMA)

    @schemas.FLEET_SUMMARY_SCHEMA.describes
    def summary(self) -> pd.DataFrame:
        """Sum the fleet up in one row.

        Returns
        -------
        pandas.DataFrame
            The columns of `analysis.summary`, summed over all hosts, and what only many have.

            {columns}

            Of registries, whose disks nobody sees, ``disk_bytes`` and ``unreferenced_bytes`` are missing.
        """
        return self._frame(query("summary"), schemas.FLEET_SUMMARY_SCHEMA)

    @schemas.FLEET_SHARING_SCHEMA.describes
    def sharing(self, *, top: int | None = None, names: bool = True) -> pd.DataFrame:
        """Say for each referenced digest who needs it, what it is called and what sharing it saves.

        Parameters
        ----------
        top
            Only so many, those that save most.
        names
            Whether to look up what digests are called, which costs more than all else if all are wanted.

        Returns
        -------
        pandas.DataFrame
            Users and apps are counted on each host, manifests once. Most bytes saved first, then by digest.

            {columns}
        """
        all_of_them = top is None
        of_top = "" if all_of_them else query("of_top")
        text = query(
            "sharing",
            top="" if all_of_them else query("top", top=int(top or 0)),
            blobs="blobs" if all_of_them else "top_blobs",
            wanted="needs" if all_of_them else "top_needs",
            manifest="manifest" if all_of_them else "known_as",  # to number them pays where there are many
            names=query("names", of_top=of_top) if names else query("no_names"),
        )
        return self._frame(text, schemas.FLEET_SHARING_SCHEMA)

    def saving(self) -> tuple[int, int]:
        """Count the rows of `sharing` that save bytes, and add up what they save, without making them."""
        found = self._frame(query("saving"), {"digest_count": COUNT, "saved_bytes": COUNT})
        return int(found["digest_count"].item()), int(found["saved_bytes"].item())

    def shared_bytes(self, *, top: int = 20) -> pd.DataFrame:
        """Say for each pair of apps how many bytes both need.

        Parameters
        ----------
        top
            How many apps (references): those that take most bytes on all hosts; ties by name.

        Returns
        -------
        pandas.DataFrame
            The columns of `analysis.shared_bytes`, a blob counted once however many hosts have it.
        """
        pairs = self._frame(query("shared_bytes", top=int(top)), schemas.FLEET_SHARED_BYTES_SCHEMA)
        return pairs_in_order(pairs)

    @schemas.FLEET_VERSION_SAVINGS_SCHEMA.describes
    def version_savings(self, repository: str | None = None, *, rules: Rules = "spin") -> pd.DataFrame:
        """Pull all versions of a repository one after the other into an empty cache; or of each one.

        Parameters
        ----------
        repository
            ``registry/repository``, or a shorter name that only one has; None for all.
        rules
            As for `analysis.version_savings`.

        Returns
        -------
        pandas.DataFrame
            Sorted by repository and position. What hosts call by one name is as many versions as it has
            manifests.

            {columns}

        Raises
        ------
        NotInCacheError
            If there is no such repository, or the name is ambiguous.
        ValueError
            If the rules are none of those.
        """
        check_rules(rules)
        versions = self._run(query("listed_versions")).to_pandas()
        if repository is not None:
            versions = versions[versions["repository"] == full_name(repository, set(versions["repository"]))]
        versions = in_turn(versions)
        pa = load("pyarrow")
        columns = {name: pa.array(versions[name], kind) for name, kind in TURNS.items()}
        spin = rules == "spin"
        text = query(
            "fetched",
            documents="" if spin else query("documents"),
            join_documents="" if spin else query("join_documents"),
            reused=query(f"reused_{rules}"),
        )
        return savings(versions, self._run(text, pa.table(columns)).to_pandas())

    @schemas.VERSIONS_SCHEMA.describes
    def versions(self) -> pd.DataFrame:
        """Say on how many hosts each version still sits.

        Returns
        -------
        pandas.DataFrame
            One row per reference, those on most hosts first, then by name.

            {columns}
        """
        return self._frame(query("versions"), schemas.VERSIONS_SCHEMA)

    @schemas.UNREFERENCED_SCHEMA.describes
    def unreferenced(self) -> pd.DataFrame:
        """List the blobs that nothing on their host needs.

        Returns
        -------
        pandas.DataFrame
            One row per host, digest and area.

            {columns}
        """
        return self._frame(query("unreferenced"), schemas.UNREFERENCED_SCHEMA)

    @schemas.HOST_OVERLAP_SCHEMA.describes
    def host_overlap(self) -> pd.DataFrame:
        """Say for each host what others have too, and what a cache shared by all would save.

        Returns
        -------
        pandas.DataFrame
            One row per host, by name. Blobs are those that something on the host needs.

            {columns}
        """
        return self._frame(query("host_overlap"), schemas.HOST_OVERLAP_SCHEMA)

    @schemas.HOST_PAIRS_SCHEMA.describes
    def host_pairs(self, *, top: int = 20) -> pd.DataFrame:
        """Say for each pair of hosts how many bytes both store.

        Parameters
        ----------
        top
            How many hosts: those that store most; ties by name.

        Returns
        -------
        pandas.DataFrame
            One row per pair, each pair once (``host_a`` sorts first), those that share nothing included.

            {columns}
        """
        return self._frame(query("host_pairs", top=int(top)), schemas.HOST_PAIRS_SCHEMA)

    @schemas.PREWARM_SCHEMA.describes
    def prewarm(self) -> pd.DataFrame:
        """Say what an image would save that brings all blobs along which at least so many hosts need.

        Returns
        -------
        pandas.DataFrame
            One row per number of hosts that some blob is on, largest first.

            {columns}
        """
        return self._frame(query("prewarm"), schemas.PREWARM_SCHEMA)

    @schemas.FLEET_BREAKDOWN_SCHEMA.describes
    def breakdown(self) -> pd.DataFrame:
        """Split the bytes on each host's disk by kind, so that every byte is in exactly one row.

        Returns
        -------
        pandas.DataFrame
            One row per host and kind of `analysis.breakdown` that it has; none for registries.

            {columns}
        """
        return self._frame(query("breakdown"), schemas.FLEET_BREAKDOWN_SCHEMA)

    @schemas.PREWARM_IMAGES_SCHEMA.describes
    def prewarm_images(self, *, top: int = 20) -> pd.DataFrame:
        """Say which apps an image should bring along: each the one that saves most beyond those before it.

        Parameters
        ----------
        top
            How many apps, of the 400 that are on most hosts.

        Returns
        -------
        pandas.DataFrame
            One row per app, in the order to choose them.

            {columns}
        """
        wanted = self._run(query("warmest", candidates=_CANDIDATES)).to_pandas()
        return frame_of(warmest(wanted, top), schemas.PREWARM_IMAGES_SCHEMA)

    @schemas.PROBLEMS_SCHEMA.describes
    def problems(self) -> pd.DataFrame:
        """List what is wrong with the caches, as their snapshots say.

        Returns
        -------
        pandas.DataFrame
            One row per row of ``frames.problems``.

            {columns}
        """
        return self._frame(query("problems"), schemas.PROBLEMS_SCHEMA)


def open(
    target: str | os.PathLike[str],
    *,
    engine: Literal["duckdb"] | Any = None,
    since: Since | None = None,
    day: date | str | None = None,
    kind: Kind | None = None,
    memory_limit: str | None = None,
    threads: int | None = None,
    spill_folder: str | os.PathLike[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Fleet:
    """Open a dataset of snapshots for analysis: each host's newest.

    Parameters
    ----------
    target
        Folder of the dataset, local or at any address that fsspec understands (``s3://...``).
    engine
        None or ``duckdb`` for DuckDB in this process, which spills to disk what memory does not hold; or a
        running ``SparkSession``, whose executors then read the files (buckets with Spark's own settings).
        Both give the same frames.
    since
        Leave out hosts whose newest snapshot is older: a day or a moment (UTC), also as text
        (``2026-03-02``), or a ``timedelta`` for so long ago.
    day
        Latest day to look at; the latest there is unless given.
    kind
        ``cache`` or ``registry``, if the dataset holds both.
    memory_limit
        Such as ``4GB``, for DuckDB; 56 bytes a row unless given, and 512 MiB at least.
    threads
        For DuckDB; as many as there are processors unless given.
    spill_folder
        Where DuckDB spills; a temporary folder unless given.
    storage_options
        Handed to fsspec, credentials for example.

    Returns
    -------
    Fleet
        To be closed, or used in a ``with`` statement.

    Raises
    ------
    MissingExtraError
        If an extra, or fsspec's package for the address, is not installed.
    SpinCacheError
        If there is no complete snapshot, or the address cannot be read.
    ValueError
        If there is no such engine or day, or both kinds are there and none is named.
    """
    if engine not in (None, "duckdb") and not hasattr(engine, "newSession"):
        raise ValueError(f"engine is None, 'duckdb' or a running SparkSession, not {engine!r}")
    until = date.fromisoformat(day) if isinstance(day, str) else day
    choice = {"day": until, "kind": kind, "since": since}
    settings = {"memory_limit": memory_limit, "threads": threads, "spill_folder": spill_folder}
    return Fleet(Place(target, storage_options), choice, engine, settings)
