"""The one table that every snapshot is: its columns, its Parquet files, and the check of a file.

A snapshot is one Parquet file, ``host=<name>/day=<day>/<moment>-<hash>.parquet``, that anything reads. Each
row is about one thing, which ``record`` names; columns that say nothing of it are missing. All rows have
``source`` (``cache`` or ``registry``), ``host``, ``day`` and ``taken_at``.

============  =======================================================================================
record        a row per
============  =======================================================================================
``snapshot``  snapshot, exactly one: name and version of the tool
``app``       cached tag: reference, registry, repository, tag, kind, name, version, created_at, pulled_at,
              manifest_digest (if known), layers_digest (alike where layers are), layer_count (missing if
              the manifest cannot be read), component_count, declared_bytes, stored_bytes
``need``      digest that an app (``kind`` is ``app``) or a project (``kind`` is ``project``, reference
              ``project 1``) needs. area, stored_bytes and via are there once per area that stores it;
              role, position, media_type and declared_bytes once per layer or config that it is;
              member_bytes once if an archive unpacks to it. What is there twice takes two rows
``blob``      stored digest and area: stored_bytes, modified_at, standing (as in ``frames.blobs``),
              use_count and app_count (users, and those that are apps), name (what it is called)
``name``      further name of a digest: name
``disk``      kind of ``analysis.breakdown``: file_count, stored_bytes
``problem``   row of ``frames.problems``: kind, reference, path
============  =======================================================================================

What people ask first, in DuckDB alone, where ``/mnt/fleet`` is the dataset::

    CREATE VIEW f AS SELECT * FROM '/mnt/fleet/host=*/day=*/*.parquet'
      QUALIFY taken_at = max(taken_at) OVER (PARTITION BY host);  -- each host's newest
    -- what could go?
    SELECT host, sum(stored_bytes) FROM f WHERE standing = 'unreferenced' GROUP BY host;
    -- what is where?
    SELECT reference, count(*) FROM f WHERE record = 'app' GROUP BY reference ORDER BY 2 DESC;
    -- what takes most?
    SELECT digest, count(*) * any_value(stored_bytes) FROM f WHERE record = 'blob'
      GROUP BY digest ORDER BY 2 DESC LIMIT 9;

The file's metadata hold the version of this schema as ``spincache-nb.format``. A later one may add columns:
readers take those that a file lacks as missing (``union_by_name``) and do not mind others.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from spincache_nb import __version__
from spincache_nb.core.documents import Descriptor, Manifest, parse_rfc_3339
from spincache_nb.core.reference import Reference
from spincache_nb.core.settings import MIB
from spincache_nb.errors import FormatError, SpinCacheError
from spincache_nb.fleet.place import Entry, File, Place, load

FORMAT = 2
FORMAT_KEY = b"spincache-nb.format"
COMMON = ("record", "source", "host", "day", "taken_at")
_STRINGS = (
    *("record", "source", "host", "reference", "kind", "digest", "area", "via", "role", "media_type"),
    *("standing", "name", "registry", "repository", "tag", "version", "manifest_digest", "layers_digest"),
    "path",
)
_SIZES = ("stored_bytes", "declared_bytes", "member_bytes", "use_count", "app_count", "file_count")
_TIMES = ("taken_at", "modified_at", "created_at", "pulled_at")
COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(_STRINGS, "string"),
        "day": "date",
        **dict.fromkeys(_TIMES, "time"),
        **dict.fromkeys((*_SIZES, "position", "layer_count", "component_count"), "int"),
    }
)
"""Every column and its type; times are UTC, in microseconds, which every reader of Parquet knows."""
NEEDED = (*COMMON, "reference", "digest", "area", "stored_bytes", "use_count")
MOST_BYTES = 1 << 50
"""No size is larger: such a file is none, and sums of sizes would leave 64 bits."""

CLOCKS_DIFFER = timedelta(hours=1)
"""By how much a host's clock may be ahead before its snapshots are taken for those of another day."""

GRACE = timedelta(minutes=10)
"""How long a file that was replaced stays for those who read it."""
_THERE_WITH = {
    "use_count": ("digest", "area", "stored_bytes"),
    "via": ("reference", "digest", "area", "stored_bytes"),
    "role": ("reference",),
}
_CHECKED = {*COMMON, *_SIZES, "reference", "digest", "area", "via", "role"}
_FOOTER_BYTES = 16 * MIB
_TAIL_BYTES = 64 << 10
_ROW_GROUP = 1 << 20
_SMALL_ROWS, _PAGE_ROWS, _PAGE_BYTES = 1 << 14, 1 << 17, 16 * MIB
_LAST_ORDER = ("digest", "area", "name", "path", "kind")
_FEW = ("app", "disk", "problem", "snapshot")
_DICTIONARY_BYTES = 128 * MIB
_AGAIN = "take the snapshot again"


TOO_LARGE = "size out of range"
_IMAGE = "org.opencontainers.image."
_LAST_NS = (1 << 63) - 1
NEED = (
    *("reference", "digest", "position", "role", "media_type", "declared_bytes"),
    *("area", "stored_bytes", "via"),
)
"""What is known of a need from a manifest."""


class Facts(NamedTuple):
    """What a file's footer tells."""

    source: str
    columns: tuple[tuple[str, str], ...]
    row_count: int


def arrow_types() -> dict[str, Any]:
    """The Arrow type of each column."""
    pa = load("pyarrow")
    types = {
        "string": pa.string(),
        "int": pa.int64(),
        "time": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
    }
    return {name: types[kind] for name, kind in COLUMNS.items()}


def array_of(values: Sequence[Any], kind: Any) -> Any:
    """Texts or numbers as an Arrow array.

    To make one or a scalar of them, pyarrow itself loads pandas where it is installed, and asks whether they
    are some of its own; that takes longer than a crawl of a thousand manifests.
    """
    pa, np = load("pyarrow"), load("numpy")
    valid = None
    if None in values:
        valid = pa.py_buffer(np.packbits([value is not None for value in values], bitorder="little"))
    if kind == pa.string():
        texts = ["" if value is None else value for value in values]
        joined = "".join(texts)
        if not joined.isascii():  # lengths count bytes
            texts = [text.encode() for text in texts]
        ends = np.zeros(len(texts) + 1, np.int32)
        np.cumsum(np.fromiter(map(len, texts), np.int32, len(texts)), out=ends[1:])
        content = [pa.py_buffer(ends), pa.py_buffer(joined.encode())]
    else:
        numbers = (0 if value is None else value for value in values)
        content = [pa.py_buffer(np.fromiter(numbers, f"int{kind.bit_width}", len(values)))]
    return pa.Array.from_buffers(kind, len(values), [valid, *content])


def rows_of(record: str, columns: Mapping[str, Any], count: int) -> Any:
    """Some columns of one record as an Arrow table with all columns."""
    pa, arrays = load("pyarrow"), {}
    for name, kind in arrow_types().items():
        given = record if name == "record" else columns.get(name)
        if given is None or isinstance(given, str):
            arrays[name] = pa.repeat(array_of([given], kind)[0], count)
            continue
        is_arrow = isinstance(given, (pa.Array, pa.ChunkedArray))
        array = given if is_arrow else pa.array(given, from_pandas=True)
        arrays[name] = array if array.type == kind else array.cast(kind, safe=False)
    return pa.table(arrays)


# What a crawl and an image store have in place of frames, without pandas ------------------------


def layers_digest(layers: list[tuple[int, str]]) -> str:
    """SHA-256 over the positions and digests of layers."""
    text = "\n".join(f"{position} {digest}" for position, digest in sorted(layers))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


class Buffer:
    """Manifests on their way into one table: lines of its apps, needs and problems.

    ``area_of`` says where a descriptor's bytes are, None for nowhere.
    """

    def __init__(self, area_of: Callable[[Descriptor], str | None] = lambda _: "registry") -> None:
        self._area_of = area_of
        self.apps: list[dict[str, Any]] = []
        self.needs: dict[str, list[Any]] = {name: [] for name in NEED}
        self.problems: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self.needs["digest"]) + len(self.problems)

    def add(self, reference: Reference, manifest: Manifest, digest: str) -> None:
        """Take a manifest in."""
        name, parts = reference.cached_name, (manifest.config, *manifest.layers)
        if any(one.size > MOST_BYTES for one in parts):
            self.problems.append((TOO_LARGE, name))
            return
        digests, sizes = [str(one.digest) for one in parts], [one.size for one in parts]
        last = {text: place for place, text in enumerate(digests)}
        areas = [
            self._area_of(one) if last[text] == place else None
            for place, (one, text) in enumerate(zip(parts, digests, strict=True))
        ]
        stored = [size if area else None for size, area in zip(sizes, areas, strict=True)]
        via = ["config", *["layer"] * len(manifest.layers)]
        lines = {
            "reference": [name] * len(parts),
            "digest": digests,
            "position": [None, *range(len(manifest.layers))],
            "role": ["config", *(one.role for one in manifest.layers)],
            "media_type": [one.media_type for one in parts],
            "declared_bytes": sizes,
            "area": areas,
            "stored_bytes": stored,
            "via": [how if area else None for how, area in zip(via, areas, strict=True)],
        }
        for column, values in lines.items():
            self.needs[column] += values
        said = manifest.annotations
        line = {
            "reference": name,
            "registry": reference.registry,
            "repository": reference.repository,
            "tag": reference.tag,
            "kind": manifest.kind,
            "name": said.get(f"{_IMAGE}title"),
            "version": said.get(f"{_IMAGE}version"),
            "created_at": _created(said.get(f"{_IMAGE}created")),
            "manifest_digest": digest,
            "layers_digest": layers_digest(list(enumerate(digests[1:]))),
            "layer_count": len(manifest.layers),
            "declared_bytes": sum(sizes[place] for place in last.values()),
            "stored_bytes": sum(filter(None, stored)),
        }
        self.apps.append(line)

    def records(self) -> list[Any]:
        """The rows."""
        names = tuple(self.apps[0]) if self.apps else ()
        apps = zip(*(line.values() for line in self.apps), strict=True)
        return [
            _rows("app", names, apps, len(self.apps)),
            _rows("need", NEED, self.needs.values(), len(self.needs["digest"]), kind="app"),
            _rows("problem", ("kind", "reference"), zip(*self.problems, strict=True), len(self.problems)),
        ]


def _rows(
    record: str, names: Sequence[str], columns: Iterable[Sequence[Any]], count: int, **same: str
) -> Any:
    types = arrow_types()
    arrays = {name: array_of(column, types[name]) for name, column in zip(names, columns, strict=False)}
    return rows_of(record, arrays | same, count)


def _created(text: str | None) -> int | None:
    """Microseconds since 1970 of a time that frames can hold."""
    found = parse_rfc_3339(text) if text is not None else None
    return found // 1000 if found is not None and abs(found) <= _LAST_NS else None


# Files ------------------------------------------------------------------------------------------


def made_with() -> Any:
    """The row of the snapshot itself."""
    return rows_of("snapshot", {"name": "spincache-nb", "version": __version__}, 1)


def whole(records: Iterable[Any], *, source: str, host: str, day: date, moment: datetime) -> Any:
    """The table of a snapshot, in its order of rows."""
    table = _by_app(load("pyarrow").concat_tables(records))
    return with_common(table, source=source, host=host, day=day, taken_at=moment)


def _by_app(table: Any) -> Any:
    """Put what an app needs in the order of its manifest, and blobs before the first app that needs them.

    Versions of a repository then stand together, and what they have in common is the same run of rows,
    which compresses to almost nothing in every column.
    """
    pc = load("pyarrow.compute")
    needs = table.filter(pc.equal(table["record"], "need")).sort_by(
        [(name, "ascending") for name in ("reference", "position", "digest")]
    )
    first = pc.index_in(table["digest"], needs["digest"].combine_chunks(), skip_nulls=True)
    for name in ("reference", "position"):
        at_first = pc.coalesce(table[name], needs[name].take(first))
        table = table.append_column(f"{name} of the first", at_first)
    order = ("reference of the first", "record", "position of the first", *_LAST_ORDER)
    return table.sort_by([(name, "ascending") for name in order]).select(list(COLUMNS))


def with_moment(table: Any, moment: datetime) -> Any:
    """The same table, taken at another moment."""
    return with_common(table, taken_at=moment)


def with_common(table: Any, **values: str | date) -> Any:
    """A table with one value in all rows of some columns."""
    pa, types = load("pyarrow"), arrow_types()
    for name, value in values.items():
        plain = value if isinstance(value, str) else _since_1970(value)
        column = pa.repeat(array_of([plain], types[name])[0], table.num_rows)
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def _since_1970(value: date) -> int:
    """Days of a date, microseconds of a moment."""
    if isinstance(value, datetime):
        return (value - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    return (value - date(1970, 1, 1)).days


def fingerprint(table: Any) -> str:
    """Sixteen digits that name what a table says, whenever it was taken."""
    pa, hasher = load("pyarrow"), hashlib.sha256()

    class Sink(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, content: Any) -> int:
            hasher.update(content)
            return len(content)

    said = table.drop_columns(["taken_at"]).combine_chunks()
    with pa.ipc.new_stream(pa.PythonFile(Sink(), mode="w"), said.schema) as stream:
        stream.write_table(said)
    return hasher.hexdigest()[:16]


def written_with(*, each_digest_once: bool = True) -> dict[str, Any]:
    """How Parquet files are written; each digest once per row group, or wherever it is needed."""
    # Dictionaries of sizes take more than they save; of hex, the first level of zstd makes most.
    plain = {name for name, kind in COLUMNS.items() if kind == "int"} - {"use_count", "app_count"}
    plain |= set() if each_digest_once else {"digest"}
    return {
        "compression": "zstd",
        "compression_level": {name: 1 if name.endswith("digest") else 12 for name in COLUMNS},
        "use_dictionary": [name for name in COLUMNS if name not in plain],
        "dictionary_pagesize_limit": _DICTIONARY_BYTES,
        "data_page_size": _PAGE_BYTES,
        "max_rows_per_page": _PAGE_ROWS,
        "write_statistics": sorted(_CHECKED),
        "store_schema": False,
    }


def to_parquet(table: Any) -> bytes:
    """Write an Arrow table as a Parquet file, in memory; the same rows give the same bytes."""
    pa, pc = load("pyarrow"), load("pyarrow.compute")
    groups = [table]
    if table.num_rows > _SMALL_ROWS:
        # What analyses of digests do not read comes first, in a row group that others pass over.
        few = pc.is_in(table["record"], pa.array(_FEW))
        groups = [some for some in (table.filter(few), table.filter(pc.invert(few))) if some.num_rows]
    # Repeated runs of digests compress better than a dictionary and its numbers, strewn ones do not.
    digests = [group.select(["digest"]) for group in groups]
    once = len(_encoded(digests, each_digest_once=True)) <= len(_encoded(digests, each_digest_once=False))
    return _encoded(groups, each_digest_once=once)


def _encoded(groups: Sequence[Any], *, each_digest_once: bool) -> bytes:
    sink, settings = load("pyarrow").BufferOutputStream(), written_with(each_digest_once=each_digest_once)
    schema = groups[0].schema
    settings["write_statistics"] = [name for name in settings["write_statistics"] if name in schema.names]
    with load("pyarrow.parquet").ParquetWriter(sink, schema, **settings) as writer:
        for group in groups:
            writer.write_table(group, row_group_size=_ROW_GROUP)
        writer.add_key_value_metadata({FORMAT_KEY: str(FORMAT)})
    content: bytes = sink.getvalue().to_pybytes()
    return content


def footer(place: Place, name: str, entry: Entry) -> Any:
    """Read the Parquet metadata of a file, within bounds."""
    where = place.path(name)
    if not entry.regular:
        raise FormatError(where, "a regular file", "a pipe, a link or a folder", "move it away")
    size = entry.size or 0
    tail = place.tail(name, _TAIL_BYTES, size)
    length = int.from_bytes(tail[-8:-4], "little")
    if tail[-4:] != b"PAR1" or length + 8 > size:
        raise FormatError(
            where, "a Parquet file", f"{size} bytes of something else, or a part of one", _AGAIN
        )
    if length > _FOOTER_BYTES:
        raise FormatError(
            where, f"metadata of {_FOOTER_BYTES >> 20} MiB at most", f"{length >> 20} MiB", _AGAIN
        )
    if length + 8 > len(tail):
        tail = place.tail(name, length + 8, size)
    try:
        return load("pyarrow.parquet").read_metadata(load("pyarrow").BufferReader(tail))
    except (ValueError, OSError) as exc:  # Arrow's own errors are these
        raise FormatError(where, "the metadata of a Parquet file", "something else", _AGAIN) from exc


def check(place: Place, name: str, entry: Entry, *, file: File | None = None, part: bool = False) -> Facts:
    """Check a file by its footer: columns, types, and what its statistics say of sizes and common columns."""
    where, found = place.path(name), footer(place, name, entry)
    said = (found.metadata or {}).get(FORMAT_KEY, str(FORMAT).encode())
    if not said.isdigit() or len(said) > 3 or int(said) > FORMAT:
        raise FormatError(where, f"format {FORMAT} or before", repr(said[:20])[1:], "update this toolkit")
    columns = _columns(where, found)
    spans = {name: _span(where, found, name, at) for name, at in columns.items() if name in _CHECKED}
    for column in COMMON:
        if spans[column].nulls:
            raise FormatError(where, f"a value in every row of {column}", "rows without one", _AGAIN)
    for column in set(_SIZES) & set(spans):
        low, high = spans[column].low, spans[column].high
        if low is not None and (low < 0 or high > MOST_BYTES):
            raise FormatError(
                where, f"sizes from 0 to {MOST_BYTES}", f"{column} from {low} to {high}", _AGAIN
            )
    if not part:  # of a crawl, whose blobs are counted in the end
        _check_missing(where, spans)
    if file is not None:
        for column, expected in (("host", file.host), ("taken_at", file.moment), ("day", file.day)):
            if (spans[column].low, spans[column].high) != (expected, expected):
                raise FormatError(
                    where, f"{column} {expected}", f"{spans[column].low} to {spans[column].high}", _AGAIN
                )
    source = str(spans["source"].low)
    if source not in ("cache", "registry"):
        raise FormatError(where, "a snapshot of a cache or a registry", repr(source[:40]), _AGAIN)
    schema = found.schema.to_arrow_schema()
    types = tuple((column, str(schema.field(column).type)) for column in columns)
    return Facts(source, types, found.num_rows)


def is_good(place: Place, name: str, entry: Entry, *, file: File | None = None, part: bool = False) -> bool:
    """Whether a file passes its check."""
    try:
        check(place, name, entry, file=file, part=part)
    except (SpinCacheError, OSError):
        return False
    return True


def _check_missing(where: str, spans: Mapping[str, _Span]) -> None:
    """Check that values are there where rows of their kind are: a blob has a digest, a need somebody."""
    for said, columns in _THERE_WITH.items():
        for column in columns if said in spans else ():
            if spans[column].nulls > spans[said].nulls:
                raise FormatError(where, f"a {column} in every row with {said}", "rows without one", _AGAIN)
    if spans["use_count"].low is None and spans["area"].low is not None:
        raise FormatError(where, "a use_count in every row of a blob", "none at all", _AGAIN)


def _columns(where: str, found: Any) -> dict[str, int]:
    """Places of our columns, whose types must be what can be read as ours."""
    try:
        schema = found.schema.to_arrow_schema()
    except (ValueError, OSError, NotImplementedError) as exc:
        raise FormatError(where, "columns of plain types", "others", _AGAIN) from exc
    types, places = load("pyarrow.types"), {}
    fits = {
        "string": lambda kind: types.is_string(kind) or types.is_large_string(kind),
        "int": types.is_integer,
        "time": types.is_timestamp,
        "date": types.is_date,
    }
    flat = len(schema) == found.num_columns
    for index, field in enumerate(schema):
        wanted = COLUMNS.get(field.name)
        if wanted is None:
            continue
        if not flat or field.name in places or not fits[wanted](field.type):
            raise FormatError(where, f"one column {field.name} of {wanted}s", str(field.type)[:80], _AGAIN)
        places[field.name] = index
    missing = [column for column in NEEDED if column not in places]
    if missing or not found.num_rows:
        what = f"no column {', '.join(missing)}" if missing else "no row"
        raise FormatError(where, "the columns and rows of a snapshot", what, _AGAIN)
    return places


class _Span(NamedTuple):
    nulls: int
    low: Any
    high: Any


def _span(where: str, found: Any, column: str, index: int) -> _Span:
    """Smallest and largest value of a column, and how many are missing, as the statistics say."""
    nulls, ends = 0, []
    for group in range(found.num_row_groups):
        chunk = found.row_group(group).column(index)
        statistics = chunk.statistics
        if statistics is None or not statistics.has_null_count:
            raise FormatError(where, f"statistics of the column {column}", "none", _AGAIN)
        nulls += statistics.null_count
        if statistics.has_min_max:
            ends += [statistics.min, statistics.max]
    return _Span(nulls, min(ends, default=None), max(ends, default=None))
