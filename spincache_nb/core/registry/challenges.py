"""What a server says to whoever it does not let in: ``WWW-Authenticate`` (RFC 9110, 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

LONGEST_HEADER = 16 << 10
"""Characters of one header; a longer one is as good as none."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110, 5.6.2
_SEPARATORS = re.compile(r"[ \t]*(?:,[ \t]*)*")
_SCHEME = re.compile(rf"({_TOKEN})(?=[ \t]*(?:,|$)|[ \t]+)")
_PARAMETER = re.compile(rf"({_TOKEN})[ \t]*=[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|({_TOKEN}))(?=[ \t,]|$)")
_TOKEN68 = re.compile(r"[ \t]+[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_QUOTED_PAIR = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in that a server offers."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Read all challenges of an answer."""
    found: list[Challenge] = []
    for header in headers:
        if len(header) <= LONGEST_HEADER:
            found += _parse_header(header)
    return tuple(found)


def _parse_header(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = _skip(_SEPARATORS, text, 0)
    while position < len(text):
        scheme = _SCHEME.match(text, position)
        if scheme is None:
            break
        position = _skip(_TOKEN68, text, scheme.end())
        parameters: dict[str, str] = {}
        position = _read_parameters(text, position, parameters)
        found.append(Challenge(scheme[1].lower(), MappingProxyType(parameters)))
    return found


def _read_parameters(text: str, position: int, parameters: dict[str, str]) -> int:
    """Read ``name=value`` after ``name=value``, up to the next scheme or what cannot be read."""
    while True:
        start = _skip(_SEPARATORS, text, position)
        match = _PARAMETER.match(text, start)
        if match is None:
            return start
        name, quoted, plain = match.groups()
        value = plain if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
        parameters.setdefault(name.lower(), value)
        position = match.end()


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match is not None else position
