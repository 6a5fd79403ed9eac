"""What is in a cache: its apps, who needs which blob, and what is wrong."""

from spincache_nb.inventory.archives import unnamed_members
from spincache_nb.inventory.model import CachedApp, ConfigKind, Inventory, InventoryLimits, Missing, Project
from spincache_nb.inventory.rows import CachedLayer, LayerUses, ManifestLayers, Use, Via
from spincache_nb.inventory.standings import InventoriedBlob, InventoriedBlobs, Standing
from spincache_nb.inventory.take import known_digests, take_inventory

__all__ = [
    "CachedApp",
    "CachedLayer",
    "ConfigKind",
    "InventoriedBlob",
    "InventoriedBlobs",
    "Inventory",
    "InventoryLimits",
    "LayerUses",
    "ManifestLayers",
    "Missing",
    "Project",
    "Standing",
    "Use",
    "Via",
    "known_digests",
    "take_inventory",
    "unnamed_members",
]
