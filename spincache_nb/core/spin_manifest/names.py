"""Names of dependencies, and which of them Spin takes for the same thing (Spin main, crates/serde)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_LABEL = r"[A-Za-z][0-9A-Za-z]*(?:-[0-9A-Za-z]+)*"
_PACKAGE = re.compile(rf"{_LABEL}:{_LABEL}")
_KEY = re.compile(rf"(?P<package>{_LABEL}:{_LABEL})(?:/(?P<interface>{_LABEL}))?(?:@(?P<version>.+))?")
_PLAIN = re.compile(_LABEL)
_SEMVER = re.compile(
    r"(?P<major>0|[1-9][0-9]*)\.(?P<minor>0|[1-9][0-9]*)\.(?P<patch>0|[1-9][0-9]*)"
    r"(?:-(?P<pre>[0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
)
_ANY = "\0"


def is_package(text: str) -> bool:
    """Whether a text is a package's name, ``namespace:name``."""
    return _PACKAGE.fullmatch(text) is not None


def is_exact_version(text: str) -> bool:
    """Whether a text is one semantic version, rather than a requirement."""
    return _SEMVER.fullmatch(text) is not None


def package_of_key(key: str) -> str | None:
    """Package that a dependency's key names, or None for a plain name.

    Examples
    --------
    >>> package_of_key("wasi:http/types@0.2.0")
    'wasi:http'
    >>> package_of_key("logger") is None
    True
    """
    match = _KEY.fullmatch(key)
    return match["package"] if match else None


def overlaps(keys: Iterable[str]) -> Iterator[str]:
    """Say which keys are no names, or mean what another key means (Spin main, ensure_disjoint).

    Two keys of one package are apart only if they give incompatible versions, or different
    interfaces.

    Examples
    --------
    >>> list(overlaps(["a:b/c@1.0.0", "a:b/c@2.0.0", "a:b/d", "a:b/c@1.5.0"]))
    ["dependency 'a:b/c@1.5.0' conflicts with 'a:b/c@1.0.0'"]
    """
    known: dict[tuple[str, str | None, str | None], str] = {}
    for key in keys:
        match = _KEY.fullmatch(key)
        if match is None:
            if _PLAIN.fullmatch(key) is None:
                yield f"{key!r} is no name of a dependency"
            continue
        package, interface = match["package"], match["interface"]
        version = _compatible(match["version"]) if match["version"] else None
        asked = [
            (package, v, i)
            for v in ((version, None) if version else (_ANY,))
            for i in ((interface, None) if interface else (_ANY,))
        ]
        other = next((known[name] for name in asked if name in known), None)
        if other is not None:
            yield f"dependency {key!r} conflicts with {other!r}"
        for name in ((package, v, i) for v in (version, _ANY) for i in (interface, _ANY)):
            known.setdefault(name, key)


def _compatible(version: str) -> str:
    """Leave of a version what semantic versioning takes for compatible."""
    match = _SEMVER.fullmatch(version)
    if match is None:
        return version
    if match["pre"]:
        return version.partition("+")[0]
    if match["major"] != "0":
        return match["major"]
    return f"0.{match['minor']}" if match["minor"] != "0" else f"0.0.{match['patch']}"
