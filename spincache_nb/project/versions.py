"""Names of packages and dependencies as Spin takes them, and versions as Rust's ``semver`` 1.0 reads them.

Spin hands the versions of a ``spin.toml`` to that crate (crates/loader/src/local.rs). Its rules are
Cargo's, not npm's: several comparators are joined by commas, a comparator without an operator means
``^``, and a pre-release satisfies a requirement only if one of its comparators names a pre-release
of the very same major, minor and patch. Of a version, a comparator looks at as many parts as it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from spincache_nb.errors import InvalidVersionError

_MOST_COMPARATORS = 32
_LARGEST = (1 << 64) - 1
_NUMBER = r"(?:0|[1-9][0-9]{0,19})"
_STAR = r"[*xX]"
_PRE = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_PRES = rf"{_PRE}(?:\.{_PRE})*"
_BUILDS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(
    rf"(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER})"
    rf"(?:-(?P<pre>{_PRES}))?(?:\+(?P<build>{_BUILDS}))?"
)
_COMPARATOR = re.compile(
    rf"(?P<operator>=|>=|>|<=|<|~|\^)? *(?P<major>{_NUMBER})"
    rf"(?:\.(?P<minor>{_NUMBER}|{_STAR})"
    rf"(?:\.(?:(?P<open>{_STAR})|(?P<patch>{_NUMBER})(?:-(?P<pre>{_PRES}))?(?:\+{_BUILDS})?))?)?"
)
_WILDCARDS = ("*", "x", "X")
_Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """A semantic version."""

    major: int
    minor: int
    patch: int
    pre: str = ""
    build: str = ""

    @classmethod
    def parse(cls, text: str, *, where: str = "version") -> Version:
        """Read a version."""
        found = cls.read(text)
        if found is None:
            expected = "a semantic version such as 1.2.3"
            raise InvalidVersionError(where, expected, repr(text), "write major.minor.patch")
        return found

    @classmethod
    def read(cls, text: str) -> Version | None:
        """Read a version; None if a text is none."""
        match = _VERSION.fullmatch(text)
        numbers = [int(number) for number in match.group("major", "minor", "patch")] if match else []
        if match is None or max(numbers) > _LARGEST:
            return None
        return cls(numbers[0], numbers[1], numbers[2], match["pre"] or "", match["build"] or "")

    def __str__(self) -> str:
        pre = f"-{self.pre}" if self.pre else ""
        build = f"+{self.build}" if self.build else ""
        return f"{self.major}.{self.minor}.{self.patch}{pre}{build}"

    def __lt__(self, other: Version) -> bool:
        return self.key < other.key

    @property
    def precedence(self) -> _Key:
        """What requirements compare: the numbers, then the pre-release, of which none is highest."""
        return (self.major, self.minor, self.patch, _pre_key(self.pre))

    @property
    def key(self) -> _Key:
        """What versions are sorted by: their precedence, then their build metadata."""
        return (*self.precedence, _words_key(self.build))


def _pre_key(text: str) -> _Key:
    return (not text, _words_key(text))


def _words_key(text: str) -> _Key:
    """Sort key of dotted words: numbers are lower than words, and ``0 < 00 < 1 < 01 < 2``."""
    return tuple(
        (0, len(part.lstrip("0")), part.lstrip("0"), len(part)) if part.isdigit() else (1, 0, part, 0)
        for part in (text.split(".") if text else ())
    )


# Requirements ----------------------------------------------------------------------------------


class _Comparator(NamedTuple):
    """One part of a requirement: an operator, one to three numbers, and a pre-release if it names one."""

    operator: str
    numbers: tuple[int, ...]
    pre: str

    @classmethod
    def parse(cls, text: str) -> _Comparator | None:
        match = _COMPARATOR.fullmatch(text)
        starred = match is not None and match["minor"] in _WILDCARDS
        if match is None or (starred and match["patch"] is not None):
            return None
        parts = match.group("major", "minor", "patch")
        numbers = tuple(int(part) for part in parts if part and part not in _WILDCARDS)
        operator = match["operator"] or ("=" if starred or match["open"] else "^")
        return cls(operator, numbers, match["pre"] or "") if max(numbers) <= _LARGEST else None

    def matches(self, version: Version) -> bool:
        """Whether a version passes, pre-releases compared like others; only parts that are named count."""
        count = len(self.numbers)
        is_whole = count == 3
        own: _Key = (*self.numbers, _pre_key(self.pre)) if is_whole else self.numbers
        key = version.precedence[: len(own)]
        is_same = key == own and (is_whole or not version.pre)
        if self.operator == "=" or (self.operator == "~" and not is_whole):
            return is_same
        if self.operator in "~^":
            first = next((place for place, number in enumerate(self.numbers, 1) if number), count)
            fixed = first if self.operator == "^" else 2
            return key >= own and key[:fixed] == own[:fixed]
        is_beside = key > own if self.operator.startswith(">") else key < own
        return is_beside or (is_same and self.operator.endswith("="))


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement on a version."""

    text: str
    comparators: tuple[_Comparator, ...]

    @classmethod
    def parse(cls, text: str, *, where: str = "version requirement") -> Requirement:
        """Read a requirement of at most 32 comparators."""
        if text.strip(" ") in _WILDCARDS:
            return cls(text, ())
        parts = [_Comparator.parse(part.strip(" ")) for part in text.split(",")]
        known = tuple(one for one in parts if one is not None)
        if len(known) < len(parts) or len(known) > _MOST_COMPARATORS:
            expected = "a version requirement such as 1.2, =1.2.3 or >=1, <2"
            remedy = "separate comparators by commas, as in Cargo"
            raise InvalidVersionError(where, expected, repr(text), remedy)
        return cls(text, known)

    def matches(self, version: Version) -> bool:
        """Whether a version satisfies it."""
        numbers = version.precedence[:3]
        is_asked = not version.pre or any(one.pre and one.numbers == numbers for one in self.comparators)
        return is_asked and all(one.matches(version) for one in self.comparators)

    def __str__(self) -> str:
        return self.text


# Names of components, packages and dependencies ------------------------------------------------

_WORD = r"(?:[a-z][0-9a-z]*|[A-Z][0-9A-Z]*)"
_KEBAB = rf"{_WORD}(?:-{_WORD})*"
_LABEL = r"[a-z][0-9a-z]*(?:-[a-z][0-9a-z]*)*"
_PACKAGE = rf"{_LABEL}:{_LABEL}"
_KEY = re.compile(rf"(?P<package>{_PACKAGE})(?:/(?P<interface>{_KEBAB}))?(?:@(?P<version>.+))?")
_ANY = "\0"


is_kebab = re.compile(_KEBAB).fullmatch
"""Whether a text is an id of Spin's: words of one case, each beginning with a letter, joined by ``-``."""
is_label = re.compile(_LABEL).fullmatch
"""Whether a text is a label of a package: an id in lower case."""
is_package = re.compile(_PACKAGE).fullmatch
"""Whether a text is a package's name, ``namespace:name`` in lower case (wasm-pkg-common)."""


def match_key(key: str) -> re.Match[str] | None:
    """The package, interface and version that a dependency's key names; None for a plain name."""
    match = _KEY.fullmatch(key)
    is_key = match is not None and (match["version"] is None or Version.read(match["version"]) is not None)
    return match if is_key else None


def overlaps(keys: Iterable[str]) -> Iterator[str]:
    """Say which keys are no names, or mean what another key means (Spin main, ensure_disjoint)."""
    known: dict[tuple[str, str | None, str | None], str] = {}
    for key in keys:
        match = match_key(key)
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


def _compatible(text: str) -> str:
    """Leave of a version what semantic versioning takes for compatible."""
    version = Version.parse(text)
    if version.pre:
        return text.partition("+")[0]
    if version.major:
        return str(version.major)
    return f"0.{version.minor}" if version.minor else f"0.0.{version.patch}"
