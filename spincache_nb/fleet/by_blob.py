"""What a fleet's blobs tell: what is shared, by how many, and what is left over."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.fleet import queries, schemas
from spincache_nb.fleet.dress import digest_texts, pair_frame
from spincache_nb.fleet.opened import Opened
from spincache_nb.fleet.schemas import typed
from spincache_nb.fleet.tables import AREAS


class BlobAnalyses(Opened):
    """Analyses with a row per blob, digest or pair of apps."""

    def summary(self) -> pd.DataFrame:
        """Sum the fleet up in one row."""
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
        """Say for each referenced digest who needs it, what it is called and what sharing it saves."""
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
        return typed(schemas.FLEET_SHARING_SCHEMA, {name: column[order] for name, column in columns.items()})

    def shared_bytes(self, *, top: int = 20) -> pd.DataFrame:
        """Say for each pair of apps how many bytes both need."""
        chosen = sorted(self._catalog.frame(queries.LARGEST_REFERENCES, [int(top)])["reference"])
        items = {"item": np.arange(len(chosen), dtype=np.int64), "reference": chosen}
        pairs = self._engine.app_pairs(items) if len(chosen) > 1 else None
        return pair_frame(schemas.FLEET_SHARED_BYTES_SCHEMA, chosen, list(range(len(chosen))), pairs)

    def unreferenced(self) -> pd.DataFrame:
        """List the blobs that nothing on their host needs."""
        self._catalog.check_keys()
        found = self._catalog.frame(queries.UNREFERENCED)
        wanted = np.unique(found["key"].to_numpy(dtype=np.int64))
        used = self._engine.users_of(wanted).set_index("key")["hosts"] if len(wanted) else pd.Series()
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

    def _digests_of(self, key: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        known = self._catalog.digests(key)
        texts = digest_texts(known["digest"])
        found: npt.NDArray[Any] = texts[np.searchsorted(known["key"].to_numpy(), key)] if len(key) else texts
        return found

    def _names_of(self, key: npt.NDArray[np.int64], *, wanted: bool) -> dict[str, npt.NDArray[Any]]:
        if not wanted:
            return {name: np.full(len(key), None, dtype=object) for name in ("names", "name_count")}
        known = self._catalog.names(key).set_index("key").reindex(key)
        return {
            "names": known["names"].fillna("").to_numpy(dtype=object),
            "name_count": known["name_count"].fillna(0).to_numpy(dtype=np.int64),
        }
