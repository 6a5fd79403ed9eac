"""What a command is, and the options that several commands take."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spincache_nb.cli.output import Output

if TYPE_CHECKING:
    from spincache_nb.core.cache import Cache

DONE, FINDING, USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130
_PASSWORD_BYTES = 1 << 16

Group = Literal["see", "fetch", "look after", "many machines", "in a browser"]
Options = Callable[[argparse.ArgumentParser], object]
Run = Callable[[argparse.Namespace, Output], int]


class UsageError(Exception):
    """What was typed makes no sense, in one sentence; the exit status is 2."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its place in the help, its options, and the function that runs it."""

    name: str
    group: Group
    summary: str
    description: str
    options: tuple[Options, ...]
    examples: tuple[str, ...]
    run: Run


COMMANDS: dict[str, Command] = {}
"""All commands by name, in the order in which they are declared."""


def command(
    name: str, group: Group, summary: str, description: str, *options: Options, examples: tuple[str, ...] = ()
) -> Callable[[Run], Run]:
    """Declare the function below as a command."""

    def declare(run: Run) -> Run:
        COMMANDS[name] = Command(name, group, summary, description, options, examples, run)
        return run

    return declare


# ---------------------------------------------------------------- values, for argparse

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([KMGTP])(i?)B?|B)?", re.IGNORECASE)


def size_in_bytes(text: str) -> int:
    """Parse a size in any form that this tool prints, such as 500MiB or 1.5GiB."""
    match = _SIZE.fullmatch(text.strip()) if text.isascii() else None
    if match is None or ("." in match[1] and match[2] is None):
        raise argparse.ArgumentTypeError(f"expected a size such as 500MiB or 1.5GiB, got {text!r}")
    number, unit, binary = match.groups()
    if unit is None:
        return int(number)
    decimal = not binary and text.strip()[-1] in "bB"
    factor = int((1000 if decimal else 1024) ** ("KMGTP".index(unit.upper()) + 1))
    whole, _, fraction = number.partition(".")
    return int(whole) * factor + int(fraction or 0) * factor // int(10 ** len(fraction))


def whole_number(text: str) -> int:
    """Parse a number that is not negative."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def at_least_one(text: str) -> int:
    """Parse how much is done at a time."""
    return _within(text, 1000, "a number")


def port(text: str) -> int:
    """Parse a TCP port."""
    return _within(text, 65535, "a port")


def _within(text: str, most: int, what: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= most:
        raise argparse.ArgumentTypeError(f"expected {what} from 1 to {most}, got {text!r}")
    return number


def ratio(text: str) -> float:
    """Parse a ratio that is not negative."""
    return _number(text, "1.5", least=0)


def rate(text: str) -> float:
    """Parse a number of requests in a second."""
    return _number(text, "2 or 0.5", least=5e-324)


def _number(text: str, example: str, *, least: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not least <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number such as {example}, got {text!r}")
    return number


# ---------------------------------------------------------------- options


def option(*names: str, **settings: Any) -> Options:
    """Declare one option or argument, as `argparse.ArgumentParser.add_argument` takes it."""
    return lambda parser: parser.add_argument(*names, **settings)


def references(count: str, what: str) -> Options:
    """References of apps or packages."""
    return option("references", nargs=count, metavar="REFERENCE", help=what)


def threads(what: str) -> Options:
    """How much is done at a time."""
    return option("--jobs", type=at_least_one, metavar="N", help=what)


CACHE_DIR = option(
    "--cache-dir",
    metavar="DIR",
    help="directory that holds `registry`, as for Spin's --cache-dir; default: this user's Spin cache",
)
JSON = option(
    "--json",
    dest="as_json",
    action="store_true",
    help="one JSON document: sizes in bytes, times as ISO 8601 in UTC",
)
PROJECTS = option(
    "--project",
    dest="projects",
    action="append",
    default=[],
    metavar="PATH",
    help="a spin.toml, or a folder with one, whose sources count as needed, too; may be repeated",
)
EVEN_IF_UNKNOWN = option(
    "--even-if-unknown",
    action="store_true",
    help="also where no manifest or project says who needs what, as in a container of containerd-shim-spin",
)
MANIFEST_LIMIT = option(
    "--manifest-limit",
    type=size_in_bytes,
    metavar="SIZE",
    help="how large a manifest or config may be (default: 8MiB)",
)
DURABLE = option("--durable", action="store_true", help="wait until the disk has every file (slower)")
QUIET = option("--quiet", action="store_true", help="no progress")


def removal(parser: argparse.ArgumentParser) -> None:
    """Let the user skip the question, or see the plan only."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--yes", action="store_true", help="do not ask")
    group.add_argument("--dry-run", action="store_true", help="show the plan and end; nothing is removed")


def registry(parser: argparse.ArgumentParser) -> None:
    """Let the user say how to talk to a registry, and as whom."""
    group = parser.add_argument_group("registry")
    scheme = group.add_mutually_exclusive_group()
    scheme.add_argument(
        "--insecure",
        action="store_true",
        help="plain HTTP instead of HTTPS, for every registry named: nothing is encrypted or verified, "
        "passwords included. This is no way around a certificate; for that see --ca. "
        "Registries on this machine (loopback) are asked over HTTP in any case",
    )
    scheme.add_argument("--https", action="store_true", help="HTTPS for registries on this machine, too")
    group.add_argument("--ca", metavar="FILE", help="also trust the certificate authorities in this PEM file")
    group.add_argument("--username", metavar="NAME", help="log in under this name, whatever is stored")
    group.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password for --username from standard input, so that it shows up nowhere",
    )


JOBS = threads("downloads at a time (default: 16, as Spin)")


# ---------------------------------------------------------------- what options mean


def cache_of(args: argparse.Namespace) -> Cache:
    """Give the cache that was named, or this user's own."""
    from spincache_nb.core.cache import Cache
    from spincache_nb.errors import NotACacheError

    if args.cache_dir == "":
        raise UsageError("--cache-dir: expected a directory, got nothing")
    try:
        return Cache(args.cache_dir)
    except NotACacheError as exc:
        parent = Path(exc.where).parent
        raise UsageError(
            f"--cache-dir: expected {exc.expected}, got {exc.found}; you probably mean --cache-dir {parent}"
        ) from exc


def registry_options(args: argparse.Namespace) -> dict[str, Any]:
    """Give the keyword arguments of `plan_pull` and `pull` that a user's options mean."""
    given: dict[str, Any] = {"insecure": True if args.insecure else False if args.https else None}
    if args.ca is not None:
        if not Path(args.ca).is_file():
            raise UsageError(f"--ca: no such file: {args.ca}")
        given["ca"] = args.ca
    if getattr(args, "jobs", None) is not None:
        given["jobs"] = args.jobs
    if getattr(args, "manifest_limit", None) is not None:
        given["manifest_limit"] = args.manifest_limit
    if args.password_stdin or args.username is not None:
        given["auth"] = _login(args)
    return given


def transfer_options(args: argparse.Namespace) -> dict[str, Any]:
    """Give the keyword arguments of whatever fetches: also progress and durability."""
    progress = None if args.quiet else True
    return {**registry_options(args), "progress": progress, "durable": args.durable}


def _login(args: argparse.Namespace) -> tuple[str, str]:
    if args.username is None:
        raise UsageError("--password-stdin needs --username NAME")
    if not args.username or ":" in args.username:
        raise UsageError("--username: expected a name without a colon")
    if not args.password_stdin:
        raise UsageError("--username needs --password-stdin, and the password on standard input")
    password = sys.stdin.buffer.read(_PASSWORD_BYTES + 1)
    if len(password) > _PASSWORD_BYTES:
        raise UsageError(f"--password-stdin: more than {_PASSWORD_BYTES} bytes are no password")
    try:
        text = password.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("--password-stdin: expected UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise UsageError("--password-stdin: nothing came on standard input")
    return args.username, text
