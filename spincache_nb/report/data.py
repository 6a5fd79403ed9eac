"""The frames behind a report as files: Parquet, or CSV where pyarrow is not installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import pandas as pd

from spincache_nb import analysis
from spincache_nb.errors import MissingExtraError
from spincache_nb.frames import Frames
from spincache_nb.report.fleet_material import FleetMaterial
from spincache_nb.report.material import Material

DataFormat = Literal["parquet", "csv"]
_FRAMES = ("apps", "layers", "uses", "components", "files", "blobs", "problems", "disk")


def write_frames(
    material: Material | FleetMaterial,
    folder: str | os.PathLike[str],
    *,
    data_format: DataFormat | None = None,
) -> list[Path]:
    """Write every frame into a file of its own.

    Parameters
    ----------
    material
        The report's.
    folder
        Made if it is not there; files of the same names in it are replaced. ``shared_bytes`` has the
        pairs of the 200 apps that share most.
    data_format
        ``parquet`` or ``csv``; Parquet if pyarrow is installed unless told otherwise. CSV is UTF-8,
        comma-separated, a missing value an empty field; values are as they are, so a spreadsheet that
        takes text for formulas is no place for it.

    Returns
    -------
    list of Path
        The files, in the order written.

    Raises
    ------
    MissingExtraError
        If Parquet is asked for without pyarrow.
    OSError
        If a file cannot be written.
    """
    installed = find_spec("pyarrow") is not None
    if data_format == "parquet" and not installed:
        raise MissingExtraError(
            "Parquet", "pyarrow", "none", "pip install 'spincache-nb[fleet]', or take CSV"
        )
    chosen = data_format or ("parquet" if installed else "csv")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, frame in _all(material) if isinstance(material, Material) else _of_fleet(material):
        path = target / f"{name}.{chosen}"
        if chosen == "parquet":
            _encodable(frame).to_parquet(path, engine="pyarrow", index=False)
        else:
            frame.to_csv(path, index=False, lineterminator="\n", encoding="utf-8", errors="backslashreplace")
        written.append(path)
    return written


def _encodable(frame: pd.DataFrame) -> pd.DataFrame:
    """Escape what UTF-8 cannot hold: halves of surrogate pairs."""
    texts = [name for name in frame.columns if isinstance(frame[name].dtype, pd.StringDtype)]
    return frame.assign(**{name: frame[name].map(_escaped, na_action="ignore") for name in texts})


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _all(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    frames = material.frames
    yield from ((name, frames.need(name)) for name in _FRAMES)
    yield "summary", material.summary
    yield "breakdown", material.breakdown
    yield "breakdown_members", analysis.breakdown_members(frames)
    yield "sharing", material.sharing
    yield "sharing_names", analysis.sharing_names(frames)
    yield "sharing_sets", material.sharing_sets
    yield "shared_bytes", material.shared_bytes
    yield "version_savings", material.all_savings()
    yield "upgrade_matrix", _upgrades(frames, list(material.savings))
    yield "reclaimable", material.reclaimable
    yield "superseded", material.superseded
    yield "timeline", material.timeline
    yield "tags_over_time", material.tags
    if material.inside is not None:
        yield "cache_grains", material.inside.grains
        yield "rebuilds", material.inside.rebuilds


def _of_fleet(material: FleetMaterial) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "summary", material.summary
    yield "host_overlap", material.host_overlap
    yield "host_pairs", material.host_pairs
    yield "prewarm", material.prewarm
    yield "sharing", material.sharing
    yield "versions", material.versions
    yield "repositories", material.repositories
    yield "unreferenced", material.idle
    yield "breakdown", material.disk
    yield "problems", material.problems


def _upgrades(frames: Frames, repositories: list[str]) -> pd.DataFrame:
    """Give the pairs of all repositories in one frame; a reference says which is which."""
    from spincache_nb.analysis.schemas import UPGRADE_MATRIX_SCHEMA
    from spincache_nb.frames.schemas import empty

    parts = [analysis.upgrade_matrix(frames, repository) for repository in repositories]
    return pd.concat(parts, ignore_index=True) if parts else empty(UPGRADE_MATRIX_SCHEMA)
