"""``spincache-nb import``: apps of an OCI image layout into the cache."""

from __future__ import annotations

import argparse

from spincache_nb.cli.command import DONE, Command, UsageError
from spincache_nb.cli.commands.plan import plan_record
from spincache_nb.cli.options import add_cache_dir, add_json, cache_of
from spincache_nb.cli.output import Output
from spincache_nb.cli.tables import reference_column, size_column

_DESCRIPTION = """\
Store the apps of an OCI image layout in the cache as a pull from a registry would:
a tar file of `spincache-nb export`, of skopeo (oci-archive:FILE) or of oras, or a
folder. Every blob is checked against its digest. Nothing is asked of a network."""
_COLUMNS = (
    reference_column(),
    size_column("total_bytes", "TOTAL"),
    size_column("reused_bytes", "REUSED"),
    size_column("fetch_bytes", "STORED"),
)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="an uncompressed tar file, or a folder")
    parser.add_argument(
        "--name",
        dest="names",
        action="append",
        default=[],
        metavar="NAME=REFERENCE",
        help="what an app of the file is called, where it says no more than a tag; may be repeated",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_cache_dir(parser)
    add_json(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Import, and print what came."""
    from spincache_nb.core.transfer import import_

    names = dict(_pair(text) for text in args.names)
    results = import_(cache_of(args), args.file, names=names, progress=None if args.quiet else True)
    records = [plan_record(result) for result in results]
    if output.as_json:
        output.document(records)
    else:
        output.table(records, _COLUMNS)
    return DONE


def _pair(text: str) -> tuple[str, str]:
    name, equals, reference = text.partition("=")
    if not (name and equals and reference):
        raise UsageError(f"--name {text}: expected NAME=REFERENCE, such as v1=ghcr.io/org/app:v1")
    return name, reference


COMMAND = Command(
    "import",
    "store apps of such a file in the cache",
    _DESCRIPTION,
    _arguments,
    run,
    ("import apps.tar", "import from-skopeo.tar --name v1=ghcr.io/org/app:v1"),
)
