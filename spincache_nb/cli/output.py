"""Where a command writes: results to standard output, all else to standard error."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from spincache_nb import show

if TYPE_CHECKING:
    import pandas as pd

PROGRAM = "spincache-nb"
REFERENCE = show.Column("reference", "Reference", shortest=20)
DIGEST = show.Column("digest", "Digest", shortest=16, cut="end")
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
