"""Errors: the tree, what they say, and that they survive a pickle."""

import copy
import inspect
import pickle
import re

import pytest

from spincache_nb import errors
from spincache_nb.errors import SpinCacheError, StatusError, WasmFormatError, printable

CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, SpinCacheError) and cls.__module__ == errors.__name__
]
PARTS = ("here", "this", "that", "do so")


def drawn_tree() -> dict[str, str]:
    """Parent by child, as the module's docstring draws them."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ((?:│   |    )*)(?:[├└]── )?(\w+)(?:  |$)", line)
        if match is None:
            continue
        depth = len(match[1]) // 4 + ("──" in line)
        path = [*path[:depth], match[2]]
        if depth:
            parents[match[2]] = path[depth - 1]
    return parents


def test_errors_are_the_tree_that_the_docstring_draws() -> None:
    real = {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES if cls is not SpinCacheError}
    assert drawn_tree() == real


@pytest.mark.parametrize("cls", CLASSES)
def test_error_survives_a_pickle_with_all_its_parts(cls: type[SpinCacheError]) -> None:
    more = {"status": 404} if issubclass(cls, StatusError) else {}
    more |= {"offset": 17} if cls is WasmFormatError else {}
    error = cls(*PARTS, **more)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is cls
        assert (twin.where, twin.expected, twin.found, twin.remedy) == PARTS
        assert {name: getattr(twin, name) for name in more} == more
        assert twin.args == (*PARTS, *more.values())
        assert vars(twin) == vars(error)
        assert str(twin) == str(error)


@pytest.mark.parametrize("cls", CLASSES)
def test_error_needs_nothing_but_where(cls: type[SpinCacheError]) -> None:
    assert str(cls("the place")) == "the place"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("w",), "w"),
        (("w", "e"), "w: expected e"),
        (("w", "", "f"), "w: got f"),
        (("w", "e", "f"), "w: expected e, got f"),
        (("w", "e", "f", "r"), "w: expected e, got f; r"),
        (("w", "", "", "r"), "w; r"),
    ],
)
def test_str_says_where_expected_found_and_remedy(parts: tuple[str, ...], text: str) -> None:
    assert str(SpinCacheError(*parts)) == text


def test_str_is_one_line_without_control_characters() -> None:
    text = str(SpinCacheError("a\nb\r\x1b[31m", "c\u2028d", "e\u202ef", "do\x1b[2J\nso"))
    assert text == "a\\nb\\r\\x1b[31m: expected c\\u2028d, got e\\u202ef; do\\x1b[2J\\nso"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 中", "plain ü 中"),
        ("a\tb\0", "a\\tb\\x00"),
        ("\udc80", "\\udc80"),
        ("", ""),
        ("x" * 500, "x" * 500),
        ("x" * 501, "x" * 500 + "..."),
    ],
)
def test_printable_escapes_and_cuts(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_str_stays_short_whatever_was_found() -> None:
    assert len(str(SpinCacheError("w", "e", "f" * 10_000_000, "r" * 10_000_000))) < 1100
