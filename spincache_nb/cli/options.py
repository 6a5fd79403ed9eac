"""Options that several commands take, and what they mean."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spincache_nb.cli.command import UsageError

if TYPE_CHECKING:
    from spincache_nb.core.cache import Cache

_PASSWORD_BYTES = 1 << 16


def add_cache_dir(parser: argparse.ArgumentParser) -> None:
    """Let the user name the cache."""
    parser.add_argument(
        "--cache-dir",
        metavar="DIR",
        help="directory that holds `registry`, as for Spin's --cache-dir; default: this user's Spin cache",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Offer output for programs."""
    parser.add_argument(
        "--json",
        dest="as_json",
        action="store_true",
        help="one JSON document: sizes in bytes, times as ISO 8601 in UTC",
    )


def add_references(parser: argparse.ArgumentParser, *, count: str = "+", what: str) -> None:
    """Take references of apps or packages."""
    parser.add_argument("references", nargs=count, metavar="REFERENCE", help=what)


def add_projects(parser: argparse.ArgumentParser) -> None:
    """Let the user name projects that need blobs as well as apps do."""
    parser.add_argument(
        "--project",
        dest="projects",
        action="append",
        default=[],
        metavar="PATH",
        help="a spin.toml, or a folder with one, whose sources count as needed, too; may be repeated",
    )


def add_registry(parser: argparse.ArgumentParser, *, jobs: bool = True) -> None:
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
    if jobs:
        group.add_argument(
            "--jobs", type=_at_least_one, metavar="N", help="downloads at a time (default: 16, as Spin)"
        )
    group.add_argument("--username", metavar="NAME", help="log in under this name, whatever is stored")
    group.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password for --username from standard input, so that it shows up nowhere",
    )


def add_threads(parser: argparse.ArgumentParser, *, what: str) -> None:
    """Let the user say how much is done at a time."""
    parser.add_argument("--jobs", type=_at_least_one, metavar="N", help=what)


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
    options: dict[str, Any] = {"insecure": True if args.insecure else False if args.https else None}
    if args.ca is not None:
        if not Path(args.ca).is_file():
            raise UsageError(f"--ca: no such file: {args.ca}")
        options["ca"] = args.ca
    if getattr(args, "jobs", None) is not None:
        options["jobs"] = args.jobs
    if args.password_stdin or args.username is not None:
        options["auth"] = _login(args)
    return options


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


def _at_least_one(text: str) -> int:
    """Parse a positive whole number, for argparse."""
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= 1000:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 1000, got {text!r}")
    return number
