"""Semantic versions and requirements on them, as Rust's ``semver`` crate 1.0 reads both.

Spin hands the versions of a ``spin.toml`` to that crate (crates/loader/src/local.rs). Its rules are
Cargo's, not npm's: several comparators are joined by commas, a comparator without an operator means
``^``, and a pre-release satisfies a requirement only if one of its comparators names a pre-release
of the very same major, minor and patch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from spincache_nb.errors import InvalidVersionError

MAX_COMPARATORS = 32
"""More of them in one requirement are refused."""

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
_BELOW_PRE_RELEASES = (-1,)
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
        match = _VERSION.fullmatch(text)
        numbers = [int(match[name]) for name in ("major", "minor", "patch")] if match else []
        if match is None or max(numbers) > _LARGEST:
            raise InvalidVersionError(
                where, "a semantic version such as 1.2.3", repr(text), "write major.minor.patch"
            )
        return cls(numbers[0], numbers[1], numbers[2], match["pre"] or "", match["build"] or "")

    def __str__(self) -> str:
        pre = f"-{self.pre}" if self.pre else ""
        build = f"+{self.build}" if self.build else ""
        return f"{self.major}.{self.minor}.{self.patch}{pre}{build}"

    def __lt__(self, other: Version) -> bool:
        return self.key < other.key

    @property
    def precedence(self) -> _Key:
        """What requirements compare: the numbers, then the pre-release."""
        return (self.major, self.minor, self.patch, pre_release_key(self.pre))

    @property
    def key(self) -> _Key:
        """What versions are sorted by: their precedence, then their build metadata."""
        return (*self.precedence, _build_key(self.build))


class _Interval(NamedTuple):
    """Versions from one precedence up to but not including another, perhaps without pre-releases."""

    start: _Key
    end: _Key
    released_only: bool = False

    def holds(self, version: Version) -> bool:
        return self.start <= version.precedence < self.end and not (self.released_only and version.pre)


class Comparator(NamedTuple):
    """One part of a requirement."""

    intervals: tuple[_Interval, ...]
    pre_release_of: tuple[int, int, int] | None
    """The numbers of the pre-release that it names, if it names one."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement on a version."""

    text: str
    comparators: tuple[Comparator, ...]

    @classmethod
    def parse(cls, text: str, *, where: str = "version requirement") -> Requirement:
        """Read a requirement."""
        if text.strip(" ") in _WILDCARDS:
            return cls(text, ())
        comparators = tuple(_comparator(part.strip(" ")) for part in text.split(","))
        known = tuple(one for one in comparators if one is not None)
        if len(known) < len(comparators) or len(known) > MAX_COMPARATORS:
            raise InvalidVersionError(
                where,
                "a version requirement such as 1.2, =1.2.3 or >=1, <2",
                repr(text),
                "separate comparators by commas, as in Cargo",
            )
        return cls(text, known)

    def matches(self, version: Version) -> bool:
        """Whether a version satisfies it."""
        for comparator in self.comparators:
            if not any(interval.holds(version) for interval in comparator.intervals):
                return False
        numbers = (version.major, version.minor, version.patch)
        return not version.pre or any(one.pre_release_of == numbers for one in self.comparators)

    def __str__(self) -> str:
        return self.text


def _comparator(text: str) -> Comparator | None:
    match = _COMPARATOR.fullmatch(text)
    if match is None:
        return None
    starred = match["minor"] in _WILDCARDS
    if starred and match["patch"] is not None:
        return None
    given = [int(part) for part in match.group("major", "minor", "patch") if part and part not in _WILDCARDS]
    if max(given) > _LARGEST:
        return None
    pre = match["pre"] or ""
    operator = match["operator"] or ("=" if starred or match["open"] else "^")
    named = (given[0], given[1], given[2]) if pre else None
    return Comparator(_intervals(operator, given, pre), named)


def _intervals(operator: str, given: list[int], pre: str) -> tuple[_Interval, ...]:
    """Versions that pass an operator and up to three numbers, pre-releases compared like any other."""
    is_whole = len(given) == 3
    own: _Key = (*given, pre_release_key(pre))
    start = own if is_whole else _first(given)
    end = (*own, 0) if is_whole else _first(_bumped(given, len(given)))
    same = _Interval(start, end, released_only=not is_whole)
    if operator == "=" or (operator == "~" and not is_whole):
        return (same,)
    if operator == "~":
        return (_Interval(start, _first(_bumped(given, 2))),)
    if operator == "^":
        fixed = next((place for place, number in enumerate(given, 1) if number), len(given))
        return (_Interval(start, _first(_bumped(given, fixed))),)
    beside = _Interval(end, (inf,)) if operator.startswith(">") else _Interval((), start)
    return (beside, same) if operator.endswith("=") else (beside,)


def _bumped(numbers: list[int], length: int) -> list[int]:
    """The numbers after all that begin with the first so many of these."""
    return [*numbers[: length - 1], numbers[length - 1] + 1]


def _first(numbers: list[int]) -> _Key:
    """Precedence below that of all versions that begin with some numbers, their pre-releases included."""
    return (*numbers, *[0] * (3 - len(numbers)), _BELOW_PRE_RELEASES)


def pre_release_key(text: str) -> _Key:
    """Sort key of a pre-release: none is higher than any; numbers are lower than words."""
    if not text:
        return (1, ())
    parts = text.split(".")
    return (0, tuple((0, len(part), part, 0) if part.isdigit() else (1, 0, part, 0) for part in parts))


def _build_key(text: str) -> _Key:
    """Sort key of build metadata: none is lowest; ``0 < 00 < 1 < 01 < 2``, numbers lower than words."""
    parts = text.split(".") if text else []
    return tuple(
        (0, len(part.lstrip("0")), part.lstrip("0"), len(part)) if part.isdigit() else (1, 0, part, 0)
        for part in parts
    )
