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
        """Split the bytes on each host's disk by kind, so that every byte is in exactly one row."""
        found = self._catalog.frame(queries.BREAKDOWN)
        columns = {name: found[name] for name in ("kind", "file_count", "stored_bytes", "share")}
        return typed(schemas.FLEET_BREAKDOWN_SCHEMA, {"host": self._host_names(found["host"]), **columns})

    def host_overlap(self) -> pd.DataFrame:
        """Say for each host what others have too, and what a cache shared by all would save."""
        found = overlap_columns(len(self.hosts), self._engine.hosts(), self._engine.first_hosts())
        return typed(schemas.HOST_OVERLAP_SCHEMA, {"host": self.hosts, **found})

    def host_pairs(self, *, top: int = 20) -> pd.DataFrame:
        """Say for each pair of hosts how many bytes both store."""
        stored = np.zeros(len(self.hosts), dtype=np.int64)
        sums = self._engine.hosts()
        stored[sums["host"].to_numpy()] = sums["stored"].to_numpy()
        chosen = sorted(np.argsort(-stored, kind="stable")[:top].tolist())
        pairs = self._engine.host_pairs(chosen) if len(chosen) > 1 else None
        names = [self.hosts[number] for number in chosen]
        return pair_frame(schemas.HOST_PAIRS_SCHEMA, names, chosen, pairs)

    def prewarm(self) -> pd.DataFrame:
        """Say what an image would save that brings all blobs along which at least so many hosts need."""
        return typed(schemas.PREWARM_SCHEMA, prewarm_columns(self._engine.host_counts()))

    def problems(self) -> pd.DataFrame:
        """List what is wrong with the caches, as their snapshots say."""
        found = self._catalog.frame(queries.PROBLEMS)
        columns = {name: found[name] for name in ("kind", "reference", "path")}
        return typed(schemas.PROBLEMS_SCHEMA, {"host": self._host_names(found["host"]), **columns})
