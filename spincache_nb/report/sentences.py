"""What a figure or a table says, in a few plain sentences made of its numbers."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from spincache_nb.analysis.headlines import FLAT
from spincache_nb.analysis.inputs import short_references, some_of
from spincache_nb.errors import printable
from spincache_nb.report.material import Changes, Material
from spincache_nb.show import count_text, rows, share_text, size_text, time_text

_MOST_TOLD = 3  # repositories that have a sentence of their own
_LONGEST_NAME = 80
_NEARLY_ALL = 0.9
_RIGHT_TO_LEFT = ("R", "AL", "AN")
_ISOLATE, _END = "\u2068", "\u2069"


def of_changes(changes: Changes, summary: pd.DataFrame) -> str:
    """Say what is different from an earlier report."""
    counts = Counter(what for _, what, *_ in changes.apps)
    named = (("new", "came"), ("gone", "went"), ("changed", "changed"))
    moves = [f"{count_text(counts[what], 'app')} {verb}" for what, verb in named if counts[what]]
    said = [f"Since {time_text(changes.at, 'minute')} UTC" if changes.at else "Since then"]
    said.append(" " + (", ".join(moves) or "no app came, went or changed") + ". ")
    words = {
        "disk_bytes": "on disk",
        "saved_bytes": "saved by sharing",
        "unreferenced_bytes": "needed by nothing",
    }
    parts = []
    for column, what in words.items():
        (now,), before = next(rows(summary, column)), changes.before.get(column)
        if before is not None and now != before:
            way = "more" if now > before else "less"
            parts.append(f"{size_text(abs(now - before))} {way} {what} ({size_text(now)})")
    (problems,), earlier = next(rows(summary, "problem_count")), changes.before.get("problem_count", 0)
    if problems != earlier:
        parts.append(f"{count_text(problems, 'problem')} instead of {earlier:,}")
    return "".join(
        [*said, "; ".join(parts)[:1].upper() + "; ".join(parts)[1:] + "." if parts else ""]
    ).strip()


def of_breakdown(material: Material) -> str:
    """Say where the bytes on disk go."""
    sizes: Counter[str] = Counter()
    files = 0
    for kind, stored, count in rows(material.parts, "kind", "stored_bytes", "file_count"):
        sizes[kind] += stored or 0
        files += count or 0
    total = sizes.total()

    def part(kind: str) -> str:
        return f"{size_text(sizes[kind])} ({share_text(sizes[kind] / total if total else 0)})"

    nouns, only = material.nouns, f"by one {material.group} only"
    said = [f"{size_text(total)} are on disk, in {count_text(files, 'file')}."]
    said.append(
        f"{part('shared')} is needed by several {nouns} and stored once; {part('exclusive')} {only}."
        if sizes["shared"]
        else f"No two {nouns} share any of it; {part('exclusive')} is needed {only}."
    )
    if sizes["archive"]:
        said.append(f"{part('archive')} are archives, kept beside the members they were unpacked into.")
    if sizes["projects"]:
        said.append(f"{part('projects')} is needed by projects only.")
    said.append(
        f"Nothing needs {part('unreferenced')}: “spincache-nb prune” would remove it."
        if sizes["unreferenced"]
        else "Nothing lies there that nobody needs."
    )
    for kind, name in (("temporary", "left over from downloads"), ("misnamed", "found by no name")):
        if sizes[kind]:
            said.append(f"{size_text(sizes[kind])} are {name}.")
    return " ".join(said)


def of_sharing(material: Material) -> str:
    """Say what sharing saves, and what is shared most."""
    shared = material.shared
    logical, stored, saved = next(rows(material.summary, "logical_bytes", "stored_bytes", "saved_bytes"))
    if not len(shared):
        return "No two apps have a blob in common, so sharing saves nothing here."
    names, size, users, most = next(rows(shared, "names", "stored_bytes", "user_count", "saved_bytes"))
    return (
        f"{len(shared)} of {count_text(len(material.sharing), 'blob')} are needed more than once. "
        f"Without sharing {size_text(logical)} would be needed, with it {size_text(stored)}: "
        f"{size_text(saved)} ({share_text(saved / logical if logical else 0)}) are saved. "
        f"What saves most is {name(names or 'a blob without a name')}: {size_text(size)} that "
        f"{users} users need, which saves {size_text(most)}."
    )


def of_sets(material: Material) -> str:
    """Say which set of apps, or repositories, has most in common."""
    frame = material.sets
    several = frame[frame["user_count"] > 1]
    nouns = material.nouns
    if not len(several):
        return f"There is no set of {nouns} that have a blob in common."
    first = several[several["set"] == several["set"].iloc[0]]
    size, count = int(first["stored_bytes"].iloc[0]), several["set"].nunique()
    return (
        f"{'One set' if count == 1 else f'{count:,} sets'} of {nouns} "
        f"{'has' if count == 1 else 'have'} something in common which nobody else needs. The largest is "
        f"{size_text(size)} that {_names(str(user) for user in first['user'])} share."
    )


def of_pairs(material: Material) -> str:
    """Say which two apps, or repositories, have most in common."""
    frame, nouns = material.pairs, material.nouns
    best = max(
        rows(frame, "shared_bytes", "reference_a", "reference_b"),
        key=lambda row: (row[0] or 0, row[1], row[2]),
        default=None,
    )
    if best is None or not best[0]:
        return f"No two {nouns} have anything in common."
    none = sum(not size for (size,) in rows(frame, "shared_bytes"))
    nothing = f"; {none:,} share nothing" if none else ""
    short = short_references(best[1:])
    one, other = (name(short[reference]) for reference in best[1:])
    return (
        f"Of {count_text(len(frame), 'pair')} of {nouns}, {one} and {other} have most in common: "
        f"{size_text(best[0])}{nothing}."
    )


def of_all_versions(savings: pd.DataFrame, totals: Sequence[tuple[Any, ...]]) -> tuple[str, ...]:
    """Say what new versions cost in all repositories, and in those with most bytes."""
    if len(totals) == 1:
        return (of_versions(savings),)
    total, fetched = sum(line[2] for line in totals), sum(line[4] for line in totals)
    flat = sum((line[5] or 0) < FLAT for line in totals)
    text = (
        f"The {len(savings):,} versions of {len(totals):,} repositories fetch {size_text(fetched)} instead "
        f"of {size_text(total)}: {share_text((total - fetched) / total if total else 0)} is there already."
    )
    if flat:
        text += f" {flat:,} of {len(totals):,} repositories save under 4 %."
    names = [line[0] for line in totals[:_MOST_TOLD]]
    each = (f"{name(one)}: {of_versions(savings[savings['repository'] == one])}" for one in names)
    return (text, *each)


def of_versions(savings: pd.DataFrame) -> str:
    """Say what the versions of one repository cost, one after the other."""
    columns = ("total_bytes", "fetch_bytes", "archive_known_bytes", "tag", "reference")
    costs = [cost for cost in rows(savings, *columns) if None not in cost[:2]]
    if not costs:
        return "The sizes that these versions declare are too large to be true."
    total, fetched = sum(cost[0] for cost in costs), sum(cost[1] for cost in costs)
    said = [
        f"Pulled one after the other, the {len(costs)} versions fetch {size_text(fetched)} instead of "
        f"{size_text(total)}: {share_text((total - fetched) / total if total else 0)} is there already."
    ]
    updates = [(fetch, whole, tag or reference) for whole, fetch, _, tag, reference in costs[1:]]
    if updates:
        said.append(_of_updates(updates))
    known = sum(cost[2] or 0 for cost in costs)
    if known:
        said.append(
            f"An archive is fetched whole: {size_text(known)} of what they unpack to was there before."
        )
    return " ".join(said)


def _of_updates(updates: Sequence[tuple[int, int, str]]) -> str:
    """Say which of some updates (bytes fetched, bytes in all, version) cost most and least."""
    dearest, cheapest = max(updates), min(updates)
    if len(updates) == 1:
        return f"Going to {name(dearest[2])} fetches {size_text(dearest[0])} of {size_text(dearest[1])}."
    least = min(fetched / total if total else 0 for fetched, total, _ in updates)
    if least == 1:
        return "No update finds anything there: each fetches all of its version."
    if least > _NEARLY_ALL:
        part = (
            share_text(least).replace(">", "more than ") if least > 0.99 else f"at least {share_text(least)}"
        )
        return f"No update finds much there: each fetches {part} of its version."
    return (
        f"Going to {name(dearest[2])} costs most, {size_text(dearest[0])} of {size_text(dearest[1])}; "
        f"going to {name(cheapest[2])} costs least, {size_text(cheapest[0])} of {size_text(cheapest[1])}."
    )


def of_reclaimable(material: Material) -> str:
    """Say what removing apps frees, and what old versions hold."""
    said = []
    first = next(rows(material.reclaimable, "reference", "freed_bytes", "stored_bytes"), None)
    if first is not None:
        stays = f" of the {size_text(first[2])} it needs; the rest stays, as others need it"
        part = stays if first[1] != first[2] else ", all that it needs"
        said.append(f"Removing {_names([first[0]])} alone frees most: {size_text(first[1])}{part}.")
    if len(material.superseded):
        count = sum(old or 0 for (old,) in rows(material.superseded, "old_count"))
        alone, together = material.freed_alone_bytes, material.freed_together_bytes
        more = (
            f"; each alone {size_text(alone)}, but what only they share goes too" if together > alone else ""
        )
        said.append(
            f"All versions but the last of each repository are {count_text(count, 'app')}: removed together "
            f"they free {size_text(together)}{more}."
        )
    (idle,) = next(rows(material.summary, "unreferenced_bytes"))
    if idle:
        said.append(f"{size_text(idle)} that nothing needs can go without removing an app.")
    return " ".join(said)


def of_timeline(material: Material) -> str:
    """Say what the recorded pulls fetched and reused."""
    frame = material.timeline
    fetched = sum(size or 0 for (size,) in rows(frame, "fetch_bytes"))
    reused = sum(size or 0 for (size,) in rows(frame, "reused_bytes"))
    both = fetched + reused
    changed = {
        (cache, reference)
        for cache, reference, run in rows(material.tags, "cache", "reference", "meaning")
        if run > 1
    }
    moved = f" {count_text(len(changed), 'tag')} came to mean something else meanwhile." if changed else ""
    return (
        f"{count_text(len(frame), 'recorded pull')} into this cache fetched {size_text(fetched)} and found "
        f"{size_text(reused)} ({share_text(reused / both if both else 0)}) there already.{moved} "
        "What Spin itself pulls, nobody records."
    )


def of_grains(frame: pd.DataFrame) -> str:
    """Say what finer grains than whole files would share."""
    found = list(rows(frame, "grain", "total_bytes", "reused_bytes", "index_bytes"))
    best = max(found, key=lambda row: ((row[2] or 0) - (row[3] or 0), row[0]), default=None)
    if best is None or not best[2]:
        return "Within the files nothing is repeated at any grain."
    return (
        f"Spin shares whole files. Within them, and from one to another, there is repetition: at the grain "
        f"{best[0]} {size_text(best[2])} of {size_text(best[1])} "
        f"({share_text(best[2] / best[1] if best[1] else 0)}) is there more than once, which finding would "
        f"take an index of {size_text(best[3])}."
    )


def of_rebuilds(frame: pd.DataFrame) -> str:
    """Say how many new binaries are new code."""
    verdicts = Counter(verdict for (verdict,) in rows(frame, "verdict"))
    if not verdicts:
        return "No component has a new binary in a later version."
    same = sum(verdicts[kind] for kind in ("same code and data", "same code", "same functions"))
    return (
        f"{count_text(len(frame), 'time')} a new version brought a component another binary. In {same} of "
        "these the functions are all the same ones, and something around them differs."
    )


def of_problems(material: Material) -> str:
    """Say how much is wrong."""
    kinds = Counter(kind for (kind,) in rows(material.problems, "kind"))
    if not kinds:
        return "None were found. Blobs were not hashed for this; “spincache-nb verify” does that."
    most = ", ".join(
        f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda x: (-x[1], x[0]))[:5]
    )
    return f"{count_text(len(material.problems), 'problem')}: {most}."


def name(text: str) -> str:
    """Put a name into a sentence: printable, not too long, and kept from turning what is around it."""
    shown = printable(text)
    if len(shown) > _LONGEST_NAME:
        half = _LONGEST_NAME // 2
        shown = f"{shown[:half]}…{shown[1 - half :]}"
    turned = any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in shown)
    return f"{_ISOLATE}{shown}{_END}" if turned else shown


def _names(references: Iterable[str]) -> str:
    short = short_references(references)
    return some_of([name(short[reference]) for reference in sorted(short)])
