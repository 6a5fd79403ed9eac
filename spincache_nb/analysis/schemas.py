"""Columns of what the analyses return: dtype and meaning, which the docstrings show from here."""

from __future__ import annotations

from spincache_nb.frames.schemas import COUNT, FEW, FLAG, RATIO, TEXT, TIME, TableSchema

_USER_KIND = (FEW, "``app`` or ``project``")
_USER = (FEW, "reference of an app, or path of a project")

BREAKDOWN_SCHEMA = TableSchema(
    row=(COUNT, "number of the row, from 0"),
    kind=(
        FEW,
        "``exclusive``, ``shared``, ``archive``, ``projects``, ``unreferenced``, ``temporary``, "
        "``misnamed``, ``manifests`` or ``other``",
    ),
    label=(TEXT, "short name of the row; the full list of users is in `breakdown_members`"),
    user_count=(COUNT, "apps and projects (or groups of apps) that need something of the row"),
    file_count=(COUNT, "files, further hard links and empty files included"),
    stored_bytes=(COUNT, "bytes on disk"),
    share=(RATIO, "part of the total, missing if the total is 0"),
)
BREAKDOWN_MEMBERS_SCHEMA = TableSchema(
    row=(COUNT, "number of the row in `breakdown`"),
    kind=(FEW, "its kind"),
    user=_USER,
    user_kind=_USER_KIND,
    stored_bytes=(COUNT, "bytes of the row that this user needs"),
)
SUMMARY_SCHEMA = TableSchema(
    logical_bytes=(COUNT, "bytes all apps and projects would need, each on its own"),
    stored_bytes=(COUNT, "bytes of the stored blobs that something needs"),
    dedup_ratio=(RATIO, "``logical_bytes / stored_bytes``, missing if nothing is stored"),
    saved_bytes=(COUNT, "``logical_bytes - stored_bytes``; the sum over `sharing`"),
    problem_count=(COUNT, "rows of ``frames.problems``"),
    app_count=(COUNT, "cached tags"),
    blob_count=(COUNT, "stored blobs that something needs"),
    unreferenced_bytes=(COUNT, "bytes on disk of the blobs that nothing needs"),
    disk_bytes=(COUNT, "sizes of all regular files under ``registry``"),
)
SHARING_SCHEMA = TableSchema(
    digest=(TEXT, "the digest"),
    areas=(FEW, "``wasm``, ``data`` or ``data+wasm``"),
    stored_bytes=(COUNT, "bytes stored"),
    user_count=(COUNT, "apps and projects that need it"),
    app_count=(COUNT, "apps that need it"),
    manifest_count=(COUNT, "distinct manifests that need it, by digest or else by layers"),
    names=(TEXT, "up to three names it goes by, then ``+n``; all in `sharing_names`"),
    name_count=(COUNT, "how many names it goes by"),
    needed_bytes=(COUNT, "bytes all users would need, each on its own"),
    saved_bytes=(COUNT, "``needed_bytes - stored_bytes``, never negative"),
)
SHARING_SETS_SCHEMA = TableSchema(
    set=(COUNT, "number of the set, from 0"),
    user=_USER,
    user_kind=_USER_KIND,
    user_count=(COUNT, "users in the set"),
    blob_count=(COUNT, "blobs that exactly these users need"),
    stored_bytes=(COUNT, "their bytes"),
)
SHARED_BYTES_SCHEMA = TableSchema(
    reference_a=(FEW, "an app"),
    reference_b=(FEW, "another app"),
    shared_bytes=(COUNT, "bytes of the blobs both need"),
)
NEEDS_SCHEMA = TableSchema(
    digest=(FEW, "the digest"),
    user=_USER,
    user_kind=_USER_KIND,
    need=(
        FEW,
        "``component``, ``dependency``, ``file``, ``layer``, ``archive member``, ``content ref``, "
        "``spin.toml`` or ``environment lock``",
    ),
    component=(TEXT, "id of the component, for ``component``, ``dependency`` and ``file``"),
    name=(
        TEXT,
        "path of the file, name of the dependency, position and role of the layer, or the need",
    ),
    chain=(TEXT, "all of it in one line"),
)
FREED_SCHEMA = TableSchema(
    path=(TEXT, "relative to ``registry``"),
    kind=(FEW, "``blob`` or ``document``"),
    area=(FEW, "``wasm``, ``data`` or ``manifests``"),
    digest=(TEXT, "of the blob, missing for a document"),
    stored_bytes=(COUNT, "bytes on disk"),
)
RECLAIMABLE_SCHEMA = TableSchema(
    reference=(TEXT, "the app"),
    stored_bytes=(COUNT, "bytes on disk of its blobs and its two documents"),
    freed_bytes=(COUNT, "bytes of them that go with the app"),
    kept_bytes=(COUNT, "bytes of them that stay, as others need them"),
)
SUPERSEDED_SCHEMA = TableSchema(
    repository=(TEXT, "``registry/repository``"),
    last=(TEXT, "the version that comes last in order, and stays"),
    old_count=(COUNT, "the versions that would go"),
    freed_bytes=(COUNT, "bytes that removing these frees, all at once"),
)
COMPARE_SCHEMA = TableSchema(
    what=(FEW, "``layer`` or ``file``"),
    component=(TEXT, "id of the component that mounts the file"),
    name=(TEXT, "path of the file; what the layer goes by"),
    status=(FEW, "``same``, ``changed``, ``added`` or ``gone``"),
    digest_a=(TEXT, "missing if added"),
    digest_b=(TEXT, "missing if gone"),
    bytes_a=(COUNT, "declared bytes of the layer, bytes of the file; missing if added"),
    bytes_b=(COUNT, "likewise; missing if gone"),
)
MANIFESTS_SCHEMA = TableSchema(
    reference=(FEW, "the version"),
    tag=(FEW, "its tag, missing if filed under a digest"),
    created_at=(TIME, "when it was made, if it says so"),
    position=(COUNT, "of the layer, missing for the config"),
    digest=(FEW, "missing if not known"),
    role=(FEW, "``config``, or the layer's role"),
    declared_bytes=(COUNT, "by the descriptor"),
)
MEMBERS_SCHEMA = TableSchema(
    reference=(FEW, "the version"),
    digest=(FEW, "of a member of its archives"),
    size_bytes=(COUNT, "unpacked"),
)
VERSION_SAVINGS_SCHEMA = TableSchema(
    position=(COUNT, "place in the order, from 0"),
    reference=(TEXT, "the version"),
    tag=(TEXT, "its tag, missing if filed under a digest"),
    created_at=(TIME, "when it was made, if it says so"),
    total_bytes=(COUNT, "declared bytes of config and layers"),
    reused_bytes=(COUNT, "bytes that are there already"),
    fetch_bytes=(COUNT, "bytes fetched"),
    saved_share=(RATIO, "reused part of the total, missing if the total is 0"),
    cumulative_total_bytes=(COUNT, "sum of the totals so far"),
    cumulative_fetch_bytes=(COUNT, "sum of the bytes fetched so far"),
    cumulative_saved_bytes=(COUNT, "sum of the bytes reused so far"),
    archive_fetch_bytes=(COUNT, "fetched bytes that are archive layers"),
    archive_known_bytes=(COUNT, "unpacked bytes of their members that were there; missing if unknown"),
)
UPGRADE_MATRIX_SCHEMA = TableSchema(
    from_version=(TEXT, "the version that is there"),
    to_version=(TEXT, "the version that is pulled"),
    fetch_bytes=(COUNT, "bytes fetched"),
    reused_bytes=(COUNT, "bytes that are there already"),
)
REMOTE_TAGS_SCHEMA = TableSchema(
    reference=(TEXT, "``registry/repository:tag``"),
    tag=(TEXT, "the tag"),
    kind=(FEW, "``app`` or ``package``"),
    created_at=(TIME, "by the manifest's annotations"),
    manifest_digest=(TEXT, "of the manifest a pull would take now"),
    index_digest=(TEXT, "of the index that led there, if one did"),
    layer_count=(COUNT, "layers, duplicates included"),
    declared_bytes=(COUNT, "config and layers by the manifest, each digest once"),
)
REMOTE_PROBLEMS_SCHEMA = TableSchema(
    reference=(TEXT, "``registry/repository:tag``"),
    kind=(
        FEW,
        "``neither app nor package`` (a signature, an image), ``name of an attachment`` (not asked for), "
        "``damaged manifest``, ``too large``, ``not served``, ``not there`` (any more) or ``not a tag``",
    ),
    detail=(TEXT, "what was found"),
)
TIMELINE_SCHEMA = TableSchema(
    at=(TIME, "when the pull ended"),
    cache=(TEXT, "which cache"),
    reference=(TEXT, "what was pulled"),
    fetch_bytes=(COUNT, "bytes of config and layers fetched"),
    reused_bytes=(COUNT, "bytes of config and layers that were there"),
    saved_share=(RATIO, "reused part of both, missing if both are 0"),
    cumulative_fetch_bytes=(COUNT, "sum of the bytes fetched so far"),
    cumulative_reused_bytes=(COUNT, "sum of the bytes reused so far"),
    cumulative_wire_bytes=(COUNT, "sum of all bytes received so far"),
)
TAGS_SCHEMA = TableSchema(
    cache=(TEXT, "which cache"),
    reference=(TEXT, "the tag"),
    meaning=(COUNT, "number of the run, from 1"),
    manifest_digest=(TEXT, "what the tag meant then"),
    first_pulled_at=(TIME, "first pull of the run"),
    last_pulled_at=(TIME, "last pull of the run"),
    pull_count=(COUNT, "pulls in the run"),
    returned=(FLAG, "whether the tag had meant this before, and something else since"),
)
FINDINGS_SCHEMA = TableSchema(
    kind=(
        FEW,
        "``damage``, ``sharing``, ``idle``, ``superseded``, ``versions``, ``disk``, ``alone`` or ``empty``",
    ),
    sentence=(TEXT, "the finding in one sentence, its figure in it"),
    figure_bytes=(COUNT, "the bytes it is about; missing if it is not about bytes"),
    subject=(TEXT, "reference, repository or digest it is about; missing if it is the whole cache"),
    command=(TEXT, "the command that acts on it or shows more; missing if there is nothing to do"),
)

_MEASURED = {
    "total_bytes": (COUNT, "bytes of the new version; for a whole cache, of all blobs"),
    "reused_bytes": (COUNT, "of those, bytes that the old version has; for a whole cache, that repeat"),
    "piece_count": (COUNT, "pieces they are cut into"),
    "index_bytes": (COUNT, "what the sha256 digests of the pieces take"),
    "reused_share": (RATIO, "reused part of the total, missing if the total is 0"),
}
GRAINS_SCHEMA = TableSchema(grain=(FEW, "its name"), **_MEASURED)
CHUNK_SWEEP_SCHEMA = TableSchema(average_bytes=(COUNT, "average size of a chunk"), **_MEASURED)
SECTION_MAP_SCHEMA = TableSchema(
    version=(FEW, "``old`` or ``new``"),
    path=(TEXT, "the module or component it is in, by the names around it; empty for the outermost"),
    depth=(COUNT, "number of components around that"),
    layer=(FEW, "``module``, ``component``; ``other`` if it is not WebAssembly"),
    section=(FEW, "such as ``code``, ``custom``, ``core module``; ``preamble``"),
    name=(TEXT, "name of a custom section, or of what is nested; missing if it has none"),
    offset=(COUNT, "where the section starts"),
    section_bytes=(COUNT, "its bytes, without those of what is nested in it"),
    shared_bytes=(COUNT, "of those, bytes that the other version has too; missing if there is none"),
)
CHANGES_SCHEMA = TableSchema(
    path=(TEXT, "the module or component, by the names around it; empty for the outermost"),
    kind=(
        FEW,
        "``blob``, ``module``, ``component``, ``section``, ``custom section``, ``function``, "
        "``data segment``, ``layout``",
    ),
    name=(
        TEXT,
        "its name, or the number of a function without; of a ``layout``, ``order of sections``, "
        "``order of custom sections`` or ``encoding``: the same numbers in more or fewer bytes",
    ),
    change=(FEW, "``changed``, ``added``, ``removed``"),
    old_bytes=(COUNT, "size in the old version, missing if added"),
    new_bytes=(COUNT, "size in the new version, missing if removed"),
)
SHARED_MODULES_SCHEMA = TableSchema(
    module_digest=(TEXT, "sha256 of the module's bytes"),
    layer=(FEW, "``module`` or ``component``"),
    names=(TEXT, "up to three names, the most frequent first, and how many more; missing if none"),
    module_bytes=(COUNT, "its size"),
    blob_count=(COUNT, "different blobs that hold it"),
    user_count=(COUNT, "different users of those blobs"),
    users=(TEXT, "up to three of them, and how many more"),
    repeated_bytes=(COUNT, "its size for each blob beyond the first"),
)
REBUILDS_SCHEMA = TableSchema(
    repository=(TEXT, "``registry/repository``"),
    component=(TEXT, "id of the component"),
    from_version=(TEXT, "reference of the version before"),
    to_version=(TEXT, "reference of the version"),
    old_digest=(TEXT, "the binary before"),
    new_digest=(TEXT, "the binary"),
    verdict=(FEW, "as `Verdict` has it; ``not comparable`` also if one is missing or malformed"),
    detail=(TEXT, "the verdict in words"),
)
