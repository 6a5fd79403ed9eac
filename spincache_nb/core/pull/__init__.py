"""Pulling an app or package from a registry into a cache: decide, then fetch."""

from spincache_nb.core.pull.carry import carry_out, pull
from spincache_nb.core.pull.decide import plan_pull
from spincache_nb.core.pull.values import PlannedBlob, PullPlan, PullResult
from spincache_nb.core.pull.work import Options

__all__ = ["Options", "PlannedBlob", "PullPlan", "PullResult", "carry_out", "plan_pull", "pull"]
