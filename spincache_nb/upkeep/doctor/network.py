"""How a registry would be reached: proxies and certificates, without asking any of them."""

from __future__ import annotations

import importlib.util
import os
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import getproxies

from spincache_nb.errors import SpinCacheError
from spincache_nb.upkeep.doctor.finding import Finding


def look_at_network() -> Iterator[Finding]:
    """Look at the proxies and at the certificates that are trusted."""
    settings = getproxies()
    schemes = [scheme for scheme in ("http", "https", "all") if settings.get(scheme)]
    found = [_look_at_proxy(scheme, settings[scheme]) for scheme in schemes]
    yield from found or [Finding("network", "proxy", None)]
    if found and settings.get("no"):
        yield Finding("network", "no proxy for", settings["no"])
    yield from _look_at_certificates()


def _look_at_proxy(scheme: str, text: str) -> Finding:
    from spincache_nb.core.addresses import Proxy

    name = "proxy" if scheme == "all" else f"proxy for {scheme}"
    try:
        proxy = Proxy.parse(text)
    except SpinCacheError as exc:
        return Finding("network", name, str(exc), "attention")
    if proxy.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        remedy = "install spincache-nb[socks], or name an HTTP proxy"
        return Finding("network", name, f"{proxy.name}; needs a package", "attention", remedy)
    return Finding("network", name, proxy.name + (", with a user" if proxy.user else ""))


def _look_at_certificates() -> Iterator[Finding]:
    variables = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    for name in variables:
        yield _look_at_variable(name, os.environ[name])
    if not variables:
        yield _look_at_system()


def _look_at_variable(name: str, value: str) -> Finding:
    parts = [value] if name == "SSL_CERT_FILE" else value.split(os.pathsep)
    there = Path.is_file if name == "SSL_CERT_FILE" else Path.is_dir
    lost = [part for part in parts if part and not there(Path(part))]
    if lost:
        return Finding(
            "network", f"certificates ({name})", f"not there: {lost[0]}", "attention", f"correct {name}"
        )
    return Finding("network", f"certificates ({name})", value)


def _look_at_system() -> Finding:
    if sys.platform in ("darwin", "win32"):
        return Finding("network", "certificates", "the system's own store")
    paths = ssl.get_default_verify_paths()
    if paths.cafile is not None:
        return Finding("network", "certificates", paths.cafile)
    if paths.capath is not None:
        return Finding("network", "certificates", paths.capath)
    remedy = "install ca-certificates, or set SSL_CERT_FILE; without them no registry is asked over HTTPS"
    return Finding("network", "certificates", None, "note", remedy)
