"""Where the SQL runs: DuckDB, embedded, or a Spark session that the caller has."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Protocol

from spincache_nb.errors import SpinCacheError
from spincache_nb.fleet.dataset import COMPACTED, Chosen, Dataset
from spincache_nb.fleet.place import Place, load
from spincache_nb.fleet.table import COLUMNS, MOST_BYTES, arrow_types

VIEWS = ("apps", "needs", "blobs", "manifests")
"""Views over ``snapshots``, in the order to make them."""
_SQL_TYPES = {"string": "VARCHAR", "int": "BIGINT", "time": "TIMESTAMPTZ", "date": "DATE"}
TOTALS = f"""
SELECT host, count(CASE WHEN stored_bytes NOT BETWEEN 0 AND {MOST_BYTES}
                          OR declared_bytes NOT BETWEEN 0 AND {MOST_BYTES}
                          OR member_bytes NOT BETWEEN 0 AND {MOST_BYTES}
                          OR use_count NOT BETWEEN 0 AND {MOST_BYTES} THEN 1 END) AS wrong,
       sum(CAST(stored_bytes AS DOUBLE) * greatest(coalesce(use_count, 1), 1)) AS total
FROM {{rows}} GROUP BY host
"""  # noqa: S608 - numbers of ours
MOST_IN_ALL = float(1 << 59)
"""More bytes no host can need: a few of them would leave 64 bits."""


@cache
def _texts() -> Mapping[str, str]:
    """Every text of ``queries.sql`` by its name."""
    content = files("spincache_nb.fleet").joinpath("queries.sql").read_text(encoding="utf-8")
    parts = [part.partition("\n") for part in content.split("-- name: ")[1:]]
    return MappingProxyType({name.strip(): text.strip() for name, _, text in parts})


def query(name: str, **words: object) -> str:
    """A text of ``queries.sql`` with its words filled in."""
    text = _texts()[name]
    return text.format(**words) if words else text


class GoneError(SpinCacheError):
    """A file that was chosen cannot be read any more."""


@contextlib.contextmanager
def _gone(place: Place, faults: tuple[type[BaseException], ...]) -> Iterator[None]:
    """Name the faults of an engine that is to open the files that were chosen."""
    try:
        yield
    except faults as exc:
        said = str(exc).splitlines()[0][:300]
        raise GoneError(f"{place}", "snapshots that stay", said, "open it again") from exc


class Engine(Protocol):
    """Runs SQL over the views of one dataset."""

    name: str
    faults: tuple[type[BaseException], ...]

    def run(self, text: str, turns: Any = None) -> Any:
        """Give what a query gives as an Arrow table; ``turns`` is a table of that name for it."""

    def close(self) -> None:
        """Free what is held."""


def literal(text: str) -> str:
    """Text as an SQL literal.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def unglobbed(path: str) -> str:
    """A path whose special characters stand for themselves where patterns are understood.

    >>> unglobbed("/data/fleet[1]/a.parquet")
    '/data/fleet[[]1]/a.parquet'
    """
    return re.sub(r"([\[*?])", r"[\1]", path)


def _alike(dataset: Dataset) -> Iterator[tuple[dict[str, str], list[str], list[Chosen]]]:
    """Files that have the same columns: these, the names of the files, and what is chosen of mixed ones."""
    groups: dict[tuple[tuple[tuple[str, str], ...], bool], dict[str, list[Chosen]]] = defaultdict(dict)
    for one in dataset.chosen:
        mixed = COMPACTED.fullmatch(one.name) is not None
        groups[one.facts.columns, mixed].setdefault(one.name, []).append(one)
    for (columns, mixed), named in groups.items():
        yield dict(columns), list(named), [one for found in named.values() for one in found] if mixed else []


def snapshots_sql(dataset: Dataset) -> str:
    """The view ``snapshots`` for DuckDB: every column, of each host's newest snapshot."""
    found, ours = [], arrow_types()
    for columns, names, chosen in _alike(dataset):
        listed = ", ".join(literal(unglobbed(dataset.place.address(name))) for name in names)
        selected = ", ".join(
            name
            if columns.get(name) == str(ours[name])
            else f"CAST({name if name in columns else 'NULL'} AS {_SQL_TYPES[kind]}) AS {name}"
            for name, kind in COLUMNS.items()
        )
        moments = ", ".join(
            f"({literal(one.host)}, TIMESTAMPTZ {literal(one.moment.isoformat())})" for one in chosen
        )
        where = f" WHERE (host, taken_at) IN ({moments})" if chosen else ""
        found.append(f"SELECT {selected} FROM read_parquet([{listed}], hive_partitioning = false){where}")  # noqa: S608
    return " UNION ALL ".join(found)


class DuckDBEngine:
    """DuckDB in this process; each query has a cursor of its own, so that threads do not meet."""

    name = "duckdb"

    def __init__(
        self,
        dataset: Dataset,
        *,
        memory_limit: str | None = None,
        threads: int | None = None,
        spill_folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self.faults: tuple[type[BaseException], ...] = (load("duckdb").Error,)
        with contextlib.ExitStack() as stack:
            if spill_folder is None:
                spill_folder = stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="spincache-fleet-", ignore_cleanup_errors=True)
                )
            self._connection = connect(dataset.place, spill_folder, memory_limit, threads)
            stack.callback(self._connection.close)
            with _gone(dataset.place, self.faults):
                self._connection.execute(f"CREATE VIEW snapshots AS {snapshots_sql(dataset)}")
                for view in VIEWS:
                    self._connection.execute(f"CREATE VIEW {view} AS {query(view)}")
            self._closing = stack.pop_all()

    def run(self, text: str, turns: Any = None) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute("SET TimeZone = 'UTC'; SET parquet_metadata_cache = true")
            if turns is not None:
                cursor.register("turns", turns)
            return cursor.sql(text).to_arrow_table()

    def close(self) -> None:
        self._closing.close()


def connect(
    place: Place,
    spill_folder: str | os.PathLike[str],
    memory_limit: str | None = None,
    threads: int | None = None,
) -> Any:
    """A connection to a DuckDB in memory that reads the files of a place, and downloads no extension."""
    config: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "preserve_insertion_order": "false",
        "temp_directory": os.fspath(spill_folder),
    }
    if memory_limit is not None:
        config["memory_limit"] = memory_limit
    if threads is not None:
        config["threads"] = threads
    connection = load("duckdb").connect(":memory:", config=config)
    connection.execute("SET enable_progress_bar = false")  # it draws on standard output in notebooks
    if not place.local:
        connection.register_filesystem(place.fs)
    return connection


class SparkEngine:
    """A Spark session that is running; its names are not touched, since this is a session beside it."""

    name = "spark"

    def __init__(self, dataset: Dataset, session: Any) -> None:
        load("pyspark", extra="spark")
        self._glot = load("sqlglot", extra="spark")
        self.faults: tuple[type[BaseException], ...] = (
            load("pyspark.errors", extra="spark").PySparkException,
            load("py4j.protocol", extra="spark").Py4JError,
        )
        self._session = session.newSession()
        self._session.conf.set("spark.sql.session.timeZone", "UTC")
        with _gone(dataset.place, self.faults):
            self._frame(dataset).createOrReplaceTempView("snapshots")
            for view in VIEWS:
                self._session.sql(self.translated(query(view))).createOrReplaceTempView(view)

    def _frame(self, dataset: Dataset) -> Any:
        functions = load("pyspark.sql.functions", extra="spark")
        types = {**_SQL_TYPES, "string": "string", "time": "timestamp"}
        whole = None
        for columns, names, chosen in _alike(dataset):
            read = self._session.read.parquet(*map(dataset.place.address, names))
            selected = [
                (functions.col(f"`{name}`") if name in columns else functions.lit(None))
                .cast(types[kind])
                .alias(name)
                for name, kind in COLUMNS.items()
            ]
            frame = read.select(*selected)
            if chosen:
                moments = self._session.createDataFrame(
                    [(one.host, one.moment) for one in chosen], "host string, taken_at timestamp"
                )
                frame = frame.join(moments, ["host", "taken_at"], "left_semi").select(*COLUMNS)
            whole = frame if whole is None else whole.unionByName(frame)
        return whole

    def translated(self, text: str) -> str:
        """A query in Spark's dialect."""
        (found,) = self._glot.transpile(text, read="duckdb", write="spark")
        return str(found)

    def run(self, text: str, turns: Any = None) -> Any:
        if turns is None:
            return self._session.sql(self.translated(text)).toArrow()
        name = f"turns_{uuid.uuid4().hex}"
        self._session.createDataFrame(turns).createOrReplaceTempView(name)
        try:
            return self._session.sql(self.translated(re.sub(r"\bturns\b", name, text))).toArrow()
        finally:
            self._session.catalog.dropTempView(name)

    def close(self) -> None:
        for view in ("snapshots", *VIEWS):
            self._session.catalog.dropTempView(view)


def faulty_files(dataset: Dataset) -> dict[str, str]:
    """Read all of every chosen file and say which are not what their footers tell, and why."""
    duckdb = load("duckdb")
    found: dict[str, str] = {}
    with (
        tempfile.TemporaryDirectory(prefix="spincache-fleet-") as folder,
        contextlib.closing(connect(dataset.place, folder)) as connection,
    ):
        by_file: dict[str, list[Chosen]] = defaultdict(list)
        for one in dataset.chosen:
            by_file[one.name].append(one)
        for name, inside in by_file.items():
            alone = Dataset(dataset.place, dataset.kind, tuple(inside), ())
            try:
                connection.execute("CREATE OR REPLACE TEMP VIEW one AS " + snapshots_sql(alone))
                rows = connection.execute(TOTALS.format(rows="one")).fetchall()
                connection.execute("SELECT count(COLUMNS(*)) FROM one").fetchall()
            except duckdb.Error as exc:
                found[name] = f"it cannot be read: {str(exc).splitlines()[0][:300]}"
                continue
            if any(wrong or (total or 0) > MOST_IN_ALL for _, wrong, total in rows):
                found[name] = "it holds sizes that no cache has"
    return found
