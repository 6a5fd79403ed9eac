"""Commands that write what is looked at elsewhere: a report, a snapshot of a cache, a crawl."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from spincache_nb import show
from spincache_nb.cli import command as cli

if TYPE_CHECKING:
    from spincache_nb.fleet import Snapshot
    from spincache_nb.report import FleetMaterial, Material

_PAGE = "dedup.html"
_SECONDS_BETWEEN_NOTES = 5.0


_STORAGE = cli.option(
    "--storage-option",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="handed to fsspec, such as endpoint_url=http://127.0.0.1:9000; may be repeated",
)


def _storage(args: argparse.Namespace) -> dict[str, str] | None:
    """What fsspec is handed, of the options given."""
    pairs = [text.partition("=") for text in args.storage_option]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise cli.UsageError("--storage-option: expected KEY=VALUE, got something else")
    return {key: value for key, _, value in pairs} or None


def _form(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="Markdown instead of HTML: words and tables")
    form.add_argument("--json", action="store_true", help="JSON instead of HTML: all numbers")


def _thresholds(parser: argparse.ArgumentParser) -> None:
    limits = parser.add_argument_group("thresholds")
    limits.add_argument(
        "--fail-under-dedup",
        type=cli.ratio,
        metavar="RATIO",
        help="fail if the bytes that the apps need are less than RATIO times the bytes stored, such as 1.5",
    )
    limits.add_argument(
        "--fail-over-unreferenced",
        type=cli.size_in_bytes,
        metavar="SIZE",
        help="fail if more than SIZE is stored that nothing needs, such as 200MiB",
    )
    limits.add_argument("--fail-on-problems", action="store_true", help="fail if anything is wrong")


@cli.command(
    """\
Write one self-contained HTML page about the cache: what stands out, what is shared, what
each new version costs, what could be freed, what is wrong. It needs no network, sorts and
filters its tables, and prints well. The same as Markdown or JSON goes to standard output unless a
FILE is given.

With --fleet, a page about many caches, or registries, from the dataset that
`spincache-nb snapshot` and `spincache-nb crawl` write: hosts, what they have in common,
what one cache for all would save, versions that sit on one host only.

With thresholds, the report is written in any case, and the exit status is 1 if one of
them is missed; standard error says which.""",
    cli.option(
        "file",
        nargs="?",
        metavar="FILE",
        help=f"file or address (s3://...) to write, - for standard output (default: {_PAGE}, for HTML)",
    ),
    _form,
    cli.option("--title", metavar="TEXT", help="heading of the report"),
    cli.option("--host", metavar="NAME", help="what this machine is called, to stand beside the date"),
    cli.option("--since", metavar="FILE", help="an earlier report, HTML or JSON: say what changed since"),
    cli.option(
        "--inside",
        action="store_true",
        help="also say what is repeated within files, and which new binaries are new code; reads every byte",
    ),
    cli.option(
        "--data",
        metavar="DIR",
        help="also write the tables into DIR, a file each: Parquet, or CSV where pyarrow is not installed",
    ),
    cli.option(
        "--fleet", metavar="TARGET", help="about the snapshots in this folder or at this address instead"
    ),
    _STORAGE,
    _thresholds,
    cli.PROJECTS,
    cli.CACHE_DIR,
    examples=(
        "report",
        "report today.html --since yesterday.html",
        "report sharing.md --project ~/src/my-app",
        "report --json | jq .summary",
        "report fleet.html --fleet s3://bucket/fleet",
        "report --fail-under-dedup 1.5 --fail-over-unreferenced 200MiB",
    ),
)
def report(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb import report

    form = report.form_of(args.file, "markdown" if args.markdown else "json" if args.json else None)
    material = _material(args) if args.fleet is None else _fleet_material(args)
    text = report.render(material, title=args.title, format=form)
    _write(text, args.file if args.file is not None else _PAGE if form == "html" else "-", args, output)
    if args.data is not None:
        written = report.write_frames(material, args.data)
        kind = "Parquet" if written[0].suffix == ".parquet" else "CSV"
        output.note(f"wrote {len(written)} tables as {kind} into {args.data}")
    missed = report.shortfalls(
        material.summary,
        least_dedup=args.fail_under_dedup,
        most_unreferenced_bytes=args.fail_over_unreferenced,
        no_problems=args.fail_on_problems,
    )
    for reason in missed:
        output.note(f"spincache-nb report: {reason}")
    return cli.FINDING if missed else cli.DONE


def _material(args: argparse.Namespace) -> Material:
    from spincache_nb import report

    return report.gather(
        cli.cache_of(args), projects=args.projects, inside=args.inside, host=args.host, since=args.since
    )


def _fleet_material(args: argparse.Namespace) -> FleetMaterial:
    from spincache_nb import fleet, report

    given = {
        "--cache-dir": args.cache_dir is not None,
        "--project": args.projects,
        "--inside": args.inside,
        "--since": args.since,
    }
    for name in [name for name, is_given in given.items() if is_given]:
        raise cli.UsageError(f"--fleet: a report about snapshots takes no {name}")
    if not args.fleet:
        raise cli.UsageError("--fleet: expected a folder or an address, got nothing")
    with fleet.open(args.fleet, storage_options=_storage(args)) as opened:
        return report.gather_fleet(opened, host=args.host)


def _write(text: str, target: str, args: argparse.Namespace, output: cli.Output) -> None:
    from spincache_nb.report import save

    if target == "-":
        for line in text.splitlines():
            output.line(line)
        return
    if "://" in target:
        from spincache_nb.fleet.place import Place

        folder, _, name = target.rpartition("/")
        place = Place(folder, _storage(args))
        place.write(text.encode(), name)
        output.line(show.plain(f"{place}/{name}"))
        return
    path = Path(target).absolute()
    if path.is_dir():
        raise cli.UsageError(f"expected a file to write, but {target} is a folder")
    output.path(save(text, path))


_TARGET = cli.option("target", metavar="TARGET", help="folder or address of the dataset")


@cli.command(
    """\
Write what the cache holds as Parquet files, one snapshot per host and day, into
a folder or to any address that fsspec understands, such as s3://bucket/fleet.
Many hosts write into one target; `sc.fleet.open` analyses them together.

No content, variable or path of this machine is written. Without --host a hash
of this machine's name stands for it, which whoever knows the name can guess;
with --salt-file a keyed hash does.

With --layout or --containerd, what an image store holds instead: Spin apps in an OCI
image layout, or in containerd's own folder. It is only read.

Needs: pip install "spincache-nb[fleet]\"""",
    _TARGET,
    cli.option("--host", metavar="NAME", help="what to call this host"),
    cli.option(
        "--salt-file",
        metavar="FILE",
        help="a secret of yours, with which the host's name is hashed; its first line counts",
    ),
    cli.option("--layout", metavar="DIR", help="the Spin apps of this OCI image layout instead of a cache"),
    cli.option(
        "--containerd", metavar="DIR", help="those in containerd's folder, such as /var/lib/containerd"
    ),
    cli.option("--textfile", metavar="FILE", help="also write the sums into FILE, for Prometheus"),
    _STORAGE,
    cli.PROJECTS,
    *cli.CACHE,
    examples=(
        "snapshot /mnt/fleet --host node-17",
        "snapshot s3://bucket/fleet --salt-file /etc/fleet.salt",
        "snapshot s3://bucket/fleet --containerd /var/lib/containerd",
    ),
)
def snapshot(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb.fleet import snapshot, snapshot_images

    if args.host is not None and not args.host.strip():
        raise cli.UsageError("--host: expected a name, got nothing")
    salt = _salt(args.salt_file) if args.salt_file is not None else None
    common = {"host": args.host, "salt": salt, "textfile": args.textfile, "storage_options": _storage(args)}
    store = args.layout or args.containerd
    if store is None:
        taken = snapshot(cli.cache_of(args), args.target, projects=args.projects, **common)
    elif args.projects or args.cache_dir or (args.layout and args.containerd):
        raise cli.UsageError(
            "--layout and --containerd name what to look at: expected one of them, and no cache"
        )
    else:
        taken = snapshot_images(store, args.target, **common)
    _show_written(taken, "snapshot", "host", output)
    return cli.DONE


def _salt(path: str) -> bytes:
    salt = Path(path).read_bytes().partition(b"\n")[0].strip()
    if not salt:
        raise cli.UsageError(f"--salt-file: {path} is empty")
    return salt


def _show_written(taken: Snapshot, what: str, whose: str, output: cli.Output) -> None:
    """Say what was written where: a snapshot of a host, or a crawl of a registry."""
    if output.as_json:
        output.document({**asdict(taken), "day": taken.day.isoformat()})
        return
    rows = f"{taken.row_count} rows, {show.size_text(taken.size_bytes)}"
    done = "wrote" if taken.written else "nothing new: there already is"
    where = f"{whose} {taken.host}, {taken.day.isoformat()}, in {taken.target}"
    output.line(show.plain(f"{done} a {what} of {rows}: {where}"))


@cli.command(
    """\
Write what a registry holds as Parquet files, beside the snapshots of caches or in a
folder of its own: lists of tags and manifests are fetched, no layer is. Without a
REPOSITORY, all that the registry lists; many public ones offer no such list.

It waits when the registry asks it to, and then goes on at half the pace. A crawl that
was stopped, killed even, goes on where it was: run it again. What cannot be had is
listed in the crawl as a problem.

Needs: pip install "spincache-nb[fleet]\"""",
    cli.option("registry", metavar="REGISTRY", help="host and port, such as ghcr.io"),
    _TARGET,
    cli.option("repositories", nargs="*", metavar="REPOSITORY", help="such as org/app"),
    cli.option(
        "--per-second",
        type=cli.rate,
        metavar="N",
        help="most requests in a second (default: no limit of ours)",
    ),
    _STORAGE,
    cli.option(
        "--anew", action="store_true", help="begin today's anew, do not go on with one of another day"
    ),
    cli.QUIET,
    cli.threads("requests at a time (default: 4)"),
    cli.JSON,
    cli.registry,
    examples=(
        "crawl ghcr.io /mnt/registry org/app org/site --per-second 5",
        "crawl registry.example:5000 s3://bucket/registry --jobs 8",
    ),
)
def crawl(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb.fleet import crawl

    taken = crawl(
        args.registry,
        args.repositories or None,
        args.target,
        per_second=args.per_second,
        resume=not args.anew,
        progress=None if args.quiet else _told_now_and_then(output),
        storage_options=_storage(args),
        **cli.registry_options(args),
    )
    _show_written(taken, "crawl", "registry", output)
    return cli.DONE


def _told_now_and_then(output: cli.Output) -> Callable[[int], None]:
    """Say how far it is: in lines, since nobody knows how many manifests there are."""
    said_at = time.monotonic()

    def tell(count: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= _SECONDS_BETWEEN_NOTES:
            said_at = time.monotonic()
            output.note(f"{count} manifests so far")

    return tell
