"""`main`: from what was typed to an exit status."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence

from spincache_nb.cli.faults import line_of, status_of
from spincache_nb.cli.output import PROGRAM, Output
from spincache_nb.cli.parser import build_parser
from spincache_nb.errors import printable

DEBUG_VARIABLE = "SPINCACHE_DEBUG"
"""Environment variable that does what ``--debug`` does, unless it is empty or 0."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command."""
    _make_streams_lenient()
    args = None
    try:
        args = build_parser().parse_args(argv)
        output = Output(as_json=getattr(args, "as_json", False))
        with _plain_warnings(), _logging(debug=_debug(args)):
            status: int = args.command.run(args, output)
            output.flush()
        return status
    except SystemExit as exc:  # argparse: --help, --version, wrong usage
        return exc.code if isinstance(exc.code, int) else 0
    except (Exception, KeyboardInterrupt) as exc:  # noqa: BLE001 - the one place where all faults end
        return _report(exc, args)


def _report(fault: BaseException, args: argparse.Namespace | None) -> int:
    if _debug(args):
        traceback.print_exception(fault)
    name = f"{PROGRAM} {args.command.name}" if args is not None else PROGRAM
    _say(f"{name}: {line_of(fault)}")
    return status_of(fault)


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _debug(args: argparse.Namespace | None) -> bool:
    asked = bool(args is not None and args.debug)
    return asked or os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def _make_streams_lenient() -> None:
    """Write what a stream's encoding lacks as escapes, rather than fail on it."""
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print each warning as one line without source code."""
    previous = warnings.showwarning

    def show(message: Warning | str, *_details: object, **_more: object) -> None:
        _say(f"{PROGRAM}: warning: {printable(str(message))}")

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = previous


@contextlib.contextmanager
def _logging(*, debug: bool) -> Iterator[None]:
    """Show what this package logs on standard error: warnings, or everything with ``--debug``."""
    logger = logging.getLogger("spincache_nb")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(f"{PROGRAM}: %(levelname)s: %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _OneLine(logging.Formatter):
    """A record is one printable line, its level in small letters."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record).replace(f": {record.levelname}: ", f": {record.levelname.lower()}: ", 1)
        return line if record.exc_info else printable(line)
