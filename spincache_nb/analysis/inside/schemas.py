"""Columns and dtypes of what this package returns; built with `frames.schemas.build`."""

from __future__ import annotations

from types import MappingProxyType

from spincache_nb.frames.schemas import COUNT, FEW, RATIO, TEXT, Schema

GRAINS_SCHEMA: Schema = MappingProxyType(
    {
        "grain": FEW,
        "total_bytes": COUNT,
        "reused_bytes": COUNT,
        "piece_count": COUNT,
        "index_bytes": COUNT,
        "reused_share": RATIO,
    }
)
CHUNK_SWEEP_SCHEMA: Schema = MappingProxyType(
    {
        "average_bytes": COUNT,
        "total_bytes": COUNT,
        "reused_bytes": COUNT,
        "piece_count": COUNT,
        "index_bytes": COUNT,
        "reused_share": RATIO,
    }
)
SECTION_MAP_SCHEMA: Schema = MappingProxyType(
    {
        "version": FEW,
        "path": TEXT,
        "depth": COUNT,
        "layer": FEW,
        "section": FEW,
        "name": TEXT,
        "offset": COUNT,
        "section_bytes": COUNT,
        "shared_bytes": COUNT,
    }
)
CHANGES_SCHEMA: Schema = MappingProxyType(
    {
        "path": TEXT,
        "kind": FEW,
        "name": TEXT,
        "change": FEW,
        "old_bytes": COUNT,
        "new_bytes": COUNT,
    }
)
MODULE_USES_SCHEMA: Schema = MappingProxyType(
    {
        "module_digest": FEW,
        "layer": FEW,
        "name": TEXT,
        "module_bytes": COUNT,
        "blob_digest": FEW,
        "user": FEW,
        "count": COUNT,
    }
)
SHARED_MODULES_SCHEMA: Schema = MappingProxyType(
    {
        "module_digest": TEXT,
        "layer": FEW,
        "names": TEXT,
        "module_bytes": COUNT,
        "blob_count": COUNT,
        "user_count": COUNT,
        "users": TEXT,
        "repeated_bytes": COUNT,
    }
)
REBUILDS_SCHEMA: Schema = MappingProxyType(
    {
        "repository": TEXT,
        "component": TEXT,
        "from": TEXT,
        "to": TEXT,
        "old_digest": TEXT,
        "new_digest": TEXT,
        "verdict": FEW,
        "detail": TEXT,
    }
)
