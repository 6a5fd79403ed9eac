"""What a snapshot holds: its Parquet tables, their columns, and what the bits of ``flags`` say.

A *part* is one file of each table; a snapshot of a cache has one, the crawl of a registry has many.
Keys and numbers of apps are those of their part.

=========  =====================================================================================
uses    1 ``wasm``, 2 ``data``, 4 ``registry``: the area; 8: first row of this user and digest;
        16: first of this digest and area; 32: first of this manifest and digest; 64: first of
        this digest
layers  1: Spin stores a blob of it; 2: it is the config; 4: it is an archive; 8: first row of this
        app and digest, the one that counts (it has the other bits of all); 16: it becomes ``config.json``
======  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from spincache_nb.fleet.extras import load

TABLES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "apps": {
            "app": "int32",
            "reference": "string",
            "registry": "few",
            "repository": "few",
            "tag": "string",
            "kind": "few",
            "name": "string",
            "version": "string",
            "description": "string",
            "created_at": "time",
            "pulled_at": "time",
            "manifest_digest": "binary",
            "layers_digest": "binary",
            "config_digest": "binary",
            "document_digest": "binary",
            "layer_count": "int64",
            "component_count": "int64",
            "declared_bytes": "int64",
            "stored_bytes": "int64",
            "version_bytes": "int64",
            "sort_key": "binary",
        },
        "uses": {
            "key": "int64",
            "app": "int32",
            "stored_bytes": "int64",
            "flags": "uint8",
            "via": "few",
        },
        "layers": {
            "key": "int64",
            "app": "int32",
            "position": "int32",
            "media_type": "few",
            "role": "few",
            "declared_bytes": "int64",
            "stored": "bool",
            "flags": "uint8",
        },
        "members": {"key": "int64", "app": "int32", "size_bytes": "int64"},
        "blobs": {
            "key": "int64",
            "area": "few",
            "stored_bytes": "int64",
            "modified_at": "time",
            "standing": "few",
        },
        "digests": {"key": "int64", "digest": "binary", "is_prefix": "bool", "name": "string"},
        "breakdown": {"kind": "few", "file_count": "int64", "stored_bytes": "int64"},
        "problems": {"kind": "few", "reference": "string", "path": "string"},
    }
)
"""Columns and types of every table."""

AREAS = MappingProxyType({"wasm": 1, "data": 2, "registry": 4})
AREA_BITS = 7
FIRST_OF_USER, FIRST_OF_AREA, FIRST_OF_MANIFEST, FIRST_OF_DIGEST = 8, 16, 32, 64
STORING, CONFIG, ARCHIVE, COUNTS, DOCUMENT = 1, 2, 4, 8, 16

_SORTED = MappingProxyType(
    {
        "uses": ("key", "app", "flags"),
        "layers": ("key", "app", "position"),
        "members": ("key", "app"),
        "digests": ("key", "name"),
        "blobs": ("key", "area"),
    }
)
_ROW_GROUP = 1 << 20
_DICTIONARY_BYTES = 1 << 26


def make_table(name: str, columns: Mapping[str, Iterable[Any]]) -> Any:
    """Make an Arrow table with exactly the columns of one table, in its order of rows."""
    pa = load("pyarrow")
    schema = TABLES[name]
    types = {
        "string": pa.string(),
        "few": pa.string(),
        "binary": pa.binary(),
        "bool": pa.bool_(),
        "time": pa.timestamp("ns"),
        "int64": pa.int64(),
        "int32": pa.int32(),
        "uint8": pa.uint8(),
    }
    arrays = {column: _array(pa, columns[column], types[kind]) for column, kind in schema.items()}
    table = pa.table(arrays)
    order = _SORTED.get(name)
    return table.sort_by([(column, "ascending") for column in order]) if order else table


def _array(pa: Any, values: Iterable[Any], kind: Any) -> Any:
    given = values if hasattr(values, "dtype") or isinstance(values, pa.Array) else list(values)
    array = given if isinstance(given, pa.Array) else pa.array(given, from_pandas=True)
    return array if array.type == kind else array.cast(kind)


def to_parquet(table: Any) -> bytes:
    """Write an Arrow table as a Parquet file, in memory; the same rows give the same bytes."""
    pa, parquet = load("pyarrow"), load("pyarrow.parquet")
    sink = pa.BufferOutputStream()
    parquet.write_table(
        table,
        sink,
        compression="zstd",
        row_group_size=_ROW_GROUP,
        dictionary_pagesize_limit=_DICTIONARY_BYTES,
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content
