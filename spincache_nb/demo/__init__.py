"""Demo apps and an embedded registry that serves them, offline and on loopback.

>>> from spincache_nb import demo
>>> with demo.registry() as registry:
...     len(registry.references)
18
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spincache_nb.demo.apps import CANARY, artifacts
from spincache_nb.demo.model import Artifact, Blob
from spincache_nb.demo.server import ADDRESS, PREFERRED_PORT, DemoRegistry, Request, registry, serve
from spincache_nb.demo.shipped import data_fixtures, notebooks

if TYPE_CHECKING:
    from spincache_nb.demo.workspace import Workspace

__all__ = [
    "ADDRESS",
    "CANARY",
    "PREFERRED_PORT",
    "Artifact",
    "Blob",
    "DemoRegistry",
    "Request",
    "Workspace",
    "artifacts",
    "data_fixtures",
    "notebooks",
    "registry",
    "serve",
]


def __getattr__(name: str) -> type[Workspace]:
    """Load `Workspace`, the one thing here that needs the core, when it is first asked for."""
    if name == "Workspace":
        from spincache_nb.demo.workspace import Workspace

        return Workspace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
