"""``spincache-nb dashboard`` and ``lab`` as processes: served, driven in a browser, ended by Ctrl-C."""

import contextlib
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from spincache_nb import Cache, demo
from tests.browser.driver import Driver
from tests.support import jupyter
from tests.support.procs import free_port

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path):
    """Start the command; what is still running at the end is stopped."""
    running: list[subprocess.Popen[str]] = []

    def one(*words):
        running.append(jupyter.started(["-m", "spincache_nb", *words], tmp_path / "home"))
        return running[-1]

    yield one
    for process in running:
        jupyter.stop(process)
        assert process.stdout is not None
        process.stdout.close()


def test_dashboard_shows_the_panel_to_who_has_the_token(start, page, tmp_path):
    jupyter.need_module("voila")
    port = free_port()
    process = start("dashboard", "--cache-dir", str(tmp_path / "cache"), f"--port={port}", "--no-browser")
    address = jupyter.address_with_token(process)
    with urllib.request.urlopen(address.partition("?")[0], timeout=30) as answer:
        assert "/login" in answer.url
    page.goto(address)
    panel = Driver(page, "dashboard")
    panel.wait_open()
    assert str(tmp_path / "cache" / "registry") in panel.panel.locator(".sc-head").inner_text()
    with demo.registry() as registry:
        panel.want(f"{registry.host}/demo/greet:1.0.0")
        panel.click("Pull")
        panel.says("Done: 1 reference in the cache")
    panel.picture("pulled")
    assert len(Cache(tmp_path / "cache").scan().tags) == 1
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


def test_lab_serves_the_copies_and_ends_by_two_interrupts_at_most(start, tmp_path):
    jupyter.need_module("jupyterlab")
    port, folder = free_port(), tmp_path / "copies"
    as_root = ["--", "--allow-root"] if os.geteuid() == 0 else []
    process = start("lab", "--folder", str(folder), f"--port={port}", "--no-browser", *as_root)
    address = jupyter.address_with_token(process)
    jupyter.wait_for_port(port, process)
    base, _, token = address.partition("/lab/tree/00-start-here.ipynb?token=")
    assert token, "it opens the notebook that leads to the others"
    name = sorted(path.name for path in folder.glob("*.ipynb"))[0]
    with urllib.request.urlopen(f"{base}/api/contents/{name}?content=0&token={token}", timeout=30) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{base}/api/contents/{name}?content=0", timeout=30)
    refused.value.close()
    assert refused.value.code == 403
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)  # where JupyterLab can ask whether it is meant, it waits for the second
    process.send_signal(signal.SIGINT)
    assert process.wait(30) in (0, -signal.SIGINT)
