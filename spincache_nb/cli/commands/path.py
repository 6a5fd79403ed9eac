"""``spincache-nb path``: where things are."""

from __future__ import annotations

import argparse
from pathlib import Path

from spincache_nb.cli.command import DONE, Command
from spincache_nb.cli.options import add_cache_dir, add_json, cache_of
from spincache_nb.cli.output import Output

_DESCRIPTION = """\
Print the directory of Spin's registry cache, on one line and nothing else.

It need not exist yet: Spin and `spincache-nb pull` make it when they store something."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--all",
        action="store_true",
        help="also where this toolkit keeps its state, and which credential stores are asked",
    )
    add_cache_dir(parser)
    add_json(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    """Print one path, or all of them with what they are and whether they are there."""
    cache = cache_of(args).path.absolute()
    if not args.all and not output.as_json:
        output.path(cache)
        return DONE
    named = _all_paths(cache) if args.all else [("cache", cache)]
    if output.as_json:
        output.document([{"name": name, "path": path, "exists": _exists(path)} for name, path in named])
        return DONE
    widest = max(len(name) for name, _ in named)
    for name, path in named:
        missing = "" if _exists(path) else "  (not there)"
        output.paragraph(f"{name:<{widest}}  {path}{missing}", wrap=False)
    return DONE


def _exists(path: Path) -> bool:
    """Whether something is there; what may not be looked at counts as not there."""
    try:
        return path.exists()
    except OSError:
        return False


def _all_paths(cache: Path) -> list[tuple[str, Path]]:
    from spincache_nb.core import paths
    from spincache_nb.core.journal import History

    named: list[tuple[str, Path | None]] = [
        ("cache", cache),
        ("state", paths.state_dir()),
        ("history", History(enabled=True).path),
        ("credentials of Spin", paths.spin_auth_file()),
        ("credentials of Docker", paths.docker_config_file()),
        *(("credentials of Podman", path) for path in paths.podman_auth_files()),
        ("wasm package registries", paths.wasm_pkg_config_file()),
    ]
    return [(name, path) for name, path in named if path is not None]


COMMAND = Command(
    "path",
    "print where Spin's cache is",
    _DESCRIPTION,
    _arguments,
    run,
    ("path", "path --all", "path --json  # for programs"),
)
