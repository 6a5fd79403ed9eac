"""``spincache-nb snapshot``: what this cache holds, for somebody who looks at many."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from spincache_nb.cli import cells
from spincache_nb.cli.command import DONE, Command, UsageError
from spincache_nb.cli.options import add_cache_dir, add_json, add_projects, cache_of
from spincache_nb.cli.output import Output

if TYPE_CHECKING:
    from spincache_nb.fleet import Snapshot

_DESCRIPTION = """\
Write what the cache holds as Parquet files, one snapshot per host and day, into
a folder or to any address that fsspec understands, such as s3://bucket/fleet.
Many hosts write into one target; `sc.fleet.open` analyses them together.

No content, variable or path of this machine is written. Without --host a hash
of this machine's name stands for it, which whoever knows the name can guess;
with --salt-file a keyed hash does.

Needs: pip install "spincache-nb[fleet]\""""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="folder or address of the dataset")
    parser.add_argument("--host", metavar="NAME", help="what to call this host")
    parser.add_argument(
        "--salt-file",
        metavar="FILE",
        help="a secret of yours, with which the host's name is hashed; its first line counts",
    )
    add_projects(parser)
    add_cache_dir(parser)
    add_json(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Write the snapshot and say where."""
    from spincache_nb.fleet import snapshot

    if args.host is not None and not args.host.strip():
        raise UsageError("--host: expected a name, got nothing")
    salt = _salt(args.salt_file) if args.salt_file is not None else None
    taken = snapshot(cache_of(args), args.target, host=args.host, salt=salt, projects=args.projects)
    show_written(taken, "snapshot", "host", output)
    return DONE


def show_written(taken: Snapshot, what: str, whose: str, output: Output) -> None:
    """Say what was written where: a snapshot of a host, or a crawl of a registry."""
    if output.as_json:
        document = asdict(taken)
        output.document({**document, "day": taken.day.isoformat()})
        return
    rows = f"{taken.row_count} rows, {cells.size(taken.size_bytes)}"
    done = "wrote" if taken.written else "nothing new: there already is"
    where = f"{whose} {taken.host}, {taken.day.isoformat()}, in {taken.target}"
    output.line(cells.text(f"{done} a {what} of {rows}: {where}"))


def _salt(path: str) -> bytes:
    salt = Path(path).read_bytes().partition(b"\n")[0].strip()
    if not salt:
        raise UsageError(f"--salt-file: {path} is empty")
    return salt


COMMAND = Command(
    "snapshot",
    "write what the cache holds, to look at many hosts",
    _DESCRIPTION,
    _arguments,
    run,
    ("snapshot /mnt/fleet --host node-17", "snapshot s3://bucket/fleet --salt-file /etc/fleet.salt"),
)
