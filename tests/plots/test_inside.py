from __future__ import annotations

import matplotlib as mpl
import pytest
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure

from spincache_nb import analysis
from spincache_nb.analysis.schemas import CHUNK_SWEEP_SCHEMA, GRAINS_SCHEMA, SECTION_MAP_SCHEMA
from spincache_nb.frames.schemas import build, empty
from spincache_nb.plots import inside, style
from tests.support.payloads import payload
from tests.wasm.builders import component, custom, deep_nest, module, nested

OLD, NEW = payload("hello-js/1.0.0.wasm"), payload("hello-js/1.0.1.wasm")


def axes():
    return Figure().add_subplot()


def widths(ax, colour):
    """Sum the widths of the boxes of a colour, in the unit of the axis."""
    wanted = mpl.colors.to_rgba(colour)
    total = 0.0
    for collection in ax.collections:
        assert isinstance(collection, PatchCollection)
        for path, face in zip(collection.get_paths(), collection.get_facecolor(), strict=True):
            if tuple(face) == wanted:
                total += path.get_extents().width
    return total


def test_grains_draws_reused_new_and_index_bytes_end_to_end():
    lines = [("blob", 4 << 20, 0, 1, 32, 0.0), ("function", 4 << 20, 3 << 20, 1 << 15, 1 << 20, 0.75)]
    ax = inside.grains(build(GRAINS_SCHEMA, lines), ax=axes())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["blob", "function"]
    assert ax.get_xlabel() == "MiB"
    drawn = [(bar.get_x(), bar.get_width()) for container in ax.containers for bar in container]
    assert drawn == [(0, 0), (0, 3), (0, 4), (3, 1), (4, pytest.approx(32 / 2**20)), (4, 1)]
    texts = [text.get_text() for text in ax.texts]
    assert texts[1].startswith("75.0 % of 4.0 MiB, 32")
    assert texts[0] == "0 % of 4.0 MiB, 1 piece"
    top, bottom = (ax.patches[n].get_y() for n in (0, 1))
    assert top < bottom
    assert ax.yaxis_inverted()


def test_chunk_sweep_draws_shares_with_and_without_the_index():
    rows = [(65536, 1000, 100, 1, 32, 0.1), (4096, 1000, 500, 10, 320, 0.5)]
    ax = inside.chunk_sweep(build(CHUNK_SWEEP_SCHEMA, rows), ax=axes())
    reused, net = ax.lines
    assert list(reused.get_xdata()) == [4096, 65536]
    assert list(reused.get_ydata()) == [50, 10]
    assert list(net.get_ydata()) == pytest.approx([18, 6.8])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["4 KiB", "64 KiB"]


def test_section_map_draws_every_section_at_its_offset():
    core = module(custom("note", bytes(1000)))
    binary = component(nested(core), custom("end", bytes(500)))
    ax = inside.section_map(analysis.section_map(binary), ax=axes())
    unit = 1024
    assert ax.get_xlabel() == "offset in KiB"
    assert ax.get_xlim() == pytest.approx((0, len(binary) / unit))
    customs = len(core) - 8 + len(custom("end", bytes(500)))
    assert widths(ax, inside._SECTION_HUES["custom"]) == pytest.approx(customs / unit)
    assert "core module, 1019 B" in [text.get_text() for text in ax.texts]


def test_section_map_joins_neighbours_and_names_wide_boxes():
    ax = inside.section_map(analysis.section_map(NEW), ax=axes())
    texts = [text.get_text() for text in ax.texts]
    assert "componentize_qjs_runtime.wasm, 752.3 KiB" in texts
    assert "code, 742.2 KiB" in texts
    assert len(ax.collections[0].get_paths()) < 150


def test_section_maps_marks_the_shared_part_of_each_section_to_one_scale():
    frame = analysis.section_maps(
        payload("web-tree-sitter/0.26.8.wasm"), payload("web-tree-sitter/0.26.9.wasm")
    )
    drawn = inside.section_maps(frame, fig=Figure())
    assert list(drawn) == ["old", "new"]
    assert drawn["old"].get_xlim() == drawn["new"].get_xlim()
    for version, ax in drawn.items():
        chosen = frame[frame["version"] == version]
        shared, total = chosen["shared_bytes"].sum(), chosen["section_bytes"].sum()
        assert widths(ax, style.REUSED) == pytest.approx(shared / 1024, abs=0.2)
        assert widths(ax, style.FETCHED) == pytest.approx((total - shared) / 1024, abs=0.2)
    assert drawn["new"].get_title(loc="left") == "new: 195.6 KiB, 88.6 % in the other version too"


def test_section_maps_of_a_small_and_a_large_version_keep_one_unit():
    small, large = module(custom("a", bytes(500))), module(custom("a", bytes(3 << 20)))
    drawn = inside.section_maps(analysis.section_maps(small, large), fig=Figure())
    assert drawn["old"].get_xlim() == drawn["new"].get_xlim() == pytest.approx((0, 3), rel=0.01)
    assert drawn["new"].get_xlabel() == "offset in MiB"


def test_section_map_of_a_deep_nest_draws_twelve_levels():
    ax = inside.section_map(analysis.section_map(deep_nest(5000)), ax=axes())
    assert len(ax.collections[0].get_paths()) == 12


def test_section_maps_of_an_empty_frame_say_so():
    drawn = inside.section_maps(empty(SECTION_MAP_SCHEMA), fig=Figure())
    assert all(ax.texts[0].get_text().startswith("There are no") for ax in drawn.values())


def test_plots_escape_names_from_binaries():
    names = custom("component-name", b"\x01\x0e\x00\x11\x01\x00\x09$x$\n\x1b[31m")
    binary = component(nested(module(custom("pad", bytes(9000)))), names)
    ax = inside.section_map(analysis.section_map(binary), ax=axes())
    ax.figure.canvas.draw()
    assert any(text.get_text().startswith(r"\$x\$\n\x1b[31m") for text in ax.texts)


def test_plots_are_drawn_without_warnings():
    figure = Figure(figsize=(9, 5))
    inside.grains(analysis.grains(OLD, NEW), ax=figure.add_subplot())
    figure.canvas.draw()
    maps = Figure(figsize=(9, 7))
    inside.section_maps(analysis.section_maps(OLD, NEW), fig=maps)
    maps.canvas.draw()
