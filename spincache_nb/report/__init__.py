"""One self-contained page about a cache: what is stored, what is shared, what new versions cost.

The page asks for nothing from anywhere: plots are inline SVG, styles are in it, there is no script.
Of one state of a cache it is always the same bytes; neither the time nor the path of the cache is in
it.

============  ==========================================================================
module        what it has
============  ==========================================================================
figures       the plots of a cache, as matplotlib figures, SVG or PNG
tables        frames as tables of text
page          the template filled in
============  ==========================================================================
"""

from __future__ import annotations

import os
from pathlib import Path

from spincache_nb.analysis.inputs import Source
from spincache_nb.report.figures import Plot, plots_of
from spincache_nb.report.page import render

__all__ = ["Plot", "plots_of", "render", "write"]


def write(source: Source, path: str | os.PathLike[str], *, title: str = "Spin registry cache") -> Path:
    """Write a page about a cache.

    Parameters
    ----------
    source
        A cache, or the frames of one.
    path
        The page; what is there is replaced. Its folder must exist.
    title
        Heading of the page.

    Returns
    -------
    pathlib.Path
        The page, absolute.

    Raises
    ------
    OSError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from spincache_nb import Cache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write(Cache(folder), Path(folder, "report.html"))
    ...     page.read_text(encoding="utf-8")[:15]
    '<!doctype html>'
    """
    page = render(source, title=title)
    target = Path(path).absolute()
    target.write_text(page, encoding="utf-8", newline="\n")
    return target
