"""Beside Spin itself: what `spin registry pull` leaves, and what it makes of our pulls.

Runs where a ``spin`` is on the PATH, or where SPINCACHE_TESTS_SPIN names one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from spincache_nb import demo, frames
from spincache_nb.core.cache import Cache
from spincache_nb.core.pull import plan_pull, pull
from tests.support.artifact import APPLICATION, Artifact
from tests.support.artifacts import five_kinds
from tests.support.oracle import spin_tree
from tests.support.registry_server import RegistryServer
from tests.support.trees import Tree, read_tree

SPIN = os.environ.get("SPINCACHE_TESTS_SPIN") or shutil.which("spin")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SPIN, reason="no spin on this machine")]
KINDS = sorted(five_kinds())

SpinPull = Callable[[Path, str], None]


@pytest.fixture
def spin_pull(tmp_path: Path) -> SpinPull:
    """Pull with Spin into ``FOLDER/spin/registry``."""

    def run(folder: Path, reference: str) -> None:
        words = [str(SPIN), "registry", "pull", "--insecure", reference]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(folder)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr

    return run


def documents_as_values(tree: Tree) -> dict[str, object]:
    """Files by path; manifests as values, since Spin writes them anew."""
    return {
        path: json.loads(content) if path.endswith("manifest.json") else content
        for path, content in tree.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_spin_leaves_what_the_oracle_says(
    plain_registry: RegistryServer, tmp_path: Path, spin_pull: SpinPull, kind: str
) -> None:
    artifact = five_kinds()[kind]
    plain_registry.push(artifact)
    reference = plain_registry.reference(artifact)
    spin_pull(tmp_path, reference)
    found, expected = read_tree(tmp_path / "spin/registry"), spin_tree(artifact, reference)
    assert documents_as_values(found) == documents_as_values(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_spin_finds_everything_after_our_pull(
    plain_registry: RegistryServer, tmp_path: Path, spin_pull: SpinPull, kind: str
) -> None:
    artifact = five_kinds()[kind]
    plain_registry.push(artifact)
    reference = plain_registry.reference(artifact)
    cache = Cache(tmp_path / "spin")
    pull(cache, reference)
    before = read_tree(cache.path)
    with plain_registry.recording() as records:
        spin_pull(tmp_path, reference)
    assert documents_as_values(read_tree(cache.path)) == documents_as_values(before)
    fetched = {record.target.rsplit("/", 1)[1] for record in records if "/blobs/" in record.target}
    assert fetched <= always_fetched(artifact)


def always_fetched(artifact: Artifact) -> set[str]:
    """Digests of the config and of the locked app, which Spin stores under no digest."""
    manifest = json.loads(artifact.manifest)
    locked = [layer["digest"] for layer in manifest["layers"] if layer["mediaType"] == APPLICATION]
    return {manifest["config"]["digest"], *locked}


def test_our_pull_after_spin_fetches_nothing_but_the_manifest(tmp_path: Path, spin_pull: SpinPull) -> None:
    with demo.registry() as registry:
        for app in registry.references:
            spin_pull(tmp_path, app)
        spins = Cache(tmp_path / "spin")
        ours = Cache(tmp_path / "ours")
        pull(ours, registry.references)
        assert documents_as_values(read_tree(spins.path)) == documents_as_values(read_tree(ours.path))
        for name in ("apps", "layers", "uses", "components", "files", "blobs", "problems"):
            left, right = getattr(frames, name)(spins), getattr(frames, name)(ours)
            same = [one for one in left if not one.endswith("_at") and one != "manifest_digest"]
            pd.testing.assert_frame_equal(left[same], right[same])
        assert frames.apps(spins)["manifest_digest"].isna().all(), "Spin writes manifests anew"
        assert [one.fetch_bytes for one in plan_pull(spins, registry.references)] == [0] * 18
