"""The packages of the extras, imported when first needed: whoever has no fleet needs none of them."""

from __future__ import annotations

import importlib
from typing import Any, Literal

from spincache_nb.errors import MissingExtraError

Extra = Literal["fleet", "dask"]


def load(module: str, *, extra: Extra = "fleet") -> Any:
    """Import a module that an extra installs."""
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        package = module.partition(".")[0]
        raise MissingExtraError(
            "spincache_nb.fleet", f"the package {package}", "none", f'pip install "spincache-nb[{extra}]"'
        ) from exc
