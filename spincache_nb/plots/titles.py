"""The largest text of a plot: what it found, in one sentence, computed from the table that is drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd

from spincache_nb.plots.style import harmless, numbers
from spincache_nb.show import count_text, rows, share_text, size_text

_IDLE = ("unreferenced", "temporary", "misnamed")
_NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
FLAT = 0.04
"""A saving below this share is told in words, not drawn as a bar of its own."""


def breakdown(table: pd.DataFrame, noun: str = "app", nouns: str = "apps") -> str:
    """Say what fills the disk, or what of it nothing needs."""
    sizes = table.groupby("kind", observed=True)["stored_bytes"].sum()
    total = int(sizes.sum())
    idle = int(sum(sizes.get(kind, 0) for kind in _IDLE))
    shared, alone = int(sizes.get("shared", 0)), int(sizes.get("exclusive", 0))
    said = f"{size_text(total)} on disk"
    if not total:
        return "Nothing but empty files"
    if idle >= total / 10:
        return f"Nothing needs {share_text(idle / total)} of {said}: {size_text(idle)}"
    if shared >= alone and shared:
        return f"Several {nouns} share {share_text(shared / total)} of {said}: {size_text(shared)}"
    if alone:
        return f"{share_text(alone / total)} of {said} is needed by one {noun} only"
    return f"No app needs any of {said}"


def _files_text(count: int) -> str:
    return f"{_NUMBERS[count]} file{'s' if count > 1 else ''}" if count <= 10 else count_text(count, "file")


def sets(table: pd.DataFrame) -> str:
    """Say how few files are most of what is shared."""
    shared = (
        table[table["user_count"] > 1].drop_duplicates("set").sort_values("stored_bytes", ascending=False)
    )
    sizes, counts = numbers(shared, "stored_bytes"), numbers(shared, "blob_count")
    if not len(shared) or not sizes.sum():
        return "Nothing is shared"
    enough = int(np.searchsorted(np.cumsum(sizes), sizes.sum() / 2)) + 1
    users = table[table["user_count"] > 1]["user"].nunique()
    files, most = int(counts[:enough].sum()), float(sizes[:enough].sum())
    verb = "is" if files == 1 else "are"
    whole = f"the {size_text(sizes.sum())}" if enough < len(shared) else "all"
    part = "most of " if enough < len(shared) else ""
    return f"{_files_text(files)} of {size_text(most)} {verb} {part}{whole} that {users:,} share"


def files(table: pd.DataFrame) -> str:
    """Say how few files bring most of what sharing saves."""
    saved = np.sort(numbers(table, "saved_bytes"))[::-1]
    if not len(saved) or not saved.sum():
        return "No file is needed by more than one"
    enough = int(np.searchsorted(np.cumsum(saved), saved.sum() / 2)) + 1
    part = share_text(float(saved[:enough].sum() / saved.sum()))
    verb = "brings" if enough == 1 else "bring"
    return f"{_files_text(enough)} {verb} {part} of the {size_text(float(saved.sum()))} that sharing saves"


def pairs(table: pd.DataFrame, names: dict[str, str], nothing: str) -> str:
    """Say which two share most."""
    one, other, size = list(table.columns[:3])
    if not len(table) or not (table[size].fillna(0) > 0).any():
        return nothing
    best = table.sort_values([size, one, other], ascending=[False, True, True]).iloc[0]
    return f"{names[best[one]]} and {names[best[other]]} share most: {size_text(int(best[size]))}"


def versions(table: pd.DataFrame, repository: str) -> str:
    """Say what the versions of one repository cost, pulled one after the other."""
    known = table[table["total_bytes"].notna() & table["fetch_bytes"].notna()]
    total, fetched = (int(known[name].sum()) for name in ("total_bytes", "fetch_bytes"))
    of_what = f" of {harmless(repository, longest=40)}" if repository else ""
    count = f"{count_text(len(table), 'version')}{of_what}"
    if len(table) < 2:
        return f"{count}: {size_text(fetched)} to fetch"
    share = (total - fetched) / total if total else 0
    if share < FLAT:
        return f"{count} re-use next to nothing: {size_text(fetched)} fetched"
    return f"{count}: {size_text(fetched)} fetched instead of {size_text(total)}, {share_text(share)} saved"


def repositories(saved: pd.DataFrame) -> str:
    """Say what the versions of many repositories save; a row per repository."""
    total, fetched = (int(saved[name].sum()) for name in ("total_bytes", "fetch_bytes"))
    share = (total - fetched) / total if total else 0
    count = f"{len(saved):,} {'repository' if len(saved) == 1 else 'repositories'}"
    if share < FLAT:
        return f"Versions re-use next to nothing in {count}"
    return f"Pulling version after version of {count} saves {share_text(share)}: {size_text(total - fetched)}"


def upgrades(square: np.ma.MaskedArray) -> str:
    """Say what going to another version fetches; rows from, columns to, bytes."""
    others = square[~np.eye(len(square), dtype=bool)].compressed()
    if not len(others):
        return "One version: nothing to go from"
    low, high = size_text(float(others.min())), size_text(float(others.max()))
    if low == high:
        return f"Going to another version fetches {low}"
    middle = size_text(float(np.median(others)))
    return f"Going to another version fetches {low} to {high}, {middle} in the middle"


def timeline(table: pd.DataFrame) -> str:
    """Say what pulls fetched and what they did not have to."""
    fetched = numbers(table, "cumulative_fetch_bytes")[-1]
    reused = numbers(table, "cumulative_reused_bytes")[-1]
    share = share_text(reused / (fetched + reused) if fetched + reused else 0)
    count = count_text(len(table), "pull")
    return f"{count}: {size_text(fetched)} fetched, {size_text(reused)} reused ({share})"


def grains(table: pd.DataFrame) -> str:
    """Say which grain would re-use most, its index paid for, beside whole files."""
    total = numbers(table, "total_bytes")
    net = (numbers(table, "reused_bytes") - numbers(table, "index_bytes")) / np.maximum(total, 1)
    best = int(np.argmax(net))
    lines = rows(table, "grain", "reused_bytes", "total_bytes")
    whole = [reused / size for grain, reused, size in lines if grain == "blob" and size]
    name = str(table["grain"].iloc[best])
    if net[best] <= 0 or name == "blob":
        return "No finer grain pays for its index"
    beside = f", whole files {share_text(whole[0])}" if whole else ""
    return f"By {name}, {share_text(float(net[best]))} would be re-used, index paid{beside}"


def chunks(sizes: list[str], net: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    """Say which size of chunks pays most; `net` in per cent."""
    best = int(np.argmax(net))
    if net[best] <= 0:
        return "Chunks of no size pay for their index"
    return f"Chunks of {sizes[best]} re-use {share_text(net[best] / 100)}, their index paid"


def sections(sizes: dict[str, int], total: int) -> str:
    """Say what a binary is made of mostly; bytes by kind of section."""
    if not sizes or not total:
        return f"{size_text(total)} by section"
    kind = max(sizes, key=lambda name: (sizes[name], name))
    return f"{share_text(sizes[kind] / total)} of {size_text(total)} is {kind}"
