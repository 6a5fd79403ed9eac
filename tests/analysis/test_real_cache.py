"""The analyses of a cache that was really pulled, against the directory tree and the pulls themselves."""

from __future__ import annotations

import random

import pytest

import spincache_nb as sc
from spincache_nb import analysis
from spincache_nb.frames import load
from spincache_nb.upkeep import plan_remove


@pytest.fixture(scope="module")
def pulled(tmp_path_factory):
    """A cache into which every demo app was pulled."""
    cache = sc.Cache(tmp_path_factory.mktemp("pulled"))
    with sc.demo.registry(port=0) as registry:
        sc.pull(cache, registry.references)
    return cache


def tree(cache):
    """Path -> bytes of every regular file, by a walk of its own."""
    return {
        path.relative_to(cache.path).as_posix(): path.stat().st_size
        for path in sorted(cache.path.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_breakdown_of_a_real_cache_sums_to_its_files(pulled):
    table = analysis.breakdown(pulled)
    assert table["stored_bytes"].sum() == sum(tree(pulled).values())
    assert table["file_count"].sum() == len(tree(pulled))
    assert set(table["kind"]) == {"exclusive", "shared", "archive", "manifests"}


def test_version_savings_by_our_rules_are_what_the_pulls_fetch(tmp_path):
    with sc.demo.registry(port=0) as registry:
        for number, repository in enumerate(registry.repositories):
            cache = sc.Cache(tmp_path / str(number))
            order = registry.versions(repository)
            order.append(order[-1])
            results = [sc.pull(cache, reference) for reference in order]
            table = analysis.version_savings(cache, repository, rules="spincache", order=order)
            assert table["total_bytes"].tolist() == [result.total_bytes for result in results]
            assert table["fetch_bytes"].tolist() == [result.fetch_bytes for result in results]
            assert table["fetch_bytes"].iloc[-1] == 0


def test_freed_by_is_what_is_left_unneeded_on_disk(pulled):
    cache = pulled
    apps = load(cache, "apps").apps["reference"].tolist()
    every = analysis.freed_by(cache, apps)
    assert dict(zip(every["path"], every["stored_bytes"], strict=True)) == tree(cache)
    single = analysis.reclaimable(cache)
    assert single["freed_bytes"].sum() < every["stored_bytes"].sum()


def test_freed_by_agrees_with_the_plan_of_a_removal(pulled):
    frames = load(pulled)
    apps = frames.apps["reference"].tolist()
    random_ = random.Random(3)
    for count in (1, 2, 3, 6, 12, 18):
        chosen = random_.sample(apps, count)
        freed = int(analysis.freed_by(frames, chosen)["stored_bytes"].sum())
        assert freed == plan_remove(pulled, chosen).freed_bytes


def test_why_explains_every_stored_blob_of_a_real_cache(pulled):
    cache = pulled
    frames = load(cache)
    for digest in frames.blobs["digest"]:
        assert len(analysis.why(frames, digest)), digest
    names = analysis.sharing(frames)
    assert names["names"].str.len().gt(0).all()
