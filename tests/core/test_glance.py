"""A first look at a cache, small and large."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.lib.pretty import pretty

from spincache_nb.core.cache import Cache
from tests.support.caches import pulled, web
from tests.support.procs import call, open_folder
from tests.support.trees import write_tree


def test_glance_at_no_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert pretty(cache) == f"Spin cache at {tmp_path}/registry: nothing there yet"
    assert "nothing there yet" in cache._repr_html_()
    assert list(tmp_path.iterdir()) == []


def test_glance_counts_apps_and_blobs(tmp_path: Path) -> None:
    tree = pulled(web())
    write_tree(tmp_path / "registry", tree)
    found = Cache(tmp_path).glance()
    assert (found.exists, found.apps, found.more) == (True, 1, False)
    assert found.blobs == sum(path.startswith(("wasm/", "data/")) for path in tree)


def test_glance_at_a_large_cache_stops_counting(tmp_path: Path) -> None:
    root = tmp_path / "registry"
    write_tree(root, {f"manifests/ghcr.io/org/app-{n}/v1/manifest.json": b"{}" for n in range(30)})
    write_tree(root, {f"wasm/{n}": b"" for n in range(7)} | {f"data/{n}": b"" for n in range(50)})
    from spincache_nb.core.cache.glance import glance

    found = glance(root, most=10)
    assert (found.apps, found.blobs, found.more) == (10, 17, True)
    assert found.summary() == "at least 10 apps, at least 17 blobs"
    assert glance(root, most=50).summary() == "30 apps, 57 blobs"


def seen_by_nobody(root: str) -> str:
    from spincache_nb.core.cache import Cache

    return str(Cache(root).glance())


@pytest.mark.parametrize("mode", [0, 0o744])
def test_glance_at_a_closed_cache(mode: int) -> None:
    with open_folder(owner=0) as root:
        write_tree(root / "registry", pulled(web()))
        (root / "registry").chmod(mode)
        outcome = call(seen_by_nobody, str(root), unprivileged=True)
        assert outcome.error is None
        assert outcome.value == f"Spin cache at {root}/registry: 0 apps, 0 blobs"


def test_glance_follows_no_link_and_lets_no_mark_up_in(tmp_path: Path) -> None:
    write_tree(tmp_path / "elsewhere", {"a": b"", "b": b""})
    folder = tmp_path / "<b>"
    (folder / "registry").mkdir(parents=True)
    (folder / "registry" / "wasm").symlink_to(tmp_path / "elsewhere")
    cache = Cache(folder)
    assert cache.glance().blobs == 0
    assert "<b>/" not in cache._repr_html_()


def test_repr_stays_the_expression_that_makes_the_cache(tmp_path: Path) -> None:
    assert eval(repr(Cache(tmp_path))) == Cache(tmp_path)
