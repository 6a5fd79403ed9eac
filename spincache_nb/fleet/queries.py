"""SQL over the small tables, the same for every engine."""

from __future__ import annotations

BREAKDOWN_TOTALS = """
SELECT CAST(coalesce(sum(CASE WHEN kind = 'unreferenced' THEN stored_bytes ELSE 0 END), 0) AS BIGINT)
           AS unreferenced_bytes,
       CAST(coalesce(sum(stored_bytes), 0) AS BIGINT) AS disk_bytes
FROM raw_breakdown
"""
BREAKDOWN = """
SELECT host, kind, file_count, stored_bytes,
       stored_bytes / nullif(sum(stored_bytes) OVER (PARTITION BY host), 0) AS share
FROM raw_breakdown JOIN unit USING (unit) ORDER BY host, kind
"""
PROBLEMS = """
SELECT host, kind, reference, path FROM raw_problems JOIN unit USING (unit)
ORDER BY host, path, kind, reference
"""
LARGEST_REFERENCES = """
SELECT reference FROM raw_apps GROUP BY reference
ORDER BY coalesce(sum(stored_bytes), 0) DESC, reference LIMIT ?
"""
UNREFERENCED = """
WITH idle AS MATERIALIZED (
    SELECT unit, key, area, stored_bytes, modified_at FROM blobs WHERE standing = 'unreferenced'
)
SELECT host, key, digest, area, stored_bytes, epoch_ns(modified_at) AS modified_ns
FROM idle JOIN unit USING (unit)
JOIN (SELECT DISTINCT unit, key, digest FROM digests SEMI JOIN idle USING (unit, key)) USING (unit, key)
"""
VERSIONS = """
SELECT reference, any_value(repository) AS repository, any_value(tag) AS tag,
       count(DISTINCT host) AS host_count, count(DISTINCT manifest) AS manifest_count,
       max(declared_bytes) AS declared_bytes, CAST(sum(stored_bytes) AS BIGINT) AS stored_bytes,
       epoch_ns(min(pulled_at)) AS first_ns, epoch_ns(max(pulled_at)) AS last_ns
FROM app GROUP BY reference ORDER BY host_count DESC, reference
"""
