"""Removals while other processes pull into the same cache: nothing that an app needs is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.core.pull import pull
from spincache_nb.errors import NotInCacheError
from spincache_nb.upkeep import check_cache, is_damage, plan_prune, plan_remove
from tests.support.artifact import Artifact, text_file, wasm_module
from tests.support.artifacts import Component, new_style
from tests.support.oracle import our_tree
from tests.support.procs import ROOT
from tests.support.registry_server import RegistryServer
from tests.support.trees import union
from tests.upkeep.worlds import make_older

SECONDS = 4.0
SHARED = {f"shared {number}.txt": text_file(f"shared {number}", 400) for number in range(12)}

_PULLER = """
    import json, sys, time
    from spincache_nb.core.cache import Cache
    from spincache_nb.core.journal import History
    from spincache_nb.core.pull import pull
    folder, references, seconds = sys.argv[1], json.loads(sys.argv[2]), float(sys.argv[3])
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        for reference in references:
            pull(Cache(folder), reference, history=History(enabled=False))
            count += 1
    print(count)
"""


def versions() -> list[Artifact]:
    """Apps that share most of their assets; half of them as an archive."""
    return [version(number) for number in range(6)]


def version(number: int) -> Artifact:
    files = {**SHARED, f"own{number}.txt": text_file(f"own {number}", 300)}
    component = Component("app", wasm_module(f"busy {number % 3}", 2000), files)
    archive = number % 2 == 1
    return new_style(
        "busy/app", f"v{number}", components=[component], version=f"{number}.0.0", archive=archive
    )


@contextmanager
def pullers(cache: Cache, groups: list[list[str]]) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that pull again and again; each must come to a good end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(_PULLER), str(cache.path.parent)]
    running = [
        subprocess.Popen(
            [*command, json.dumps(group), str(SECONDS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for group in groups
    ]
    try:
        yield running
        ended = [(process, *process.communicate(timeout=60)) for process in running]
        for process, out, err in ended:
            assert process.returncode == 0, err
            assert int(out) > 0
    finally:
        for process in running:
            if process.returncode is None:
                process.kill()
                process.communicate()


def still_running(processes: list[subprocess.Popen[str]]) -> bool:
    return any(process.poll() is None for process in processes)


def assert_whole(cache: Cache, artifacts: list[Artifact], registry: RegistryServer) -> None:
    problems = [row for row in check_cache(cache) if is_damage(row.kind, row.reference)]
    assert problems == []
    needed = union(*(our_tree(artifact, registry.reference(artifact)) for artifact in artifacts))
    for path, content in needed.items():
        assert (cache.path / path).read_bytes() == content, path


def registered(registry: RegistryServer) -> tuple[list[Artifact], list[str]]:
    artifacts = versions()
    registry.push(*artifacts)
    return artifacts, [registry.reference(artifact) for artifact in artifacts]


@pytest.mark.slow
@pytest.mark.parametrize("grace", [3600.0, 3.0])  # a pull on a busy machine may take a second for a blob
def test_prune_beside_pulls_loses_nothing(plain_registry, tmp_path, grace):
    """Blobs lie there unneeded and old; three processes pull apps that use them, and one prunes."""
    artifacts, references = registered(plain_registry)
    cache = Cache(tmp_path / "cache")
    pull(cache, references)
    for path in list(cache.path.rglob("*.json")):
        path.unlink()
    make_older(cache.path, 7200)
    removed = 0
    with pullers(cache, [references[:4], references[2:], references[::-1]]) as processes:
        while still_running(processes):
            removed += len(plan_prune(cache, grace_seconds=grace, even_if_unknown=True).execute().removed)
            time.sleep(0.02)
    assert removed > 0
    assert_whole(cache, artifacts, plain_registry)


@pytest.mark.slow
def test_remove_beside_pulls_loses_nothing(plain_registry, tmp_path):
    """One process removes an app that two others pull, together with apps that share its blobs."""
    artifacts, references = registered(plain_registry)
    cache = Cache(tmp_path / "cache")
    pull(cache, references)
    removed = 0
    with pullers(cache, [references[:3], references[3:]]) as processes:
        while still_running(processes):
            for reference in references:
                try:
                    removed += len(plan_remove(cache, reference).execute().removed)
                except NotInCacheError:
                    continue
            time.sleep(0.05)
    assert removed > 0
    present = [a for a in artifacts if (cache.path / _folder(plain_registry, a) / "manifest.json").exists()]
    assert_whole(cache, present, plain_registry)
    pull(cache, references)
    assert_whole(cache, artifacts, plain_registry)


def _folder(registry: RegistryServer, artifact: Artifact) -> str:
    return f"manifests/{registry.name}/{artifact.repository}/{artifact.tag}"


def test_check_beside_pulls_finds_no_damage(plain_registry, tmp_path):
    _, references = registered(plain_registry)
    cache = Cache(tmp_path / "cache")
    with pullers(cache, [references]) as processes:
        while still_running(processes):
            for row in check_cache(cache):
                assert not is_damage(row.kind, row.reference), row
