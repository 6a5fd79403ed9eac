"""JupyterLab and Voila as processes of their own, and a page of the system's Chromium to look at them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from tests.support.isolation import isolated, need
from tests.support.procs import ROOT, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Route

START_SECONDS = 90
SCREENSHOTS = Path(os.environ.get("SPINCACHE_CI_OUT", str(ROOT / ".ci-out"))) / "screenshots"
CHROMIUM_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"),
)
APPS = {"jupyterlab": "LabApp", "notebook": "JupyterNotebookApp"}
LAB_SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}


def need_module(name: str) -> None:
    """Skip the test if a module is not installed; fail it where CI says that it must be."""
    if importlib.util.find_spec(name) is None:
        need(f"the Python package {name}")


def environment(home: Path) -> dict[str, str]:
    """Return an environment in which Jupyter writes nothing outside a folder."""
    home.mkdir(parents=True, exist_ok=True)
    matplotlib = os.environ.get("MPLCONFIGDIR", str(home / "matplotlib"))
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **{name: value for name, value in os.environ.items() if "JUPYTER" not in name},
        **isolated(home, Path(matplotlib)),
        **{name: str(home / "jupyter" / folder) for name, folder in places.items()},
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": search,
    }


def write_notebook(path: Path, *sources: str) -> Path:
    """Write a notebook of code cells that was never run."""
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


@contextmanager
def running_lab(folder: Path, home: Path, *, program: str = "jupyterlab") -> Iterator[str]:
    """Serve a folder with JupyterLab, or with Notebook 7 (``notebook``), on loopback; give its address."""
    need_module(program)
    settings = home / "jupyter" / "config" / "lab" / "user-settings"
    for name, values in LAB_SETTINGS.items():
        path = settings / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    port = free_port()
    arguments = [
        *("-m", program, "--allow-root", "--no-browser", "--ServerApp.ip=127.0.0.1"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token="),
        *("--ServerApp.password=", f"--{APPS[program]}.expose_app_in_browser=True"),
        *("--LabApp.extension_manager=readonly", f"--ServerApp.root_dir={folder}"),
    ]
    with serving(arguments, port, home):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running_voila(notebook: Path, home: Path) -> Iterator[str]:
    """Serve a notebook, or a folder of them, with Voila on loopback; give its address."""
    need_module("voila")
    port = free_port()
    arguments = [
        *("-m", "voila", str(notebook), "--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}"),
        *("--Voila.port_retries=0", "--show_tracebacks=True"),
    ]
    with serving(arguments, port, home):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def serving(arguments: Sequence[str], port: int, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in a session of its own until the block ends; its output goes to ``home/server.log``."""
    variables = environment(home)
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=variables,
            cwd=home,
            start_new_session=True,
        )
    try:
        wait_for_port(port, process, log)
        yield process
    finally:
        stop(process)


def started(arguments: Sequence[str], home: Path) -> subprocess.Popen[str]:
    """Start this interpreter in a session of its own, with a pipe for what it says."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(home),
        cwd=home,
        start_new_session=True,
        text=True,
    )


def address_with_token(process: subprocess.Popen[str]) -> str:
    """Read what a server says until it gives an address with a token."""
    said = []
    for line in process.stdout or ():
        said.append(line)
        if found := re.search(r"http://127\.0\.0\.1\S+token=\w+", line):
            return found[0]
    raise AssertionError(f"the server ended:\n{''.join(said)[-3000:]}")


def wait_for_port(port: int, process: subprocess.Popen[Any], log: Path | None = None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            said = log.read_text(errors="replace")[-3000:] if log is not None else ""
            assert process.poll() is None, f"the server ended:\n{said}"
            assert time.monotonic() < deadline, f"no server:\n{said}"
            time.sleep(0.1)
        else:
            return


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def running_chromium() -> Iterator[Browser]:
    need_module("playwright")
    from playwright.sync_api import sync_playwright

    program = need("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser: Browser, *, width: int = 1280, height: int = 900) -> Iterator[Page]:
    """Open a page that reaches nothing but loopback."""
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.route("**/*", _loopback_only)
    try:
        yield page
    finally:
        context.close()


def _loopback_only(route: Route) -> None:
    near = route.request.url.startswith(("http://127.0.0.1:", "data:", "blob:"))
    if near:
        route.continue_()
    else:
        route.abort()


def run_all_cells(page: Page, address: str, name: str, *, program: str = "jupyterlab") -> None:
    """Open a notebook in JupyterLab or Notebook 7 and run it."""
    page.goto(f"{address}/{'notebooks' if program == 'notebook' else 'doc/tree'}/{name}?reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.wait_for_function(
        "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    )
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")


OF_THE_HOST = (
    "/static/notebook/",  # Notebook 7 misses a setting that only JupyterLab has
    "The getter for the shared module is not a function",  # Voila, where Notebook 7 is installed beside it
)
"""What pages of Jupyter complain of without us."""


def complaints_of(page: Page) -> list[str]:
    """A list that grows with each error that a page tells from now on."""
    found: list[str] = []

    def tell(text: str) -> None:
        if not any(known in text for known in OF_THE_HOST):
            found.append(text)

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and message.location["url"].startswith("http://127.0.0.1:"):
            tell(message.text)

    def fail(error: Error) -> None:
        tell(f"{error}\n{error.stack}")

    page.on("console", hear)
    page.on("pageerror", fail)
    return found


def screenshot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
