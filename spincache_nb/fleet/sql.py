"""The SQL of the catalog and of the DuckDB engine.

Parquet files are read through views; ``unit`` is the number of the file. The bits of ``flags`` are those
of `spincache_nb.fleet.tables`.
"""

from __future__ import annotations

import re

PLAIN_VIEW = "CREATE OR REPLACE VIEW {table} AS SELECT * FROM raw_{table}"
FIXED_VIEW = """
CREATE OR REPLACE VIEW {table} AS
SELECT raw.* REPLACE (coalesce(fix.new_key, raw.key) AS key)
FROM raw_{table} AS raw LEFT JOIN fix ON fix.unit = raw.unit AND fix.key = raw.key
"""

CLASHES = """
SELECT DISTINCT unit, key, digest FROM raw_digests
WHERE NOT is_prefix
   OR key IN (SELECT key FROM (SELECT DISTINCT key, digest FROM raw_digests) GROUP BY key HAVING count(*) > 1)
"""

APPS = """
CREATE OR REPLACE TEMP TABLE app AS
WITH named AS (
    SELECT unit, app, unit.host, reference, registry || '/' || repository AS repository, tag, created_at,
           pulled_at, layer_count, declared_bytes, stored_bytes, version_bytes, document_digest, sort_key,
           coalesce(manifest_digest, layers_digest) AS own,
           coalesce(manifest_digest, known.digest, layers_digest) AS manifest
    FROM raw_apps JOIN unit USING (unit)
    LEFT JOIN (
        SELECT layers_digest, min(manifest_digest) AS digest FROM raw_apps
        WHERE manifest_digest IS NOT NULL GROUP BY layers_digest
    ) AS known USING (layers_digest)
), numbered AS (
    SELECT manifest, row_number() OVER () - 1 AS manifest_number, places > 1 AS is_shared
    FROM (SELECT manifest, count(*) AS places
          FROM (SELECT DISTINCT manifest, own, host FROM named) GROUP BY manifest)
)
SELECT named.* REPLACE (manifest_number AS manifest), is_shared
FROM named JOIN numbered ON named.manifest = numbered.manifest
"""
"""Manifests by their digest, where any host knows it, else by their layers; ``is_shared`` if a manifest is
in several snapshots, so that flags would count it in each."""

VERSIONS = """
CREATE OR REPLACE TEMP TABLE version AS
WITH listed AS (
    SELECT app.*, coalesce(known.members, 0) AS members
    FROM app LEFT JOIN (
        SELECT unit, app, count(*) AS members FROM raw_members GROUP BY unit, app
    ) AS known USING (unit, app)
    WHERE layer_count IS NOT NULL
), chosen AS (
    SELECT repository, sort_key, manifest, count(DISTINCT host) AS host_count,
           arg_min(struct_pack(unit, app), struct_pack(missing := -members, unit, app)) AS place
    FROM listed GROUP BY repository, sort_key, manifest
)
SELECT row_number() OVER (ORDER BY chosen.repository, chosen.sort_key, own) - 1 AS version,
       dense_rank() OVER (ORDER BY chosen.repository) - 1 AS repository_number,
       row_number() OVER (PARTITION BY chosen.repository ORDER BY chosen.sort_key, own) - 1 AS position,
       chosen.repository, host_count, place.unit AS unit, place.app AS app, reference, tag, created_at,
       coalesce(version_bytes, 0) AS version_bytes, document_digest
FROM chosen JOIN app ON app.unit = chosen.place.unit AND app.app = chosen.place.app
"""
"""One row per repository, order and manifest. Of the apps that are this version, the one whose archive
members are known best stands for it."""

MANIFEST_NUMBERS = """
SELECT CASE WHEN is_shared THEN manifest ELSE -1 END AS number FROM app ORDER BY unit, app
"""
VERSION_NUMBERS = """
SELECT coalesce(wanted.version, -1) AS number FROM app LEFT JOIN version USING (unit, app)
LEFT JOIN wanted_version AS wanted ON wanted.version = version.version ORDER BY unit, app
"""
ITEM_NUMBERS = """
SELECT coalesce(item, -1) AS number FROM raw_apps LEFT JOIN item USING (reference) ORDER BY unit, app
"""
VERSION_ROWS = """
SELECT version, repository_number, position, repository, reference, tag,
       epoch_ns(created_at) AS created_ns, version_bytes, host_count,
       coalesce(document_digest = lag(document_digest) OVER (
           PARTITION BY reference ORDER BY version), false) AS unchanged
FROM version {condition} ORDER BY version
"""

DIGESTS = """
SELECT key, any_value(digest) AS digest FROM digests SEMI JOIN wanted USING (key) GROUP BY key ORDER BY key
"""
NAMES = """
WITH named AS (
    SELECT DISTINCT key, name FROM digests SEMI JOIN wanted USING (key) WHERE name IS NOT NULL
), listed AS (
    SELECT key, name, row_number() OVER (PARTITION BY key ORDER BY name) AS place,
           count(*) OVER (PARTITION BY key) AS name_count
    FROM named
)
SELECT key, name_count,
       string_agg(name, ', ' ORDER BY name)
       || CASE WHEN name_count > ? THEN ' +' || (name_count - ?) ELSE '' END AS names
FROM listed WHERE place <= ? GROUP BY key, name_count ORDER BY key
"""


def literal(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def unglobbed(path: str) -> str:
    """A path whose special characters stand for themselves where patterns are understood."""
    return re.sub(r"([\[*?])", r"[\1]", path)
