"""``spincache-nb lab``: the notebooks, in JupyterLab."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spincache_nb.cli import cells
from spincache_nb.cli.command import Command
from spincache_nb.cli.output import Output
from spincache_nb.cli.servers import add_server, require, serve, server_options

if TYPE_CHECKING:
    from spincache_nb.demo.copies import CopiedFile

_DESCRIPTION = """\
Copy the notebooks that come along into a folder and start JupyterLab on them.

A notebook that was changed there is never overwritten; remove or rename it to get
it anew. Ctrl-C ends JupyterLab as always."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder",
        default="spincache-notebooks",
        metavar="DIR",
        help="where to copy them to (default: %(default)s)",
    )
    parser.add_argument("--copy-only", action="store_true", help="copy them and end")
    add_server(parser, server="JupyterLab")


def run(args: argparse.Namespace, output: Output) -> int:
    """Copy, say what became of each notebook, and become JupyterLab."""
    from pathlib import Path

    from spincache_nb.demo.copies import copy_notebooks

    if not args.copy_only:
        require("jupyterlab")
    folder = Path(args.folder).absolute()
    _say(copy_notebooks(folder), folder, output)
    if args.copy_only:
        return 0
    arguments = [f"--ServerApp.root_dir={folder}", *server_options(args, port="--ServerApp.port")]
    return serve("jupyterlab", arguments, {}, output)


def _say(files: Sequence[CopiedFile], folder: object, output: Output) -> None:
    shown = [one for one in files if one.path.suffix == ".ipynb"]
    counts = {what: sum(one.what == what for one in shown) for what in ("new", "updated", "same", "kept")}
    parts = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    output.line(f"{len(shown)} notebooks in {cells.text(folder)}: {parts}")
    for one in shown:
        if one.what == "kept":
            output.note(f"{one.path.name} was changed and stays as it is")


COMMAND = Command(
    "lab",
    "work with the notebooks, in JupyterLab",
    _DESCRIPTION,
    _arguments,
    run,
    ("lab", "lab --folder my-notebooks --no-browser", "lab -- --ip=0.0.0.0"),
)
