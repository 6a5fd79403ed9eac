"""Short names that stay unambiguous: references, paths of projects."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from spincache_nb.analysis.tags import reference_key
from spincache_nb.show import short_digests

_DIGEST = re.compile(r"(sha256|sha384|sha512):([0-9a-f]{64,128})")


def short_references(references: Iterable[str]) -> dict[str, str]:
    """Shorten references and paths to the fewest last segments that stay different."""
    names = sorted(set(references))
    digests = short_digests(match[0] for name in names for match in _DIGEST.finditer(name))
    segments = {name: _segments(name, digests) for name in names}
    short: dict[str, str] = {}
    depth = 1
    while len(short) < len(names):
        tails = {name: "/".join(parts[-depth:]) for name, parts in segments.items()}
        counts = Counter(tails.values())
        deepest = depth >= max(len(parts) for parts in segments.values())
        for name in names:
            if name not in short and (counts[tails[name]] == 1 or deepest):
                short[name] = tails[name] if counts[tails[name]] == 1 else name
        depth += 1
    return short


def sorted_names(names: Iterable[str]) -> list[str]:
    """Sort references and paths: by repository, then tags in their order."""
    return sorted(names, key=reference_key)


def _segments(name: str, digests: dict[str, str]) -> list[str]:
    short = _DIGEST.sub(lambda match: digests[match[0]], name)
    return re.split(r"[/\\]", short)


def without_repeats(names: Sequence[str]) -> list[str]:
    """Leave out a repository that is the same as in the name before: ``web:1, 2, 3``."""
    parts = [name.rpartition(":") for name in names]
    return [
        name if not repository or number == 0 or parts[number - 1][0] != repository else tag
        for number, (name, (repository, _, tag)) in enumerate(zip(names, parts, strict=True))
    ]


def some_of(names: Iterable[str], *, shown: int = 3, of: int | None = None) -> str:
    """Name the first few of many: ``a, b, c +2``; `of` says how many there are, if these are not all."""
    listed = list(names)
    more = (len(listed) if of is None else of) - shown
    return ", ".join(listed[:shown]) + (f" +{more}" if more > 0 else "")
