"""Demo apps, an embedded registry that serves them on loopback, and a cache of every generation of Spin.

>>> from spincache_nb import demo
>>> with demo.registry() as registry:
...     len(registry.references)
18
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spincache_nb.demo.apps import CANARY, artifacts
from spincache_nb.demo.model import Artifact, Blob
from spincache_nb.demo.server import ADDRESS, PREFERRED_PORT, DemoRegistry, Request, registry, serve
from spincache_nb.demo.shipped import data_fixtures, notebooks

if TYPE_CHECKING:
    from spincache_nb.demo.copies import CopiedFile, copy_notebooks
    from spincache_nb.demo.fleet import write_fleet
    from spincache_nb.demo.fleet_world import FleetPlan
    from spincache_nb.demo.generations import (
        GENERATIONS,
        RecordedCache,
        RecordedFile,
        recorded,
        recorded_caches,
    )
    from spincache_nb.demo.workspace import Workspace

__all__ = [
    "ADDRESS",
    "CANARY",
    "GENERATIONS",
    "PREFERRED_PORT",
    "Artifact",
    "Blob",
    "CopiedFile",
    "DemoRegistry",
    "FleetPlan",
    "RecordedCache",
    "RecordedFile",
    "Request",
    "Workspace",
    "artifacts",
    "copy_notebooks",
    "data_fixtures",
    "notebooks",
    "recorded",
    "recorded_caches",
    "registry",
    "serve",
    "write_fleet",
]


_LATER = {
    "FleetPlan": "fleet_world",
    "write_fleet": "fleet",
    "Workspace": "workspace",
    "CopiedFile": "copies",
    "copy_notebooks": "copies",
    "GENERATIONS": "generations",
    "RecordedCache": "generations",
    "RecordedFile": "generations",
    "recorded": "generations",
    "recorded_caches": "generations",
}


def __getattr__(name: str) -> Any:
    """Load what needs the core when it is first asked for."""
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
