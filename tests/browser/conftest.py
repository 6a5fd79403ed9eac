"""A browser for the tests of this folder."""

import pytest

from tests.support import jupyter


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium; one for each module, since Playwright keeps an event loop running."""
    with jupyter.running_chromium() as found:
        yield found


@pytest.fixture
def page(browser):
    """A page of its own that reaches nothing but loopback."""
    with jupyter.open_page(browser) as found:
        yield found
