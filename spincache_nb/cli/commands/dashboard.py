"""``spincache-nb dashboard``: the panel as a page, served by Voila."""

from __future__ import annotations

import argparse

from spincache_nb.cli.command import Command
from spincache_nb.cli.options import add_cache_dir, add_projects, cache_of
from spincache_nb.cli.output import Output
from spincache_nb.cli.servers import add_server, require, serve, server_options

_DESCRIPTION = """\
Show a panel in the browser: pull apps, see what they share, remove and clear.

Voila serves it on this machine only, to whoever has the address it prints: that has
a token in it, since the page can remove what is in the cache. Ctrl-C ends it."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_cache_dir(parser)
    add_projects(parser)
    add_server(parser, server="Voila")


def run(args: argparse.Namespace, output: Output) -> int:
    """Become Voila, serving the panel's notebook."""
    require("voila")
    cache = cache_of(args)
    from spincache_nb.widgets.panel import environment_for, notebook

    environment = environment_for(args.cache_dir, args.projects)
    output.line(f"panel over {cache.path}")
    arguments = [
        str(notebook()),
        "--Voila.ip=127.0.0.1",
        "--Voila.auto_token=True",
        *server_options(args, port="--Voila.port"),
    ]
    return serve("voila", arguments, environment, output)


COMMAND = Command(
    "dashboard",
    "show the panel in a browser, without a notebook",
    _DESCRIPTION,
    _arguments,
    run,
    ("dashboard", "dashboard --cache-dir /srv/spin --port 8866 --no-browser"),
)
