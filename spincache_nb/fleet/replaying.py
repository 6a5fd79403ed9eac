"""What versions fetch, for the pandas and Dask engines: a pure function on frames of integers.

Rows of parts: ``key``, ``version``, ``bytes``, ``flags``; of members: the same. Versions are
numbered in order, repository by repository. As for `spincache_nb.fleet.kernels`, the rows may be any that
are all rows of their keys.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.analysis.replay import Rules
from spincache_nb.fleet import tables
from spincache_nb.fleet.groups import Groups, frame_of, sums_at

_NEVER = np.iinfo(np.int32).max
MEMBER = 128
"""Set in the flags of a member where parts and members are rows of one frame."""


def fetch_sums(
    parts: pd.DataFrame,
    repositories: npt.NDArray[np.int32],
    unchanged: npt.NDArray[np.bool_],
    rules: Rules,
) -> pd.DataFrame:
    """Say what each version fetches when those before it were pulled before; see `analysis.replay`."""
    version = parts["version"].to_numpy()
    flags = parts["flags"].to_numpy()
    size = parts["bytes"].to_numpy()
    member = (flags & MEMBER) != 0
    storing = member | ((flags & tables.STORING) != 0)
    groups = Groups({"key": parts["key"].to_numpy(), "repository": repositories[version]})
    earliest = groups.spread(groups.min(np.where(storing, version, _NEVER)))
    there = earliest < version
    if rules == "spin":
        reused = there & ((flags & tables.CONFIG) == 0)
    else:
        document = (flags & (tables.CONFIG | tables.DOCUMENT)) != 0
        reused = np.where(document, unchanged[version], there & storing)
    fetched = ~member & ~reused
    count = len(repositories)

    def summed(rows: npt.NDArray[np.bool_], values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        return sums_at(version[rows], values[rows], count)

    found = {
        "fetch": summed(fetched, size),
        "archive_fetch": summed(fetched & ((flags & tables.ARCHIVE) != 0), size),
        "known": summed(member & there, size),
        "members": summed(member, np.ones(len(version), dtype=np.int64)),
    }
    some = np.flatnonzero(found["fetch"] | found["members"])
    return frame_of({"version": some, **{name: values[some] for name, values in found.items()}})
