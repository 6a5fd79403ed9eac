"""Semantic versions and requirements on them, as Rust's ``semver`` crate 1.0 reads both.

Spin hands the versions of a ``spin.toml`` to that crate (crates/loader/src/local.rs). Its rules are
Cargo's, not npm's: several comparators are joined by commas, a comparator without an operator means
``^``, and a pre-release satisfies a requirement only if one of its comparators names a pre-release
of the very same major, minor and patch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

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

Operator = Literal["=", ">", ">=", "<", "<=", "~", "^", "*"]
_Key = tuple[tuple[int, int, str, int], ...]


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
    def key(self) -> tuple[object, ...]:
        """What versions are sorted by: their precedence, then their build metadata."""
        return (self.major, self.minor, self.patch, pre_release_key(self.pre), _build_key(self.build))


@dataclass(frozen=True, slots=True)
class Comparator:
    """One part of a requirement."""

    operator: Operator
    major: int
    minor: int | None
    patch: int | None
    pre: str

    def matches(self, version: Version) -> bool:
        """Whether a version passes, pre-releases compared like any other version."""
        if self.operator in ("=", "*"):
            return self._equals(version)
        if self.operator == "~":
            return self._tilde(version)
        if self.operator == "^":
            return self._caret(version)
        if self.operator in (">=", "<=") and self._equals(version):
            return True
        mine, theirs = self._known(version)
        if self.operator.startswith(">"):
            return theirs > mine or (self._same_patch(version) and self._pre_release_order(version) > 0)
        return theirs < mine or (self._same_patch(version) and self._pre_release_order(version) < 0)

    def names_pre_release_of(self, version: Version) -> bool:
        """Whether it names a pre-release of a version's very major, minor and patch."""
        return self._same_patch(version) and self.pre != ""

    def _known(self, version: Version) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Its numbers as far as they are given, and as many of the version's."""
        mine = tuple(part for part in (self.major, self.minor, self.patch) if part is not None)
        return mine, (version.major, version.minor, version.patch)[: len(mine)]

    def _equals(self, version: Version) -> bool:
        mine, theirs = self._known(version)
        return mine == theirs and version.pre == self.pre

    def _tilde(self, version: Version) -> bool:
        """Same major and minor, as far as they are given; at least its patch."""
        mine, theirs = self._known(version)
        if mine[:2] != theirs[:2]:
            return False
        return theirs > mine or (theirs == mine and self._pre_release_order(version) >= 0)

    def _caret(self, version: Version) -> bool:
        """Same numbers up to the first that is not zero; the others at least its own."""
        mine, theirs = self._known(version)
        fixed = next((place for place, part in enumerate(mine) if part), len(mine) - 1) + 1
        if mine[:fixed] != theirs[:fixed]:
            return False
        if self.patch is None:
            return theirs >= mine
        return theirs > mine or (theirs == mine and self._pre_release_order(version) >= 0)

    def _same_patch(self, version: Version) -> bool:
        return (self.major, self.minor, self.patch) == (version.major, version.minor, version.patch)

    def _pre_release_order(self, version: Version) -> int:
        """Sign of the comparison of the version's pre-release with its own."""
        own, other = pre_release_key(self.pre), pre_release_key(version.pre)
        return (other > own) - (other < own)


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
        if not all(comparator.matches(version) for comparator in self.comparators):
            return False
        return not version.pre or any(c.names_pre_release_of(version) for c in self.comparators)

    def __str__(self) -> str:
        return self.text


def _comparator(text: str) -> Comparator | None:
    match = _COMPARATOR.fullmatch(text)
    if match is None:
        return None
    starred = match["minor"] in _WILDCARDS
    if starred and match["patch"] is not None:
        return None
    major, minor, patch = int(match["major"]), _number(match["minor"]), _number(match["patch"])
    if max(major, minor or 0, patch or 0) > _LARGEST:
        return None
    default = "*" if starred or match["open"] else "^"
    operator = cast(Operator, match["operator"] or default)
    return Comparator(operator, major, minor, patch, match["pre"] or "")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text not in _WILDCARDS else None


def pre_release_key(text: str) -> tuple[int, _Key]:
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
