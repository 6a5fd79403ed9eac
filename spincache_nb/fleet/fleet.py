"""A fleet: the same analyses as for one cache, over the snapshots of many."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.analysis.replay import Rules, check_rules
from spincache_nb.core.reference import Reference
from spincache_nb.errors import InvalidReferenceError, NotInCacheError
from spincache_nb.fleet import queries, schemas
from spincache_nb.fleet.catalog import Catalog
from spincache_nb.fleet.dataset import Skipped
from spincache_nb.fleet.dress import digest_texts, overlap_columns, prewarm_columns, savings_columns
from spincache_nb.fleet.engines.base import Engine
from spincache_nb.fleet.schemas import typed
from spincache_nb.fleet.tables import AREAS


class Fleet:
    """Snapshots of many caches, or of registries, and an engine to analyse them with.

    Made by `fleet.open`. The rows are read when an analysis needs them, and what several analyses need
    is kept until `close`; a ``with`` statement closes.

    Parameters
    ----------
    catalog
        Of the dataset.
    engine
        Adds up its rows.
    """

    def __init__(self, catalog: Catalog, engine: Engine) -> None:
        self._catalog = catalog
        self._engine = engine

    @property
    def engine(self) -> str:
        """Name of the engine: ``pandas``, ``duckdb`` or ``dask``."""
        return self._engine.name

    @property
    def kind(self) -> str:
        """``cache`` or ``registry``: what the snapshots are of."""
        return self._catalog.dataset.kind

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts, sorted."""
        return self._catalog.dataset.hosts

    @property
    def row_count(self) -> int:
        """Rows of uses and of layers."""
        return sum(self._catalog.dataset.row_count(table) for table in ("uses", "layers"))

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Snapshots whose marker cannot be read; an older one of that host stands in if there is one."""
        return self._catalog.dataset.skipped

    def __repr__(self) -> str:
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        what = "caches" if self.kind == "cache" else "registries"
        return f"Fleet({len(self.hosts)} {what}, {self.row_count} rows, engine {self.engine!r}{skipped})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free memory and what was spilled to disk."""
        self._engine.close()

    def summary(self) -> pd.DataFrame:
        """Sum the fleet up in one row.

        Returns
        -------
        pandas.DataFrame
            The columns of `analysis.summary`, summed over all hosts, and:

            ========================  =======  =============================================
            column                    dtype    meaning
            ========================  =======  =============================================
            host_count                Int64    snapshots
            distinct_blob_count       Int64    blobs (digest and area), each once for all hosts
            distinct_bytes            Int64    bytes that one cache for all hosts would hold
            shared_cache_saved_bytes  Int64    bytes stored on all hosts beyond these
            ========================  =======  =============================================

            Of registries, whose disks nobody sees, ``disk_bytes`` and ``unreferenced_bytes`` are missing.
        """
        hosts, counts = self._engine.hosts(), self._engine.host_counts()
        logical, stored = int(hosts["logical"].sum()), int(hosts["stored"].sum())
        distinct = int(counts["size"].sum())
        line = {
            "logical_bytes": logical,
            "stored_bytes": stored,
            "dedup_ratio": logical / stored if stored else None,
            "saved_bytes": logical - stored,
            "problem_count": self._catalog.dataset.row_count("problems"),
            "app_count": self._catalog.dataset.row_count("apps"),
            "blob_count": int(hosts["blobs"].sum()),
            "unreferenced_bytes": None,
            "disk_bytes": None,
            "host_count": len(self.hosts),
            "distinct_blob_count": int(counts["blobs"].sum()),
            "distinct_bytes": distinct,
            "shared_cache_saved_bytes": stored - distinct,
        }
        if self.kind == "cache":
            split = self._catalog.frame(queries.BREAKDOWN_TOTALS)
            line |= {name: int(split[name].iloc[0]) for name in ("unreferenced_bytes", "disk_bytes")}
        return typed(schemas.FLEET_SUMMARY_SCHEMA, {name: [value] for name, value in line.items()})

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
            The columns of `analysis.sharing`; users and apps are counted on each host, manifests once.
            Most bytes saved first, then by digest. And:

            ========================  =======  =============================================
            column                    dtype    meaning
            ========================  =======  =============================================
            host_count                Int64    hosts that need it
            distinct_bytes            Int64    bytes of one copy in each area that it is in
            shared_cache_saved_bytes  Int64    ``stored_bytes - distinct_bytes``
            ========================  =======  =============================================
        """
        found = self._engine.digests(top=top)
        key = found["key"].to_numpy()
        stored, needed = found["stored"].to_numpy(), found["needed"].to_numpy()
        size = found["size"].to_numpy()
        labels = {
            bits: "+".join(sorted(name for name, bit in AREAS.items() if bits & bit)) for bits in range(8)
        }
        columns: dict[str, Any] = {
            "digest": self._digests_of(key),
            "areas": found["areas"].map(labels).to_numpy(dtype=object),
            "stored_bytes": stored,
            "user_count": found["users"].to_numpy(),
            "app_count": found["apps"].to_numpy(),
            "manifest_count": found["manifests"].to_numpy(),
            "needed_bytes": needed,
            "saved_bytes": needed - stored,
            "host_count": found["hosts"].to_numpy(),
            "distinct_bytes": size,
            "shared_cache_saved_bytes": stored - size,
            **self._names_of(key, wanted=names),
        }
        order = np.lexsort((columns["digest"], -columns["saved_bytes"]))
        return typed(
            schemas.FLEET_SHARING_SCHEMA, {name: column[order] for name, column in columns.items()}
        )

    def breakdown(self) -> pd.DataFrame:
        """Split the bytes on each host's disk by kind, so that every byte is in exactly one row.

        Returns
        -------
        pandas.DataFrame
            One row per host and kind of `analysis.breakdown` that it has; none for registries.

            ============  ========  ==========================================
            column        dtype     meaning
            ============  ========  ==========================================
            host          category  whose disk
            kind          category  as in `analysis.breakdown`
            file_count    Int64     files
            stored_bytes  Int64     bytes on disk
            share         Float64   part of the host's total, missing if that is 0
            ============  ========  ==========================================
        """
        found = self._catalog.frame(queries.BREAKDOWN)
        columns = {name: found[name] for name in ("kind", "file_count", "stored_bytes", "share")}
        return typed(schemas.FLEET_BREAKDOWN_SCHEMA, {"host": self._host_names(found["host"]), **columns})

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
        chosen = sorted(self._catalog.frame(queries.LARGEST_REFERENCES, [int(top)])["reference"])
        items = {"item": np.arange(len(chosen), dtype=np.int64), "reference": chosen}
        pairs = self._engine.app_pairs(items) if len(chosen) > 1 else None
        return _pair_frame(schemas.FLEET_SHARED_BYTES_SCHEMA, chosen, list(range(len(chosen))), pairs)

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
            The columns of `analysis.version_savings` after ``repository``, sorted by that and position;
            then ``host_count``, the snapshots that have the version. What hosts call by one name is as
            many versions as it has manifests.

        Raises
        ------
        NotInCacheError
            If there is no such repository, or the name is ambiguous.
        ValueError
            If the rules are none of those.
        """
        check_rules(rules)
        name = None if repository is None else self._full_name(repository)
        versions = self._catalog.versions(name)
        found = self._engine.fetches(versions, rules)
        return typed(schemas.FLEET_VERSION_SAVINGS_SCHEMA, savings_columns(versions, found))

    def unreferenced(self) -> pd.DataFrame:
        """List the blobs that nothing on their host needs.

        Returns
        -------
        pandas.DataFrame
            One row per host, digest and area.

            =============  ===================  ========================================
            column         dtype                meaning
            =============  ===================  ========================================
            host           category             where it is stored
            digest         string               the digest
            area           category             ``wasm`` or ``data``
            stored_bytes   Int64                size
            modified_at    datetime64[ns, UTC]  when it was last written
            used_by_hosts  Int64                hosts where something needs this digest
            =============  ===================  ========================================
        """
        assert self._catalog.checked
        found = self._catalog.frame(queries.UNREFERENCED)
        wanted = np.unique(found["key"].to_numpy(dtype=np.int64))
        used = self._engine.digests(only=wanted).set_index("key")["hosts"] if len(wanted) else pd.Series()
        columns = {name: found[name] for name in ("area", "stored_bytes")}
        return typed(
            schemas.UNREFERENCED_SCHEMA,
            {
                "host": self._host_names(found["host"]),
                "digest": digest_texts(found["digest"]),
                **columns,
                "modified_at": found["modified_ns"],
                "used_by_hosts": found["key"].map(used).fillna(0).astype(np.int64).to_numpy(),
            },
        ).sort_values(["host", "digest", "area"], ignore_index=True)

    def host_overlap(self) -> pd.DataFrame:
        """Say for each host what others have too, and what a cache shared by all would save.

        Returns
        -------
        pandas.DataFrame
            One row per host, by name. Blobs are those that something on the host needs.

            =========================  ========  =======================================
            column                     dtype     meaning
            =========================  ========  =======================================
            host                       category  the host
            blob_count                 Int64     its blobs (digest and area)
            stored_bytes               Int64     their bytes
            only_here_bytes            Int64     bytes of those that no other host has
            elsewhere_bytes            Int64     bytes of the others
            new_bytes                  Int64     bytes of those that no host before it, by name, has
            shared_cache_saved_bytes   Int64     ``stored_bytes - new_bytes``: what this host need not
                                                 store where it shares a cache with those before it
            cumulative_stored_bytes    Int64     stored by the hosts so far, each on its own
            cumulative_distinct_bytes  Int64     stored by the hosts so far in one cache
            =========================  ========  =======================================
        """
        found = overlap_columns(len(self.hosts), self._engine.hosts(), self._engine.first_hosts())
        return typed(schemas.HOST_OVERLAP_SCHEMA, {"host": self.hosts, **found})

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

            ============  ========  =================================
            column        dtype     meaning
            ============  ========  =================================
            host_a        category  a host
            host_b        category  another host
            shared_bytes  Int64     bytes of the blobs both have
            ============  ========  =================================
        """
        stored = np.zeros(len(self.hosts), dtype=np.int64)
        sums = self._engine.hosts()
        stored[sums["host"].to_numpy()] = sums["stored"].to_numpy()
        chosen = sorted(np.argsort(-stored, kind="stable")[:top].tolist())
        pairs = self._engine.host_pairs(chosen) if len(chosen) > 1 else None
        names = [self.hosts[number] for number in chosen]
        return _pair_frame(schemas.HOST_PAIRS_SCHEMA, names, chosen, pairs)

    def prewarm(self) -> pd.DataFrame:
        """Say what an image would save that brings all blobs along which at least so many hosts need.

        Returns
        -------
        pandas.DataFrame
            One row per number of hosts that some blob is on, largest first.

            ==============  =======  ====================================================
            column          dtype    meaning
            ==============  =======  ====================================================
            host_count      Int64    so many hosts
            blob_count      Int64    blobs on just so many hosts
            distinct_bytes  Int64    their bytes, each once
            stored_bytes    Int64    their bytes on all hosts
            image_bytes     Int64    an image with all blobs on at least so many hosts
            saved_bytes     Int64    what all hosts then need not fetch
            saved_share     Float64  part of what all hosts store, missing if that is 0
            ==============  =======  ====================================================
        """
        return typed(schemas.PREWARM_SCHEMA, prewarm_columns(self._engine.host_counts()))

    def versions(self) -> pd.DataFrame:
        """Say on how many hosts each version still sits.

        Returns
        -------
        pandas.DataFrame
            One row per reference, those on most hosts first, then by name.

            ===============  ===================  ==================================
            column           dtype                meaning
            ===============  ===================  ==================================
            reference        string               the version
            repository       category             ``registry/repository``
            tag              string               its tag, missing if filed under a digest
            host_count       Int64                hosts that have it
            manifest_count   Int64                different manifests that they have by that name
            declared_bytes   Int64                config and layers, of the largest of these
            stored_bytes     Int64                its blobs on all hosts
            first_pulled_at  datetime64[ns, UTC]  when it was pulled first
            last_pulled_at   datetime64[ns, UTC]  and last
            ===============  ===================  ==================================
        """
        assert self._catalog.app_count >= 0
        found = self._catalog.frame(queries.VERSIONS)
        times = {f"{name}_pulled_at": found[f"{name}_ns"] for name in ("first", "last")}
        return typed(schemas.VERSIONS_SCHEMA, {**{name: found[name] for name in found}, **times})

    def problems(self) -> pd.DataFrame:
        """List what is wrong with the caches, as their snapshots say.

        Returns
        -------
        pandas.DataFrame
            One row per row of ``frames.problems``: ``host``, ``kind``, ``reference`` and ``path``. For a
            registry: what could not be read of it.
        """
        found = self._catalog.frame(queries.PROBLEMS)
        columns = {name: found[name] for name in ("kind", "reference", "path")}
        return typed(schemas.PROBLEMS_SCHEMA, {"host": self._host_names(found["host"]), **columns})

    def _host_names(self, numbers: pd.Series[Any]) -> npt.NDArray[Any]:
        return np.array(self.hosts, dtype=object)[numbers.to_numpy(dtype=np.int64)]

    def _digests_of(self, key: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        known = self._catalog.digests(key)
        texts = digest_texts(known["digest"])
        return texts[np.searchsorted(known["key"].to_numpy(), key)] if len(key) else texts

    def _names_of(self, key: npt.NDArray[np.int64], *, wanted: bool) -> dict[str, npt.NDArray[Any]]:
        if not wanted:
            return {name: np.full(len(key), None, dtype=object) for name in ("names", "name_count")}
        known = self._catalog.names(key).set_index("key").reindex(key)
        return {
            "names": known["names"].fillna("").to_numpy(dtype=object),
            "name_count": known["name_count"].fillna(0).to_numpy(dtype=np.int64),
        }

    def _full_name(self, repository: str) -> str:
        known = self._catalog.repositories()
        try:
            reference = Reference.parse(repository)
            wanted = {repository, f"{reference.registry}/{reference.repository}"}
        except InvalidReferenceError:
            wanted = {repository}
        found = [name for name in known if name in wanted] or [
            name for name in known if name.partition("/")[2] == repository
        ]
        if len(found) != 1:
            what = f"{found}" if found else "none of that name"
            raise NotInCacheError(repository, "one repository in the fleet", what, "see Fleet.versions()")
        return found[0]


def _pair_frame(
    schema: schemas.Schema, names: list[str], numbers: list[int], pairs: pd.DataFrame | None
) -> pd.DataFrame:
    """Name pairs, and add those that share nothing."""
    square = np.zeros((len(names), len(names)), dtype=np.int64)
    if pairs is not None and len(pairs):
        place = {number: at for at, number in enumerate(numbers)}
        a, b = (pairs[side].map(place).to_numpy() for side in ("a", "b"))
        square[a, b] = pairs["shared"].to_numpy()
    above, beside = np.triu_indices(len(names), k=1)
    called = np.array(names, dtype=object)
    return typed(schema, dict(zip(schema, (called[above], called[beside], square[above, beside]), strict=True)))
