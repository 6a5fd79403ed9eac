"""Keeping a cache healthy: verify, repair, remove, prune, clear. Removals are planned first."""

from spincache_nb.upkeep.clear import plan_clear
from spincache_nb.upkeep.plans import KeptBlob, RemovalItem, RemovalPlan, RemovalResult, Skipped
from spincache_nb.upkeep.removal import GRACE_SECONDS, plan_prune, plan_remove
from spincache_nb.upkeep.repair import RepairResult, repair
from spincache_nb.upkeep.verify import check_cache, is_damage

__all__ = [
    "GRACE_SECONDS",
    "KeptBlob",
    "RemovalItem",
    "RemovalPlan",
    "RemovalResult",
    "RepairResult",
    "Skipped",
    "check_cache",
    "is_damage",
    "plan_clear",
    "plan_prune",
    "plan_remove",
    "repair",
]
