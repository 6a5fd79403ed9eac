"""Lessons on the demo cache: chains, ripples, and checks that know a wrong answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from matplotlib.figure import Figure

from spincache_nb import lessons
from spincache_nb.demo import Workspace
from spincache_nb.errors import NotInCacheError
from tests.support.trees import read_tree


@pytest.fixture(scope="module")
def demo() -> Iterator[Workspace]:
    with Workspace() as workspace:
        for name in ("hello:1.0.0", "hello:1.1.0", "docs:1.0.0", "greet:1.0.0", "redact:0.1.0", "site:1.0.0"):
            workspace.pull(f"demo/{name}")
        yield workspace


def test_chain_names_every_layer_by_the_digest_of_its_bytes(demo: Workspace) -> None:
    tree = lessons.chain(demo.cache, demo.reference("demo/site:1.0.0"))
    artifact = next(a for a in demo.registry.artifacts if (a.repository, a.tag) == ("demo/site", "1.0.0"))
    assert tree.root.digest == artifact.digest
    digests = [link.digest for link in tree.root.parts]
    assert digests == [artifact.config.digest, *(blob.digest for blob in artifact.layers)]
    assert [link.what for link in tree.root.parts][:2] == ["image config", "wasm layer"]
    assert tree.root.parts[-1].what == "locked app"
    assert tree.root.parts[1].names == ("component site",)


def test_chain_goes_down_to_the_members_of_an_archive(demo: Workspace) -> None:
    tree = lessons.chain(demo.cache, demo.reference("demo/docs:1.0.0"))
    (archive,) = [link for link in tree.root.parts if link.what == "archive layer"]
    assert len(archive.parts) > 500
    stored = demo.cache.path / "data"
    for member in archive.parts[::50]:
        content = (stored / member.digest).read_bytes()
        assert member.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    text = str(tree)
    assert text.splitlines()[0].startswith(demo.reference("demo/docs:1.0.0"))
    assert f"and {len(archive.parts) - 6} more members" in text
    assert len(text.splitlines()) < 20


@pytest.mark.parametrize(
    ("name", "config"),
    [("greet:1.0.0", "config of a package"), ("redact:0.1.0", "config: the locked app")],
)
def test_chain_of_packages_and_old_apps(demo: Workspace, name: str, config: str) -> None:
    tree = lessons.chain(demo.cache, demo.reference(f"demo/{name}"))
    assert tree.root.parts[0].what == config


def test_chain_draws_what_it_prints(demo: Workspace) -> None:
    tree = lessons.chain(demo.cache, demo.reference("demo/docs:1.0.0"))
    figure = Figure(figsize=(9.5, 5), layout="constrained")
    axes = tree.draw(ax=figure.add_subplot())
    figure.draw_without_rendering()
    drawn = [text.get_text() for text in axes.texts]
    assert "manifest" in drawn
    assert tree.root.digest[:19] in drawn
    assert "<script>" not in lessons.Chain("<script>", tree.root)._repr_html_()


def test_chain_of_an_app_that_is_not_there(demo: Workspace) -> None:
    with pytest.raises(NotInCacheError):
        lessons.chain(demo.cache, demo.reference("demo/none:1"))


def test_ripple_changes_every_name_but_the_tag_and_nothing_on_disk(demo: Workspace) -> None:
    before = read_tree(demo.cache.path)
    names = lessons.ripple(demo.cache, demo.reference("demo/hello:1.0.0"))
    assert names["what"].tolist() == ["layer 0", "locked app", "manifest", "tag"]
    assert names["changed"].tolist() == [True, True, True, False]
    assert read_tree(demo.cache.path) == before
    layer = names["before"][0]
    content = bytearray((demo.cache.path / "wasm" / layer).read_bytes())
    content[-1] ^= 1
    assert names["after"][0] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert names["before"][2] == next(a for a in demo.registry.artifacts if a.tag == "1.0.0").digest


def test_ripple_of_a_package_has_no_locked_app(demo: Workspace) -> None:
    names = lessons.ripple(demo.cache, demo.reference("demo/greet:1.0.0"), offset=0)
    assert names["what"].tolist() == ["layer 0", "manifest", "tag"]


def test_ripple_of_a_layer_that_is_not_there(demo: Workspace) -> None:
    with pytest.raises(NotInCacheError):
        lessons.ripple(demo.cache, demo.reference("demo/greet:1.0.0"), position=5)


RIGHT = {
    "name": "sha256:" + hashlib.sha256(b"wasm").hexdigest(),
    "copies": 1,
    "ripple": {"manifest", "Layer", "locked app"},
    "again": 1,
    "moves": " Tag ",
    "trust": "no",
}
WRONG: dict[str, list[object]] = {
    "name": ["wasm", hashlib.sha256(b"wasm").hexdigest(), ""],
    "copies": [0, 2, None],
    "ripple": [{"layer"}, {"layer", "locked app", "manifest", "tag"}, set()],
    "again": [0, 2, "many"],
    "moves": ["digest", "both"],
    "freed": [0, 1, -1, "all"],
    "trust": ["yes", True],
}


def test_there_is_an_answer_for_every_exercise(demo: Workspace) -> None:
    assert set(lessons.exercises(demo.cache)) == set(WRONG) == set(RIGHT) | {"freed"}


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_exercise_takes_the_right_answer(demo: Workspace, name: str) -> None:
    exercise = lessons.exercises(demo.cache)[name]
    assert exercise.check(RIGHT[name]) == f"Right. {exercise.why}"


@pytest.mark.parametrize(("name", "given"), [(n, g) for n, many in sorted(WRONG.items()) for g in many])
def test_exercise_refuses_a_wrong_answer_without_giving_it_away(
    demo: Workspace, name: str, given: object
) -> None:
    exercise = lessons.exercises(demo.cache)[name]
    with pytest.raises(AssertionError) as caught:
        exercise.check(given)
    assert str(caught.value) == f"not yet: {given!r} is not the answer to: {exercise.question}"


def test_exercise_on_freed_bytes_is_of_this_cache(demo: Workspace) -> None:
    exercise = lessons.exercises(demo.cache)["freed"]
    reference = exercise.question.split()[5]
    tree = demo.cache.cached_tag(reference)
    assert exercise.check(exercise.answer).startswith("Right.")
    assert isinstance(exercise.answer, int)
    assert exercise.answer > sum(path.stat().st_size for path in tree.path.iterdir())


def test_exercise_hides_its_answer_in_html(demo: Workspace) -> None:
    page = lessons.exercises(demo.cache)["moves"]._repr_html_()
    assert page.index("<details>") < page.index("tag.")
    assert str(lessons.exercises(demo.cache)["moves"]) in page


def test_exercises_need_an_app(tmp_path: object) -> None:
    from spincache_nb import Cache

    with pytest.raises(ValueError, match="pull one first"):
        lessons.exercises(Cache(str(tmp_path)))


def test_what_spin_checks_is_a_table() -> None:
    table = lessons.what_spin_checks()
    assert table["when"].is_unique
    assert table.notna().all(axis=None)
