"""`main`: from what was typed to an exit status."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import NoReturn

from spincache_nb import __version__
from spincache_nb.cli import command as cli
from spincache_nb.errors import (
    InvalidDigestError,
    InvalidReferenceError,
    PullCancelled,
    SpinCacheError,
    printable,
)
from spincache_nb.show import error_text

DEBUG_VARIABLE = "SPINCACHE_DEBUG"
"""Environment variable that does what ``--debug`` does, unless it is empty or 0."""
_GROUPS = {
    "see": {
        "demo": ("serve", "see it all work, offline, on demo apps"),
        "path": ("overview", "print where Spin's cache is"),
        "doctor": ("overview", "look for what would keep a pull from working"),
        "tree": ("overview", "show what fills the disk, as a tree with bars"),
        "apps": ("look", "list the apps in the cache"),
        "layers": ("look", "list the layers of cached apps"),
        "blobs": ("look", "list the stored files and who needs them"),
        "problems": ("look", "list what is wrong with the cache"),
        "history": ("look", "list the pulls made on this machine"),
        "sharing": ("look", "show what apps share and what that saves"),
        "savings": ("look", "show what each new version costs"),
        "report": ("many", "write a page about the cache, or fail under thresholds"),
    },
    "fetch": {
        "plan": ("fetch", "say what a pull would fetch, without fetching it"),
        "pull": ("fetch", "fetch apps into the cache"),
        "pull-sources": ("fetch", "fetch what a project's spin.toml names"),
    },
    "look after": {
        "verify": ("change", "hash everything stored and list what is damaged"),
        "repair": ("change", "fetch again what is damaged or missing"),
        "remove": ("change", "remove apps and what only they need"),
        "prune": ("change", "remove what nothing needs"),
        "clear": ("change", "remove the whole cache"),
        "export": ("change", "write apps of the cache to one file"),
        "import": ("change", "store apps of such a file in the cache"),
    },
    "many machines": {
        "snapshot": ("many", "write what the cache holds, to look at many hosts"),
        "crawl": ("many", "write what a registry holds, from its manifests"),
    },
    "in a browser": {
        "lab": ("serve", "work with the notebooks, in JupyterLab"),
        "dashboard": ("serve", "show the panel in a browser, without a notebook"),
    },
}
"""Commands as the help lists them, each with the module that declares it and what it does."""
_MODULES = {name: module for group in _GROUPS.values() for name, (module, _) in group.items()}
_DESCRIPTION = """\
See, fill and look after the Spin registry cache.

`spincache-nb demo` shows all of it on apps that come along, offline and away from
your own cache."""
_EPILOG = """\
exit status:
  0 done, 1 a finding (such as damage), 2 wrong usage, 3 it could not be done,
  130 interrupted

environment:
  SPINCACHE_DEBUG=1        the same as --debug
  SPINCACHE_HISTORY=off    record no pulls
  SPINCACHE_STATE_DIR=DIR  keep the record of pulls there
  COLUMNS=N                width of tables; default: the terminal's
  NO_COLOR=1               no colour, wherever it comes from"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command."""
    _make_streams_usable()
    args = None
    try:
        parser = build_parser(_named(sys.argv[1:] if argv is None else argv))
        args = parser.parse_args(argv)
        if args.command is None:
            parser.print_help()
            return 0
        output = cli.Output(as_json=getattr(args, "as_json", False))
        with _told(debug=_debug(args)):
            status: int = args.command.run(args, output)
            output.flush()
        return status
    except SystemExit as exc:  # argparse: --help, --version, wrong usage
        return exc.code if isinstance(exc.code, int) else 0
    except (Exception, KeyboardInterrupt) as exc:  # noqa: BLE001 - the one place where all faults end
        if _debug(args):
            traceback.print_exception(exc)
        name = f"{cli.PROGRAM} {args.command.name}" if args is not None else cli.PROGRAM
        cli.say(f"{name}: {line_of(exc)}")
        return status_of(exc)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Breaks paragraphs into lines, but keeps lines that are indented, such as examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = (self._fill(paragraph, width, indent) for paragraph in text.split("\n\n"))
        return "\n\n".join(paragraphs)

    @staticmethod
    def _fill(paragraph: str, width: int, indent: str) -> str:
        if "\n " in paragraph:
            return "\n".join(indent + line for line in paragraph.splitlines())
        import textwrap

        return textwrap.fill(
            paragraph, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and what was perhaps meant."""

    def error(self, message: str) -> NoReturn:
        self.exit(cli.USAGE, f"{printable(f'{self.prog}: {message}; see `{self.prog} --help`')}\n")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in _MODULES:
            import difflib

            near = difflib.get_close_matches(str(value), _MODULES, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise argparse.ArgumentError(None, f"there is no command {value!r}{meant}")
        super()._check_value(action, value)


def _named(argv: Sequence[str]) -> str | None:
    """Give the command that comes first, if it is one: only its module has to be loaded then."""
    word = next((word for word in argv if not word.startswith("-")), "")
    return word if word in _MODULES else None


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Build the parser of the whole command line, or of one command."""
    names = [only] if only else [*_MODULES]
    for name in names:
        importlib.import_module(f"spincache_nb.cli.{_MODULES[name]}")
    parser = _Parser(
        prog=cli.PROGRAM,
        usage=f"{cli.PROGRAM} [-h] [--version] [--debug] COMMAND ...",
        description=_DESCRIPTION,
        epilog="" if only else f"{_listed()}\n\n{_EPILOG}",
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    version = f"{cli.PROGRAM} {__version__}"
    parser.add_argument("--version", action="version", version=version, help="show the version and end")
    _add_debug(parser, default=False)
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND", prog=cli.PROGRAM, help=argparse.SUPPRESS)
    for name in names:
        _add_command(commands, cli.COMMANDS[name])
    return parser


def _listed() -> str:
    """All commands with what they do, grouped."""
    return "\n\n".join(
        "\n".join([f"{group}:", *(f"  {name:<13} {summary}" for name, (_, summary) in commands.items())])
        for group, commands in _GROUPS.items()
    )


def _add_command(commands: argparse._SubParsersAction[_Parser], command: cli.Command) -> None:
    examples = "\n".join(f"  {cli.PROGRAM} {line}" for line in command.examples)
    own = commands.add_parser(
        command.name,
        description=command.description,
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    own.set_defaults(command=command)
    for add in command.options:
        add(own)
    _add_debug(own, default=argparse.SUPPRESS)


def _add_debug(parser: argparse.ArgumentParser, *, default: bool | str) -> None:
    parser.add_argument(
        "--debug", action="store_true", default=default, help="show where an error came from, and log more"
    )


def status_of(fault: BaseException) -> int:
    """Say with which status a command ends."""
    if isinstance(fault, KeyboardInterrupt | PullCancelled):
        return cli.INTERRUPTED
    if isinstance(fault, cli.UsageError | InvalidReferenceError | InvalidDigestError):
        return cli.USAGE
    return cli.FAILED


def line_of(fault: BaseException) -> str:
    """Say what happened in one line."""
    if isinstance(fault, KeyboardInterrupt):
        return "interrupted"
    if isinstance(fault, SpinCacheError | cli.UsageError):
        return _escaped(cli.in_a_shell(str(fault)))
    if isinstance(fault, OSError) and fault.strerror:
        return error_text(fault)
    named = f"{type(fault).__name__}: {fault}"
    return f"unexpected {printable(named)}; `--debug` shows where, please report it"


def _escaped(text: str) -> str:
    """Escape what is not printable, without cutting: the remedy stands at the end."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _debug(args: argparse.Namespace | None) -> bool:
    return (args is not None and args.debug) or os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def _make_streams_usable() -> None:
    """Take a closed stream for the null device; write what an encoding lacks as escapes, rather than fail."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, io.open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, UP020
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _told(*, debug: bool) -> Iterator[None]:
    """Print on standard error each warning as one line, and what this package logs: all with ``--debug``."""

    def show(message: Warning | str, *_details: object, **_more: object) -> None:
        cli.say(f"{cli.PROGRAM}: warning: {printable(str(message))}")

    previous, warnings.showwarning = warnings.showwarning, show
    logger = logging.getLogger("spincache_nb")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(f"{cli.PROGRAM}: %(levelname)s: %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        yield
    finally:
        warnings.showwarning = previous
        logger.removeHandler(handler)
        logger.setLevel(level)


class _OneLine(logging.Formatter):
    """A record is one printable line, its level in small letters."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record).replace(f": {record.levelname}: ", f": {record.levelname.lower()}: ", 1)
        return line if record.exc_info else printable(line)
