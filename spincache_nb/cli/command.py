"""What a command is, the options that several take, and where it writes: results to standard output,
all else to standard error."""

from __future__ import annotations

import argparse
import contextlib
import errno
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from spincache_nb import show

if TYPE_CHECKING:
    import pandas as pd

    from spincache_nb.core.cache import Cache

DONE, FINDING, USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130
_PASSWORD_BYTES = 1 << 16

Options = Callable[[argparse.ArgumentParser], object]
Run = Callable[[argparse.Namespace, "Output"], int]


class UsageError(Exception):
    """What was typed makes no sense, in one sentence; the exit status is 2."""


class Command(NamedTuple):
    """One command: its options, and the function that runs it."""

    name: str
    description: str
    options: tuple[Options, ...]
    examples: tuple[str, ...]
    run: Run


COMMANDS: dict[str, Command] = {}
"""Commands by name, as far as their modules are loaded."""


def command(description: str, *options: Options, examples: tuple[str, ...]) -> Callable[[Run], Run]:
    """Declare the function below as the command of its name."""

    def declare(run: Run) -> Run:
        name = run.__name__.rstrip("_").replace("_", "-")
        COMMANDS[name] = Command(name, description, options, examples, run)
        return run

    return declare


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


def _whole(expected: str, least: int, most: float) -> Callable[[str], int]:
    """Make a parser of whole numbers."""

    def parse(text: str) -> int:
        number = int(text) if re.fullmatch("[0-9]{1,4000}", text) else -1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return number

    return parse


def _number(example: str, least: float) -> Callable[[str], float]:
    """Make a parser of finite numbers."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not least <= number < math.inf:
            raise argparse.ArgumentTypeError(f"expected a number such as {example}, got {text!r}")
        return number

    return parse


whole_number = _whole("a whole number", 0, math.inf)
at_least_one = _whole("a number from 1 to 1000", 1, 1000)
port = _whole("a port from 1 to 65535", 1, 65535)
ratio = _number("1.5", 0)
rate = _number("2 or 0.5", 5e-324)


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
CACHE = (CACHE_DIR, JSON)
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
FETCHING = (DURABLE, QUIET, *CACHE, JOBS)
REMOVING = (removal, PROJECTS, EVEN_IF_UNKNOWN, *CACHE)


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
    for name in ("jobs", "manifest_limit"):
        if getattr(args, name, None) is not None:
            given[name] = getattr(args, name)
    if args.password_stdin or args.username is not None:
        given["auth"] = _login(args)
    return given


def transfer_options(args: argparse.Namespace) -> dict[str, Any]:
    """Give the keyword arguments of whatever fetches: also progress and durability."""
    return {**registry_options(args), "progress": progress(args), "durable": args.durable}


def progress(args: argparse.Namespace) -> bool | None:
    """Show progress unless told otherwise."""
    return None if args.quiet else True


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


PROGRAM = "spincache-nb"
REFERENCE = show.Column("reference", "Reference", shortest=20)
DIGEST = show.Column("digest", "Digest", shortest=16, cut="end")
MANIFEST = show.Column("manifest_digest", "Manifest", shortest=16, cut="end", rank=3)
COST = (
    show.Column("total_bytes", "Total", "size"),
    show.Column("reused_bytes", "Reused", "size"),
    show.Column("fetch_bytes", "Fetched", "size"),
)
_NARROWEST = 40
_IN_A_SHELL = (
    ("insecure=True", "--insecure"),
    ("insecure=False", "--https"),
    ("manifest_limit=", "--manifest-limit"),
    ("ca=<PEM file>", "--ca FILE"),
    ("ca= ", "--ca "),
    ("pass auth=(user, password)", "give --username and --password-stdin"),
    ("rewritten=True", "--rewritten"),
    ("Cache(dir)", "--cache-dir DIR"),
    ("frames.apps(cache)", "`spincache-nb apps`"),
    ("frames.problems(cache, projects=[...])", "`spincache-nb problems`"),
    ("fleet.snapshot()", "`spincache-nb snapshot`"),
    ("fleet.crawl()", "`spincache-nb crawl`"),
)
"""What remedies name as it is written in Python, and what it is called here."""


class Output:
    """Standard output of one command."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.width = _columns()
        self._closed = False

    def line(self, text: str = "") -> None:
        """Write one line of text that is our own or escaped already."""
        self._guarded(sys.stdout.write, f"{text}\n")

    def paragraph(self, text: str, *, indent: str = "", hang: str | None = None, wrap: bool = True) -> None:
        """Write text, escaped, broken into lines if a terminal reads along."""
        shown = show.plain(text)
        if self.width is None or not wrap:
            self.line(indent + shown)
            return
        after = indent if hang is None else hang
        import textwrap

        wrapped = textwrap.wrap(
            shown, self.width, initial_indent=indent, subsequent_indent=after, break_on_hyphens=False
        )
        for line in wrapped or [indent.rstrip()]:
            self.line(line)

    def table(self, rows: Any, columns: Sequence[show.Column], *, indent: str = "") -> None:
        """Write a frame or records as a table."""
        width = None if self.width is None else self.width - len(indent)
        for line in show.Table(rows, columns).text(columns=width, mark=_mark(sys.stdout)):
            self.line(indent + line)

    def frame(self, frame: pd.DataFrame, columns: Sequence[show.Column], *, empty: str) -> None:
        """Write a frame: as records in JSON with all its columns, else as a table."""
        if self.as_json:
            self.document(show.records(frame))
        elif len(frame):
            self.table(frame, columns)
        else:
            self.note(empty)

    def document(self, document: Any) -> None:
        """Write one JSON document."""
        self.line(show.to_json(document))

    def path(self, path: os.PathLike[str]) -> None:
        """Write a path exactly as the system has it, whatever its characters."""
        self._guarded(_write_path, os.fspath(path))

    def note(self, text: str) -> None:
        """Say something about the result, on standard error."""
        say(show.plain(text))

    def flush(self) -> None:
        """Hand everything to the reader."""
        self._guarded(sys.stdout.flush)

    def _guarded(self, write: Any, *arguments: str) -> None:
        if self._closed:
            return
        try:
            write(*arguments)
        except OSError as exc:
            self._closed = True
            _let_go(sys.stdout)
            if not _nobody_reads(exc):
                raise


def fields(value: Any, *names: str) -> dict[str, Any]:
    """Make a record of some attributes of a value."""
    return {name: getattr(value, name) for name in names}


def show_problems(problems: Sequence[dict[str, Any]], output: Output) -> None:
    """Print each problem as a paragraph: what and where, whose, why, what to do."""
    for problem in problems:
        output.paragraph(f"{problem['kind']}: {problem['path']}", hang="  ")
        if problem["reference"]:
            output.paragraph(f"of {problem['reference']}", indent="  ")
        output.paragraph(show.plain(problem["detail"]), indent="  ")
        output.paragraph(show.plain(problem["remedy"]), indent="  -> ", hang="     ")
        output.line()


def say(line: str) -> None:
    """Write one line to standard error, if there is one."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def in_a_shell(text: str) -> str:
    """Name options where a remedy names Python."""
    for in_python, here in _IN_A_SHELL:
        text = text.replace(in_python, here)
    return text


def _write_path(path: str) -> None:
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # a notebook's standard output takes text only
        sys.stdout.write(f"{show.plain(path)}\n")
        return
    sys.stdout.flush()
    buffer.write(os.fsencode(path) + os.linesep.encode())
    buffer.flush()


def _nobody_reads(exc: OSError) -> bool:
    """Whether the reader of a pipe went away; Windows calls that an invalid argument."""
    return isinstance(exc, BrokenPipeError) or (os.name == "nt" and exc.errno == errno.EINVAL)


def _let_go(stream: TextIO) -> None:
    """Point a stream that nobody reads at nothing, so that closing it at exit is no error either."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def _columns() -> int | None:
    told = os.environ.get("COLUMNS", "")
    if told.isascii() and told.isdigit() and int(told) > 0:
        return max(_NARROWEST, int(told))
    if not sys.stdout.isatty():
        return None
    return max(_NARROWEST, shutil.get_terminal_size().columns)


def _mark(stream: TextIO) -> str:
    """An ellipsis if the stream can write one."""
    try:
        "…".encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "~"
    return "…"
