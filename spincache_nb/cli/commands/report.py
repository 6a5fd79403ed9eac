"""``spincache-nb report``: a page about the cache, and thresholds for CI."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from spincache_nb.cli.command import DONE, FINDING, Command, UsageError
from spincache_nb.cli.options import add_cache_dir, add_projects, cache_of
from spincache_nb.cli.output import Output
from spincache_nb.cli.removals import size_in_bytes

if TYPE_CHECKING:
    from spincache_nb.report import FleetMaterial, Material

PAGE = "dedup.html"
"""The page, if no other name is given."""

_DESCRIPTION = """\
Write one self-contained HTML page about the cache: what is stored, what is shared, what
each new version costs, what could be freed, what is wrong. It needs no network and no
script, and prints well. The same as Markdown or JSON goes to standard output unless a
FILE is given.

With --fleet, a page about many caches, or registries, from the dataset that
`spincache-nb snapshot` and `spincache-nb crawl` write: hosts, what they have in common,
what one cache for all would save, versions that sit on one host only.

With thresholds, the report is written in any case, and the exit status is 1 if one of
them is missed; standard error says which."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help=f"where to write; what is there is replaced, - is standard output (default: {PAGE}, for HTML)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="Markdown instead of HTML: words and tables")
    form.add_argument("--json", action="store_true", help="JSON instead of HTML: all numbers")
    parser.add_argument("--title", metavar="TEXT", help="heading of the report")
    parser.add_argument(
        "--inside",
        action="store_true",
        help="also say what is repeated within files, and which new binaries are new code; reads every byte",
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="also write the tables into DIR, a file each: Parquet, or CSV where pyarrow is not installed",
    )
    parser.add_argument(
        "--fleet", metavar="TARGET", help="about the snapshots in this folder or at this address instead"
    )
    limits = parser.add_argument_group("thresholds")
    limits.add_argument(
        "--fail-under-dedup",
        type=_ratio,
        metavar="RATIO",
        help="fail if the bytes that the apps need are less than RATIO times the bytes stored, such as 1.5",
    )
    limits.add_argument(
        "--fail-over-unreferenced",
        type=size_in_bytes,
        metavar="SIZE",
        help="fail if more than SIZE is stored that nothing needs, such as 200MiB",
    )
    limits.add_argument("--fail-on-problems", action="store_true", help="fail if anything is wrong")
    add_projects(parser)
    add_cache_dir(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Write the report; status 1 if a threshold is missed."""
    from spincache_nb import report

    form = report.form_of(args.file, "markdown" if args.markdown else "json" if args.json else None)
    material = _gather(args) if args.fleet is None else _gather_fleet(args)
    text = report.render(material, title=args.title, format=form)
    _write(text, args.file if args.file is not None else PAGE if form == "html" else "-", output)
    if args.data is not None:
        written = report.write_frames(material, args.data)
        output.note(f"wrote {len(written)} tables into {args.data}")
    missed = _missed(material, args)
    for reason in missed:
        output.note(f"spincache-nb report: {reason}")
    return FINDING if missed else DONE


def _gather(args: argparse.Namespace) -> Material:
    from spincache_nb import report

    return report.gather(cache_of(args), projects=args.projects, inside=args.inside)


def _gather_fleet(args: argparse.Namespace) -> FleetMaterial:
    from spincache_nb import fleet, report

    given = {"--cache-dir": args.cache_dir is not None, "--project": args.projects, "--inside": args.inside}
    for option in [name for name, is_given in given.items() if is_given]:
        raise UsageError(f"--fleet: a report about snapshots takes no {option}")
    if not args.fleet:
        raise UsageError("--fleet: expected a folder or an address, got nothing")
    with fleet.open(args.fleet) as opened:
        return report.gather_fleet(opened)


def _write(text: str, target: str, output: Output) -> None:
    if target == "-":
        for line in text.splitlines():
            output.line(line)
        return
    from pathlib import Path

    if Path(target).is_dir():
        raise UsageError(f"expected a file to write, but {target} is a folder")
    path = Path(target).absolute()
    path.write_text(text, encoding="utf-8", newline="\n")
    output.path(path)


def _missed(material: Material | FleetMaterial, args: argparse.Namespace) -> list[str]:
    from spincache_nb.report import shortfalls

    limits: dict[str, Any] = {
        "least_dedup": args.fail_under_dedup,
        "most_unreferenced_bytes": args.fail_over_unreferenced,
        "no_problems": args.fail_on_problems,
    }
    return shortfalls(material.summary, **limits)


def _ratio(text: str) -> float:
    """Parse a ratio, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number such as 1.5, got {text!r}")
    return number


COMMAND = Command(
    "report",
    "write a page about the cache, or fail under thresholds",
    _DESCRIPTION,
    _arguments,
    run,
    (
        "report",
        "report sharing.md --project ~/src/my-app",
        "report --json | jq .summary",
        "report fleet.html --fleet s3://bucket/fleet",
        "report --fail-under-dedup 1.5 --fail-over-unreferenced 200MiB",
    ),
)
