"""Widgets for notebooks: a panel to pull, look at and clear a cache, or to look at a fleet.

>>> from spincache_nb import Cache, widgets
>>> widgets.panel(Cache("/srv/spin"))  # doctest: +SKIP
"""

from __future__ import annotations

from spincache_nb.widgets.explorer import Explorer, explore
from spincache_nb.widgets.fleet import FleetPanel
from spincache_nb.widgets.panel import Panel, dashboard, panel

__all__ = ["Explorer", "FleetPanel", "Panel", "dashboard", "explore", "panel"]
