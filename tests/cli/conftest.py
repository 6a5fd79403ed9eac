"""The command line as a test calls it."""

import json

import pytest

from spincache_nb.cli import main


@pytest.fixture
def run_text(capsys):
    """Run a command: its status, and what it printed on standard output and error."""

    def call(*words):
        capsys.readouterr()
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def run(run_text):
    """As ``run_text``, but the document that ``--json`` prints comes in place of its text."""

    def call(*words):
        status, out, err = run_text(*words)
        return status, json.loads(out) if "--json" in words and out.startswith(("{", "[")) else out, err

    return call
