"""The panel in a real kernel, without a browser: what is left when the kernel ends while it pulls."""

import time

import pytest
from jupyter_client.manager import start_new_kernel

from spincache_nb import Cache
from tests.support.artifacts import Component, new_style, wasm_module
from tests.support.faults import Drip

BEGIN = """
import spincache_nb as sc
panel = sc.widgets.panel(sc.Cache({folder!r}))
panel.wait(60)
panel.pulling.reference.value = {reference!r}
panel.pulling.pull.click()
"""


def unfinished(folder):
    return [path.name for path in folder.rglob(".spincache-*")]


def wait_until(folder, *, is_pulling):
    deadline = time.monotonic() + 30
    while bool(unfinished(folder)) != is_pulling and time.monotonic() < deadline:
        time.sleep(0.05)
    assert bool(unfinished(folder)) == is_pulling


@pytest.mark.slow
@pytest.mark.parametrize("end", ["restart_kernel", "shutdown_kernel"])
def test_a_kernel_that_ends_stops_a_pull_and_leaves_nothing(hostile, tmp_path, end):
    hostile.serve(new_style("demo/slow", "v1", components=[Component("a", wasm_module("a", 900_000), {})]))
    hostile.always("*/blobs/*", Drip(4096, 0.2))
    manager, client = start_new_kernel(startup_timeout=120)
    try:
        code = BEGIN.format(folder=str(tmp_path), reference=f"{hostile.name}/demo/slow:v1")
        reply = client.execute(code, reply=True, timeout=90)
        assert reply["content"]["status"] == "ok", reply["content"]
        wait_until(tmp_path, is_pulling=True)
        getattr(manager, end)(now=False)
        wait_until(tmp_path, is_pulling=False)
    finally:
        client.stop_channels()
        if manager.has_kernel:
            manager.shutdown_kernel(now=True)
    assert Cache(tmp_path).scan().tags == ()
    assert list(tmp_path.rglob("manifest.json")) == []
