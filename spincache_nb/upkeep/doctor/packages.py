"""Versions of Python and of the packages this toolkit stands on, and which extras are there."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from spincache_nb.upkeep.doctor.finding import Finding

REQUIRED = (
    *("pandas", "httpx", "platformdirs", "ipywidgets", "matplotlib", "lazy-loader", "tqdm", "jinja2"),
    "truststore",
)
"""Packages that an installation always has."""

EXTRAS = {
    "socks": ("socksio",),
    "lab": ("jupyterlab", "voila"),
    "fleet": ("pyarrow", "duckdb", "fsspec"),
    "dask": ("dask", "distributed"),
    "grains": ("fastcdc", "zstandard"),
}
"""Extras that add abilities, and the packages by which each is recognised."""


def look_at_packages() -> Iterator[Finding]:
    """Look at versions, without importing anything."""
    from spincache_nb import __version__

    yield Finding("packages", "Python", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield Finding("packages", "spincache-nb", __version__)
    for name in REQUIRED:
        found = _version(name)
        if found is None:
            yield Finding("packages", name, None, "attention", "install spincache-nb again")
        else:
            yield Finding("packages", name, found)
    for extra, names in EXTRAS.items():
        missing = [name for name in names if _version(name) is None]
        value = f"not installed: {', '.join(missing)}" if missing else "installed"
        remedy = f"pip install 'spincache-nb[{extra}]', if it is wanted" if missing else ""
        yield Finding("packages", f"extra {extra}", value, remedy=remedy)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
