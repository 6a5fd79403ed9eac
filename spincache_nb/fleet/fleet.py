"""A fleet: the same analyses as for one cache, over the snapshots of many."""

from __future__ import annotations

from spincache_nb.fleet.by_blob import BlobAnalyses
from spincache_nb.fleet.by_machine import HostAnalyses
from spincache_nb.fleet.by_version import VersionAnalyses


class Fleet(BlobAnalyses, HostAnalyses, VersionAnalyses):
    """Snapshots of many caches, or of registries, and an engine to analyse them with.

    Made by `fleet.open`. The rows are read when an analysis needs them, and what several analyses need
    is kept until `close`; a ``with`` statement closes.

    Parameters
    ----------
    catalog
        Of the dataset.
    engine
        Adds up its rows.
    """
