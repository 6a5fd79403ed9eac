"""The plots of a cache: drawn without pyplot, written as SVG or PNG, the same bytes every time."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import matplotlib as mpl
from matplotlib.figure import Figure

from spincache_nb import analysis, plots
from spincache_nb.analysis.inputs import Frames
from spincache_nb.analysis.repositories import versioned_repositories

MOST_REPOSITORIES = 6
"""Repositories whose versions are drawn; those with most bytes come first."""

_STYLE = {"svg.hashsalt": "spincache-nb", "font.size": 10.0, "axes.titlesize": "medium"}
_DPI = 150
_FEW_VERSIONS = 12
_FEW_VERSIONS_SIZE = (8.2, 4.4)  # two of them stand side by side on a page
_IDENTIFIER = re.compile(r'(\bid="|\bxlink:href="#|url\(#)')
_NOT_DRAWN = re.compile(r"\A.*?(?=<svg\b)|<metadata>.*?</metadata>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot, not drawn yet.

    Parameters
    ----------
    name
        For a file: small letters, digits and hyphens.
    title
        What it shows, in one sentence.
    size
        Width and height in inches.
    draw
        Draws on a figure of that size.
    """

    name: str
    title: str
    size: tuple[float, float]
    draw: Callable[[Figure], object]

    def svg(self) -> str:
        """Draw it as an ``<svg>`` element, with names of its own for whatever it refers to."""
        with io.StringIO() as text:
            self._save(text, format="svg", metadata={"Date": None, "Creator": None})
            drawn = _NOT_DRAWN.sub("", text.getvalue())
        return _IDENTIFIER.sub(rf"\g<1>{self.name}-", drawn)

    def png(self, path: str | os.PathLike[str]) -> None:
        """Write it as a PNG.

        Parameters
        ----------
        path
            The file; what is there is replaced.
        """
        self._save(path, format="png", dpi=_DPI, metadata={"Software": None})

    def _save(self, target: io.StringIO | str | os.PathLike[str], **options: object) -> None:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(_STYLE)  # type: ignore[arg-type]
            figure = Figure(figsize=self.size, layout="constrained")
            self.draw(figure)
            figure.savefig(target, **options)  # type: ignore[arg-type]


def plots_of(frames: Frames) -> list[Plot]:
    """Choose the plots for a cache.

    Parameters
    ----------
    frames
        All frames of one cache.

    Returns
    -------
    list of Plot
        Where the bytes go, what is shared, by whom and between which two; then what each version
        costs, for up to six repositories with more than one version. None for an empty cache.
    """
    apps = frames.need("apps")
    if not len(apps):
        return []
    breakdown = analysis.breakdown(frames)
    sets = analysis.sharing_sets(frames)
    pairs = analysis.shared_bytes(frames)
    sharers = sets[sets["user_count"] > 1]["user"].nunique()
    return [
        Plot(
            "breakdown",
            "Where the bytes on disk go.",
            plots.figure_size("breakdown", len(breakdown)),
            lambda figure: plots.breakdown(breakdown, ax=figure.add_subplot()),
        ),
        Plot(
            "sharing",
            "Which apps share how much.",
            plots.figure_size("sharing", sharers),
            lambda figure: plots.sharing(sets, fig=figure),
        ),
        Plot(
            "shared-bytes",
            "What each pair of apps has in common.",
            plots.figure_size("shared_bytes", len(apps)),
            lambda figure: plots.shared_bytes(pairs, ax=figure.add_subplot()),
        ),
        *(
            _version_plot(frames, repository)
            for repository in versioned_repositories(frames)[:MOST_REPOSITORIES]
        ),
    ]


def _version_plot(frames: Frames, repository: str) -> Plot:
    savings = analysis.version_savings(frames, repository)
    slug = re.sub(r"[^a-z0-9]+", "-", repository.partition("/")[2].lower()).strip("-")
    return Plot(
        f"versions-{slug}",
        f"What each version of {repository} costs.",
        _FEW_VERSIONS_SIZE
        if len(savings) <= _FEW_VERSIONS
        else plots.figure_size("version_savings", len(savings)),
        partial(_draw_versions, savings),
    )


def _draw_versions(savings: object, figure: Figure) -> None:
    plots.version_savings(savings, ax=figure.add_subplot())  # type: ignore[arg-type]
