"""What a fleet's hosts tell: what each has, what pairs have in common, what an image would save."""

from __future__ import annotations

import numpy as np
import pandas as pd

from spincache_nb.fleet import queries, schemas
from spincache_nb.fleet.dress import overlap_columns, pair_frame, prewarm_columns
from spincache_nb.fleet.opened import Opened
from spincache_nb.fleet.schemas import typed


class HostAnalyses(Opened):
    """Analyses with a row per host, or per number of hosts."""

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
        return pair_frame(schemas.HOST_PAIRS_SCHEMA, names, chosen, pairs)

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
