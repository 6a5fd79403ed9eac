"""The SQL of the DuckDB engine."""

from __future__ import annotations

from spincache_nb.analysis.replay import Rules
from spincache_nb.fleet.tables import CONFIG, DOCUMENT

BLOBS = (
    """
    CREATE OR REPLACE TEMP TABLE blob AS
    SELECT key, flags & 7 AS bits,
           count_if((flags & 8) <> 0) AS users,
           count_if((flags & 8) <> 0 AND app >= 0) AS apps,
           CAST(sum(stored_bytes) AS BIGINT) AS needed,
           count_if((flags & 16) <> 0) AS hosts,
           CAST(sum(CASE WHEN (flags & 16) <> 0 THEN stored_bytes ELSE 0 END) AS BIGINT) AS stored,
           max(stored_bytes) AS size,
           min(unit) AS first_unit,
           count_if((flags & 64) <> 0) AS firsts
    FROM uses GROUP BY ALL
    """,
    """
    CREATE OR REPLACE TEMP TABLE host_sum AS
    SELECT host, CAST(sum(needed) AS BIGINT) AS logical, CAST(sum(stored) AS BIGINT) AS stored,
           CAST(sum(blobs) AS BIGINT) AS blobs
    FROM (SELECT unit, sum(stored_bytes) AS needed,
                 sum(CASE WHEN (flags & 16) <> 0 THEN stored_bytes ELSE 0 END) AS stored,
                 count_if((flags & 16) <> 0) AS blobs
          FROM uses GROUP BY unit) JOIN unit USING (unit)
    GROUP BY host
    """,
)
"""Where every host is one unit: flags count what a host has once."""

BLOBS_OF_PARTS = (
    """
    CREATE OR REPLACE TEMP TABLE host_blob AS
    SELECT key, flags & 7 AS bits, host,
           count_if((flags & 8) <> 0) AS users,
           count_if((flags & 8) <> 0 AND app >= 0) AS apps,
           CAST(sum(stored_bytes) AS BIGINT) AS needed, max(stored_bytes) AS stored,
           CAST(bool_or((flags & 64) <> 0) AS INTEGER) AS firsts
    FROM uses JOIN unit USING (unit) GROUP BY ALL
    """,
    """
    CREATE OR REPLACE TEMP TABLE blob AS
    SELECT key, bits, CAST(sum(users) AS BIGINT) AS users, CAST(sum(apps) AS BIGINT) AS apps,
           CAST(sum(needed) AS BIGINT) AS needed, count(*) AS hosts, CAST(sum(stored) AS BIGINT) AS stored,
           max(stored) AS size, min(first_unit) AS first_unit, CAST(sum(firsts) AS BIGINT) AS firsts
    FROM host_blob JOIN (SELECT host, min(unit) AS first_unit FROM unit GROUP BY host) USING (host)
    GROUP BY key, bits
    """,
    """
    CREATE OR REPLACE TEMP TABLE host_sum AS
    SELECT host, CAST(sum(needed) AS BIGINT) AS logical, CAST(sum(stored) AS BIGINT) AS stored,
           count(*) AS blobs
    FROM host_blob GROUP BY host
    """,
    "DROP TABLE host_blob",
)
"""Where a host may be several units, which may have a blob each."""

FIRST_HOSTS = """
SELECT unit.host, CAST(sum(size) AS BIGINT) AS new,
       CAST(sum(CASE WHEN hosts = 1 THEN size ELSE 0 END) AS BIGINT) AS only_here
FROM blob JOIN unit ON unit.unit = blob.first_unit GROUP BY unit.host
"""
HOST_COUNTS = """
SELECT hosts, count(*) AS blobs, CAST(sum(size) AS BIGINT) AS size, CAST(sum(stored) AS BIGINT) AS stored
FROM blob GROUP BY hosts
"""

MANIFEST_COUNTS = """
CREATE OR REPLACE TEMP TABLE manifest_count AS
SELECT key, CAST(sum(manifests) AS BIGINT) AS manifests
FROM (
    SELECT key, number, CASE WHEN number IS NULL THEN count_if((flags & 32) <> 0) ELSE 1 END AS manifests
    FROM uses JOIN (
        SELECT unit, app, CASE WHEN is_shared THEN manifest END AS number FROM app
    ) USING (unit, app)
    GROUP BY key, number
)
GROUP BY key
"""
DIGESTS = """
SELECT digest.*, coalesce(manifests, 0) AS manifests
FROM (
    SELECT key, CAST(sum(users) AS BIGINT) AS users, CAST(sum(apps) AS BIGINT) AS apps,
           CAST(sum(needed) AS BIGINT) AS needed, CAST(sum(stored) AS BIGINT) AS stored,
           CAST(sum(size) AS BIGINT) AS size, CAST(sum(bits) AS BIGINT) AS areas,
           CAST(sum(firsts) AS BIGINT) AS hosts
    FROM blob GROUP BY key {limit}
) AS digest LEFT JOIN manifest_count USING (key)
"""
USERS_OF = """
SELECT key, count(DISTINCT host) AS hosts FROM uses SEMI JOIN wanted USING (key) JOIN unit USING (unit)
GROUP BY key
"""
MOST_SAVING = "ORDER BY sum(blob.needed) - sum(blob.stored) DESC, key < 0, key LIMIT {top}"

HOST_PAIRS = """
WITH found AS (
    SELECT host, key, flags & 7 AS bits, max(stored_bytes) AS bytes
    FROM uses JOIN unit USING (unit) JOIN wanted_host USING (host)
    WHERE (flags & 16) <> 0 GROUP BY ALL
)
SELECT one.host AS a, other.host AS b, CAST(sum(least(one.bytes, other.bytes)) AS BIGINT) AS shared
FROM found AS one
JOIN found AS other ON one.key = other.key AND one.bits = other.bits AND one.host < other.host
GROUP BY ALL
"""
APP_PAIRS = """
WITH found AS (
    SELECT item, key, flags & 7 AS bits, max(uses.stored_bytes) AS bytes
    FROM uses JOIN raw_apps USING (unit, app) JOIN item USING (reference)
    GROUP BY ALL
)
SELECT one.item AS a, other.item AS b, CAST(sum(least(one.bytes, other.bytes)) AS BIGINT) AS shared
FROM found AS one
JOIN found AS other ON one.key = other.key AND one.bits = other.bits AND one.item < other.item
GROUP BY ALL
"""


def fetches(rules: Rules) -> tuple[str, ...]:
    """Statements that make the tables behind `FETCH_TOTALS`."""
    special = CONFIG if rules == "spin" else CONFIG | DOCUMENT
    return (
        """
        CREATE OR REPLACE TEMP TABLE stand_in AS
        SELECT unit, app, version, repository_number AS repository, unchanged
        FROM version JOIN wanted_version USING (version, repository_number)
        """,
        """
        CREATE OR REPLACE TEMP VIEW part AS
        SELECT version, repository, unchanged, coalesce(key, 0) AS key, coalesce(declared_bytes, 0) AS bytes,
               flags
        FROM layers JOIN stand_in USING (unit, app) WHERE (flags & 8) <> 0
        """,
        """
        CREATE OR REPLACE TEMP TABLE first_member AS
        SELECT repository, key, min(version) AS version
        FROM members JOIN stand_in USING (unit, app) GROUP BY repository, key
        """,
        """
        CREATE OR REPLACE TEMP TABLE first_part AS
        SELECT repository, key, min(version) AS version, arg_min(bytes, version) AS bytes,
               arg_min(flags, version) AS flags
        FROM part WHERE (flags & 1) <> 0 GROUP BY repository, key
        """,
        f"""
        CREATE OR REPLACE TEMP TABLE fetched AS
        SELECT part.version, part.bytes, (part.flags & 4) <> 0 AS archive
        FROM first_part AS part LEFT JOIN first_member AS member USING (repository, key)
        WHERE (part.flags & {special}) = 0 AND (member.version IS NULL OR member.version >= part.version)
        UNION ALL
        SELECT part.version, part.bytes, (part.flags & 4) <> 0
        FROM part LEFT JOIN first_part AS known USING (repository, key)
        LEFT JOIN first_member AS member USING (repository, key)
        WHERE ((part.flags & 1) = 0 OR (part.flags & {special}) <> 0) AND NOT {_reused(rules, special)}
        """,  # noqa: S608 - numbers of ours
    )


def _reused(rules: Rules, special: int) -> str:
    """Whether a part that is no plain blob does not have to be fetched."""
    if rules == "spin":
        there = "coalesce(least(known.version, member.version) < part.version, false)"
        return f"((part.flags & {special}) = 0 AND {there})"
    return f"((part.flags & {special}) <> 0 AND part.unchanged)"


FETCH_TOTALS = """
WITH fetch_sum AS (
    SELECT version, CAST(sum(bytes) AS BIGINT) AS "fetch",
           CAST(sum(CASE WHEN archive THEN bytes ELSE 0 END) AS BIGINT) AS archive_fetch
    FROM fetched GROUP BY version
), member_sum AS (
    SELECT stand_in.version, count(*) AS members,
           CAST(sum(CASE WHEN least(known.version, earlier.version) < stand_in.version
                         THEN size_bytes ELSE 0 END) AS BIGINT) AS known
    FROM members JOIN stand_in USING (unit, app)
    LEFT JOIN first_part AS known USING (repository, key)
    LEFT JOIN first_member AS earlier USING (repository, key)
    GROUP BY stand_in.version
)
SELECT version, coalesce("fetch", 0) AS "fetch", coalesce(archive_fetch, 0) AS archive_fetch,
       coalesce(known, 0) AS known, coalesce(members, 0) AS members
FROM fetch_sum FULL JOIN member_sum USING (version)
"""
