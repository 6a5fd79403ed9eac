"""``spincache-nb tree``: what fills the disk, as a tree with bars."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spincache_nb import show
from spincache_nb.cli.options import CACHE_DIR, DONE, JSON, PROJECTS, cache_of, command, option, whole_number
from spincache_nb.cli.output import Output

if TYPE_CHECKING:
    from spincache_nb.analysis.tree import Place, Tree

_FRAMES = ("disk", "blobs", "uses", "layers", "apps", "problems")
_BAR = 20
_COLOURS = {"here": 34, "shared": 32, "idle": 33, "damaged": 31, "other": 90}
_NARROWEST_NAME = 16


@command(
    "tree",
    "see",
    "show what fills the disk, as a tree with bars",
    """\
Show what fills the disk: registry, repository, version, with bars. What several apps
share stands once, beside the apps that share it, so that what is below an app is what
its removal frees, and all of it adds up to the whole cache.

In a terminal a bar has colours: blue for what one app needs, green for what several
share, yellow for what nothing needs, red for what is damaged. NO_COLOR=1 takes them away.""",
    option(
        "--depth",
        type=whole_number,
        default=3,
        metavar="N",
        help="levels below the cache: 1 registries, 2 repositories, 3 versions (default: %(default)s)",
    ),
    option(
        "--top",
        type=whole_number,
        default=8,
        metavar="N",
        help="the largest N parts of each place, 0 for all of them (default: %(default)s)",
    ),
    PROJECTS,
    CACHE_DIR,
    JSON,
    examples=("tree", "tree --depth 2 --top 0"),
)
def tree(args: argparse.Namespace, output: Output) -> int:
    """Print one line per place."""
    from spincache_nb import frames
    from spincache_nb.analysis.tree import Tree

    cache = cache_of(args)
    found = Tree(frames.load(cache, *_FRAMES, projects=args.projects, toolchains=False))
    lines = list(_lines(found, found.root, depth=args.depth, most=args.top, level=0))
    if output.as_json:
        output.document(lines)
    elif not found.root.size:
        output.note(f"nothing is stored in {cache.path}")
    else:
        _show(lines, found.root.size, output)
    return DONE


def _lines(tree: Tree, place: Place, *, depth: int, most: int, level: int) -> Iterator[dict[str, Any]]:
    """Go through places from the largest to the smallest, those not shown as one line."""
    yield _line(place.kind, place.name, place.id, level, place.sizes)
    if level == depth or place.kind in ("app", "group"):
        return
    parts = [part for part in tree.parts(place) if not isinstance(part, int)]
    shown = parts[:most] if most else parts
    for part in shown:
        yield from _lines(tree, part, depth=depth, most=most, level=level + 1)
    if left := parts[len(shown) :]:
        sizes = {state: sum(part.sizes[state] for part in left) for state in place.sizes}
        yield _line("more", f"+{len(left):,} more", None, level + 1, sizes)


def _line(kind: str, name: str, id: str | None, level: int, sizes: dict[str, int]) -> dict[str, Any]:
    total = sum(sizes.values())
    states = {f"{state}_bytes": size for state, size in sizes.items()}
    return {"kind": kind, "name": name, "id": id, "level": level, "stored_bytes": total, **states}


def _show(lines: list[dict[str, Any]], total: int, output: Output) -> None:
    names = ["  " * line["level"] + show.plain(line["name"]) for line in lines]
    sizes = [show.size_text(line["stored_bytes"]) for line in lines]
    widest, longest = max(map(show.width, names)), max(map(len, sizes))
    if output.width is not None:
        widest = max(_NARROWEST_NAME, min(widest, output.width - longest - _BAR - 12))
    for line, name, size in zip(lines, names, sizes, strict=True):
        cut = show.shorten(name, widest, cut="middle")
        share = show.share_text(line["stored_bytes"] / total)
        padding = " " * (widest - show.width(cut))
        output.line(f"{cut}{padding}  {size:>{longest}}  {share:>6}  {_bar(line, total)}".rstrip())


def _bar(line: dict[str, Any], total: int) -> str:
    """Draw what a place takes of the whole, in the colours of its parts; nothing if it is hardly anything."""
    block = "█" if (sys.stdout.encoding or "").lower().startswith("utf") else "#"
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    drawn, taken, reached = "", 0, 0
    for state, colour in _COLOURS.items():
        reached += line[f"{state}_bytes"]
        length = round(_BAR * reached / total) - taken
        taken += length
        part = block * length
        drawn += f"\x1b[{colour}m{part}\x1b[0m" if coloured and part else part
    return drawn
