-- Every analysis of a fleet as one text, in DuckDB's dialect; what differs in Spark's, sqlglot writes anew.
--
-- They read the views below over `snapshots`, the rows of each host's newest snapshot, whose columns are described in
-- spincache_nb/fleet/table.py. Sums are cast to BIGINT in the end, since engines disagree on their type. Words in
-- braces are filled in: a number, or another text of this file.

-- name: apps
SELECT host, reference, registry || '/' || repository AS repository, tag, kind, name, version,
       created_at, pulled_at, manifest_digest, layers_digest, layer_count, declared_bytes,
       stored_bytes
FROM snapshots WHERE record = 'app'

-- name: needs
SELECT host, reference, kind, digest, area, stored_bytes, via, role, position, media_type,
       declared_bytes, member_bytes
FROM snapshots WHERE record = 'need'

-- name: blobs
SELECT host, digest, area, stored_bytes, modified_at, standing, use_count, app_count, name
FROM snapshots WHERE record = 'blob'

-- name: manifests
-- Apps with their manifest: by its digest, where any host knows it, else by its layers; and a number for each of these.
SELECT *, dense_rank() OVER (ORDER BY known_as) AS manifest FROM (
    SELECT apps.*, coalesce(manifest_digest, layers_digest) AS own,
           coalesce(manifest_digest, known.digest, layers_digest) AS known_as
    FROM apps LEFT JOIN (
        SELECT layers_digest AS alike, min(manifest_digest) AS digest FROM apps
        WHERE manifest_digest IS NOT NULL GROUP BY layers_digest
    ) AS known ON known.alike = apps.layers_digest
) AS named

-- name: summary
WITH distinct_blobs AS (
    SELECT digest, area, count(*) AS hosts, max(stored_bytes) AS size, sum(stored_bytes) AS stored,
           sum(stored_bytes * use_count) AS logical
    FROM blobs WHERE use_count > 0 GROUP BY digest, area
), others AS (
    -- Each by itself, so that Parquet's statistics tell which row groups to leave out.
    SELECT (SELECT count(*) FROM snapshots WHERE record = 'problem') AS problem_count,
           (SELECT count(*) FROM snapshots WHERE record = 'app') AS app_count, idle, disk, host_count, source
    FROM (
        SELECT sum(CASE WHEN kind = 'unreferenced' THEN stored_bytes ELSE 0 END) AS idle,
               sum(stored_bytes) AS disk FROM snapshots WHERE record = 'disk'
    ) AS disks CROSS JOIN (
        SELECT count(*) AS host_count, min(source) AS source FROM snapshots WHERE record = 'snapshot'
    ) AS hosts
), sums AS (
    SELECT coalesce(sum(logical), 0) AS logical, coalesce(sum(stored), 0) AS stored,
           coalesce(sum(hosts), 0) AS blob_count, count(*) AS distinct_count,
           coalesce(sum(size), 0) AS distinct_size
    FROM distinct_blobs
)
SELECT CAST(logical AS BIGINT) AS logical_bytes, CAST(stored AS BIGINT) AS stored_bytes,
       CAST(logical AS DOUBLE) / nullif(CAST(stored AS DOUBLE), 0) AS dedup_ratio,
       CAST(logical - stored AS BIGINT) AS saved_bytes, problem_count, app_count,
       CAST(blob_count AS BIGINT) AS blob_count,
       CASE WHEN source = 'cache' THEN CAST(coalesce(idle, 0) AS BIGINT) END AS unreferenced_bytes,
       CASE WHEN source = 'cache' THEN CAST(coalesce(disk, 0) AS BIGINT) END AS disk_bytes, host_count,
       distinct_count AS distinct_blob_count, CAST(distinct_size AS BIGINT) AS distinct_bytes,
       CAST(stored - distinct_size AS BIGINT) AS shared_cache_saved_bytes
FROM sums CROSS JOIN others

-- name: sharing
WITH {top} chosen AS (
    SELECT digest, sum(stored_bytes) AS stored, sum(stored_bytes * use_count) AS needed,
           max(CASE WHEN area = 'wasm' THEN 0 ELSE stored_bytes END)
           + max(CASE WHEN area = 'wasm' THEN stored_bytes ELSE 0 END) AS size,
           max(CASE WHEN area = 'wasm' THEN 1 ELSE 0 END)
           + max(CASE WHEN area = 'data' THEN 2 ELSE 0 END) AS areas,
           count(*) AS hosts, sum(use_count) AS users, sum(app_count) AS apps
    FROM {blobs} AS blobs WHERE use_count > 0 GROUP BY digest
), in_two_areas AS (
    SELECT digest, count(*) AS users, count(CASE WHEN kind = 'app' THEN 1 END) AS apps,
           count(DISTINCT host) AS hosts
    FROM (
        SELECT DISTINCT digest, host, reference, kind FROM {wanted} AS needs
        WHERE area IS NOT NULL AND digest IN (SELECT digest FROM chosen WHERE areas = 3)
    ) AS once GROUP BY digest
), numbered AS (
    SELECT digest, row_number() OVER (ORDER BY needed) AS number FROM chosen
), manifest_counts AS (
    SELECT number, count(*) AS manifests FROM (
        SELECT DISTINCT number, {manifest}
        FROM {wanted} AS needs JOIN numbered USING (digest) JOIN manifests USING (host, reference)
        WHERE area IS NOT NULL AND needs.kind = 'app'
    ) AS pairs GROUP BY number
), {names}
SELECT digest, CAST(stored AS BIGINT) AS stored_bytes,
       CASE areas WHEN 1 THEN 'wasm' WHEN 2 THEN 'data' WHEN 3 THEN 'data+wasm' ELSE 'registry' END AS areas,
       CAST(coalesce(in_two_areas.users, chosen.users) AS BIGINT) AS user_count,
       CAST(coalesce(in_two_areas.apps, chosen.apps) AS BIGINT) AS app_count,
       coalesce(manifests, 0) AS manifest_count, names, name_count, CAST(needed AS BIGINT) AS needed_bytes,
       CAST(needed - stored AS BIGINT) AS saved_bytes,
       coalesce(in_two_areas.hosts, chosen.hosts) AS host_count,
       size AS distinct_bytes, CAST(stored - size AS BIGINT) AS shared_cache_saved_bytes
FROM chosen JOIN numbered USING (digest) LEFT JOIN manifest_counts USING (number)
LEFT JOIN in_two_areas USING (digest) LEFT JOIN called USING (digest)
ORDER BY needed - stored DESC, digest

-- name: saving
SELECT count(*) AS digest_count, CAST(coalesce(sum(saved), 0) AS BIGINT) AS saved_bytes FROM (
    SELECT sum(stored_bytes * (use_count - 1)) AS saved FROM blobs WHERE use_count > 0 GROUP BY digest
) AS digests WHERE saved > 0

-- name: top
top AS (
    SELECT digest FROM blobs WHERE use_count > 0 GROUP BY digest
    ORDER BY sum(stored_bytes * (use_count - 1)) DESC, digest LIMIT {top}
), top_needs AS (
    SELECT digest, host, reference, kind, area, stored_bytes FROM needs
    WHERE area IS NOT NULL AND digest IN (SELECT digest FROM top)
), top_blobs AS (
    -- As `blobs`, without another pass over all of these.
    SELECT digest, area, max(stored_bytes) AS stored_bytes, count(*) AS use_count,
           count(CASE WHEN kind = 'app' THEN 1 END) AS app_count
    FROM top_needs GROUP BY digest, area, host
),

-- name: of_top
AND digest IN (SELECT digest FROM top)

-- name: names
called AS (
    SELECT digest, name_count, string_agg(name, ', ' ORDER BY name)
           || CASE WHEN name_count > 3 THEN ' +' || (name_count - 3) ELSE '' END AS names
    FROM (
        SELECT digest, name, count(*) OVER (PARTITION BY digest) AS name_count,
               row_number() OVER (PARTITION BY digest ORDER BY name) AS place
        FROM (
            SELECT DISTINCT digest, name FROM snapshots
            WHERE record IN ('blob', 'name') AND name IS NOT NULL {of_top}
        ) AS once
    ) AS listed WHERE place <= 3 GROUP BY digest, name_count
)

-- name: no_names
called AS (SELECT '' AS digest, CAST(NULL AS VARCHAR) AS names, CAST(NULL AS BIGINT) AS name_count)

-- name: shared_bytes
WITH chosen AS (
    SELECT reference FROM apps GROUP BY reference
    ORDER BY coalesce(sum(stored_bytes), 0) DESC, reference LIMIT {top}
), found AS (
    SELECT reference, digest, area, max(stored_bytes) AS size FROM needs
    WHERE area IS NOT NULL AND kind = 'app' AND reference IN (SELECT reference FROM chosen)
    GROUP BY reference, digest, area
), shared AS (
    SELECT one.reference AS a, other.reference AS b, sum(least(one.size, other.size)) AS size
    FROM found AS one JOIN found AS other
        ON one.digest = other.digest AND one.area = other.area AND one.reference < other.reference
    GROUP BY one.reference, other.reference
)
SELECT one.reference AS reference_a, other.reference AS reference_b,
       CAST(coalesce(size, 0) AS BIGINT) AS shared_bytes
FROM chosen AS one JOIN chosen AS other ON one.reference < other.reference
LEFT JOIN shared ON a = one.reference AND b = other.reference ORDER BY reference_a, reference_b

-- name: host_pairs
WITH chosen AS (
    SELECT hosts.host
    FROM (SELECT DISTINCT host FROM snapshots WHERE record = 'snapshot') AS hosts LEFT JOIN (
        SELECT host, sum(stored_bytes) AS stored FROM blobs WHERE use_count > 0 GROUP BY host
    ) AS sums ON sums.host = hosts.host ORDER BY coalesce(stored, 0) DESC, hosts.host LIMIT {top}
), found AS (
    SELECT host, digest, area, stored_bytes AS size FROM blobs
    WHERE use_count > 0 AND host IN (SELECT host FROM chosen)
), shared AS (
    SELECT one.host AS a, other.host AS b, sum(least(one.size, other.size)) AS size
    FROM found AS one JOIN found AS other
        ON one.digest = other.digest AND one.area = other.area AND one.host < other.host
    GROUP BY one.host, other.host
)
SELECT one.host AS host_a, other.host AS host_b, CAST(coalesce(size, 0) AS BIGINT) AS shared_bytes
FROM chosen AS one JOIN chosen AS other ON one.host < other.host
LEFT JOIN shared ON a = one.host AND b = other.host ORDER BY host_a, host_b

-- name: host_overlap
WITH distinct_blobs AS (
    SELECT min(host) AS first_host, count(*) AS hosts, max(stored_bytes) AS size
    FROM blobs WHERE use_count > 0 GROUP BY digest, area
), firsts AS (
    SELECT first_host, sum(size) AS new, sum(CASE WHEN hosts = 1 THEN size ELSE 0 END) AS only_here
    FROM distinct_blobs GROUP BY first_host
), stored AS (
    SELECT host AS storing, count(*) AS blobs, sum(stored_bytes) AS size
    FROM blobs WHERE use_count > 0 GROUP BY host
), sums AS (
    SELECT host, coalesce(blobs, 0) AS blobs, CAST(coalesce(size, 0) AS BIGINT) AS stored,
           CAST(coalesce(only_here, 0) AS BIGINT) AS only_here, CAST(coalesce(new, 0) AS BIGINT) AS new
    FROM (SELECT DISTINCT host FROM snapshots WHERE record = 'snapshot') AS hosts
    LEFT JOIN stored ON storing = host LEFT JOIN firsts ON first_host = host
)
SELECT host, blobs AS blob_count, stored AS stored_bytes, only_here AS only_here_bytes,
       stored - only_here AS elsewhere_bytes, new AS new_bytes, stored - new AS shared_cache_saved_bytes,
       CAST(sum(stored) OVER (ORDER BY host) AS BIGINT) AS cumulative_stored_bytes,
       CAST(sum(new) OVER (ORDER BY host) AS BIGINT) AS cumulative_distinct_bytes
FROM sums ORDER BY host

-- name: prewarm
WITH counted AS (
    SELECT hosts, count(*) AS blobs, CAST(sum(size) AS BIGINT) AS size, CAST(sum(stored) AS BIGINT) AS stored
    FROM (
        SELECT count(*) AS hosts, max(stored_bytes) AS size, sum(stored_bytes) AS stored
        FROM blobs WHERE use_count > 0 GROUP BY digest, area
    ) AS distinct_blobs GROUP BY hosts
)
SELECT hosts AS host_count, blobs AS blob_count, size AS distinct_bytes, stored AS stored_bytes,
       CAST(sum(size) OVER (ORDER BY hosts DESC) AS BIGINT) AS image_bytes,
       CAST(sum(stored) OVER (ORDER BY hosts DESC) AS BIGINT) AS saved_bytes,
       CAST(sum(stored) OVER (ORDER BY hosts DESC) AS DOUBLE)
       / nullif(CAST(sum(stored) OVER () AS DOUBLE), 0) AS saved_share
FROM counted ORDER BY hosts DESC

-- name: unreferenced
WITH idle AS (
    SELECT host, digest, area, stored_bytes, modified_at FROM blobs WHERE standing = 'unreferenced'
), used AS (
    SELECT digest, count(DISTINCT host) AS hosts FROM blobs
    WHERE use_count > 0 AND digest IN (SELECT digest FROM idle) GROUP BY digest
)
SELECT host, digest, area, stored_bytes, modified_at, coalesce(hosts, 0) AS used_by_hosts
FROM idle LEFT JOIN used USING (digest) ORDER BY host, digest, area

-- name: versions
SELECT reference, min(repository) AS repository, min(tag) AS tag, count(DISTINCT host) AS host_count,
       count(DISTINCT manifest) AS manifest_count, max(declared_bytes) AS declared_bytes,
       CAST(sum(stored_bytes) AS BIGINT) AS stored_bytes, min(pulled_at) AS first_pulled_at,
       max(pulled_at) AS last_pulled_at
FROM manifests GROUP BY reference ORDER BY host_count DESC, reference

-- name: breakdown
SELECT host, kind, file_count, stored_bytes,
       CAST(stored_bytes AS DOUBLE)
       / nullif(CAST(sum(stored_bytes) OVER (PARTITION BY host) AS DOUBLE), 0) AS share
FROM snapshots WHERE record = 'disk' ORDER BY host, kind

-- name: problems
SELECT host, kind, reference, path FROM snapshots WHERE record = 'problem'
ORDER BY host, path NULLS LAST, kind, reference NULLS LAST

-- name: listed_versions
-- One row per version: a reference, its time of creation and its manifest. Of the apps that are this version, the
-- one whose archive members are known best stands for it.
WITH known AS (
    SELECT host, reference, count(*) AS members FROM needs
    WHERE member_bytes IS NOT NULL GROUP BY host, reference
), placed AS (
    SELECT manifests.repository, manifests.reference, tag, created_at, own, manifests.host,
           count(*) OVER (PARTITION BY manifests.reference, created_at, manifest) AS host_count,
           row_number() OVER (
               PARTITION BY manifests.reference, created_at, manifest
               ORDER BY coalesce(members, 0) DESC, manifests.host
           ) AS place
    FROM manifests LEFT JOIN known ON known.host = manifests.host AND known.reference = manifests.reference
    WHERE layer_count IS NOT NULL
)
SELECT repository, reference, tag, created_at, own, host, host_count FROM placed WHERE place = 1

-- name: fetched
-- What each version fetches when those of its repository before it were pulled before, as in analysis. `turns` numbers
-- versions in order: version, chain (the repository), host and reference.
WITH part AS (
    SELECT version, chain, coalesce(digest, '') AS digest, max(coalesce(declared_bytes, 0)) AS size,
           max(CASE WHEN role IN ('wasm', 'data', 'archive', 'other') THEN 1 ELSE 0 END) AS stores,
           max(CASE WHEN role = 'config' THEN 1 ELSE 0 END) AS config,
           max(CASE WHEN role = 'archive' THEN 1 ELSE 0 END) AS archive,
           max(CASE WHEN role = 'application' THEN position
                    WHEN role = 'config' THEN -1 END) AS document_place
    FROM needs JOIN turns ON turns.host = needs.host AND turns.reference = needs.reference
    WHERE role IS NOT NULL GROUP BY version, chain, coalesce(digest, '')
), member AS (
    SELECT version, chain, digest, max(member_bytes) AS size
    FROM needs JOIN turns ON turns.host = needs.host AND turns.reference = needs.reference
    WHERE member_bytes IS NOT NULL GROUP BY version, chain, digest
), first AS (
    SELECT chain, digest, min(version) AS first_version FROM (
        SELECT chain, digest, version FROM part WHERE stores = 1
        UNION ALL SELECT chain, digest, version FROM member
    ) AS storing GROUP BY chain, digest
), {documents} fetched AS (
    SELECT part.version, sum(size) AS total, sum(CASE WHEN {reused} THEN 0 ELSE size END) AS fetch_sum,
           sum(CASE WHEN {reused} OR archive = 0 THEN 0 ELSE size END) AS archive_fetch
    FROM part LEFT JOIN first ON first.chain = part.chain AND first.digest = part.digest {join_documents}
    GROUP BY part.version
), known AS (
    SELECT member.version, count(*) AS members,
           sum(CASE WHEN first_version < member.version THEN size ELSE 0 END) AS known_sum
    FROM member LEFT JOIN first ON first.chain = member.chain AND first.digest = member.digest
    GROUP BY member.version
)
SELECT turns.version, CAST(coalesce(total, 0) AS BIGINT) AS total,
       CAST(coalesce(fetch_sum, 0) AS BIGINT) AS fetch_sum,
       CAST(coalesce(archive_fetch, 0) AS BIGINT) AS archive_fetch,
       CAST(coalesce(known_sum, 0) AS BIGINT) AS known_sum, coalesce(members, 0) AS members
FROM turns LEFT JOIN fetched ON fetched.version = turns.version
LEFT JOIN known ON known.version = turns.version
ORDER BY turns.version

-- name: reused_spin
(config = 0 AND coalesce(first_version < part.version, false))

-- name: reused_spincache
(CASE WHEN config = 1 OR coalesce(part.digest = document, false)
                         THEN coalesce(unchanged, false)
                         ELSE stores = 1 AND coalesce(first_version < part.version, false) END)

-- name: documents
-- Whether the last version of the same reference had the same config.json: asked by the rules of this toolkit.
document AS (
    SELECT version, digest AS document FROM (
        SELECT version, digest, row_number() OVER (
            PARTITION BY version ORDER BY document_place DESC, digest DESC) AS place
        FROM part WHERE document_place IS NOT NULL AND digest <> ''
    ) AS placed WHERE place = 1
), change AS (
    SELECT turns.version, document, document = lag(document) OVER (
        PARTITION BY reference ORDER BY turns.version) AS unchanged
    FROM turns LEFT JOIN document ON document.version = turns.version
),

-- name: join_documents
LEFT JOIN change ON change.version = part.version

-- name: warmest
WITH popular AS (
    SELECT reference, count(DISTINCT host) AS hosts FROM apps GROUP BY reference
    ORDER BY count(DISTINCT host) DESC, reference LIMIT {candidates}
), wanted AS (
    SELECT reference, digest, area FROM needs
    WHERE area IS NOT NULL AND kind = 'app' AND reference IN (SELECT reference FROM popular)
    GROUP BY reference, digest, area
), stored AS (
    SELECT digest, area, max(stored_bytes) AS size, sum(stored_bytes) AS total FROM blobs
    WHERE use_count > 0 AND digest IN (SELECT digest FROM wanted) GROUP BY digest, area
)
SELECT reference, hosts, digest, area, size, CAST(total AS BIGINT) AS total
FROM wanted JOIN popular USING (reference) JOIN stored USING (digest, area)
