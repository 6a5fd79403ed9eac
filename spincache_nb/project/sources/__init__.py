"""Sources that a ``spin.toml`` names by address and digest, or as packages: decide, then fetch."""

from spincache_nb.project.sources.carry import pull_sources
from spincache_nb.project.sources.decide import plan_sources
from spincache_nb.project.sources.renewal import Renewed, renew_sources
from spincache_nb.project.sources.values import PlannedSource, SourcesPlan, SourcesResult

__all__ = [
    "PlannedSource",
    "Renewed",
    "SourcesPlan",
    "SourcesResult",
    "plan_sources",
    "pull_sources",
    "renew_sources",
]
