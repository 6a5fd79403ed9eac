"""Exceptions as one line and a status."""

import ast
import re
from pathlib import Path

import pytest

from spincache_nb.cli.command import UsageError
from spincache_nb.cli.entry import line_of, status_of
from spincache_nb.errors import (
    AccessDeniedError,
    CacheWriteError,
    InvalidDigestError,
    InvalidReferenceError,
    MissingExtraError,
    PullCancelled,
    SpinCacheError,
)

PACKAGE = Path(__file__).parents[2] / "spincache_nb"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (UsageError("x"), 2),
        (InvalidReferenceError("x"), 2),
        (InvalidDigestError("x"), 2),
        (AccessDeniedError("x", status=401), 3),
        (MissingExtraError("x"), 3),
        (OSError(28, "No space left on device"), 3),
        (RuntimeError("x"), 3),
        (PullCancelled("x"), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_status_of_says_what_a_script_can_act_on(fault, status):
    assert status_of(fault) == status


def test_line_of_names_options_instead_of_python():
    fault = CacheWriteError("/srv", "to write", "refused", "name another directory with Cache(dir)")
    assert (
        line_of(fault) == "/srv: expected to write, got refused; name another directory with --cache-dir DIR"
    )


def test_line_of_is_one_line_whatever_a_registry_says():
    fault = SpinCacheError("where", "a", "b\nc\x1b[2J", "do\nthis")
    assert line_of(fault) == "where: expected a, got b\\nc\\x1b[2J; do\\nthis"


def test_line_of_hides_no_unexpected_error():
    assert line_of(KeyError("k")).startswith("unexpected KeyError: 'k'; `--debug`")


def error_texts():
    """Texts that the package gives to its errors, with the module they are in."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error"):
                for argument in node.args:
                    yield from (
                        (path.name, part.value)
                        for part in ast.walk(argument)
                        if isinstance(part, ast.Constant) and isinstance(part.value, str)
                    )


def test_no_remedy_is_left_in_python():
    python = re.compile(
        r"\b(insecure|auth|durable|jobs|limits|projects|rewritten)=|\bCache\(dir|\bframes\.|\bca="
    )
    texts = [(name, text) for name, text in error_texts() if python.search(text)]
    assert len(texts) >= 5
    left = [(name, text) for name, text in texts if python.search(line_of(SpinCacheError(text)))]
    assert left == []
