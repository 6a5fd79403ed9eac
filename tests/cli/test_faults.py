"""Exceptions as one line and a status."""

import pytest

from spincache_nb.cli.command import UsageError
from spincache_nb.cli.faults import line_of, status_of
from spincache_nb.core.reference import Reference
from spincache_nb.errors import (
    AccessDeniedError,
    CacheWriteError,
    InvalidDigestError,
    InvalidReferenceError,
    MissingExtraError,
    PullCancelled,
    SpinCacheError,
)


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
def test_status_of_says_what_a_script_can_act_on(fault: BaseException, status: int) -> None:
    assert status_of(fault) == status


def test_line_of_names_options_instead_of_python() -> None:
    fault = CacheWriteError("/srv", "to write", "refused", "name another directory with Cache(dir)")
    assert (
        line_of(fault) == "/srv: expected to write, got refused; name another directory with --cache-dir DIR"
    )


def test_line_of_is_one_line_whatever_a_registry_says() -> None:
    fault = SpinCacheError("where", "a", "b\nc\x1b[2J", "do\nthis")
    assert line_of(fault) == "where: expected a, got b\\nc\\x1b[2J; do\\nthis"


def test_line_of_hides_no_unexpected_error() -> None:
    assert line_of(KeyError("k")).startswith("unexpected KeyError: 'k'; `--debug`")


def test_remedies_that_name_python_are_known() -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        Reference.parse("https://ghcr.io/a:1")
    assert "--insecure" in line_of(caught.value)
    assert "insecure=" not in line_of(caught.value)
