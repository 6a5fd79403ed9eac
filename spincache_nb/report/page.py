"""The page: what is on it, and the template filled in. Everything from a cache is escaped."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pandas as pd

from spincache_nb import __version__, analysis
from spincache_nb.analysis.inputs import Frames, Source, rows
from spincache_nb.analysis.repositories import versioned_repositories
from spincache_nb.errors import printable
from spincache_nb.plots.text import share_text, size_text
from spincache_nb.report import tables
from spincache_nb.report.figures import plots_of

MOST_SHARED = 12
"""Shared blobs that are listed; those that save most come first."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A number in large type, and what it is."""

    value: str
    name: str


def render(source: Source, *, title: str) -> str:
    """Make the page.

    Parameters
    ----------
    source
        A cache, or all frames of one.
    title
        Its heading.

    Returns
    -------
    str
        A whole HTML document.
    """
    from jinja2 import Environment, StrictUndefined

    frames = source if isinstance(source, Frames) else analysis.load(source)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source_text = files("spincache_nb.report").joinpath("page.html").read_text(encoding="utf-8")
    template = environment.from_string(source_text)
    return template.render(title=printable(title), version=__version__, **_content(frames)) + "\n"


def _content(frames: Frames) -> dict[str, Any]:
    drawn = [(plot, _markup(plot.svg())) for plot in plots_of(frames)]
    sharing = analysis.sharing(frames)
    shared = sharing[sharing["user_count"] > 1]
    problems = frames.need("problems")
    return {
        "facts": _facts(analysis.summary(frames)),
        "plots": {plot.name: (plot, svg) for plot, svg in drawn},
        "version_plots": [(plot, svg) for plot, svg in drawn if plot.name.startswith("versions-")],
        "apps": tables.make_table(frames.need("apps"), tables.APPS),
        "shared": tables.make_table(shared, tables.SHARING, most=MOST_SHARED),
        "savings": tables.make_table(_savings(frames), tables.SAVINGS),
        "problems": tables.make_table(problems, tables.PROBLEMS),
    }


def _markup(svg: str) -> object:
    """Mark what matplotlib drew as markup; it has escaped the text in it."""
    from markupsafe import Markup

    return Markup(svg)  # noqa: S704 - made by Plot.svg, not by a registry


def _facts(summary: pd.DataFrame) -> list[Fact]:
    columns = ("app_count", "stored_bytes", "logical_bytes", "saved_bytes", "dedup_ratio", "problem_count")
    apps, stored, logical, saved, ratio, problems = next(rows(summary, *columns))
    part = f" ({share_text(saved / logical)})" if logical else ""
    return [
        Fact(str(apps), "apps" if apps != 1 else "app"),
        Fact(size_text(logical), "if each app kept its own copy"),
        Fact(size_text(stored), "stored" + (f", a ratio of {ratio:.2f}" if ratio is not None else "")),
        Fact(size_text(saved), f"saved by sharing{part}"),
        Fact(str(problems), "problems" if problems != 1 else "problem"),
    ]


def _savings(frames: Frames) -> pd.DataFrame:
    """All repositories' versions in one frame."""
    parts = [
        analysis.version_savings(frames, repository).assign(repository=repository)
        for repository in versioned_repositories(frames)
    ]
    names = [column.name for column in tables.SAVINGS]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)
