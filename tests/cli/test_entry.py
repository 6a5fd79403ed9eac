"""From what was typed to an exit status."""

import ast
import logging
import re
import warnings
from pathlib import Path

import pytest

from spincache_nb.cli import entry, main
from spincache_nb.cli.command import Command, UsageError
from spincache_nb.cli.entry import line_of
from spincache_nb.errors import (
    AccessDeniedError,
    CacheWriteError,
    InvalidDigestError,
    InvalidReferenceError,
    MissingExtraError,
    NotInCacheError,
    PullCancelled,
    SpinCacheError,
)

PACKAGE = Path(__file__).parents[2] / "spincache_nb"


@pytest.fixture
def install(monkeypatch):
    """Put one command, ``try``, in place of all others."""

    def put(run):
        command = Command("try", "Try.", (), (), run)
        monkeypatch.setattr("spincache_nb.cli.command.COMMANDS", {"try": command})
        monkeypatch.setattr(entry, "_MODULES", {"try": "command"})

    return put


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (UsageError("x"), 2),
        (InvalidReferenceError("x"), 2),
        (InvalidDigestError("x"), 2),
        (NotInCacheError("x"), 3),
        (AccessDeniedError("x", status=401), 3),
        (MissingExtraError("x"), 3),
        (OSError(28, "No space left on device"), 3),
        (RuntimeError("x"), 3),
        (PullCancelled("x"), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_main_says_faults_in_one_line_with_a_status_that_a_script_can_act_on(fault, status, install, run):
    def fail(args, output):
        output.line("so far")
        raise fault

    install(fail)
    found, out, err = run("try")
    assert (found, out, err.count("\n")) == (status, "so far\n", 1)
    assert err.startswith("spincache-nb try: ")


@pytest.mark.parametrize("how", ["option", "variable"])
def test_main_shows_the_traceback_when_asked(how, install, monkeypatch, capsys):
    def run(args, output):
        raise RuntimeError("boom")

    install(run)
    if how == "variable":
        monkeypatch.setenv(entry.DEBUG_VARIABLE, "1")
    assert main(["try", *(["--debug"] if how == "option" else [])]) == 3
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert err.splitlines()[-1].startswith("spincache-nb try: unexpected RuntimeError: boom")


def test_main_prints_warnings_as_one_line(install, capsys):
    def run(args, output):
        warnings.warn("the pull is not\nrecorded", UserWarning, stacklevel=1)
        return 0

    install(run)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["try"]) == 0
    assert capsys.readouterr().err == "spincache-nb: warning: the pull is not\\nrecorded\n"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["try"], "spincache-nb: warning: look\\nhere\n"),
        (["try", "--debug"], "spincache-nb: debug: detail\nspincache-nb: warning: look\\nhere\n"),
    ],
)
def test_main_shows_what_the_package_logs_and_nobody_else(words, shown, install, capsys):
    def run(args, output):
        logging.getLogger("spincache_nb.core").debug("detail")
        logging.getLogger("spincache_nb.core").warning("look\nhere")
        logging.getLogger("httpx").info("GET https://s3.example/?X-Amz-Signature=secret")
        return 0

    install(run)
    assert main(words) == 0
    assert capsys.readouterr().err == shown


def test_main_leaves_logging_and_warnings_as_they_were(install):
    logger = logging.getLogger("spincache_nb")
    before = (list(logger.handlers), logger.level, warnings.showwarning)
    install(lambda args, output: 0)
    main(["try", "--debug"])
    assert (list(logger.handlers), logger.level, warnings.showwarning) == before


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
