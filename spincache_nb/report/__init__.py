"""A report about a cache or a fleet: what is stored, what is shared, what new versions cost, what could go.

As HTML it is one page that asks for nothing from anywhere: styles, pictures and a small script that sorts
and filters tables are in it, and it is whole without the script; it follows light and dark and prints. As
Markdown it is the same words and tables, as JSON the same numbers. Of one state of a cache (and of the record
of pulls into it) a report differs in its date only, which SOURCE_DATE_EPOCH fixes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from spincache_nb.core.writing import replacing
from spincache_nb.errors import CacheWriteError
from spincache_nb.fleet import Fleet
from spincache_nb.frames import Caches, Frames
from spincache_nb.report.forms import DataFormat, to_html, to_json, to_markdown, write_frames
from spincache_nb.report.material import AnyMaterial, FleetMaterial, Material, gather, gather_fleet
from spincache_nb.show import rows, size_text

__all__ = [
    "DataFormat",
    "FleetMaterial",
    "Format",
    "Material",
    "form_of",
    "gather",
    "gather_fleet",
    "render",
    "shortfalls",
    "write",
    "write_frames",
]

TITLE = "Spin registry cache"
FLEET_TITLE = "A fleet of Spin registry caches"
REGISTRY_TITLE = "Versions in a registry"
Format = Literal["html", "markdown", "json"]
_SUFFIXES: dict[str, Format] = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".json": "json",
}
_FORMS = {"html": to_html, "markdown": to_markdown, "json": to_json}


def write(
    source: Caches | Frames | Fleet,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    format: Format | None = None,
    projects: Sequence[str | os.PathLike[str]] = (),
    history: pd.DataFrame | None = None,
    inside: bool = False,
    host: str | None = None,
    since: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
) -> Path:
    """Write a report about a cache or a fleet.

    Parameters
    ----------
    source
        A cache, all frames of one, or a fleet; a fleet takes no projects, history, inside or since.
    path
        The file; what is there is replaced. Its folder must exist.
    title
        Its heading.
    format
        ``html``, ``markdown`` or ``json``; by the end of the file's name unless given.
    projects
        ``spin.toml`` files, or folders that hold one, of projects that use the cache too.
    history
        Pulls to show, as `frames.history` gives them; the cache's recorded ones unless given.
    inside
        Whether to read every stored byte, for what finer grains would share and which binaries are new code.
    host
        What the machine is called, to stand beside the date; it is named nowhere unless given.
    since
        An earlier report about the cache, HTML or JSON, to say what changed since.
    data
        A folder to write the frames into, as `write_frames` does.

    Returns
    -------
    pathlib.Path
        The file, absolute.

    Raises
    ------
    CacheError
        If something cannot be written; `NoSpaceError` on a full disk. A report that was there stays.
    FormatError
        If `since` is no report of this kind; `OSError` if it cannot be read.
    ValueError
        If there is no such form, or frames or a fleet are given where a cache is needed.
    SpinManifestError
        If there is no project at one of the paths given.
    """
    chosen = form_of(path, format)
    material = _gathered(source, projects, history, inside, host, since)
    target = save(_FORMS[chosen](material, title=title or _title_of(material)), path)
    if data is not None:
        write_frames(material, data)
    return target


def save(text: str, path: str | os.PathLike[str]) -> Path:
    """Write a report's text; what was there stays until the new file is whole."""
    target = Path(path).absolute()
    if not target.parent.is_dir():
        raise CacheWriteError(str(target), "a folder to write into", "none", "make it first")
    with replacing(target) as new:
        new.write(text.encode("utf-8"))
    return target


def render(
    source: Caches | Frames | Fleet | AnyMaterial,
    *,
    title: str | None = None,
    format: Format = "html",
    projects: Sequence[str | os.PathLike[str]] = (),
    history: pd.DataFrame | None = None,
    inside: bool = False,
    host: str | None = None,
    since: str | os.PathLike[str] | None = None,
) -> str:
    """Give a report as text: of what `write` takes, or of what `gather` or `gather_fleet` made of it."""
    chosen = form_of(None, format)
    if not isinstance(source, Material | FleetMaterial):
        source = _gathered(source, projects, history, inside, host, since)
    return _FORMS[chosen](source, title=title or _title_of(source))


def _title_of(material: AnyMaterial) -> str:
    if isinstance(material, Material):
        return TITLE
    return FLEET_TITLE if material.kind == "cache" else REGISTRY_TITLE


def _gathered(
    source: Caches | Frames | Fleet,
    projects: Sequence[str | os.PathLike[str]],
    history: pd.DataFrame | None,
    inside: bool,
    host: str | None,
    since: str | os.PathLike[str] | None,
) -> AnyMaterial:
    if not isinstance(source, Fleet):
        return gather(source, projects=projects, history=history, inside=inside, host=host, since=since)
    if projects or history is not None or inside or since is not None:
        raise ValueError(
            "a report about a fleet takes no projects, no history, no earlier report, "
            "and cannot look inside files"
        )
    return gather_fleet(source, host=host)


def form_of(path: str | os.PathLike[str] | None, format: Format | None = None) -> Format:
    """Say which form a report takes: the one asked for, else by the end of the file's name, else HTML."""
    if format is not None and format not in get_args(Format):
        raise ValueError(f"a report is one of {', '.join(get_args(Format))}, not {format!r}")
    return format or _SUFFIXES.get(Path(path or "").suffix.lower(), "html")


def shortfalls(
    summary: pd.DataFrame,
    *,
    least_dedup: float | None = None,
    most_unreferenced_bytes: int | None = None,
    no_problems: bool = False,
) -> list[str]:
    """Say in a sentence each which thresholds a cache misses, by what `analysis.summary` gives."""
    ratio, idle, problems = next(rows(summary, "dedup_ratio", "unreferenced_bytes", "problem_count"))
    found = []
    if least_dedup is not None and ratio is None:
        found.append(f"nothing is stored, so there is no dedup ratio to reach {least_dedup:g}")
    elif least_dedup is not None and ratio < least_dedup:
        found.append(f"the dedup ratio is {ratio:.6g}, under {least_dedup:g}")
    if most_unreferenced_bytes is not None and idle > most_unreferenced_bytes:
        limit = f"{size_text(most_unreferenced_bytes)} ({most_unreferenced_bytes} bytes)"
        found.append(f"{size_text(idle)} ({idle} bytes) are unreferenced, over {limit}")
    if no_problems and problems:
        found.append(f"there {'is 1 problem' if problems == 1 else f'are {problems} problems'}")
    return found
