"""The panel as a page of its own: the notebook that Voila serves, and what it is told about the cache."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from spincache_nb.core.cache import Cache
from spincache_nb.errors import SpinCacheError
from spincache_nb.widgets.panel import Panel, panel

VARIABLE = "SPINCACHE_DASHBOARD"
"""Environment variable in which the notebook finds which cache and which projects are meant."""


def notebook() -> Path:
    """Find the notebook that shows the dashboard; it may lie in a place that cannot be written."""
    return Path(__file__).with_name("dashboard.ipynb")


def environment_for(
    cache_dir: str | os.PathLike[str] | None, projects: Sequence[str | os.PathLike[str]] = ()
) -> dict[str, str]:
    """Say which variables a server needs, so that the notebook shows the cache that is meant."""
    meant = {
        "cache_dir": None if cache_dir is None else os.path.abspath(cache_dir),  # noqa: PTH100 - may hold ..
        "projects": [os.path.abspath(project) for project in projects],  # noqa: PTH100
    }
    return {VARIABLE: json.dumps(meant)}


def dashboard(environment: Mapping[str, str] | None = None) -> Panel:
    """Make the panel that the environment asks for.

    Parameters
    ----------
    environment
        As `environment_for` gives it; that of this process by default. Without the variable, the panel
        is over this user's Spin cache.

    Raises
    ------
    SpinCacheError
        If the variable is not what `environment_for` writes.
    """
    text = (os.environ if environment is None else environment).get(VARIABLE, "{}")
    try:
        meant = json.loads(text)
        cache_dir, projects = meant.get("cache_dir"), [str(one) for one in meant.get("projects", [])]
    except (ValueError, AttributeError, TypeError) as exc:
        raise SpinCacheError(
            VARIABLE, "a JSON object with cache_dir and projects", "something else", "unset it"
        ) from exc
    return panel(Cache(cache_dir), projects)
