"""From what was typed to an exit status."""

import argparse
import logging
import warnings
from collections.abc import Callable

import pytest

from spincache_nb.cli import entry, main
from spincache_nb.cli.command import Command, Output

Run = Callable[[argparse.Namespace, Output], int]


@pytest.fixture
def install(monkeypatch):
    """Put one command, ``try``, in place of all others."""

    def put(run):
        command = Command("try", "Try.", (), (), run)
        monkeypatch.setattr(entry, "COMMANDS", {"try": command})
        monkeypatch.setattr(entry, "_MODULES", {"try": "command"})

    return put


def test_main_returns_what_the_command_returns(install):
    install(lambda args, output: 1)
    assert main(["try"]) == 1


@pytest.mark.parametrize(("fault", "status"), [(KeyboardInterrupt(), 130), (RuntimeError("boom"), 3)])
def test_main_says_faults_in_one_line(fault, status, install, capsys):
    def run(args, output):
        output.line("so far")
        raise fault

    install(run)
    assert main(["try"]) == status
    out, err = capsys.readouterr()
    assert out == "so far\n"
    assert err.startswith("spincache-nb try: ")
    assert err.count("\n") == 1


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
