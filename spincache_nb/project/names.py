"""Names of components and dependencies, and which of the latter Spin takes for the same (crates/serde)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from spincache_nb.errors import InvalidVersionError
from spincache_nb.project.versions import Version

_WORD = r"(?:[a-z][0-9a-z]*|[A-Z][0-9A-Z]*)"
_KEBAB = rf"{_WORD}(?:-{_WORD})*"
_LABEL = r"[a-z][0-9a-z]*(?:-[a-z][0-9a-z]*)*"
_PACKAGE = re.compile(rf"{_LABEL}:{_LABEL}")
_KEY = re.compile(rf"(?P<package>{_LABEL}:{_LABEL})(?:/(?P<interface>{_KEBAB}))?(?:@(?P<version>.+))?")
_PLAIN = re.compile(_KEBAB)
_ANY = "\0"


def is_kebab(text: str) -> bool:
    """Whether a text is an id of Spin's: words of one case, each beginning with a letter, joined by ``-``."""
    return _PLAIN.fullmatch(text) is not None


def is_label(text: str) -> bool:
    """Whether a text is a label of a package: an id in lower case."""
    return re.fullmatch(_LABEL, text) is not None


def is_package(text: str) -> bool:
    """Whether a text is a package's name, ``namespace:name`` in lower case (wasm-pkg-common)."""
    return _PACKAGE.fullmatch(text) is not None


def package_of_key(key: str) -> str | None:
    """Package that a dependency's key names, or None for a plain name."""
    match = _match_key(key)
    return match["package"] if match else None


def names_whole_package(key: str) -> bool:
    """Whether a dependency's key is a package without an interface."""
    match = _match_key(key)
    return match is not None and match["interface"] is None


def overlaps(keys: Iterable[str]) -> Iterator[str]:
    """Say which keys are no names, or mean what another key means (Spin main, ensure_disjoint)."""
    known: dict[tuple[str, str | None, str | None], str] = {}
    for key in keys:
        match = _match_key(key)
        if match is None:
            if not is_kebab(key):
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


def _match_key(key: str) -> re.Match[str] | None:
    match = _KEY.fullmatch(key)
    if match is not None and match["version"] is not None:
        try:
            Version.parse(match["version"])
        except InvalidVersionError:
            return None
    return match


def _compatible(text: str) -> str:
    """Leave of a version what semantic versioning takes for compatible."""
    version = Version.parse(text)
    if version.pre:
        return text.partition("+")[0]
    if version.major:
        return str(version.major)
    return f"0.{version.minor}" if version.minor else f"0.0.{version.patch}"
