"""Starting Jupyter's servers: what lab and dashboard share."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from spincache_nb.cli.output import Output
from spincache_nb.errors import MissingExtraError


def add_server(parser: argparse.ArgumentParser, *, server: str) -> None:
    """Let the user say where the server listens, whether a browser opens, and whatever else it takes."""
    parser.add_argument("--port", type=_port, metavar="N", help="where it listens (default: as it likes)")
    parser.add_argument("--no-browser", action="store_true", help="open no browser; the address is printed")
    parser.add_argument(
        "options",
        nargs="*",
        metavar="OPTION",
        help=f"further options of {server}, after `--`, such as `-- --ip=0.0.0.0`",
    )


def require(module: str) -> None:
    """Make sure that an optional package is installed."""
    if importlib.util.find_spec(module) is None:
        raise MissingExtraError(
            "this Python", f"the package {module}", "none", "pip install 'spincache-nb[lab]' brings it along"
        )


def serve(module: str, arguments: Sequence[str], environment: Mapping[str, str], output: Output) -> int:
    """Run a server's module in place of this process, so that Ctrl-C and signals reach it."""
    command = [sys.executable, "-m", module, *arguments]
    variables = {**os.environ, **environment}
    output.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(sys.executable, command, variables)  # noqa: S606 - no shell is wanted
    return _wait_for(subprocess.Popen(command, env=variables))  # noqa: S603 - our own interpreter


def _wait_for(process: subprocess.Popen[bytes]) -> int:
    """Wait for a server that has the same console: its Ctrl-C is ours, too, and its to answer."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def server_options(args: argparse.Namespace, *, port: str) -> list[str]:
    """Give the server's own options for those of `add_server`; `port` is how it calls the port."""
    chosen = [f"{port}={args.port}"] if args.port is not None else []
    return [*chosen, *(["--no-browser"] if args.no_browser else []), *args.options]


def _port(text: str) -> int:
    """Parse a port, for argparse."""
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {text!r}")
    return number
