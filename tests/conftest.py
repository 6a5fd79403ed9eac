"""Isolation for every test and the servers that tests may ask for; see ``tests/support``."""

import pytest

pytest.register_assert_rewrite("tests.support")

from tests.support import fixtures, isolation  # noqa: E402 - assertions in them are rewritten


def pytest_configure(config: pytest.Config) -> None:
    """Register isolation and fixtures for the whole session, doctests of the package included."""
    config.pluginmanager.register(isolation, "spincache-isolation")
    config.pluginmanager.register(fixtures, "spincache-fixtures")
