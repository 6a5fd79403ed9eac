"""The command line as a test calls it."""

import pytest

from spincache_nb.cli import main


@pytest.fixture
def run(capsys):
    """Run a command: its status, and what it printed on standard output and error."""

    def call(*words):
        capsys.readouterr()
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return call
