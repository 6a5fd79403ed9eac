"""The dashboard's notebook and what it is told."""

import nbformat
import pytest

from spincache_nb.errors import SpinCacheError
from spincache_nb.widgets.panel import VARIABLE, dashboard, environment_for, notebook


def test_dashboard_shows_the_cache_that_is_meant(tmp_path):
    made = dashboard(environment_for(tmp_path / "x" / ".." / "cache", []))
    try:
        assert made.wait(60)
        assert made.session.cache.path == tmp_path / "cache" / "registry"
    finally:
        made.close()


def test_dashboard_without_the_variable_shows_this_users_cache(isolated_home):
    made = dashboard({})
    try:
        assert made.session.cache.path == isolated_home / ".cache" / "spin" / "registry"
        assert made.wait(60)
    finally:
        made.close()
    assert not (isolated_home / ".cache" / "spin").exists()


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_dashboard_refuses_what_it_did_not_write(text):
    with pytest.raises(SpinCacheError) as caught:
        dashboard({VARIABLE: text})
    assert caught.value.where == VARIABLE


def test_the_notebook_is_never_executed_and_one_cell():
    found = nbformat.read(notebook(), as_version=4)
    assert [(cell.cell_type, cell.outputs) for cell in found.cells] == [("code", [])]
    assert "widgets.dashboard()" in found.cells[0].source
