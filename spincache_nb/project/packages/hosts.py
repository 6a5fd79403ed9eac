"""Names of registries."""

from __future__ import annotations

import re

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def is_host(text: str) -> bool:
    """Whether a text can be a registry: a host with a port or without."""
    return _HOST.fullmatch(text) is not None
