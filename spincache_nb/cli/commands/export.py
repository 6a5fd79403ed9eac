"""``spincache-nb export``: apps of the cache as one file, to carry across an air gap."""

from __future__ import annotations

import argparse

from spincache_nb.cli import cells
from spincache_nb.cli.command import DONE, Command
from spincache_nb.cli.options import add_cache_dir, add_json, add_references, cache_of
from spincache_nb.cli.output import Output

_DESCRIPTION = """\
Write apps of the cache to one tar file, an OCI image layout that skopeo and oras
read too; `spincache-nb import` reads it on the other side. Every blob is checked
against its digest on the way.

Nothing is invented: an app whose manifest Spin may have written anew is refused
unless --rewritten says to take it as it is stored."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_references(parser, what="an app of the cache, as `spincache-nb apps` names it")
    parser.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="the tar file; it appears when it is whole"
    )
    parser.add_argument(
        "--rewritten",
        action="store_true",
        help="also take apps whose manifest may not be the registry's own bytes",
    )
    add_cache_dir(parser)
    add_json(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Export, and print what is in the file."""
    from spincache_nb.core.transfer import export

    exported = export(cache_of(args), args.references, args.output, rewritten=args.rewritten)
    if output.as_json:
        output.document(
            {
                "path": str(exported.path),
                "stored_bytes": exported.stored_bytes,
                "apps": [
                    {
                        "reference": reference,
                        "manifest_digest": digest,
                        "rewritten": reference in exported.rewritten,
                    }
                    for reference, digest in exported.references.items()
                ],
            }
        )
        return DONE
    for reference in exported.references:
        note = " (its manifest as Spin wrote it)" if reference in exported.rewritten else ""
        output.line(cells.text(reference) + note)
    output.line(f"{cells.size(exported.stored_bytes)} in {cells.text(str(exported.path))}")
    return DONE


COMMAND = Command(
    "export",
    "write apps of the cache to one file",
    _DESCRIPTION,
    _arguments,
    run,
    ("export ghcr.io/org/app:v1 -o apps.tar",),
)
