"""All commands as one argparse parser."""

from __future__ import annotations

import argparse
import textwrap
from typing import NoReturn

from spincache_nb.cli.command import USAGE, Command
from spincache_nb.cli.commands import COMMANDS
from spincache_nb.cli.output import PROGRAM
from spincache_nb.errors import printable

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
  COLUMNS=N                width of tables; default: the terminal's"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Breaks paragraphs into lines, but keeps lines that are indented, such as examples."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):  # whose lines are indented once more
            self._action_max_length += self._indent_increment

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = (self._fill(paragraph, width, indent) for paragraph in text.split("\n\n"))
        return "\n\n".join(paragraphs)

    @staticmethod
    def _fill(paragraph: str, width: int, indent: str) -> str:
        if "\n " in paragraph:
            return "\n".join(indent + line for line in paragraph.splitlines())
        return textwrap.fill(
            paragraph, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{printable(f'{self.prog}: {message}; see `{self.prog} --help`')}\n")


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line."""
    parser = _Parser(
        prog=PROGRAM,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version)
    _add_debug(parser, default=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, prog=PROGRAM)
    for command in COMMANDS:
        _add_command(commands, command)
    return parser


def _add_command(commands: argparse._SubParsersAction[_Parser], command: Command) -> None:
    examples = "\n".join(f"  {PROGRAM} {line}" for line in command.examples)
    own = commands.add_parser(
        command.name,
        help=command.summary,
        description=command.description,
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    own.set_defaults(command=command)
    command.arguments(own)
    _add_debug(own, default=argparse.SUPPRESS)


def _add_debug(parser: argparse.ArgumentParser, *, default: bool | str) -> None:
    parser.add_argument(
        "--debug", action="store_true", default=default, help="show where an error came from, and log more"
    )


class _Version(argparse.Action):
    """Prints versions; loads what it needs only then."""

    def __init__(self, option_strings: list[str], dest: str = argparse.SUPPRESS, **_options: object) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and end")

    def __call__(self, parser: argparse.ArgumentParser, *_arguments: object, **_options: object) -> None:
        from spincache_nb import __version__

        print(f"{PROGRAM} {__version__}")
        parser.exit()
