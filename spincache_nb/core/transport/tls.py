"""One TLS context for all connections, built for the first of them: it costs 20 to 200 ms."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from spincache_nb.errors import ConnectionFailedError

if TYPE_CHECKING:
    import ssl

_PEM = "a file of certificates (PEM)"


class Tls:
    """Whom this client trusts."""

    def __init__(self, ca: str | os.PathLike[str] | None = None) -> None:
        self._ca = Path(ca) if ca is not None else None
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Give the one context, building it if need be."""
        with self._lock:
            if self._context is None:
                context = _from_environment() or _system_context()
                if self._ca is not None:
                    _load(context, "ca=", cafile=self._ca)
                self._context = context
            return self._context


def _from_environment() -> ssl.SSLContext | None:
    import ssl

    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folder:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if file:
        _load(context, "SSL_CERT_FILE", cafile=Path(file))
    for part in (folder or "").split(os.pathsep):
        if part:
            _load(context, "SSL_CERT_DIR", capath=Path(part))
    return context


def _system_context() -> ssl.SSLContext:
    import ssl

    if sys.platform not in ("darwin", "win32"):
        paths = ssl.get_default_verify_paths()
        if paths.cafile is not None:
            return ssl.create_default_context()
    import truststore

    context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return context


def _load(
    context: ssl.SSLContext, setting: str, *, cafile: Path | None = None, capath: Path | None = None
) -> None:
    where = f"{setting} {cafile or capath}"
    try:
        context.load_verify_locations(cafile=cafile, capath=capath)
    except OSError as exc:  # ssl.SSLError is one, for a file that holds no certificate
        found = exc.strerror if isinstance(exc, FileNotFoundError | PermissionError) else "something else"
        raise ConnectionFailedError(where, _PEM, str(found).lower(), "name the authority's PEM file") from exc
