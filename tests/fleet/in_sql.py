"""What a fleet's analyses should say, in SQL of its own over the Parquet files.

It joins and counts full digests, looks at no flag, and finds by itself which snapshot of a host counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from spincache_nb.fleet.tables import TABLES

Row = tuple[Any, ...]

_VIEWS = """
CREATE VIEW latest AS
SELECT host, max(day) AS day FROM (
    SELECT url_decode(regexp_extract(file, '/host=([^/]*)/', 1)) AS host,
           regexp_extract(file, '/day=([^/]*)/', 1) AS day
    FROM glob('{folder}/host=*/day=*/_complete.json')
) GROUP BY host;
CREATE VIEW name AS SELECT DISTINCT host, part, key, digest FROM digests;
CREATE VIEW used AS
SELECT host, part, app, digest, flags % 8 AS area, stored_bytes AS size
FROM uses JOIN name USING (host, part, key);
CREATE VIEW copy AS SELECT host, digest, area, max(size) AS size FROM used GROUP BY ALL;
CREATE VIEW once AS
SELECT digest, area, min(host) AS first, count(*) AS hosts, max(size) AS size, sum(size) AS stored
FROM copy GROUP BY ALL;
CREATE VIEW known AS
SELECT layers_digest, min(manifest_digest) AS digest FROM apps GROUP BY layers_digest;
CREATE VIEW listed AS
SELECT apps.*, coalesce(manifest_digest, known.digest, layers_digest) AS manifest,
       coalesce(manifest_digest, layers_digest) AS own
FROM apps LEFT JOIN known USING (layers_digest);
CREATE VIEW called AS
SELECT digest, CASE octet_length(digest) WHEN 32 THEN 'sha256:' WHEN 48 THEN 'sha384:' ELSE 'sha512:' END
               || lower(hex(digest)) AS text
FROM (SELECT DISTINCT digest FROM name);
"""

QUERIES = {
    "summary": """
        SELECT (SELECT coalesce(sum(size), 0) FROM used), (SELECT coalesce(sum(size), 0) FROM copy),
               (SELECT count(*) FROM problems), (SELECT count(*) FROM apps), (SELECT count(*) FROM copy),
               (SELECT coalesce(sum(stored_bytes), 0) FROM breakdown WHERE kind = 'unreferenced'),
               (SELECT coalesce(sum(stored_bytes), 0) FROM breakdown), (SELECT count(*) FROM latest),
               (SELECT count(*) FROM once), (SELECT coalesce(sum(size), 0) FROM once)
    """,
    "sharing": """
        WITH need AS (
            SELECT digest, count(DISTINCT (host, part, app)) AS users, sum(size) AS needed,
                   count(DISTINCT (host, part, app)) FILTER (app >= 0) AS apps,
                   count(DISTINCT host) AS hosts,
                   string_agg(DISTINCT {area}, '+' ORDER BY {area}) AS areas
            FROM used GROUP BY digest
        ), manifests AS (
            SELECT digest, count(DISTINCT manifest) AS manifests
            FROM used JOIN listed USING (host, part, app) GROUP BY digest
        ), names AS (
            SELECT digest, count(DISTINCT name) AS count,
                   array_to_string(list_slice(list_sort(list_distinct(list(name))), 1, 3), ', ') AS names
            FROM digests GROUP BY digest
        ), held AS (SELECT digest, sum(stored) AS stored, sum(size) AS size FROM once GROUP BY digest)
        SELECT text, areas, stored, users, apps, coalesce(manifests, 0),
               coalesce(names, '') || CASE WHEN count > 3 THEN ' +' || (count - 3) ELSE '' END, count,
               needed, needed - stored, hosts, size, stored - size
        FROM need JOIN held USING (digest) JOIN names USING (digest) JOIN called USING (digest)
        LEFT JOIN manifests USING (digest)
        ORDER BY needed - stored DESC, text
    """,
    "shared_bytes": """
        WITH largest AS (
            SELECT reference FROM apps GROUP BY reference
            ORDER BY coalesce(sum(stored_bytes), 0) DESC, reference LIMIT 12
        ), need AS (
            SELECT reference, digest, area, max(size) AS size
            FROM used JOIN apps USING (host, part, app) JOIN largest USING (reference) GROUP BY ALL
        )
        SELECT a.reference, b.reference, coalesce((
            SELECT sum(least(x.size, y.size)) FROM need x JOIN need y USING (digest, area)
            WHERE x.reference = a.reference AND y.reference = b.reference), 0)
        FROM largest a JOIN largest b ON a.reference < b.reference ORDER BY ALL
    """,
    "host_pairs": """
        SELECT a.host, b.host, coalesce((
            SELECT sum(least(x.size, y.size)) FROM copy x JOIN copy y USING (digest, area)
            WHERE x.host = a.host AND y.host = b.host), 0)
        FROM latest a JOIN latest b ON a.host < b.host ORDER BY ALL
    """,
    "host_overlap": """
        WITH mine AS (
            SELECT latest.host, count(size) AS blobs, coalesce(sum(size), 0) AS stored
            FROM latest LEFT JOIN copy USING (host) GROUP BY ALL
        ), new AS (
            SELECT first AS host, sum(size) AS new, sum(CASE WHEN hosts = 1 THEN size ELSE 0 END) AS alone
            FROM once GROUP BY first
        )
        SELECT host, blobs, stored, coalesce(alone, 0), stored - coalesce(alone, 0), coalesce(new, 0),
               stored - coalesce(new, 0), sum(stored) OVER (ORDER BY host),
               sum(coalesce(new, 0)) OVER (ORDER BY host)
        FROM mine LEFT JOIN new USING (host) ORDER BY host
    """,
    "prewarm": """
        SELECT hosts, count(*), sum(size), sum(stored), sum(sum(size)) OVER (ORDER BY hosts DESC),
               sum(sum(stored)) OVER (ORDER BY hosts DESC)
        FROM once GROUP BY hosts ORDER BY hosts DESC
    """,
    "unreferenced": """
        SELECT host, text, area, stored_bytes, epoch_ns(modified_at),
               (SELECT count(DISTINCT host) FROM used WHERE used.digest = name.digest)
        FROM blobs JOIN name USING (host, part, key) JOIN called USING (digest)
        WHERE standing = 'unreferenced' ORDER BY host, text, area
    """,
    "versions": """
        SELECT reference, any_value(registry || '/' || repository), any_value(tag), count(DISTINCT host),
               count(DISTINCT manifest), max(declared_bytes), sum(stored_bytes), epoch_ns(min(pulled_at)),
               epoch_ns(max(pulled_at))
        FROM listed GROUP BY reference ORDER BY count(DISTINCT host) DESC, reference
    """,
    "version_savings": """
        WITH version AS (
            SELECT registry || '/' || repository AS repository, sort_key, manifest,
                   count(DISTINCT host) AS hosts, arg_max(a, (members, -nth)) AS a
            FROM (
                SELECT registry, repository, sort_key, manifest, host, listed AS a,
                       row_number() OVER (ORDER BY host, part, app) AS nth,
                       (SELECT count(*) FROM members m
                        WHERE (m.host, m.part, m.app) = (listed.host, listed.part, listed.app)) AS members
                FROM listed WHERE layer_count IS NOT NULL
            ) GROUP BY ALL
        ), turned AS (
            SELECT *, row_number() OVER (PARTITION BY repository ORDER BY sort_key, a.own) - 1 AS turn
            FROM version
        ), part AS (
            SELECT repository, turn, digest, bool_or(role = 'config') AS config, max(declared_bytes) AS size,
                   bool_or(role IN ('wasm', 'data', 'archive', 'other')) AS stores
            FROM turned JOIN layers l ON (l.host, l.part, l.app) = (a.host, a.part, a.app)
            LEFT JOIN name ON (name.host, name.part, name.key) = (l.host, l.part, l.key) GROUP BY ALL
        ), stored AS (
            SELECT repository, digest, min(turn) AS turn FROM (
                SELECT repository, digest, turn FROM part WHERE stores
                UNION ALL
                SELECT repository, digest, turn
                FROM turned JOIN members m ON (m.host, m.part, m.app) = (a.host, a.part, a.app)
                JOIN name ON (name.host, name.part, name.key) = (m.host, m.part, m.key)
            ) GROUP BY ALL
        ), fetched AS (
            SELECT part.repository, part.turn,
                   sum(CASE WHEN NOT config AND stored.turn < part.turn THEN 0 ELSE size END) AS size
            FROM part LEFT JOIN stored USING (repository, digest) GROUP BY ALL
        )
        SELECT repository, turn, a.reference, a.tag, coalesce(a.version_bytes, 0),
               coalesce(size, 0), hosts
        FROM turned LEFT JOIN fetched USING (repository, turn) ORDER BY repository, turn
    """,
    "breakdown": """
        SELECT host, kind, file_count, stored_bytes FROM breakdown ORDER BY host, kind
    """,
    "problems": """
        SELECT host, kind, reference, path FROM problems ORDER BY host, path, kind, reference
    """,
}
"""One per analysis; its columns are those of `COLUMNS`."""

COLUMNS = {
    "summary": (
        *("logical_bytes", "stored_bytes", "problem_count", "app_count", "blob_count", "unreferenced_bytes"),
        *("disk_bytes", "host_count", "distinct_blob_count", "distinct_bytes"),
    ),
    "sharing": (
        *("digest", "areas", "stored_bytes", "user_count", "app_count", "manifest_count", "names"),
        *("name_count", "needed_bytes", "saved_bytes", "host_count", "distinct_bytes"),
        "shared_cache_saved_bytes",
    ),
    "shared_bytes": ("reference_a", "reference_b", "shared_bytes"),
    "host_pairs": ("host_a", "host_b", "shared_bytes"),
    "host_overlap": (
        *("host", "blob_count", "stored_bytes", "only_here_bytes", "elsewhere_bytes", "new_bytes"),
        *("shared_cache_saved_bytes", "cumulative_stored_bytes", "cumulative_distinct_bytes"),
    ),
    "prewarm": (
        *("host_count", "blob_count", "distinct_bytes", "stored_bytes", "image_bytes", "saved_bytes"),
    ),
    "unreferenced": ("host", "digest", "area", "stored_bytes", "modified_at", "used_by_hosts"),
    "versions": (
        *("reference", "repository", "tag", "host_count", "manifest_count", "declared_bytes"),
        *("stored_bytes", "first_pulled_at", "last_pulled_at"),
    ),
    "version_savings": (
        *("repository", "position", "reference", "tag", "total_bytes", "fetch_bytes", "host_count"),
    ),
    "breakdown": ("host", "kind", "file_count", "stored_bytes"),
    "problems": ("host", "kind", "reference", "path"),
}


class SQL:
    """A dataset, asked in SQL."""

    def __init__(self, folder: Path) -> None:
        self._connection = duckdb.connect()
        views = _VIEWS.format(folder=folder).split(";")
        self._connection.execute(views[0])
        for table in TABLES:
            self._connection.execute(
                f"""
                CREATE VIEW {table} AS SELECT * REPLACE (CAST(host AS VARCHAR) AS host),
                       CAST(regexp_extract(filename, '-([0-9]+)-[^/]*$', 1) AS INTEGER) AS part
                FROM read_parquet('{folder}/host=*/day=*/{table}-*.parquet', hive_partitioning = true,
                                  hive_types_autocast = false, filename = true)
                SEMI JOIN latest USING (host, day)
                """
            )
        for view in views[1:-1]:
            self._connection.execute(view)

    def rows(self, analysis: str) -> list[Row]:
        """The rows of an analysis, in order; numbers are whole, times nanoseconds."""
        area = "CASE area WHEN 1 THEN 'wasm' WHEN 2 THEN 'data' WHEN 4 THEN 'registry' END"
        query = QUERIES[analysis].replace("{area}", area)
        return [tuple(map(_plain, row)) for row in self._connection.execute(query).fetchall()]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else int(value)


def plain_rows(frame: pd.DataFrame, analysis: str) -> list[Row]:
    """The same of an analysis's frame."""
    columns = []
    for name in COLUMNS[analysis]:
        column = frame[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            values = [None if pd.isna(value) else value.value for value in column]
        else:
            values = [None if pd.isna(value) else value for value in column]
        columns.append(list(map(_plain, values)))
    return list(zip(*columns, strict=True))
