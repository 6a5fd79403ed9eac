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
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from spincache_nb import __version__
from spincache_nb.core.settings import MIB
from spincache_nb.errors import FormatError, SpinCacheError
from spincache_nb.fleet.place import Entry, Place, load

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
_FILE = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-([0-9a-f]{16})\.parquet")
_MOMENT = "%Y%m%dT%H%M%S.%fZ"
_AGAIN = "take the snapshot again"


class File(NamedTuple):
    """A snapshot's file, as its name tells."""

    name: str
    host: str
    day: date
    moment: datetime
    content: str


class Facts(NamedTuple):
    """What a file's footer tells."""

    source: str
    columns: tuple[tuple[str, str], ...]
    row_count: int


def file_name(host: str, day: date, moment: datetime, content: str) -> str:
    """Name of a snapshot's file below its dataset; what is special in a path is escaped.

    >>> file_name("127.0.0.1:5000", date(2026, 3, 2), datetime(2026, 3, 2, 3, tzinfo=UTC), "0" * 16)
    'host=127.0.0.1%3A5000/day=2026-03-02/20260302T030000.000000Z-0000000000000000.parquet'
    """
    return f"{folder_name(host, day)}/{moment.astimezone(UTC).strftime(_MOMENT)}-{content}.parquet"


def folder_name(host: str, day: date) -> str:
    """Name of the folder of a host's day."""
    return f"host={quote(host, safe='')}/day={day.isoformat()}"


def parse_folder(name: str) -> tuple[str, date] | None:
    """Host and day of a folder's name, or of a file's in it; None if it is no such name."""
    parts = name.split("/")
    if len(parts) < 2 or not parts[0].startswith("host=") or not parts[1].startswith("day="):
        return None
    try:
        return unquote(parts[0][5:], errors="strict"), date.fromisoformat(parts[1][4:])
    except ValueError:
        return None


def parse_file(name: str) -> File | None:
    """Read the name of a snapshot's file; None if it is none."""
    folder, _, last = name.rpartition("/")
    found, match = parse_folder(folder), _FILE.fullmatch(last)
    if found is None or match is None or folder != folder_name(*found):
        return None
    try:
        moment = datetime.strptime(match[1], _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return File(name, *found, moment, match[2])


def newest_first(names: Iterable[str]) -> list[File]:
    """The snapshots among some files."""
    files = [file for file in map(parse_file, names) if file is not None]
    return sorted(files, key=lambda file: (file.moment, file.name), reverse=True)


def superseded(newest_first: Sequence[File], before: datetime) -> list[File]:
    """Files of one host and day in whose place another was written before some moment."""
    return [older for newer, older in pairwise(newest_first) if newer.moment <= before]


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
