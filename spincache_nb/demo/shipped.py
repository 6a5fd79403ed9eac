"""Where the fixtures and the notebooks are that come with the package.

A wheel holds them inside the package, under ``_shipped``; in a checkout, and so in an editable
install, they lie beside the package.
"""

from __future__ import annotations

from pathlib import Path

from spincache_nb.errors import SpinCacheError

_PACKAGE = Path(__file__).resolve().parents[1]


def data_fixtures() -> Path:
    """Find the directory with the payloads and assets of the demo apps.

    Returns
    -------
    pathlib.Path
        ``data-fixtures``, absolute.

    Raises
    ------
    SpinCacheError
        If it is neither inside the package nor beside it.
    """
    return _find("data-fixtures", package=_PACKAGE)


def notebooks() -> Path:
    """Find the directory with the notebooks.

    Returns
    -------
    pathlib.Path
        ``notebooks``, absolute. It may lie in a place that cannot be written: copy a notebook
        before working on it.

    Raises
    ------
    SpinCacheError
        If it is neither inside the package nor beside it.
    """
    return _find("notebooks", package=_PACKAGE)


def _find(name: str, *, package: Path) -> Path:
    """Find a directory inside an installed package or beside it in a checkout."""
    inside = package / "_shipped" / name
    if inside.is_dir():
        return inside
    checkout = package.parent
    beside = checkout / name
    # site-packages may hold a stranger's directory of that name: only a checkout has pyproject.toml.
    if beside.is_dir() and (checkout / "pyproject.toml").is_file():
        return beside
    raise SpinCacheError(
        str(inside),
        expected=f"the directory {name} that comes with the package (in a checkout: {beside})",
        found="nothing",
        remedy="install spincache-nb again from its wheel, or work in a complete checkout",
    )
