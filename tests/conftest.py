"""Isolation for every test and the servers that tests may ask for; see ``tests/support``."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.support")

from tests.support import fixtures, isolation  # noqa: E402 - assertions in them are rewritten

# How long an example takes says something about the machine, not about the code. CI takes the same
# examples every time, so that it judges the change and not the draw; everywhere else they are random.
settings.register_profile(
    "spincache",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("spincache")


def pytest_configure(config: pytest.Config) -> None:
    """Register isolation and fixtures for the whole session, doctests of the package included."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # As a shell has it for what it runs behind an &: programs under test would ignore Ctrl-C, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(isolation, "spincache-isolation")
    config.pluginmanager.register(fixtures, "spincache-fixtures")
