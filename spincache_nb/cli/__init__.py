"""The command line ``spincache-nb``: each command calls public functions and prints what they return.

argparse, because it is in the standard library and starts fast: ``spincache-nb path`` needs no more
than the interpreter. A command is one module of `spincache_nb.cli.commands` and one line of its
table; what a command needs beyond argparse it imports when it runs.

============  ==========================================================================
module        what it has
============  ==========================================================================
cells         one value as text for people: sizes in KiB and MiB, times in UTC
tables        rows as a table that fits a terminal
records       frames as records for ``--json``
output        standard output and standard error of one command
faults        exceptions as one line and an exit status
options       options that several commands take
command       what a command is
commands      the commands, one module each, and their table
parser        all of them as one argparse parser
entry         `main`
============  ==========================================================================

Exit status: 0 done, 1 a finding, 2 wrong usage, 3 it could not be done, 130 interrupted.
"""

from spincache_nb.cli.entry import main
from spincache_nb.cli.parser import build_parser

__all__ = ["build_parser", "main"]
