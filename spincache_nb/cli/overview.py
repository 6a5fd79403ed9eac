"""Commands for a first look: where the cache is, whether a pull would work, what fills the disk."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spincache_nb import show
from spincache_nb.cli import command as cli

if TYPE_CHECKING:
    from spincache_nb.analysis.tree import Place, Tree
    from spincache_nb.core.cache import Cache
    from spincache_nb.upkeep.doctor import Finding

_FRAMES = ("disk", "blobs", "uses", "layers", "apps", "problems")
_BAR = 20
_COLOURS = {"here": 34, "shared": 32, "idle": 33, "damaged": 31, "other": 90}
_NARROWEST_NAME = 16


@cli.command(
    """\
Print the directory of Spin's registry cache, on one line and nothing else.

It need not exist yet: Spin and `spincache-nb pull` make it when they store something.""",
    cli.option(
        "--all",
        action="store_true",
        help="also where this toolkit keeps its state, and which credential stores are asked",
    ),
    *cli.CACHE,
    examples=("path", "path --all", "path --json  # for programs"),
)
def path(args: argparse.Namespace, output: cli.Output) -> int:
    cache = cli.cache_of(args).path.absolute()
    if not args.all and not output.as_json:
        output.path(cache)
        return cli.DONE
    named = _all_paths(cache) if args.all else [("cache", cache)]
    if output.as_json:
        output.document([{"name": name, "path": path, "exists": _exists(path)} for name, path in named])
        return cli.DONE
    widest = max(len(name) for name, _ in named)
    for name, path in named:
        missing = "" if _exists(path) else "  (not there)"
        output.paragraph(f"{name:<{widest}}  {path}{missing}", wrap=False)
    return cli.DONE


def _exists(path: Path) -> bool:
    """Whether something is there; what may not be looked at counts as not there."""
    try:
        return path.exists()
    except OSError:
        return False


def _all_paths(cache: Path) -> list[tuple[str, Path]]:
    from spincache_nb.core import paths
    from spincache_nb.core.journal import History

    named: list[tuple[str, Path | None]] = [
        ("cache", cache),
        ("state", paths.state_dir()),
        ("history", History(enabled=True).path),
        ("credentials of Spin", paths.spin_auth_file()),
        ("credentials of Docker", paths.docker_config_file()),
        *(("credentials of Podman", path) for path in paths.podman_auth_files()),
        ("wasm package registries", paths.wasm_pkg_config_file()),
    ]
    return [(name, path) for name, path in named if path is not None]


_MARKS = {"ok": " ", "note": "-", "attention": "!"}


@cli.command(
    """\
Look at what a pull depends on: the cache and its disk, credential stores, proxies,
certificates, packages. Nothing is changed and no secret is shown.

The network is used only if a REFERENCE is given: then its registry is asked for the
manifest. The exit status is 1 if something needs attention.""",
    cli.references("*", "an app to ask its registry for, such as ghcr.io/org/app:v1"),
    *cli.CACHE,
    cli.registry,
    examples=("doctor", "doctor ghcr.io/org/app:v1"),
)
def doctor(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb.core.reference import Reference
    from spincache_nb.upkeep.doctor import ask_registry, examine

    cache, options = cli.cache_of(args), cli.registry_options(args)
    asked = [Reference.parse(text) for text in args.references]
    findings = [*examine(cache), _problems(cache)]
    findings += [ask_registry(cache, reference, **options) for reference in asked]
    if output.as_json:
        output.document([_record(finding) for finding in findings])
    else:
        _show_findings(findings, output)
    return cli.FINDING if any(finding.state == "attention" for finding in findings) else cli.DONE


def _problems(cache: Cache) -> Finding:
    from spincache_nb import frames
    from spincache_nb.upkeep.doctor import Finding

    count = len(frames.problems(cache))
    if count:
        return Finding("cache", "problems", count, "attention", "see `spincache-nb problems`")
    return Finding("cache", "problems", 0)


def _record(finding: Finding) -> dict[str, Any]:
    found = cli.fields(finding, "topic", "name", "value", "state", "remedy")
    return {name: cli.in_a_shell(value) if isinstance(value, str) else value for name, value in found.items()}


def _show_findings(findings: Sequence[Finding], output: cli.Output) -> None:
    for topic in dict.fromkeys(finding.topic for finding in findings):
        output.line(topic)
        for finding in (finding for finding in findings if finding.topic == topic):
            output.paragraph(_finding_text(finding), indent=f"{_MARKS[finding.state]} ", hang="    ")
            if finding.remedy:
                output.paragraph(cli.in_a_shell(finding.remedy), indent="    -> ", hang="       ")
    attention = sum(finding.state == "attention" for finding in findings)
    output.line()
    output.line(f"! {attention} to look at" if attention else "nothing needs attention")


def _finding_text(finding: Finding) -> str:
    name, value = finding.name, finding.value
    if name.endswith("_bytes"):
        name = name.removesuffix("_bytes").replace("_", " ")
        value = show.size_text(value) if isinstance(value, int) else value
    if isinstance(value, bool):
        value = "yes" if value else "no"
    return f"{name}: {'none' if value is None else cli.in_a_shell(str(value))}"


@cli.command(
    """\
Show what fills the disk: registry, repository, version, with bars. What several apps
share stands once, beside the apps that share it, so that what is below an app is what
its removal frees, and all of it adds up to the whole cache.

In a terminal a bar has colours: blue for what one app needs, green for what several
share, yellow for what nothing needs, red for what is damaged. NO_COLOR=1 takes them away.""",
    cli.option(
        "--depth",
        type=cli.whole_number,
        default=3,
        metavar="N",
        help="levels below the cache: 1 registries, 2 repositories, 3 versions (default: %(default)s)",
    ),
    cli.option(
        "--top",
        type=cli.whole_number,
        default=8,
        metavar="N",
        help="the largest N parts of each place, 0 for all of them (default: %(default)s)",
    ),
    cli.PROJECTS,
    *cli.CACHE,
    examples=("tree", "tree --depth 2 --top 0"),
)
def tree(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb import frames
    from spincache_nb.analysis.tree import Tree

    cache = cli.cache_of(args)
    found = Tree(frames.load(cache, *_FRAMES, projects=args.projects, toolchains=False))
    lines = list(_lines(found, found.root, depth=args.depth, most=args.top, level=0))
    if output.as_json:
        output.document(lines)
    elif not found.root.size:
        output.note(f"nothing is stored in {cache.path}")
    else:
        _show(lines, found.root.size, output)
    return cli.DONE


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


def _show(lines: list[dict[str, Any]], total: int, output: cli.Output) -> None:
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
