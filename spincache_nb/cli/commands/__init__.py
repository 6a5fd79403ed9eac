"""The commands, one module each, and their table.

A new command is a module with a ``COMMAND`` and a line here. At its top a module imports argparse,
what is beside it in `spincache_nb.cli` and nothing heavy: all modules are loaded at every start.
"""

from spincache_nb.cli.command import Command
from spincache_nb.cli.commands import (
    apps,
    blobs,
    clear,
    crawl,
    dashboard,
    demo,
    doctor,
    export,
    history,
    import_,
    lab,
    layers,
    path,
    plan,
    problems,
    prune,
    pull,
    pull_sources,
    remove,
    repair,
    report,
    savings,
    sharing,
    snapshot,
    verify,
)

COMMANDS: tuple[Command, ...] = (
    demo.COMMAND,
    path.COMMAND,
    doctor.COMMAND,
    plan.COMMAND,
    pull.COMMAND,
    pull_sources.COMMAND,
    apps.COMMAND,
    layers.COMMAND,
    blobs.COMMAND,
    problems.COMMAND,
    history.COMMAND,
    sharing.COMMAND,
    savings.COMMAND,
    report.COMMAND,
    verify.COMMAND,
    repair.COMMAND,
    remove.COMMAND,
    prune.COMMAND,
    clear.COMMAND,
    export.COMMAND,
    import_.COMMAND,
    snapshot.COMMAND,
    crawl.COMMAND,
    lab.COMMAND,
    dashboard.COMMAND,
)
"""All commands, in the order in which ``--help`` lists them."""

__all__ = ["COMMANDS"]
