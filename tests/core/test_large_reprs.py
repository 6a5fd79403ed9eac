"""What plans and results of a cache of 10,000 apps show of themselves is short, and comes at once."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from IPython.lib.pretty import pretty
from msgspec import structs

from spincache_nb import plan_clear, plan_prune
from spincache_nb.core.cache import Cache
from spincache_nb.core.plans import PlannedBlob, PullPlan, PullPlans, PullResult, PullResults
from spincache_nb.core.scan import Problem
from spincache_nb.upkeep.plans import RemovalPlan, RemovalResult, Skipped
from spincache_nb.upkeep.repair import RepairResult
from tests.support.artifact import WASM
from tests.support.caches import pulled, web
from tests.support.trees import write_tree

pytestmark = pytest.mark.slow

APPS = 10_000
MOST_BYTES = 16_000
MOST_SECONDS = 5.0
HIDDEN = "more"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """A cache of so many tags of one app, and as many blobs that none needs."""
    root: Path = tmp_path_factory.mktemp("large")
    tree = pulled(web())
    documents = {
        name.rpartition("/")[2]: data for name, data in tree.items() if name.startswith("manifests/")
    }
    write_tree(root / "registry", tree)
    for number in range(APPS):
        folder = root / "registry" / "manifests" / "ghcr.io" / "org" / f"app-{number}" / "v1"
        folder.mkdir(parents=True)
        for name, data in documents.items():
            (folder / name).write_bytes(data)
        (root / "registry" / "wasm" / f"sha256:{number:064x}").write_bytes(b"x")
    return Cache(root)


def show(value: object) -> str:
    """Let a value show itself in both ways; both are short and took no time."""
    begun = time.process_time()
    html, text, short = value._repr_html_(), pretty(value), repr(value)  # type: ignore[attr-defined, no-untyped-call]
    assert time.process_time() - begun < MOST_SECONDS
    assert max(len(one.encode()) for one in (html, text, short, str(value))) < MOST_BYTES
    return str(html)


def test_cache_shows_itself_shortly(large: Cache) -> None:
    assert "at least 1,000 apps" in show(large)


def test_removal_plans_and_results_show_themselves_shortly(large: Cache) -> None:
    clear = plan_clear(large)
    assert "4 items" in show(clear)
    show(RemovalResult(clear, clear.items))
    prune = plan_prune(large, grace_seconds=0)
    assert len(prune.items) >= APPS
    apps = tuple(f"ghcr.io/org/app-{number}:v1" for number in range(APPS))
    for plan in (prune, replace(prune, kind="remove", references=apps)):
        assert HIDDEN in show(plan)
        show(RemovalResult(plan, plan.items))
        assert HIDDEN in show(_refused(plan))


def _refused(plan: RemovalPlan) -> RemovalResult:
    left = tuple(Skipped(item, "it was touched") for item in plan.items)
    return RemovalResult(plan, (), left, left)


def test_pull_plans_and_results_show_themselves_shortly() -> None:
    blobs = tuple(PlannedBlob(f"sha256:{n:064x}", WASM, "wasm", 1, n % 2 == 0) for n in range(APPS))
    known = ("ghcr.io/org/app:v1", "app", blobs[0].digest, None, blobs[1], blobs)
    plan = PullPlan(*known)  # type: ignore[arg-type]
    result = PullResult(*known, wire_bytes=APPS, seconds=1.5)  # type: ignore[arg-type]
    small = PullPlan(*known[:-1], blobs[:3])  # type: ignore[arg-type]
    assert HIDDEN in show(plan)
    assert HIDDEN in show(result)
    assert HIDDEN in show(PullPlans([small] * APPS))
    assert HIDDEN in show(PullResults([structs.replace(result, layers=blobs[:3])] * APPS))


def test_repair_results_show_themselves_shortly() -> None:
    rows = tuple(Problem(f"wasm/sha256:{n:064x}", "digest differs", "x" * 200, "pull") for n in range(APPS))
    assert HIDDEN in show(RepairResult(rows, (), 0, 1, 1.0))
    assert HIDDEN in show(RepairResult((), rows, APPS, 1, 1.0))
