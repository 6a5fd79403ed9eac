"""A cache as DataFrames: long tables, one row per thing, the same columns and dtypes when empty.

Each function takes a `Cache` or its path, or several (then ``cache`` is the first column), and walks
the disk anew; `load` gives several frames of one moment from one walk. Damage is in `problems`, never
an error. The columns are in the docstrings and in ``NAME_SCHEMA``.
"""

from __future__ import annotations

from spincache_nb.frames.schemas import (
    APPS_SCHEMA,
    BLOBS_SCHEMA,
    COMPONENTS_SCHEMA,
    DISK_SCHEMA,
    FILES_SCHEMA,
    HISTORY_SCHEMA,
    LAYERS_SCHEMA,
    PROBLEMS_SCHEMA,
    USES_SCHEMA,
)
from spincache_nb.frames.sources import Caches, Projects
from spincache_nb.frames.tables import (
    Frames,
    apps,
    blobs,
    components,
    disk,
    files,
    history,
    layers,
    load,
    problems,
    uses,
)

__all__ = [
    "APPS_SCHEMA",
    "BLOBS_SCHEMA",
    "COMPONENTS_SCHEMA",
    "DISK_SCHEMA",
    "FILES_SCHEMA",
    "HISTORY_SCHEMA",
    "LAYERS_SCHEMA",
    "PROBLEMS_SCHEMA",
    "USES_SCHEMA",
    "Caches",
    "Frames",
    "Projects",
    "apps",
    "blobs",
    "components",
    "disk",
    "files",
    "history",
    "layers",
    "load",
    "problems",
    "uses",
]
