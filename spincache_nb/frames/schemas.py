"""Columns and dtypes of every frame, and the one way to build a frame from them.

Text is ``string``, kept as Python objects (``pandas.StringDtype("python")``), and so are categories:
nothing depends on whether pyarrow is installed. Sizes are bytes (``Int64``), times
``datetime64[ns, UTC]`` (missing or out of range: ``NaT``), other missing values ``pd.NA``. Keys keep
one name in all frames (``reference``, ``digest``).
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.core.documents import EPOCH, parse_rfc_3339

_MAX_NS = (1 << 63) - 1


def nanoseconds(value: Any) -> int | None:
    """Read a time of any of the usual kinds."""
    if isinstance(value, str):
        value = parse_rfc_3339(value)
    elif isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, pd.Timestamp):
        try:
            value = value.value  # in nanoseconds, whatever its own unit
        except OverflowError:
            return None
    elif isinstance(value, datetime):
        value = _of_datetime(value)
    return int(value) if -_MAX_NS <= value <= _MAX_NS else None


def _of_datetime(value: datetime) -> int:
    since = (value if value.tzinfo is not None else value.replace(tzinfo=UTC)) - EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


Schema: TypeAlias = Mapping[str, str]
"""Columns and their dtypes."""

_DOCSTRING_WIDTH = 100

TEXT = "string"
FEW = "category"
COUNT = "Int64"
FLAG = "boolean"
TIME = "datetime64[ns, UTC]"
RATIO = "Float64"

_Function = TypeVar("_Function", bound=Callable[..., Any])


class TableSchema(Mapping[str, str]):
    """Columns of a frame, their dtypes and what they mean; said once, and shown in docstrings from here.

    Parameters
    ----------
    columns
        For each column its dtype and its meaning.

    Examples
    --------
    >>> schema = TableSchema(digest=(FEW, "digest of the blob"), size=(COUNT, "bytes"))
    >>> schema["digest"], schema.meanings["size"]
    ('category', 'bytes')
    >>> print(schema.table())
    ======  ========  ==================
    column  dtype     meaning
    ======  ========  ==================
    digest  category  digest of the blob
    size    Int64     bytes
    ======  ========  ==================
    """

    def __init__(self, **columns: tuple[str, str]) -> None:
        self._dtypes = {name: dtype for name, (dtype, _) in columns.items()}
        self.meanings: Mapping[str, str] = MappingProxyType(
            {name: meaning for name, (_, meaning) in columns.items()}
        )

    def __getitem__(self, column: str) -> str:
        return self._dtypes[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dtypes)

    def __len__(self) -> int:
        return len(self._dtypes)

    def __repr__(self) -> str:
        return f"TableSchema({self._dtypes!r})"

    def table(self, indent: str = "") -> str:
        """Lay the columns out as the table of a docstring."""
        rows = [("column", "dtype"), *self._dtypes.items()]
        first, second = (max(len(row[place]) for row in rows) for place in (0, 1))
        room = max(20, _DOCSTRING_WIDTH - len(indent) - first - second - 4)
        meanings = {name: textwrap.wrap(text, room) for name, text in self.meanings.items()}
        third = max((len(line) for lines in meanings.values() for line in lines), default=7)
        rule = f"{'=' * first}  {'=' * second}  {'=' * third}"
        lines = [rule, f"{'column':{first}}  {'dtype':{second}}  meaning", rule]
        for name, dtype in self._dtypes.items():
            for number, text in enumerate(meanings[name]):
                said = (name, dtype) if number == 0 else ("", "")
                lines.append(f"{said[0]:{first}}  {said[1]:{second}}  {text}")
        return f"\n{indent}".join([*lines, rule])

    def describes(self, function: _Function) -> _Function:
        """Put the table of columns into a docstring, in place of the line ``{columns}``."""
        if function.__doc__ is not None:
            place = re.search(r"^( *)\{columns\}$", function.__doc__, re.MULTILINE)
            assert place is not None, f"{function.__name__} has no place for its columns"
            start, end = place.span()
            table = place[1] + self.table(place[1])
            function.__doc__ = function.__doc__[:start] + table + function.__doc__[end:]
        return function


APPS_SCHEMA = TableSchema(
    reference=(TEXT, "``registry/repository:tag``, or ``...@digest`` where the directory is a digest"),
    registry=(FEW, "host and port; Docker Hub is ``docker.io``"),
    repository=(FEW, "name inside the registry"),
    tag=(TEXT, "tag; missing where the directory is a digest"),
    kind=(FEW, "``app``, ``package`` or ``unknown``"),
    name=(TEXT, "by the locked app, else by the manifest's annotations"),
    version=(TEXT, "likewise"),
    description=(TEXT, "likewise"),
    created_at=(TIME, "by the manifest's annotations"),
    pulled_at=(TIME, "when ``manifest.json`` was last written"),
    manifest_digest=(
        TEXT,
        "digest of the manifest, where ``manifest.json`` is known to be the bytes that a "
        "registry served (Spin rewrites it)",
    ),
    config_digest=(TEXT, "digest of the config by the manifest"),
    config_bytes=(COUNT, "size of the config by the manifest"),
    layer_count=(COUNT, "layers of the manifest, duplicates included"),
    component_count=(COUNT, "components of the locked app"),
    declared_bytes=(COUNT, "config and layers by the manifest, each digest once"),
    stored_bytes=(COUNT, "distinct stored blobs, archives and their members included"),
)
LAYERS_SCHEMA = TableSchema(
    reference=(FEW, "the app"),
    position=(COUNT, "place in the manifest, from 0"),
    digest=(FEW, "digest of the layer"),
    media_type=(FEW, "as the manifest says"),
    role=(
        FEW,
        "what Spin does with it: ``wasm``, ``data``, ``archive``, ``application`` (the locked "
        "app) or ``other``",
    ),
    declared_bytes=(COUNT, "size by the manifest"),
    stored=(
        FLAG,
        "whether a regular file of just that size is there; for the locked app, whether "
        "``config.json`` hashes to its digest",
    ),
)
USES_SCHEMA = TableSchema(
    user=(FEW, "reference of an app, or path of a project as it was given"),
    digest=(FEW, "digest of the blob"),
    area=(FEW, "``wasm`` or ``data``"),
    stored_bytes=(COUNT, "size of the file"),
    via=(
        FEW,
        "the first that holds of ``layer``, ``archive member``, ``content ref`` (the locked app"
        " names it), ``spin.toml`` and ``environment lock``",
    ),
)
COMPONENTS_SCHEMA = TableSchema(
    reference=(FEW, "the app"),
    component=(TEXT, "id of the component"),
    source_digest=(FEW, "digest of its WebAssembly binary"),
    source_bytes=(COUNT, "stored size of that, missing if it is not stored"),
    file_count=(COUNT, "mounted files"),
    files_bytes=(COUNT, "their sizes, missing if one of them is not known"),
    dependency_count=(COUNT, "components it is composed with, trigger dependencies included"),
    languages=(
        TEXT,
        "languages it was written in, by the producers sections of its binary and of all nested"
        " in it: sorted, commas between them",
    ),
    toolchains=(TEXT, "kits, compilers and tools that made it, with versions: likewise"),
)
FILES_SCHEMA = TableSchema(
    reference=(FEW, "the app"),
    component=(FEW, "id of the component"),
    path=(TEXT, "where it is mounted, as the locked app says"),
    digest=(FEW, "digest of its content, if the locked app gives one"),
    inline=(FLAG, "whether the locked app carries the content, so that no blob is needed"),
    size_bytes=(
        COUNT,
        "size of the inline content or of the stored blob, missing if neither is there",
    ),
)
BLOBS_SCHEMA = TableSchema(
    name=(TEXT, "file name; bytes that are not UTF-8 are escaped"),
    digest=(TEXT, "digest by which the file is found, missing if by none"),
    area=(FEW, "``wasm`` or ``data``"),
    stored_bytes=(COUNT, "size"),
    modified_at=(TIME, "when it was last written"),
    standing=(
        FEW,
        "``referenced``; ``unreferenced``: no app and no given project needs it; ``temporary``:"
        " a download that goes on or was killed; ``misnamed``: nothing finds it by its name, "
        "since it is no digest or the second spelling of one",
    ),
)
PROBLEMS_SCHEMA = TableSchema(
    path=(TEXT, "where, below ``registry``; of a project, its file"),
    reference=(TEXT, "the app it concerns; where there are several, the first"),
    kind=(FEW, "what kind of fault, in plain words"),
    detail=(TEXT, "what was expected, and what was found"),
    remedy=(TEXT, "what to do about it"),
)
DISK_SCHEMA = TableSchema(
    path=(TEXT, "path below ``registry``"),
    area=(FEW, "``wasm``, ``data``, ``manifests`` (the two documents of a tag) or ``other``"),
    stored_bytes=(COUNT, "bytes on disk; 0 for further names of a file that has several"),
    same_as=(TEXT, "path of the name that counts its bytes, for such a further name"),
)
HISTORY_SCHEMA = TableSchema(
    at=(TIME, "when the pull ended"),
    cache=(TEXT, "path of the ``registry`` directory"),
    reference=(TEXT, "what the app is called in that cache"),
    manifest_digest=(TEXT, "digest of the manifest as the registry served it"),
    fetch_bytes=(COUNT, "bytes of config and layers that were fetched"),
    reused_bytes=(COUNT, "bytes of these that were stored already"),
    wire_bytes=(COUNT, "all bytes received, retries included"),
    seconds=(RATIO, "duration"),
)
DEPENDENCIES_SCHEMA = TableSchema(
    reference=(FEW, "the app"),
    component=(TEXT, "id of the component that has the dependency, or missing"),
    trigger=(TEXT, "id of the trigger that has it, or missing"),
    name=(TEXT, "name or role of the dependency"),
    digest=(FEW, "digest of its binary"),
)
UNNAMED_SCHEMA = TableSchema(
    reference=(FEW, "the app"),
    digest=(FEW, "a blob in ``data/`` that an archive of the app holds and nothing in it names"),
)

CACHE = "cache"
"""First column of every frame over several caches: path of the ``registry`` directory."""

_MAX_INT = (1 << 63) - 1
_NO_TIME = -(1 << 63)


def build(schema: Schema, rows: Iterable[Sequence[Any]], *, sort: Sequence[str] = ()) -> pd.DataFrame:
    """Make a frame with exactly the columns and dtypes of a schema, also from no rows."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    frame = from_columns(schema, dict(zip(schema, columns, strict=True)))
    if sort:
        frame = frame.sort_values(list(sort), kind="stable", ignore_index=True)
    return frame


def from_columns(schema: Schema, columns: Mapping[str, Iterable[Any]]) -> pd.DataFrame:
    """Make a frame of a schema column by column, which large frames are better made by."""
    return pd.DataFrame({name: _series(columns[name], dtype) for name, dtype in schema.items()})


class Picked(NamedTuple):
    """A long column that says few different things, each of which is looked at only once."""

    values: Iterable[Any]
    places: npt.NDArray[np.intp]
    in_order: bool = False


def empty(schema: Schema) -> pd.DataFrame:
    """Make a frame of a schema without rows."""
    return build(schema, [])


def several(schema: Schema) -> Schema:
    """Columns of a frame over several caches: the same, with ``cache`` first."""
    return schema if CACHE in schema else MappingProxyType({CACHE: FEW, **schema})


def _series(values: Iterable[Any], dtype: str) -> pd.Series[Any]:
    makers = {TEXT: _text, FEW: _few, COUNT: _count, FLAG: _flag, TIME: _time}
    if isinstance(values, Picked):
        if values.in_order and dtype == FEW:
            return pd.Series(_categories(values.values, values.places), copy=False)
        return _series(values.values, dtype).take(values.places).reset_index(drop=True)
    if dtype in makers:
        return pd.Series(makers[dtype](values), copy=False)
    return pd.Series(list(values), dtype=dtype)


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA


def _are_integers(values: Iterable[Any]) -> bool:
    """Whether nothing is missing, and nothing but an int, not even a bool."""
    return set(map(type, values)) <= {int}


def _text(values: Iterable[Any]) -> Any:
    given = values if isinstance(values, np.ndarray) else list(values)
    return pd.array(given, dtype=pd.StringDtype("python"))


def _few(values: Iterable[Any]) -> Any:
    given = list(values)
    order = sorted(value for value in dict.fromkeys(given) if not _missing(value))
    codes: dict[Any, int] = {None: -1, pd.NA: -1} | dict(zip(order, range(len(order)), strict=True))
    return _categories(order, np.fromiter(map(codes.__getitem__, given), np.intp, len(given)))


def _categories(values: Iterable[Any], places: npt.NDArray[np.intp]) -> Any:
    categories = pd.Index(_text(values))
    return pd.Categorical.from_codes(places.astype(np.int32), categories=categories)


def _count(values: Iterable[Any]) -> Any:
    if isinstance(values, np.ndarray) and values.dtype == np.int64:
        return pd.arrays.IntegerArray(values, np.zeros(len(values), bool))
    given = list(values)
    if _are_integers(given) and (not given or -_MAX_INT <= min(given) <= max(given) <= _MAX_INT):
        numbers = np.fromiter(given, np.int64, len(given))
        return pd.arrays.IntegerArray(numbers, np.zeros(len(given), bool))
    absent = np.fromiter((_missing(v) or not -_MAX_INT <= v <= _MAX_INT for v in given), bool, len(given))
    known = (0 if gone else value for value, gone in zip(given, absent, strict=True))
    return pd.arrays.IntegerArray(np.fromiter(known, np.int64, len(given)), absent)


def _flag(values: Iterable[Any]) -> Any:
    if isinstance(values, np.ndarray) and values.dtype == bool:
        return pd.arrays.BooleanArray(values, np.zeros(len(values), bool))
    given = list(values)
    if set(map(type, given)) <= {bool}:
        flags = np.fromiter(given, bool, len(given))
        return pd.arrays.BooleanArray(flags, np.zeros(len(given), bool))
    absent = np.fromiter((_missing(value) for value in given), bool, len(given))
    known = (not gone and bool(value) for value, gone in zip(given, absent, strict=True))
    return pd.arrays.BooleanArray(np.fromiter(known, bool, len(given)), absent)


def _time(values: Iterable[Any]) -> Any:
    if isinstance(values, np.ndarray) and values.dtype == np.int64:
        return pd.DatetimeIndex(values.view("datetime64[ns]")).tz_localize("UTC")
    given = list(values)
    plain = _are_integers(given) and (not given or -_MAX_INT <= min(given) <= max(given) <= _MAX_INT)
    known = iter(given) if plain else (nanoseconds(value) for value in given)
    instants = np.fromiter((_NO_TIME if ns is None else ns for ns in known), np.int64, len(given))
    return pd.DatetimeIndex(instants.view("datetime64[ns]")).tz_localize("UTC")
