"""Exceptions as one line for standard error and an exit status."""

from __future__ import annotations

from spincache_nb.cli.command import FAILED, INTERRUPTED, USAGE, UsageError
from spincache_nb.errors import (
    InvalidDigestError,
    InvalidReferenceError,
    PullCancelled,
    SpinCacheError,
    printable,
)

_IN_A_SHELL = (
    ("insecure=True", "--insecure"),
    ("insecure=False", "--https"),
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


def status_of(fault: BaseException) -> int:
    """Say with which status a command ends."""
    if isinstance(fault, KeyboardInterrupt | PullCancelled):
        return INTERRUPTED
    if isinstance(fault, UsageError | InvalidReferenceError | InvalidDigestError):
        return USAGE
    return FAILED


def line_of(fault: BaseException) -> str:
    """Say what happened in one line."""
    if isinstance(fault, KeyboardInterrupt):
        return "interrupted"
    if isinstance(fault, SpinCacheError):
        return _escaped(in_a_shell(str(fault)))
    if isinstance(fault, UsageError):
        return _escaped(str(fault))
    if isinstance(fault, OSError) and fault.strerror:
        return printable(f"{fault.filename}: {fault.strerror}" if fault.filename else fault.strerror)
    named = f"{type(fault).__name__}: {fault}"
    return f"unexpected {printable(named)}; `--debug` shows where, please report it"


def in_a_shell(text: str) -> str:
    """Name options where a remedy names Python."""
    for in_python, here in _IN_A_SHELL:
        text = text.replace(in_python, here)
    return text


def _escaped(text: str) -> str:
    """Escape what is not printable, without cutting: the remedy stands at the end."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
