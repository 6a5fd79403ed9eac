"""What is in a cache: its apps, who needs which blob, and what is wrong."""

from spincache_nb.inventory.columns import Standing, Via
from spincache_nb.inventory.model import CachedApp, ConfigKind, Inventory, InventoryLimits, Project
from spincache_nb.inventory.take import take_inventory, unnamed_members

__all__ = [
    "CachedApp",
    "ConfigKind",
    "Inventory",
    "InventoryLimits",
    "Project",
    "Standing",
    "Via",
    "take_inventory",
    "unnamed_members",
]
