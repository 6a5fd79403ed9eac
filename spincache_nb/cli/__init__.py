"""The command line ``spincache-nb``: each command calls public functions and prints what they return.

argparse, because it is in the standard library and starts fast: ``spincache-nb path`` needs no more
than the interpreter. A command is a function with `command.command` above it, in the module of its
family (`overview`, `look`, `change`, `fetch`, `many`, `serve`), which is loaded for its commands only;
what it needs beyond argparse it imports when it runs.

Exit status: 0 done, 1 a finding, 2 wrong usage, 3 it could not be done, 130 interrupted.
"""

from spincache_nb.cli.entry import build_parser, main

__all__ = ["build_parser", "main"]
