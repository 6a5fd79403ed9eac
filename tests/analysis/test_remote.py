"""Versions in a registry: every row against a computation of its own, from the manifests as JSON."""

from __future__ import annotations

import itertools
import json
import random

import pandas as pd
import pytest

import spincache_nb as sc
from spincache_nb import analysis
from spincache_nb.analysis import schemas
from tests.support.artifact import APPLICATION, ARCHIVE, DATA, IMAGE_CONFIG, WASM, Artifact, canonical, sha256
from tests.support.artifacts import archive_style, new_style, old_style, package
from tests.support.odd_artifacts import duplicate_layers, image_index, unknown_media_type, wasm_and_data

PLACE = "remote/app"


def replayed(artifacts: list[Artifact], rules: str) -> list[tuple[int, int, int]]:
    """Pull artifacts one after the other: total, reused and cumulative fetched bytes of each.

    By Spin's rules everything is fetched but layers of which a file is there. By ours, config and
    application layer are not fetched either if the tag's config.json is that layer already.
    """
    files: set[str] = set()
    config_json: dict[str, str] = {}
    fetched, rows = 0, []
    for artifact in artifacts:
        document = json.loads(artifact.manifest)
        layers = document["layers"]
        sizes = {one["digest"]: one["size"] for one in [document["config"], *layers]}
        blobs = {one["digest"] for one in layers if one["mediaType"] != APPLICATION}
        applications = [one["digest"] for one in layers if one["mediaType"] == APPLICATION]
        locked = applications[-1] if applications else document["config"]["digest"]
        found = set()
        for digest in sizes:
            if digest == document["config"]["digest"] or digest == locked:
                unchanged = rules == "spincache" and config_json.get(str(artifact.tag)) == locked
                if unchanged:
                    found.add(digest)
            elif digest in files:
                found.add(digest)
        reused = sum(sizes[digest] for digest in found)
        fetched += sum(sizes.values()) - reused
        rows.append((sum(sizes.values()), reused, fetched))
        files |= blobs
        config_json[str(artifact.tag)] = locked
    return rows


def random_versions(seed: int) -> list[Artifact]:
    """Versions whose layers are drawn from a small pool, in random roles and sizes."""
    draw = random.Random(seed)
    pool = {sha256(bytes([number])): draw.choice([0, 7, 4096, 3 << 20]) for number in range(9)}
    versions = []
    for number in range(draw.randrange(1, 7)):
        layers = [
            {"mediaType": draw.choice([WASM, DATA, ARCHIVE, "x/odd"]), "digest": digest, "size": pool[digest]}
            for digest in draw.choices(sorted(pool), k=draw.randrange(0, 8))
        ]
        for _ in range(draw.choice([1, 1, 1, 2])):
            locked = sha256(b"locked %d" % draw.randrange(4))
            layers.append({"mediaType": APPLICATION, "digest": locked, "size": 500})
        config = {"mediaType": IMAGE_CONFIG, "digest": sha256(b"c%d" % draw.randrange(3)), "size": 90}
        month = draw.choice(["01", "02", "03"])
        annotations = {"org.opencontainers.image.created": f"2026-{month}-01T00:00:00Z"}
        document = {"schemaVersion": 2, "config": config, "layers": layers, "annotations": annotations}
        versions.append(Artifact(PLACE, f"{number // 3 + 1}.{number % 3}.0", canonical(document)))
    return versions


@pytest.mark.parametrize("rules", ["spin", "spincache"])
@pytest.mark.parametrize("seed", range(12))
def test_remote_savings_equals_a_replay_of_the_manifests(hostile, seed, rules):
    versions = random_versions(seed)
    hostile.serve(*versions)
    table = analysis.remote_savings(f"{hostile.name}/{PLACE}", rules=rules)
    assert table["tag"].tolist() == [version.tag for version in versions]
    columns = ("total_bytes", "reused_bytes", "cumulative_fetch_bytes")
    assert list(zip(*(table[name] for name in columns), strict=True)) == replayed(versions, rules)


@pytest.mark.parametrize("rules", ["spin", "spincache"])
@pytest.mark.parametrize("seed", range(4))
def test_upgrade_matrix_from_a_registry_equals_a_replay_of_each_pair(hostile, seed, rules):
    versions = random_versions(seed)
    hostile.serve(*versions)
    table = analysis.upgrade_matrix(analysis.remote_versions(f"{hostile.name}/{PLACE}"), rules=rules)
    expected = []
    for start, end in itertools.product(versions, repeat=2):
        total, reused, _ = replayed([start, end], rules)[1]
        names = (start.reference(hostile.name), end.reference(hostile.name))
        expected.append((*names, total - reused, reused))
    assert [tuple(row) for row in table.itertuples(index=False)] == expected


def test_remote_savings_of_real_kinds_in_docker_registry(plain_registry):
    artifacts = [
        old_style(PLACE, "0.1.0"),
        new_style(PLACE, "1.0.0"),
        new_style(PLACE, "1.1.0", version="1.1.0"),
        archive_style(PLACE, "2.0.0"),
        duplicate_layers(PLACE, "3.0.0"),
        wasm_and_data(PLACE, "3.1.0"),
        unknown_media_type(PLACE, "3.2.0"),
        package(PLACE, "4.0.0"),
    ]
    plain_registry.push(*artifacts)
    with plain_registry.recording() as records:
        table = analysis.remote_savings(f"{plain_registry.name}/{PLACE}", progress=lambda event: None)
    assert [record.line for record in records if "/blobs/" in record.target] == []
    columns = ("total_bytes", "reused_bytes", "cumulative_fetch_bytes")
    assert list(zip(*(table[name] for name in columns), strict=True)) == replayed(artifacts, "spin")
    assert table["archive_known_bytes"].isna().tolist() == [False] * 3 + [True] + [False] * 4


def test_remote_savings_equals_version_savings_once_everything_is_pulled(tmp_path):
    with sc.demo.registry(port=0) as registry:
        cache = sc.Cache(tmp_path)
        sc.pull(cache, registry.references)
        for name in registry.repositories:
            repository = f"{registry.host}/{name}"
            before = registry.requests
            remote = analysis.remote_versions(repository)
            asked = [request for request in registry.requests[len(before) :] if "/blobs/" in request.path]
            assert asked == []
            for rules in ("spin", "spincache"):
                expected = analysis.version_savings(cache, repository, rules=rules)
                table = analysis.remote_savings(remote, rules=rules)
                known = expected.columns.drop("archive_known_bytes")
                pd.testing.assert_frame_equal(table[known], expected[known])
                pd.testing.assert_frame_equal(
                    analysis.upgrade_matrix(remote, rules=rules),
                    analysis.upgrade_matrix(cache, repository, rules=rules),
                )


def test_remote_versions_describes_each_tag(hostile):
    index, app, lib = image_index(PLACE, "i"), new_style(PLACE, "1.0.0"), package(PLACE, "p")
    hostile.serve(app, index, lib)
    found = analysis.remote_versions(f"{hostile.name}/{PLACE}")
    rows = found.tags.astype(object).where(found.tags.notna(), None).to_dict("records")
    child = index.children[1]
    assert rows == [
        {
            "reference": artifact.reference(hostile.name),
            "tag": artifact.tag,
            "kind": kind,
            "created_at": created,
            "manifest_digest": manifest.digest,
            "index_digest": index_digest,
            "layer_count": len(manifest.layers),
            "declared_bytes": manifest.content_bytes,
        }
        for artifact, manifest, kind, created, index_digest in [
            (app, app, "app", pd.Timestamp("2026-03-01T10:00:00.123456789Z"), None),
            (index, child, "app", pd.Timestamp("2026-03-01T10:00:00.123456789Z"), index.digest),
            (lib, lib, "package", None, None),
        ]
    ]
    assert repr(found) == f"RemoteVersions({hostile.name}/{PLACE}: 3 versions, 0 other tags)"


def test_remote_versions_have_their_schemas_with_rows_and_without(hostile):
    hostile.serve(new_style(PLACE, "1.0.0"), Artifact(PLACE, "bad", b"{}"))
    hostile.tag_pages("remote/none", [[]])
    for name in (PLACE, "remote/none"):
        found = analysis.remote_versions(f"{hostile.name}/{name}")
        for frame, schema in (
            (found.tags, schemas.REMOTE_TAGS_SCHEMA),
            (found.problems, schemas.REMOTE_PROBLEMS_SCHEMA),
            (found.manifests, schemas.MANIFESTS_SCHEMA),
            (analysis.remote_savings(found), schemas.VERSION_SAVINGS_SCHEMA),
            (analysis.upgrade_matrix(found), schemas.UPGRADE_MATRIX_SCHEMA),
        ):
            assert {column: str(dtype) for column, dtype in frame.dtypes.items()} == dict(schema)
            assert frame.index.equals(pd.RangeIndex(len(frame)))


def test_remote_savings_of_versions_that_are_given_asks_nothing(hostile):
    hostile.serve(*[new_style(PLACE, tag, version=tag) for tag in ("1.0.0", "1.1.0")])
    found = analysis.remote_versions(f"{hostile.name}/{PLACE}")
    asked = len(hostile.requests)
    table = analysis.remote_savings(found, order=["1.1.0", "1.0.0"])
    assert table["tag"].tolist() == ["1.1.0", "1.0.0"]
    assert len(hostile.requests) == asked
    assert found.request_count == asked
    assert found.wire_bytes == hostile.body_bytes


def test_remote_savings_passes_on_how_to_ask(basic_registry):
    artifact = new_style("remote/private", "1.0.0")
    basic_registry.push(artifact, artifact.located(tag="latest"))
    kept = {}
    table = analysis.remote_savings(
        basic_registry.reference(artifact),
        tags=["latest", "1.0.0"],
        auth=("reader", basic_registry.users["reader"]),
        jobs=1,
        manifests=kept,
    )
    assert table["tag"].tolist() == ["1.0.0", "latest"]  # what is no semantic version comes last
    assert set(kept) == {artifact.digest}


def test_remote_savings_over_tls_needs_the_authority(tls_registry):
    artifact = new_style("remote/tls", "1.0.0")
    tls_registry.push(artifact)
    options = {"insecure": False, "ca": tls_registry.ca_file}
    assert len(analysis.remote_savings(tls_registry.reference(artifact), **options)) == 1


def test_remote_savings_refuses_nonsense(hostile):
    hostile.serve(new_style(PLACE, "1.0.0"))
    with pytest.raises(ValueError, match="rules"):
        analysis.remote_savings(f"{hostile.name}/{PLACE}", rules="docker")
    assert hostile.requests == []
    with pytest.raises(ValueError, match="no such version"):
        analysis.remote_savings(f"{hostile.name}/{PLACE}", order=["9"])
    with pytest.raises(ValueError, match="repository"):
        analysis.upgrade_matrix(sc.Cache("/nowhere"))


def test_remote_savings_of_sizes_beyond_64_bits_are_missing_not_wrong(hostile):
    """Two layers of the largest size there is: their sum fits no column."""
    config = {"mediaType": IMAGE_CONFIG, "digest": sha256(b"c"), "size": 1}
    layers = [{"mediaType": WASM, "digest": sha256(name), "size": 2**63 - 1} for name in (b"one", b"two")] + [
        {"mediaType": APPLICATION, "digest": sha256(b"app"), "size": 1}
    ]
    document = {"schemaVersion": 2, "config": config, "layers": layers}
    hostile.serve(Artifact(PLACE, "1.0.0", canonical(document)))
    table = analysis.remote_savings(f"{hostile.name}/{PLACE}")
    assert table["total_bytes"].isna().all()
    assert table["fetch_bytes"].isna().all()


def test_remote_savings_of_many_tags_is_bounded(hostile):
    """200 tags of 20 manifests: four requests at a time, one fetch per manifest."""
    versions = [new_style(PLACE, f"1.{number}.0", version=f"1.{number}.0") for number in range(20)]
    tags = [version.located(tag=f"b{copy}-{version.tag}") for version in versions for copy in range(9)]
    hostile.serve(*versions, *tags)
    events = []
    table = analysis.remote_savings(f"{hostile.name}/{PLACE}", jobs=4, progress=events.append)
    assert len(table) == 200
    assert hostile.most_concurrent <= 4
    assert len(hostile.requests_for("GET */manifests/*")) == 20
    assert sum(event.count for event in events) == events[0].total == 200


def test_timeline_of_a_cache_is_that_of_its_own_record():
    with sc.demo.Workspace() as demo:
        demo.pull("demo/hello:1.0.0")
        demo.pull("demo/hello:1.1.0")
        table = analysis.timeline(demo.cache)
        assert [name.rpartition(":")[2] for name in table["reference"]] == ["1.0.0", "1.1.0"]
        assert analysis.tags_over_time(demo.cache)["pull_count"].tolist() == [1, 1]
        assert len(analysis.timeline()) == 0
