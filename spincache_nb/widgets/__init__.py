"""Widgets for notebooks: a panel to pull, look at and clear a cache.

>>> from spincache_nb import Cache, widgets
>>> widgets.panel(Cache("/srv/spin"))  # doctest: +SKIP
"""

from __future__ import annotations

from spincache_nb.widgets.dashboard import dashboard
from spincache_nb.widgets.panel import Panel, panel

__all__ = ["Panel", "dashboard", "panel"]
