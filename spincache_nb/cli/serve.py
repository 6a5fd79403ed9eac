"""Commands that show it all at work: the demo, the notebooks in JupyterLab, the panel as a page."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spincache_nb import show
from spincache_nb.cli import command as cli
from spincache_nb.errors import MissingExtraError

if TYPE_CHECKING:
    from spincache_nb.frames import Frames

_MOST_SHARED = 8
_SUMMARY = (
    ("app_count", "apps", str),
    ("logical_bytes", "needed, if each app kept its own copy", show.size_text),
    ("stored_bytes", "stored", show.size_text),
    ("saved_bytes", "saved by sharing", show.size_text),
    ("disk_bytes", "on disk, manifests and locked apps included", show.size_text),
    ("problem_count", "problems", str),
)


@cli.command(
    """\
See it work: six demo apps, three versions each, are pulled from a registry inside
this process into a new cache. Then come the cache as tables, plots as PNG files
and a first page, dedup.html.

Nothing leaves this machine; your own cache and history stay as they are.""",
    cli.option(
        "--output",
        metavar="DIR",
        help="new or empty folder for the cache, plots and page; default: a temporary one, which is kept",
    ),
    cli.option("--quiet", action="store_true", help="no progress; there is none in a pipe either"),
    examples=("demo", "demo --output out"),
)
def demo(args: argparse.Namespace, output: cli.Output) -> int:
    with _folder(args.output) as folder, _own_matplotlib_folder():
        frames = _pull(folder, output, quiet=args.quiet or not sys.stderr.isatty())
        _show_cache(frames, output)
        _show_savings(frames, output)
        output.line("\nDrawing the plots and the page, some seconds each:\n")
        output.flush()
        written = _draw(folder, frames, output)
    _say_where(folder, written, output)
    return cli.DONE


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
            raise cli.UsageError(f"--output: expected a new or empty folder, but {folder} holds something")
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


def _pull(folder: Path, output: cli.Output, *, quiet: bool) -> Frames:
    """Pull the demo apps, say what each cost, read the cache."""
    from spincache_nb import analysis, demo
    from spincache_nb.core.cache import Cache
    from spincache_nb.core.journal import History
    from spincache_nb.core.pull import pull

    cache = Cache(folder / "cache")
    history = History(folder / "history.jsonl", enabled=True)
    with demo.registry() as registry:
        results = pull(cache, registry.references, progress=None if quiet else True, history=history)
    output.line("Pulled, one after the other as a machine would see them:\n")
    columns = (cli.REFERENCE, *cli.COST)
    records = [cli.fields(result, *(column.name for column in columns)) for result in results]
    output.table(records, columns, indent="  ")
    return analysis.load(cache)


def _show_cache(frames: Frames, output: cli.Output) -> None:
    from spincache_nb import analysis
    from spincache_nb.cli.look import APPS, SHARED

    summary = show.records(analysis.summary(frames))[0]
    shared = analysis.sharing(frames)
    shared = shared[shared["user_count"] > 1]
    output.line("\nThe cache, one row per app (`spincache-nb apps`):\n")
    output.table(frames.need("apps"), APPS, indent="  ")
    output.line("\nIn all:\n")
    for name, words, form in _SUMMARY:
        output.line(f"  {form(summary[name]):>9}  {words}")
    output.line("\nWhat sharing saves most (`spincache-nb sharing`):\n")
    output.table(shared.head(_MOST_SHARED), SHARED, indent="  ")
    if len(shared) > _MOST_SHARED:
        output.line(f"  {show.more_text(len(shared), _MOST_SHARED)}")


def _show_savings(frames: Frames, output: cli.Output) -> None:
    from spincache_nb.cli.look import savings_of, show_savings

    output.line("\nWhat each version costs a machine with nothing but the versions before it")
    output.line("(`spincache-nb savings`):\n")
    show_savings(savings_of(frames), output, indent="  ")


def _draw(folder: Path, frames: Frames, output: cli.Output) -> Sequence[Path]:
    from spincache_nb import report
    from spincache_nb.plots.svg import plots_of

    written = []
    for plot in plots_of(frames):
        path = folder / f"{plot.name}.png"
        output.line(f"  {path.name}")
        output.flush()
        plot.png(path)
        written.append(path)
    output.line("  dedup.html")
    output.flush()
    return [*written, report.write(frames, folder / "dedup.html", title="What the demo apps share")]


def _say_where(folder: Path, written: Sequence[Path], output: cli.Output) -> None:
    output.line(f"\nEverything is in {show.plain(folder)}:\n")
    output.line("  cache/  the cache; look at it with `--cache-dir`, as in")
    output.line(f"          {_program()} sharing --cache-dir {show.plain(folder / 'cache')}")
    output.line(f"  {len(written) - 1} plots as PNG files")
    output.line(f"  {written[-1].name}  a page for a browser: {written[-1].as_uri()}")


def _program() -> str:
    """Name this program so that a shell finds it, also where its environment is not activated."""
    name = "spincache-nb"
    if shutil.which(name) or Path(sys.argv[0]).name != name:
        return name
    return show.plain(sys.argv[0])


def _server(name: str) -> tuple[cli.Options, ...]:
    """Where a server listens, whether a browser opens, and whatever else it takes."""
    return (
        cli.option("--port", type=cli.port, metavar="N", help="where it listens (default: as it likes)"),
        cli.option("--no-browser", action="store_true", help="open no browser; the address is printed"),
        cli.option(
            "options",
            nargs="*",
            metavar="OPTION",
            help=f"further options of {name}, after `--`, such as `-- --ip=0.0.0.0`",
        ),
    )


@cli.command(
    """\
Copy the notebooks that come along into a folder and start JupyterLab on them, at
00-start-here.ipynb, which leads to the others.

A notebook that was changed there is never overwritten; remove or rename it to get
it anew. Ctrl-C ends JupyterLab as always. As root, JupyterLab asks for
`-- --allow-root`.""",
    cli.option(
        "--folder",
        default="spincache-notebooks",
        metavar="DIR",
        help="where to copy them to (default: %(default)s)",
    ),
    cli.option("--copy-only", action="store_true", help="copy them and end"),
    *_server("JupyterLab"),
    examples=("lab", "lab --folder my-notebooks --no-browser", "lab -- --ip=0.0.0.0"),
)
def lab(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb.demo.shipped import copy_notebooks

    if not args.copy_only:
        _require("jupyterlab")
    folder = Path(args.folder).absolute()
    shown = [one for one in copy_notebooks(folder) if one.path.suffix == ".ipynb"]
    counts = {what: sum(one.what == what for one in shown) for what in ("new", "updated", "same", "kept")}
    parts = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    output.line(f"{len(shown)} notebooks in {show.plain(folder)}: {parts}")
    for one in shown:
        if one.what == "kept":
            output.note(f"{one.path.name} was changed and stays as it is")
    if args.copy_only:
        return cli.DONE
    if getattr(os, "geteuid", lambda: 1)() == 0 and "--allow-root" not in args.options:
        output.note(f"JupyterLab refuses to run as root; `{_program()} lab -- --allow-root` lets it")
    first = "--LabApp.default_url=/lab/tree/00-start-here.ipynb"
    arguments = [f"--ServerApp.root_dir={folder}", first, *_server_options(args, port="--ServerApp.port")]
    return _become("jupyterlab", arguments, {}, output)


@cli.command(
    """\
Show a panel in the browser: pull apps, see what they share, remove and clear.

Voila serves it on this machine only, to whoever has the address it prints: that has
a token in it, since the page can remove what is in the cache. Ctrl-C ends it.""",
    cli.CACHE_DIR,
    cli.PROJECTS,
    *_server("Voila"),
    examples=("dashboard", "dashboard --cache-dir /srv/spin --port 8866 --no-browser"),
)
def dashboard(args: argparse.Namespace, output: cli.Output) -> int:
    _require("voila")
    cache = cli.cache_of(args)
    from spincache_nb.widgets.panel import environment_for, notebook

    environment = environment_for(args.cache_dir, args.projects)
    output.line(f"panel over {cache.path}")
    arguments = [str(notebook()), "--Voila.ip=127.0.0.1", "--Voila.auto_token=True"]
    arguments += _server_options(args, port="--Voila.port")
    return _become("voila", arguments, environment, output)


def _require(module: str) -> None:
    """Make sure that an optional package is installed."""
    if importlib.util.find_spec(module) is None:
        raise MissingExtraError(
            "this Python", f"the package {module}", "none", "pip install 'spincache-nb[lab]' brings it along"
        )


def _server_options(args: argparse.Namespace, *, port: str) -> list[str]:
    """Give the server's own options for ours; `port` is how it calls the port."""
    chosen = [f"{port}={args.port}"] if args.port is not None else []
    return [*chosen, *(["--no-browser"] if args.no_browser else []), *args.options]


def _become(module: str, arguments: Sequence[str], environment: Mapping[str, str], output: cli.Output) -> int:
    """Run a server's module in place of this process, so that Ctrl-C and signals reach it."""
    command = [sys.executable, "-m", module, *arguments]
    variables = {**os.environ, **environment}
    output.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(sys.executable, command, variables)  # noqa: S606 - no shell is wanted
    return _wait_for(subprocess.Popen(command, env=variables))  # noqa: S603 - our own interpreter


def _wait_for(process: subprocess.Popen[bytes]) -> int:
    """Wait for a server that has the same console: its Ctrl-C is ours, too, and its to answer."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue
