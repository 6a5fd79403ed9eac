"""Freed bytes against brute force: what stays is what a Spin would have stored for the other apps alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from spincache_nb.core.cache import Cache
from spincache_nb.upkeep import RemovalPlan, plan_clear, plan_prune, plan_remove
from tests.support.artifact import text_file, wasm_module
from tests.support.artifacts import Component, new_style, old_style, package
from tests.support.caches import blob, blobs, pulled
from tests.support.trees import Tree, union
from tests.upkeep.worlds import disk_bytes, execute_exactly, laid_out, left, make_older

WASM = [wasm_module(f"module {number}", 300 + number) for number in range(4)]
FILES = [text_file(f"file {number}", 150 + 10 * number) for number in range(6)]
SMALL = [f"small {number}".encode() for number in range(3)]  # inlined, so no blob of their own
CONTENT = [*FILES, *SMALL, WASM[0]]


@dataclass(frozen=True)
class App:
    """One app as it is published."""

    kind: str
    parts: tuple[tuple[int, tuple[int, ...]], ...]

    def tree(self, name: str) -> Tree:
        """What Spin stores for it, by the oracle."""
        if self.kind == "package":
            return pulled(package(f"org/{name}", "1"))
        if self.kind == "old":
            return pulled(old_style(f"org/{name}", "1"))
        components = [
            Component(f"c{place}", WASM[wasm], {f"{number}.txt": CONTENT[number] for number in files})
            for place, (wasm, files) in enumerate(self.parts)
        ]
        return pulled(new_style(f"org/{name}", "1", components=components, archive=self.kind == "archive"))


def apps() -> st.SearchStrategy[App]:
    files = st.lists(st.integers(0, len(CONTENT) - 1), max_size=4, unique=True).map(tuple)
    parts = st.lists(st.tuples(st.integers(0, len(WASM) - 1), files), min_size=1, max_size=2).map(tuple)
    return st.builds(App, st.sampled_from(["new", "new", "archive", "archive", "old", "package"]), parts)


@dataclass(frozen=True)
class World:
    """Apps, which of them are chosen, and blobs that nobody ever needed."""

    apps: tuple[App, ...]
    chosen: frozenset[int]
    strays: tuple[int, ...]

    def trees(self, *, chosen: bool) -> Tree:
        """What Spin stores for the chosen apps, or for the others."""
        return union(*(a.tree(f"a{n}") for n, a in enumerate(self.apps) if (n in self.chosen) is chosen))

    def needed_by_others(self) -> dict[str, tuple[int, set[str]]]:
        """Size and users of what the chosen apps have in common with the others."""
        lost = blobs(self.trees(chosen=True))
        found: dict[str, tuple[int, set[str]]] = {}
        for number in set(range(len(self.apps))) - self.chosen:
            for path in lost.keys() & self.apps[number].tree(f"a{number}"):
                found.setdefault(path, (len(lost[path]), set()))[1].add(f"ghcr.io/org/a{number}:1")
        return found

    def stray_tree(self) -> Tree:
        """Blobs of no app."""
        return {blob("data", f"stray {n}".encode() * n): f"stray {n}".encode() * n for n in self.strays}

    def references(self) -> list[str]:
        """The chosen apps."""
        return [f"ghcr.io/org/a{number}:1" for number in sorted(self.chosen)]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    drawn = draw(st.lists(apps(), min_size=1, max_size=5))
    chosen = draw(st.sets(st.integers(0, len(drawn) - 1), min_size=1))
    return World(tuple(drawn), frozenset(chosen), tuple(draw(st.sets(st.integers(1, 9), max_size=2))))


@contextmanager
def cache_of(tree: Tree) -> Iterator[Cache]:
    with tempfile.TemporaryDirectory() as folder:
        yield laid_out(Path(folder), tree)


def kept_by(plan: RemovalPlan) -> dict[str, tuple[int, set[str]]]:
    """Size and users of what a plan leaves, by path."""
    assert all(kept.path.startswith(f"{kept.area}/") for kept in plan.kept)
    return {kept.path: (kept.stored_bytes, set(kept.users)) for kept in plan.kept}


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_plan_remove_frees_just_what_the_others_do_not_need(world):
    others, strays = world.trees(chosen=False), world.stray_tree()
    everything = union(world.trees(chosen=True), others)
    expected = union(others, {path: data for path, data in strays.items() if path not in everything})
    with cache_of(union(everything, strays)) as cache:
        total = disk_bytes(cache)
        plan = plan_remove(cache, world.references())
        assert plan.freed_bytes == total - sum(map(len, expected.values()))
        execute_exactly(plan)
        assert left(cache) == set(expected)
        assert kept_by(plan) == world.needed_by_others()
        again = plan_prune(cache, even_if_unknown=True)
        assert {item.path for item in again.items} == set(strays) - set(others)


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_plan_prune_leaves_just_what_the_apps_need(world):
    needed = world.trees(chosen=False)
    lost = blobs(world.trees(chosen=True))
    with cache_of(union(lost, needed, world.stray_tree())) as cache:
        plan = plan_prune(cache, even_if_unknown=True)
        assert plan.freed_bytes == disk_bytes(cache) - sum(map(len, needed.values()))
        execute_exactly(plan)
        assert left(cache) == set(needed)


EDGES = st.tuples(st.integers(0, 5), st.integers(-1, 1))
"""How many apps are gone when a budget is kept, and so many bytes more or less."""


@settings(max_examples=80, deadline=None)
@given(worlds(), EDGES | st.none(), st.integers(0, 3) | st.none())
def test_plan_prune_keeps_a_budget_as_brute_force_does(world, edge, newest):
    trees = [app.tree(f"a{number}") for number, app in enumerate(world.apps)]  # a0 was pulled longest ago
    sizes = [sum(map(len, union(*trees[gone:]).values())) for gone in range(len(trees) + 1)]
    budget = None if edge is None else max(0, sizes[min(edge[0], len(trees))] + edge[1])
    gone = max(0, len(trees) - (newest or 0)) if edge or newest is not None else 0
    if budget is not None:
        gone = next((fewer for fewer in range(gone) if sizes[fewer] <= budget), gone)
    with cache_of(union(*trees, world.stray_tree())) as cache:
        for number in range(len(trees)):
            make_older(cache.path / "manifests" / "ghcr.io" / "org" / f"a{number}", 9000 - 100 * number)
        plan = plan_prune(cache, keep_bytes=budget, keep_newest=newest)
        assert list(plan.references) == [f"ghcr.io/org/a{number}:1" for number in range(gone)]
        assert kept_by(plan) == replace(world, chosen=frozenset(range(gone))).needed_by_others()
        execute_exactly(plan)
        assert left(cache) == set(union(*trees[gone:]))
        is_over = budget is not None and sizes[gone] > budget
        assert any("budget is not kept" in note for note in plan.notes) == is_over


@settings(max_examples=20, deadline=None)
@given(worlds())
def test_plan_clear_frees_everything(world):
    with cache_of(union(world.trees(chosen=True), world.trees(chosen=False), world.stray_tree())) as cache:
        plan = plan_clear(cache)
        assert plan.freed_bytes == disk_bytes(cache)
        execute_exactly(plan)
        assert not cache.path.exists()
