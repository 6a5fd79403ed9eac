"""Names of registries."""

from __future__ import annotations

import re

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def is_host(text: str) -> bool:
    """Whether a text can be a registry: a host with a port or without.

    Examples
    --------
    >>> [is_host(text) for text in ("ghcr.io", "localhost:5000", "[::1]:80", "me:secret@h", "h/path", "")]
    [True, True, True, False, False, False]
    """
    return _HOST.fullmatch(text) is not None
