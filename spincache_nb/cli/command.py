"""What a command is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from spincache_nb.cli.output import Output

DONE = 0
FINDING = 1
USAGE = 2
FAILED = 3
INTERRUPTED = 130


class UsageError(Exception):
    """What was typed makes no sense, in one sentence; the exit status is 2."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command."""

    name: str
    summary: str
    description: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Output], int]
    examples: tuple[str, ...] = ()
