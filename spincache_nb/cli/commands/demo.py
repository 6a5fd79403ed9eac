"""``spincache-nb demo``: the whole toolkit at work, offline, away from the user's own cache."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spincache_nb.cli import cells
from spincache_nb.cli.command import DONE, Command, UsageError
from spincache_nb.cli.output import Output
from spincache_nb.cli.records import records
from spincache_nb.cli.tables import Column, count_column, digest_column, reference_column, size_column

if TYPE_CHECKING:
    from spincache_nb.analysis import Frames
    from spincache_nb.core.pull import PullResult

_DESCRIPTION = """\
See it work: six demo apps, three versions each, are pulled from a registry inside
this process into a new cache. Then come the cache as tables, plots as PNG files
and a first page, dedup.html.

Nothing leaves this machine; your own cache and history stay as they are."""
_PULLED = (
    reference_column(),
    size_column("total_bytes", "TOTAL"),
    size_column("reused_bytes", "REUSED"),
    size_column("fetch_bytes", "FETCHED"),
)
_APPS = (
    reference_column(),
    Column("kind", "KIND"),
    count_column("component_count", "COMPONENTS", rank=1),
    count_column("layer_count", "LAYERS"),
    size_column("declared_bytes", "DECLARED", rank=2),
    size_column("stored_bytes", "STORED"),
)
_SHARED = (
    digest_column(),
    size_column("stored_bytes", "SIZE"),
    count_column("user_count", "USERS"),
    size_column("saved_bytes", "SAVED"),
    Column("names", "NAMES", shortest=16, rank=1),
)
_MOST_SHARED = 8
_SUMMARY = (
    ("app_count", "apps", str),
    ("logical_bytes", "needed, if each app kept its own copy", cells.size),
    ("stored_bytes", "stored", cells.size),
    ("saved_bytes", "saved by sharing", cells.size),
    ("disk_bytes", "on disk, manifests and locked apps included", cells.size),
    ("problem_count", "problems", str),
)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="new or empty folder for the cache, plots and page; default: a temporary one, which is kept",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress; there is none in a pipe either")


def run(args: argparse.Namespace, output: Output) -> int:
    """Pull the demo apps, print tables, write plots and a page, say where."""
    with _folder(args.output) as folder, _own_matplotlib_folder():
        results = _pull(folder, quiet=args.quiet or not sys.stderr.isatty())
        frames = _load(folder)
        output.line("Pulled, one after the other as a machine would see them:")
        output.line()
        output.table((_pulled(result) for result in results), _PULLED, indent="  ")
        _show_cache(frames, output)
        _show_savings(frames, output)
        written = _write(folder, frames)
    _say_where(folder, written, output)
    return DONE


@contextlib.contextmanager
def _folder(named: str | None) -> Iterator[Path]:
    """Give the folder to work in; one that this made goes again if anything goes wrong."""
    if named is None:
        folder = Path(tempfile.mkdtemp(prefix="spincache-demo-"))
        made = True
    else:
        folder = Path(named).absolute()
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"--output: expected a new or empty folder, but {folder} holds something")
    try:
        yield folder
    except BaseException:
        if made:
            shutil.rmtree(folder, ignore_errors=True)
        raise


@contextlib.contextmanager
def _own_matplotlib_folder() -> Iterator[None]:
    """Keep matplotlib from making folders in the user's home: it does so when it is imported."""
    if "MPLCONFIGDIR" in os.environ or "matplotlib" in sys.modules:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="spincache-matplotlib-") as folder:
        os.environ["MPLCONFIGDIR"] = folder
        try:
            yield
        finally:
            del os.environ["MPLCONFIGDIR"]


def _pull(folder: Path, *, quiet: bool) -> list[PullResult]:
    from spincache_nb import demo
    from spincache_nb.core.cache import Cache
    from spincache_nb.core.journal import History
    from spincache_nb.core.pull import pull

    history = History(folder / "history.jsonl", enabled=True)
    with demo.registry() as registry:
        return pull(
            Cache(folder / "cache"), registry.references, progress=None if quiet else True, history=history
        )


def _load(folder: Path) -> Frames:
    from spincache_nb import analysis
    from spincache_nb.core.cache import Cache

    return analysis.load(Cache(folder / "cache"))


def _pulled(result: PullResult) -> dict[str, object]:
    return {
        "reference": result.reference,
        "total_bytes": result.total_bytes,
        "reused_bytes": result.reused_bytes,
        "fetch_bytes": result.fetch_bytes,
    }


def _show_cache(frames: Frames, output: Output) -> None:
    from spincache_nb import analysis

    summary = records(analysis.summary(frames))[0]
    shared = analysis.sharing(frames)
    shared = shared[shared["user_count"] > 1]
    output.line("\nThe cache, one row per app (`spincache-nb apps`):\n")
    output.table(records(frames.need("apps")), _APPS, indent="  ")
    output.line("\nIn all:\n")
    for name, words, show in _SUMMARY:
        output.line(f"  {show(summary[name]):>9}  {words}")
    output.line("\nWhat sharing saves most (`spincache-nb sharing`):\n")
    output.table(records(shared.head(_MOST_SHARED)), _SHARED, indent="  ")
    if len(shared) > _MOST_SHARED:
        output.line(f"  and {len(shared) - _MOST_SHARED} more")


def _show_savings(frames: Frames, output: Output) -> None:
    from spincache_nb import analysis
    from spincache_nb.analysis.repositories import versioned_repositories
    from spincache_nb.cli.commands.savings import show_savings

    output.line("\nWhat each version costs a machine with nothing but the versions before it")
    output.line("(`spincache-nb savings`):")
    for repository in sorted(versioned_repositories(frames)):
        output.line()
        show_savings(repository, records(analysis.version_savings(frames, repository)), output, indent="  ")


def _write(folder: Path, frames: Frames) -> Sequence[Path]:
    from spincache_nb import report

    written = []
    for plot in report.plots_of(frames):
        path = folder / f"{plot.name}.png"
        plot.png(path)
        written.append(path)
    return [*written, report.write(frames, folder / "dedup.html", title="What the demo apps share")]


def _say_where(folder: Path, written: Sequence[Path], output: Output) -> None:
    output.line(f"\nEverything is in {cells.text(folder)}:\n")
    output.line("  cache/  the cache; look at it with `--cache-dir`, as in")
    output.line(f"          {_program()} sharing --cache-dir {cells.text(folder / 'cache')}")
    for path in written[:-1]:
        output.line(f"  {path.name}")
    output.line(f"  {written[-1].name}  a page for a browser: {written[-1].as_uri()}")


def _program() -> str:
    """Name this program so that a shell finds it, also where its environment is not activated."""
    name = "spincache-nb"
    if shutil.which(name) or Path(sys.argv[0]).name != name:
        return name
    return cells.text(sys.argv[0])


COMMAND = Command(
    "demo",
    "see it all work, offline, on demo apps",
    _DESCRIPTION,
    _arguments,
    run,
    ("demo", "demo --output out"),
)
