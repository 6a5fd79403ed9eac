"""Lessons on the demo cache: chains, ripples, and checks that know a wrong answer."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from matplotlib.figure import Figure

from spincache_nb import Cache, analysis, lessons
from spincache_nb.demo import Workspace
from spincache_nb.errors import NotInCacheError
from tests.support.trees import read_tree


@pytest.fixture(scope="module")
def demo():
    with Workspace() as workspace:
        for name in ("hello:1.0.0", "hello:1.1.0", "docs:1.0.0", "greet:1.0.0", "redact:0.1.0", "site:1.0.0"):
            workspace.pull(f"demo/{name}")
        yield workspace


def test_chain_names_every_layer_by_the_digest_of_its_bytes(demo):
    tree = lessons.chain(demo.cache, demo.reference("demo/site:1.0.0"))
    artifact = next(a for a in demo.registry.artifacts if (a.repository, a.tag) == ("demo/site", "1.0.0"))
    assert tree.root.digest == artifact.digest
    digests = [link.digest for link in tree.root.parts]
    assert digests == [artifact.config.digest, *(blob.digest for blob in artifact.layers)]
    assert [link.what for link in tree.root.parts][:2] == ["image config", "wasm layer"]
    assert tree.root.parts[-1].what == "locked app"
    assert tree.root.parts[1].names == ("component site",)


def test_chain_goes_down_to_the_members_of_an_archive(demo):
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


def test_chain_counts_many_data_layers_and_keeps_what_follows():
    layers = [lessons.Link("data layer", f"sha256:{place:064}", 10) for place in range(20)]
    wasm = lessons.Link("wasm layer", "sha256:" + "a" * 64, 5)
    locked = lessons.Link("locked app", "sha256:" + "b" * 64, 5)
    root = lessons.Link("manifest", "sha256:" + "c" * 64, 5, parts=(wasm, *layers, locked))
    lines = str(lessons.Chain("a/b:1", root)).splitlines()
    assert lines[2].startswith("   ├─ wasm layer")
    assert [line.count("data layer  ") for line in lines].count(1) == 6
    assert lines[-2] == "   ├─ and 14 more data layers"
    assert lines[-1].startswith("   └─ locked app")


@pytest.mark.parametrize(
    ("name", "config"),
    [("greet:1.0.0", "config of a package"), ("redact:0.1.0", "config: the locked app")],
)
def test_chain_of_packages_and_old_apps(demo, name, config):
    tree = lessons.chain(demo.cache, demo.reference(f"demo/{name}"))
    assert tree.root.parts[0].what == config


def test_chain_draws_what_it_prints(demo):
    tree = lessons.chain(demo.cache, demo.reference("demo/docs:1.0.0"))
    figure = Figure(figsize=(9.5, 5), layout="constrained")
    axes = tree.draw(ax=figure.add_subplot())
    figure.draw_without_rendering()
    drawn = [text.get_text() for text in axes.texts]
    assert "manifest" in drawn
    assert tree.root.digest[:19] in drawn
    assert "<script>" not in lessons.Chain("<script>", tree.root)._repr_html_()


def test_ripple_changes_every_name_but_the_tag_and_nothing_on_disk(demo):
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


def test_ripple_of_a_package_has_no_locked_app(demo):
    names = lessons.ripple(demo.cache, demo.reference("demo/greet:1.0.0"), offset=0)
    assert names["what"].tolist() == ["layer 0", "manifest", "tag"]


def test_an_app_or_a_layer_that_is_not_there(demo):
    with pytest.raises(NotInCacheError):
        lessons.chain(demo.cache, demo.reference("demo/none:1"))
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
    "name": ["wasm", hashlib.sha256(b"wasm").hexdigest(), "sha256:" + hashlib.sha256(b"Wasm").hexdigest(), 4],
    "copies": [0, 2, True, "one"],
    "ripple": [{"layer"}, {"layer", "locked app", "manifest", "tag"}, set(), "layer"],
    "again": [0, 2, "many"],
    "moves": ["digest", "both"],
    "freed": [0, 1, -1, "all"],
    "trust": ["yes", True],
}


def test_there_is_an_answer_for_every_exercise(demo):
    assert set(lessons.exercises(demo.cache)) == set(WRONG) == set(RIGHT) | {"freed"}


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_exercise_takes_the_right_answer(demo, name):
    exercise = lessons.exercises(demo.cache)[name]
    assert exercise.check(RIGHT[name]) == f"Right. {exercise.why}"


@pytest.mark.parametrize(("name", "given"), [(n, g) for n, many in sorted(WRONG.items()) for g in many])
def test_exercise_refuses_a_wrong_answer_without_giving_it_away(demo, name, given):
    exercise = lessons.exercises(demo.cache)[name]
    with pytest.raises(lessons.WrongAnswerError) as caught:
        exercise.check(given)
    first, _, second = str(caught.value).partition("\n")
    assert first.startswith("Not yet. ")
    assert len(first.split()) > 4
    assert second == f"Hint: {exercise.hint}"
    assert exercise.why not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("name", "wasm", "starts with the hash function"),
        ("name", "sha256:00", "hash of other bytes"),
        ("name", 4, "A name is text"),
        ("copies", 2, "too many"),
        ("copies", 0, "too few"),
        ("copies", "1", "without quotation marks"),
        ("ripple", {"layer"}, "missing"),
        ("ripple", {"layer", "tag"}, "too many"),
        ("ripple", "layer", "several words"),
        ("moves", "digest", "the other way round"),
        ("moves", "both", '"tag" or "digest"'),
        ("trust", True, '"yes" or "no"'),
    ],
)
def test_exercise_says_what_is_wrong(demo, name, given, said):
    with pytest.raises(AssertionError, match=re.escape(said)):
        lessons.exercises(demo.cache)[name].check(given)


@pytest.mark.parametrize("name", sorted(WRONG))
@pytest.mark.parametrize("blank", [None, ..., "", "  "])
def test_exercise_says_that_there_is_no_answer_yet(demo, name, blank):
    exercise = lessons.exercises(demo.cache)[name]
    assert exercise.check(blank) == f"No answer yet.\nTo start: {exercise.hint}"
    assert exercise.why not in exercise.hint


def test_wrong_answer_shows_no_traceback_in_a_notebook(demo):
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell: Any = InteractiveShell()  # type: ignore[no-untyped-call]
    shell.user_ns["exercise"] = lessons.exercises(demo.cache)["again"]
    with capture_output() as said:
        result = shell.run_cell("exercise.check(2)", store_history=False)
    assert isinstance(result.error_in_exec, AssertionError)
    assert "Not yet. That is too many." in said.stdout
    assert "Traceback" not in said.stdout


def test_exercise_on_freed_bytes_is_of_this_cache(demo):
    exercise = lessons.exercises(demo.cache)["freed"]
    reference = exercise.question.split()[5]
    tree = demo.cache.cached_tag(reference)
    assert exercise.check(exercise.answer).startswith("Right.")
    assert isinstance(exercise.answer, int)
    assert exercise.answer > sum(path.stat().st_size for path in tree.path.iterdir())
    as_the_hint_says = analysis.freed_by(demo.cache, reference)["stored_bytes"].sum()
    assert exercise.check(as_the_hint_says).startswith("Right.")
    with pytest.raises(AssertionError, match="too many"):
        exercise.check(as_the_hint_says + 1)


def test_exercises_are_checked_when_the_cache_is_gone():
    with Workspace() as workspace:
        workspace.pull("demo/site:1.0.0")
        found = lessons.exercises(workspace.cache)
    for exercise in found.values():
        assert exercise.check(exercise.answer).startswith("Right.")


def test_exercise_shows_its_question_alone(demo):
    for exercise in lessons.exercises(demo.cache).values():
        assert repr(exercise) == exercise.question
        assert exercise.why not in exercise._repr_html_()


def test_hidden_answer_shows_itself_in_details_only(demo):
    hidden = lessons.exercises(demo.cache)["ripple"].hidden_answer()
    page = hidden._repr_html_()
    assert page.startswith("<details><summary>")
    assert page.endswith("</details>")
    assert "layer, locked app, manifest" in page
    assert hidden.why in page
    assert repr(hidden) == "The answer is hidden; to see it: exercises['ripple'].answer"
    assert "<script>" not in lessons.HiddenAnswer("x", "<script>", "<script>")._repr_html_()


def test_example_is_an_app_with_most_layers(demo):
    chosen = lessons.example(demo.cache)
    assert chosen == demo.reference("demo/site:1.0.0")
    assert lessons.ripple(demo.cache, chosen)["changed"].tolist() == [True, True, True, False]


@pytest.mark.parametrize("function", [lessons.example, lessons.exercises])
def test_lessons_need_an_app(function, tmp_path):
    with pytest.raises(ValueError, match="pull one first"):
        function(Cache(tmp_path))


def test_what_spin_checks_is_a_table():
    table = lessons.what_spin_checks()
    assert table["when"].is_unique
    assert table.notna().all(axis=None)
