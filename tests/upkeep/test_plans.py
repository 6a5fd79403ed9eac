"""Plans and results as text and HTML, and the refusals of the guard as errors that pickle."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.core.scan import Problem
from spincache_nb.upkeep import (
    KeptBlob,
    RemovalItem,
    RemovalPlan,
    RemovalResult,
    RepairResult,
    Skipped,
    plan_clear,
    plan_prune,
    plan_remove,
)
from spincache_nb.upkeep.plans import users_text
from tests.support.caches import blob, pulled, web
from tests.support.trees import read_tree
from tests.upkeep.worlds import laid_out

EVIL = "<script>alert(1)</script>"


def plan(kind: str = "prune", *, items: int = 2, kept: int = 1) -> RemovalPlan:
    return RemovalPlan(
        cache=Cache("/srv"),
        kind=kind,  # type: ignore[arg-type]
        items=tuple(RemovalItem(f"data/{n}{EVIL}", "blob", 1024, f"because {EVIL}\n") for n in range(items)),
        kept=tuple(
            KeptBlob(f"wasm/{n}", "wasm", None, 5, (f"app {EVIL}",), "others need it") for n in range(kept)
        ),
        notes=(f"note {EVIL}",),
    )


@pytest.mark.parametrize("kind", ["remove", "prune"])
def test_selective_plans_say_that_they_go_beyond_what_spin_promises(kind):
    for text in (str(plan(kind)), plan(kind)._repr_html_(), plan(kind).notice):
        assert "goes beyond what Spin promises" in text
    assert "goes beyond what Spin promises" in (RemovalPlan.execute.__doc__ or "").replace("\n", " ")


def test_clear_says_that_spin_documents_it():
    assert "the one operation on the cache that Spin documents" in str(plan("clear"))
    assert "goes beyond" not in str(plan("clear"))


def test_html_is_escaped_and_short():
    page = plan(items=1000, kept=1000)._repr_html_()
    assert "<b>prune: 1,000 items" in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<code>") == 15
    assert "and 990 more" in page
    assert "and 995 more" in page


def test_text_is_printable_and_short():
    text = str(plan(items=1000, kept=1000))
    assert len(text.splitlines()) == 23
    assert all(line.isprintable() for line in text.splitlines())
    assert text.startswith("prune: 1,000 items, 1000.0 KiB to free in /srv/registry")
    assert "others need it: app " in text


def test_an_empty_plan_says_so():
    assert str(plan(items=0, kept=0)).startswith("prune: nothing to do in /srv/registry")
    assert "<table" not in plan(items=0, kept=0)._repr_html_()


def test_a_result_says_what_was_left():
    items = plan().items
    result = RemovalResult(plan(), items[:1], (Skipped(items[1], EVIL),), (Skipped(items[1], "denied"),))
    assert result.freed_bytes == 1024
    assert result.kind == "prune"
    assert "removed 1 item, freed 1.0 KiB; 1 item left" in str(result)
    assert "1 item could not be removed" in str(result)
    assert "<script" not in result._repr_html_()


def test_plans_are_frozen_and_pickle():
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan().kind = "clear"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(plan())) == plan()


PLANS = {
    "prune": plan_prune,
    "remove": lambda cache: plan_remove(cache, "ghcr.io/org/web:v1"),
    "clear": plan_clear,
}


@pytest.mark.parametrize("kind", PLANS)
def test_to_plan_touches_nothing(tmp_path, kind):
    tree = {**pulled(web()), blob("data", b"stray"): b"stray"}
    cache = laid_out(tmp_path, tree)
    before = {path: path.lstat().st_mtime_ns for path in cache.path.rglob("*")}
    assert PLANS[kind](cache).items
    assert {path: path.lstat().st_mtime_ns for path in cache.path.rglob("*")} == before
    assert read_tree(cache.path) == tree


@pytest.mark.parametrize("kind", ["prune", "clear"])
def test_a_plan_for_no_cache_is_empty_and_makes_none(tmp_path, kind):
    made = PLANS[kind](Cache(tmp_path / "none"))
    assert (made.items, made.notes, made.execute().removed) == ((), (), ())
    assert not (tmp_path / "none").exists()


def test_repair_result_is_short_and_escaped():
    rows = tuple(Problem(f"data/{n}{EVIL}", "damaged blob", EVIL, "do") for n in range(50))
    result = RepairResult(rows, rows, 3, 2048, 1.5)
    assert len(str(result).splitlines()) == 13
    assert str(result).splitlines()[1].split() == ["WHAT", "PROBLEM", "PATH", "DETAIL"]
    assert "<script" not in result._repr_html_()
    assert result._repr_html_().count("<code>") == 10
    assert len(result.damaged) == 50


def test_representations_are_one_short_line():
    result = RemovalResult(plan(), plan(items=1000).items)
    assert repr(plan(items=1000)) == "<RemovalPlan prune: 1,000 items, 1000.0 KiB to free in /srv/registry>"
    assert repr(result) == "<RemovalResult prune: removed 1,000 items, freed 1000.0 KiB>"
    assert repr(RepairResult((), (), 0, 0, 0)).startswith("<RepairResult repaired 0 problems")


def test_users_text_names_three():
    assert users_text(["a", "b", "c"]) == "a, b, c"
    assert users_text(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
