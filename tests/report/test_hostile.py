"""Names and texts that attack: no table, plot or page is harmed, and none is slow or huge for it."""

import json
import re
import warnings

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

from spincache_nb import frames, plots, report
from spincache_nb.frames import load
from spincache_nb.frames.schemas import HISTORY_SCHEMA, build
from tests.report.hostile_cache import NAMES, SCRIPT, hostile_cache
from tests.report.test_forms import TAGS, rendered
from tests.report.test_write import Page


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return hostile_cache(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def material(cache):
    """With a history whose references and caches attack as well."""
    at = pd.Timestamp("2026-01-01", tz="UTC")
    lines = [(at, name, name, name, 2**62, 2**62, 0, 1.0) for name in NAMES.values()]
    return report.gather(cache, inside=True, history=build(HISTORY_SCHEMA, lines))


@pytest.fixture(autouse=True)
def _no_warning():
    """A glyph that a font lacks is a warning, and so is a layout that collapses."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_every_name_reaches_the_frames(cache):
    """Else the other tests would test nothing."""
    apps = frames.apps(cache)
    assert SCRIPT in set(apps["name"])
    assert {name for name in NAMES.values() if name in set(apps["name"])} >= {
        name for key, name in NAMES.items() if key != "surrogate"
    }
    assert apps["description"].str.len().max() == 1 << 20


def test_every_frame_can_be_shown(cache):
    loaded = load(cache)
    for name in ("apps", "layers", "uses", "components", "files", "blobs", "problems", "disk"):
        frame = loaded.need(name)
        assert str(frame)
        page = frame.head(50)._repr_html_()
        assert "<script" not in page
        assert "<img" not in page


def test_every_plot_is_drawn(cache, material):
    loaded = material.frames
    place = "ghcr.io/org/app"
    with mpl.rc_context():
        plots.breakdown(loaded, ax=Figure((10, 8)).add_subplot()).figure.canvas.draw()
        for axes in plots.sharing(loaded, fig=Figure((12, 10))).values():
            axes.figure.canvas.draw()
        for ax in (
            plots.shared_bytes(loaded, ax=Figure((10, 8)).add_subplot()),
            plots.version_savings(loaded, place, ax=Figure((10, 8)).add_subplot()),
            plots.upgrade_matrix(loaded, place, ax=Figure((10, 8)).add_subplot()),
            plots.timeline(material.timeline, ax=Figure((10, 8)).add_subplot()),
        ):
            ax.figure.canvas.draw()


def test_the_page_is_well_formed_and_harmless(material):
    text = report.render(material, title=NAMES["closing"] + NAMES["right-to-left"])
    page = Page(text)
    assert page.open == []
    assert page.only_its_own_script_runs()
    assert {"img", "iframe", "object", "link", "b"} & set(page.tags) == set()
    assert [target for target in page.targets if not target.startswith("#")] == []
    assert SCRIPT in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "49" not in re.findall(r">([^<]*)<", text)
    assert len(page.ids) == len(set(page.ids))


def test_the_page_has_no_character_that_turns_or_controls(material):
    text = report.render(material, title=NAMES["control"])
    isolates = {"\u2068", "\u2069"}
    bad = {c for c in text if not c.isprintable()} - {"\n"} - isolates - {"\u202f"}
    assert bad == set()
    assert text.count("\u2068") == text.count("\u2069")


def test_the_page_is_not_huge(material):
    assert len(report.render(material)) < 1_500_000
    assert len(report.render(material, format="markdown")) < 100_000
    assert len(report.render(material, format="json")) < 500_000


def test_the_markdown_is_harmless(material):
    text = report.render(material, format="markdown", title=NAMES["markdown"] + NAMES["script"])
    page = rendered(text)
    assert page.tags <= TAGS
    assert any(SCRIPT in row for table in page.tables for row in table)
    widths = [{len(row) for row in table} for table in page.tables]
    assert all(len(width) == 1 for width in widths)


def test_the_json_is_ascii_and_reads_back(material):
    text = report.render(material, format="json", title=SCRIPT)
    assert text.isascii()
    document = json.loads(text)
    names = {app["name"] for app in document["apps"]}
    assert {NAMES["script"], NAMES["right-to-left"], NAMES["control"], NAMES["emoji"]} <= names
    assert all(len(app["description"] or "") <= 4097 for app in document["apps"])


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_the_tables_read_back(material, form, tmp_path_factory):
    folder = tmp_path_factory.mktemp(form)
    report.write_frames(material, folder, data_format=form)  # type: ignore[arg-type]
    path = folder / f"apps.{form}"
    found = pd.read_parquet(path) if form == "parquet" else pd.read_csv(path, keep_default_na=False)
    names = [name for name in material.apps["name"] if not pd.isna(name)]
    shown = [name for name in found["name"] if not pd.isna(name)]
    assert [name for name in shown if name] == [name for name in names if name]


def test_a_registry_of_attacks_harms_no_page(cache):
    """What is read of a folder is escaped in its reference as well."""
    references = frames.apps(cache)["reference"].tolist()
    assert "ghcr.io/org/\\u202eevil:v1" in references
    assert all(reference.isprintable() for reference in references)
