"""Columns and dtypes of what the analyses return; built with `frames.schemas.build`."""

from __future__ import annotations

from types import MappingProxyType

from spincache_nb.frames.schemas import COUNT, FEW, FLAG, RATIO, TEXT, TIME, Schema

BREAKDOWN_SCHEMA: Schema = MappingProxyType(
    {
        "row": COUNT,
        "kind": FEW,
        "label": TEXT,
        "user_count": COUNT,
        "file_count": COUNT,
        "stored_bytes": COUNT,
        "share": RATIO,
    }
)
BREAKDOWN_MEMBERS_SCHEMA: Schema = MappingProxyType(
    {"row": COUNT, "kind": FEW, "user": FEW, "user_kind": FEW, "stored_bytes": COUNT}
)
SHARING_SETS_SCHEMA: Schema = MappingProxyType(
    {
        "set": COUNT,
        "user": FEW,
        "user_kind": FEW,
        "user_count": COUNT,
        "blob_count": COUNT,
        "stored_bytes": COUNT,
    }
)
SHARING_SCHEMA: Schema = MappingProxyType(
    {
        "digest": TEXT,
        "areas": FEW,
        "stored_bytes": COUNT,
        "user_count": COUNT,
        "app_count": COUNT,
        "manifest_count": COUNT,
        "names": TEXT,
        "name_count": COUNT,
        "needed_bytes": COUNT,
        "saved_bytes": COUNT,
    }
)
NEEDS_SCHEMA: Schema = MappingProxyType(
    {
        "digest": FEW,
        "user": FEW,
        "user_kind": FEW,
        "need": FEW,
        "component": TEXT,
        "name": TEXT,
        "chain": TEXT,
    }
)
SHARED_BYTES_SCHEMA: Schema = MappingProxyType(
    {"reference_a": FEW, "reference_b": FEW, "shared_bytes": COUNT}
)
SUMMARY_SCHEMA: Schema = MappingProxyType(
    {
        "logical_bytes": COUNT,
        "stored_bytes": COUNT,
        "dedup_ratio": RATIO,
        "saved_bytes": COUNT,
        "problem_count": COUNT,
        "app_count": COUNT,
        "blob_count": COUNT,
        "unreferenced_bytes": COUNT,
        "disk_bytes": COUNT,
    }
)
MANIFESTS_SCHEMA: Schema = MappingProxyType(
    {
        "reference": FEW,
        "tag": TEXT,
        "created_at": TIME,
        "position": COUNT,
        "digest": FEW,
        "role": FEW,
        "declared_bytes": COUNT,
    }
)
MEMBERS_SCHEMA: Schema = MappingProxyType({"reference": FEW, "digest": FEW, "size_bytes": COUNT})
VERSION_SAVINGS_SCHEMA: Schema = MappingProxyType(
    {
        "position": COUNT,
        "reference": TEXT,
        "tag": TEXT,
        "created_at": TIME,
        "total_bytes": COUNT,
        "reused_bytes": COUNT,
        "fetch_bytes": COUNT,
        "saved_share": RATIO,
        "cumulative_total_bytes": COUNT,
        "cumulative_fetch_bytes": COUNT,
        "cumulative_saved_bytes": COUNT,
        "archive_fetch_bytes": COUNT,
        "archive_known_bytes": COUNT,
    }
)
UPGRADE_MATRIX_SCHEMA: Schema = MappingProxyType(
    {"from": TEXT, "to": TEXT, "fetch_bytes": COUNT, "reused_bytes": COUNT}
)
REMOTE_TAGS_SCHEMA: Schema = MappingProxyType(
    {
        "reference": TEXT,
        "tag": TEXT,
        "kind": FEW,
        "created_at": TIME,
        "manifest_digest": TEXT,
        "index_digest": TEXT,
        "layer_count": COUNT,
        "declared_bytes": COUNT,
    }
)
REMOTE_PROBLEMS_SCHEMA: Schema = MappingProxyType({"reference": TEXT, "kind": FEW, "detail": TEXT})
FREED_SCHEMA: Schema = MappingProxyType(
    {"path": TEXT, "kind": FEW, "area": FEW, "digest": TEXT, "stored_bytes": COUNT}
)
RECLAIMABLE_SCHEMA: Schema = MappingProxyType(
    {"reference": TEXT, "stored_bytes": COUNT, "freed_bytes": COUNT, "kept_bytes": COUNT}
)
SUPERSEDED_SCHEMA: Schema = MappingProxyType(
    {"repository": TEXT, "last": TEXT, "old_count": COUNT, "freed_bytes": COUNT}
)
COMPARE_SCHEMA: Schema = MappingProxyType(
    {
        "what": FEW,
        "component": TEXT,
        "name": TEXT,
        "status": FEW,
        "digest_a": TEXT,
        "digest_b": TEXT,
        "bytes_a": COUNT,
        "bytes_b": COUNT,
    }
)
TIMELINE_SCHEMA: Schema = MappingProxyType(
    {
        "at": TIME,
        "cache": TEXT,
        "reference": TEXT,
        "fetch_bytes": COUNT,
        "reused_bytes": COUNT,
        "saved_share": RATIO,
        "cumulative_fetch_bytes": COUNT,
        "cumulative_reused_bytes": COUNT,
        "cumulative_wire_bytes": COUNT,
    }
)
TAGS_SCHEMA: Schema = MappingProxyType(
    {
        "cache": TEXT,
        "reference": TEXT,
        "meaning": COUNT,
        "manifest_digest": TEXT,
        "first_pulled_at": TIME,
        "last_pulled_at": TIME,
        "pull_count": COUNT,
        "returned": FLAG,
    }
)
