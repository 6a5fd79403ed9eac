"""The analyses of a cache that was really pulled, against the directory tree and the pulls themselves."""

from __future__ import annotations

import json

import pytest

import spincache_nb as sc
from spincache_nb import analysis


@pytest.fixture(scope="module")
def pulled(tmp_path_factory):
    """A cache into which every demo app was pulled in order, the results, and the repositories."""
    cache = sc.Cache(tmp_path_factory.mktemp("pulled"))
    with sc.demo.registry(port=0) as registry:
        results = {reference: sc.pull(cache, reference) for reference in registry.references}
        repositories = {name: list(registry.versions(name)) for name in registry.repositories}
    return cache, results, repositories


def tree(cache):
    """Path -> bytes of every regular file, by a walk of its own."""
    return {
        path.relative_to(cache.path).as_posix(): path.stat().st_size
        for path in sorted(cache.path.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_breakdown_of_a_real_cache_sums_to_its_files(pulled):
    cache, _, _ = pulled
    table = analysis.breakdown(cache)
    assert table["stored_bytes"].sum() == sum(tree(cache).values())
    assert table["file_count"].sum() == len(tree(cache))
    assert set(table["kind"]) == {"exclusive", "shared", "archive", "manifests"}


def test_version_savings_by_our_rules_are_what_the_pulls_fetched(pulled, tmp_path):
    _, _, repositories = pulled
    with sc.demo.registry(port=0) as registry:
        for number, (repository, tags) in enumerate(repositories.items()):
            cache = sc.Cache(tmp_path / str(number))
            name = repository if "/" in repository.partition("/")[2] else f"{registry.host}/{repository}"
            references = [r for r in registry.references if r.partition("/")[2].split(":")[0] in name]
            again = [*references, references[-1]]
            results = [sc.pull(cache, reference) for reference in again]
            short = references[0].rpartition(":")[0]
            table = analysis.version_savings(cache, short, rules="spincache", order=again)
            assert table["total_bytes"].tolist() == [result.total_bytes for result in results]
            assert table["fetch_bytes"].tolist() == [result.fetch_bytes for result in results]
            assert table["fetch_bytes"].iloc[-1] == 0
            assert len(references) == len(tags)


def test_version_savings_by_spins_rules_fetch_config_and_locked_app_again(pulled):
    cache, _, _ = pulled
    for reference in analysis.load(cache, "apps").apps["reference"]:
        repository = reference.rpartition(":")[0]
        table = analysis.version_savings(cache, repository, order=[reference, reference])
        (folder,) = [path.parent for path in cache.path.rglob("manifest.json") if _is(path, cache, reference)]
        manifest = json.loads((folder / "manifest.json").read_bytes())
        again = manifest["config"]["size"] + sum(
            layer["size"] for layer in manifest["layers"] if "application.v1+config" in layer["mediaType"]
        )
        assert table["fetch_bytes"].tolist()[1] == again


def _is(path, cache, reference):
    registry, *_ = reference.partition("/")
    parts = path.parent.relative_to(cache.path / "manifests").as_posix()
    return parts == f"{registry}/" + reference.partition("/")[2].rpartition(":")[0] + "/" + reference.rpartition(":")[2]


def test_freed_by_is_what_is_left_unneeded_on_disk(pulled):
    cache, _, _ = pulled
    apps = analysis.load(cache, "apps").apps["reference"].tolist()
    every = analysis.freed_by(cache, apps)
    assert dict(zip(every["path"], every["stored_bytes"], strict=True)) == tree(cache)
    single = analysis.reclaimable(cache)
    assert single["freed_bytes"].sum() < every["stored_bytes"].sum()


def test_why_explains_every_stored_blob_of_a_real_cache(pulled):
    cache, _, _ = pulled
    frames = analysis.load(cache)
    for digest in frames.blobs["digest"]:
        assert len(analysis.why(frames, digest)), digest
    names = analysis.sharing(frames)
    assert names["names"].str.len().gt(0).all()
