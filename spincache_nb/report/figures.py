"""The plots of a cache: drawn without pyplot, written as SVG or PNG, the same bytes every time."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from spincache_nb import analysis, plots
from spincache_nb.analysis.versions import versioned_repositories
from spincache_nb.frames import Frames
from spincache_nb.report import svg

MOST_REPOSITORIES = 6
"""Repositories whose versions are drawn; those with most bytes come first."""

_DPI = 150
_FEW_VERSIONS = 12
_FEW_VERSIONS_SIZE = (7.0, 4.0)  # two of them stand side by side on a page
_GRAINS_SIZE = (9.0, 4.8)


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot, not drawn yet."""

    name: str
    title: str
    size: tuple[float, float]
    draw: svg.Draw

    def svg(self) -> str:
        """Draw it as an ``<svg>`` element with a label, in the colours of the page it stands on."""
        return svg.themed(self.draw, self.size, name=self.name, label=self.title)

    def png(self, path: str | os.PathLike[str]) -> None:
        """Write it as a PNG."""
        svg.save(self.draw, self.size, path, format="png", dpi=_DPI, metadata={"Software": None})


def plots_of(frames: Frames) -> list[Plot]:
    """Choose the plots for a cache."""
    apps = frames.need("apps")
    if not len(apps):
        return []
    repositories = versioned_repositories(frames)[:MOST_REPOSITORIES]
    return [
        breakdown(analysis.breakdown(frames)),
        sharing(analysis.sharing_sets(frames)),
        shared_bytes(frames),
        *versions({name: analysis.version_savings(frames, name) for name in repositories}).values(),
    ]


def breakdown(frame: pd.DataFrame) -> Plot:
    """Plot where the bytes on disk go."""
    return Plot(
        "breakdown",
        "Where the bytes on disk go.",
        plots.figure_size("breakdown", len(frame)),
        lambda figure: plots.breakdown(frame, ax=figure.add_subplot()),
    )


def sharing(sets: pd.DataFrame) -> Plot:
    """Plot which apps share how much."""
    sharers = sets[sets["user_count"] > 1]["user"].nunique()
    return Plot(
        "sharing",
        "Which apps share how much.",
        plots.figure_size("sharing", sharers),
        lambda figure: plots.sharing(sets, fig=figure),
    )


def shared_bytes(frames: Frames) -> Plot:
    """Plot what each pair of apps has in common."""
    return Plot(
        "shared-bytes",
        "What each pair of apps has in common.",
        plots.figure_size("shared_bytes", len(frames.need("apps"))),
        lambda figure: plots.shared_bytes(frames, ax=figure.add_subplot()),
    )


def versions(savings: Mapping[str, pd.DataFrame]) -> dict[str, Plot]:
    """Plot what the versions of some repositories cost, each under a name of its own."""
    found: dict[str, Plot] = {}
    taken: set[str] = set()
    for repository, frame in savings.items():
        slug = re.sub(r"[^a-z0-9]+", "-", repository.partition("/")[2].lower()).strip("-") or "repository"
        number, name = 1, f"versions-{slug}"
        while name in taken:
            number += 1
            name = f"versions-{slug}-{number}"
        taken.add(name)
        few = len(frame) <= _FEW_VERSIONS
        size = _FEW_VERSIONS_SIZE if few else plots.figure_size("version_savings", len(frame))
        title = f"What each version of {repository} costs."
        found[repository] = Plot(name, title, size, partial(_draw_versions, frame))
    return found


def timeline(frame: pd.DataFrame) -> Plot:
    """Plot what pulls fetched and reused over time."""
    return Plot(
        "timeline",
        "Bytes fetched and reused over time.",
        plots.figure_size("timeline", len(frame)),
        lambda figure: plots.timeline(frame, ax=figure.add_subplot()),
    )


def grains(frame: pd.DataFrame) -> Plot:
    """Plot what finer grains than whole files would share."""
    return Plot(
        "grains",
        "What is repeated within the stored files, by grain.",
        _GRAINS_SIZE,
        lambda figure: plots.grains(frame, ax=figure.add_subplot()),
    )


def _draw_versions(frame: pd.DataFrame, figure: Figure) -> None:
    plots.version_savings(frame, ax=figure.add_subplot())
