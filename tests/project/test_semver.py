"""Semantic versions and requirements, against the recorded answers of Rust's ``semver`` crate."""

from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spincache_nb.errors import InvalidVersionError
from spincache_nb.project.versions import Requirement, Version

ANSWERS = Path(__file__).with_name("semver_answers.tsv")
"""Written by a small program that calls the crate, not by the code under test."""


def recorded(kind: str) -> list[tuple[str, ...]]:
    rows = [line.split("\t") for line in ANSWERS.read_text(encoding="utf-8").split("\n")]
    return [(row[0], *row[2:]) for row in rows if len(row) > 1 and row[1] == kind]


def answer(requirement: str, version: str) -> str:
    try:
        return str(Requirement.parse(requirement).matches(Version.parse(version))).lower()
    except InvalidVersionError:
        return "error"


def test_answers_are_of_all_kinds() -> None:
    counts = Counter(row[0] for row in recorded("match"))
    assert min(counts["true"], counts["false"], counts["error"]) > 30
    assert len(recorded("cmp")) > 15


@pytest.mark.parametrize(("expected", "requirement", "version"), recorded("match"))
def test_matches_answers_as_the_crate(expected: str, requirement: str, version: str) -> None:
    assert answer(requirement, version) == expected


TEXTS = [(kind, *row) for kind in ("req", "ver") for row in recorded(kind)]


@pytest.mark.parametrize(("kind", "expected", "text"), TEXTS)
def test_parse_takes_what_the_crate_takes(kind: str, expected: str, text: str) -> None:
    parse = Requirement.parse if kind == "req" else Version.parse
    if expected == "true":
        assert str(parse(text)) == text
    else:
        with pytest.raises(InvalidVersionError) as caught:
            parse(text, where="component a, source")
        assert caught.value.where == "component a, source"


@pytest.mark.parametrize(("expected", "one", "other"), recorded("cmp"))
def test_versions_are_ordered_as_by_the_crate(expected: str, one: str, other: str) -> None:
    first, second = Version.parse(one), Version.parse(other)
    ordered = "Less" if first < second else "Greater" if second < first else "Equal"
    assert ordered == expected


@pytest.mark.parametrize(("count", "taken"), [(32, True), (33, False)])
def test_requirement_parse_takes_32_comparators(count: int, taken: bool) -> None:
    text = ",".join(["1"] * count)
    if taken:
        assert len(Requirement.parse(text).comparators) == 32
    else:
        with pytest.raises(InvalidVersionError):
            Requirement.parse(text)


@given(st.text(max_size=20) | st.text("0123456789.-+*x^~<>=, ab", max_size=20))
@example("9" * 5000)
@example("1.0.0-" + "9" * 5000)
@example("1.0.0-" + "a" * 5000 + "_")
def test_parse_raises_nothing_else(text: str) -> None:
    for parse in (Version.parse, Requirement.parse):
        with suppress(InvalidVersionError):
            assert str(parse(text)) == text
