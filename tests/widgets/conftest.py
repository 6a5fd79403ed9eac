"""Panels as a test opens them."""

from collections.abc import Callable, Iterator

import pytest

from spincache_nb import widgets
from spincache_nb.widgets import FleetPanel
from spincache_nb.widgets.panel import Panel

Made = Panel | FleetPanel


@pytest.fixture
def make() -> Iterator[Callable[..., Made]]:
    """Make a panel that has read its cache or fleet; it is closed at the end."""
    made: list[Made] = []

    def one(source, *arguments, **options):
        made.append(widgets.panel(source, *arguments, **options))
        assert made[-1].wait(60)
        return made[-1]

    yield one
    for panel in made:
        panel.close()
        assert panel.wait(10)
