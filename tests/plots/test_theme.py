"""Colours for colour-blind readers and for light and dark grounds; figures; hostile names."""

from __future__ import annotations

import io
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from spincache_nb import plots
from spincache_nb.analysis import schemas as of_cache
from spincache_nb.fleet import schemas as of_fleet
from spincache_nb.frames.schemas import HISTORY_SCHEMA, build, empty
from spincache_nb.plots import bars, style
from tests.analysis.worlds import App, World, digest_of
from tests.plots.samples import cache_of, history_of, versions_of

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency" (2009), severity 1.0, for linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour, deficiency):
    """CIELAB of an sRGB colour as seen with a deficiency of colour vision."""
    srgb = np.array(to_rgb(colour))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(DEFICIENCIES[deficiency] @ linear, 0, 1)
    ratio = TO_XYZ @ seen / np.array([0.9505, 1.0, 1.089])
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("ground", ["white", "black"])
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_hues_stay_apart_for_colour_blind_readers(deficiency, ground):
    with mpl.rc_context({"axes.facecolor": ground, "text.color": "black" if ground == "white" else "white"}):
        hues = [*bars._HUES.values(), style.grey(Figure().add_subplot(), bars._GREY)]
    distances = {
        (a, b): float(np.linalg.norm(lab(a, deficiency) - lab(b, deficiency)))
        for a, b in combinations(hues, 2)
    }
    assert min(distances.values()) > 10, min(distances.items(), key=lambda item: item[1])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_reused_and_fetched_are_far_apart_for_colour_blind_readers(deficiency):
    assert np.linalg.norm(lab(style.REUSED, deficiency) - lab(style.FETCHED, deficiency)) > 40


@pytest.mark.parametrize("ground", ["white", "#202020"])
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_colour_map_goes_from_near_the_ground_to_far_from_it(deficiency, ground):
    ax = Figure().add_subplot()
    ax.set_facecolor(ground)
    colours = style.colour_map(ax)(np.linspace(0, 1, 20))[:, :3]
    apart = [abs(lab(colour, deficiency)[0] - lab(ground, deficiency)[0]) for colour in colours]
    assert all(np.diff(apart) > 0)


@pytest.mark.parametrize("count", [1, 30, 200])
def test_titles_are_the_largest_text_and_never_cut(count):
    figures = draw_all(
        cache_of(min(count, 60)).frames(), versions_of(count).frames(), history_of(3), "org/web"
    )
    for figure in figures:
        texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
        titles = [ax.title if ax.get_title() else ax._left_title for ax in figure.axes]
        (title,) = [title for title in titles if title.get_text()] or [None]
        if title is not None:
            assert title.get_fontsize() >= max(text.get_fontsize() for text in texts)
            box = title.get_window_extent()
            assert box.x1 <= figure.bbox.x1 + 1
            assert box.y1 <= figure.bbox.y1 + 1


@pytest.mark.parametrize("ground", ["white", "black"])
def test_reused_and_fetched_stand_out_from_the_ground(ground):
    for colour in (style.REUSED, style.FETCHED):
        one, other = sorted((style.luminance(to_rgb(colour)), style.luminance(to_rgb(ground))))
        assert (other + 0.05) / (one + 0.05) > 2


def draw_all(frames, versions, history, repository):
    """One figure per plot, of the size advised."""
    count = max(len(frames.apps), len(versions.apps))
    figures = [
        Figure(
            layout="constrained", figsize=plots.figure_size(name, 3 * count if name == "breakdown" else count)
        )
        for name in (
            *("breakdown", "sharing", "shared_bytes"),
            *("version_savings", "upgrade_matrix", "timeline"),
        )
    ]
    plots.breakdown(frames, ax=figures[0].add_subplot())
    plots.sharing(frames, fig=figures[1])
    plots.shared_bytes(frames, ax=figures[2].add_subplot())
    plots.version_savings(versions, repository, ax=figures[3].add_subplot())
    plots.upgrade_matrix(versions, repository, ax=figures[4].add_subplot())
    plots.timeline(history, ax=figures[5].add_subplot())
    for figure in figures:
        FigureCanvasAgg(figure).draw()
    return figures


DARK = {
    "text.color": "#e0e0e0",
    "axes.labelcolor": "#e0e0e0",
    "xtick.color": "#e0e0e0",
    "ytick.color": "#e0e0e0",
    "axes.edgecolor": "#e0e0e0",
    "figure.facecolor": "#202020",
    "axes.facecolor": "#202020",
}


def test_every_text_can_be_read_on_a_dark_ground():
    with mpl.rc_context(DARK):
        figures = draw_all(cache_of(12).frames(), versions_of(12).frames(), history_of(5), "org/web")
    for figure in figures:
        for text in figure.findobj(Text):
            on_a_cell = text.axes is not None and text in text.axes.texts and text.axes.collections
            if text.get_text() and text.get_visible() and not on_a_cell:
                assert style.luminance(to_rgb(text.get_color())) > 0.5, text.get_text()


def test_numbers_in_cells_contrast_with_their_cell():
    figure = Figure()
    ax = plots.upgrade_matrix(versions_of(8).frames(), "org/web", ax=figure.add_subplot())
    image = ax.collections[0]
    for text in ax.texts:
        column, row = text.get_position()
        cell = image.to_rgba(image.get_array()[row : row + 1, column])[0][:3]
        one, other = sorted((style.luminance(tuple(cell)), style.luminance(to_rgb(text.get_color()))))
        assert (other + 0.05) / (one + 0.05) > 4.5


@pytest.mark.parametrize("ground", ["light", "dark"])
@pytest.mark.parametrize("count", [1, 3, 60, 200])
def test_every_plot_is_drawn_without_a_warning(count, ground):
    with mpl.rc_context(DARK if ground == "dark" else {}):
        draw_all(cache_of(count).frames(), versions_of(count).frames(), history_of(count), "org/web")


OF_NOTHING = {
    "breakdown": (of_cache.BREAKDOWN_SCHEMA, "Nothing is stored in this cache."),
    "version_savings": (of_cache.VERSION_SAVINGS_SCHEMA, "No versions to compare."),
    "upgrade_matrix": (of_cache.UPGRADE_MATRIX_SCHEMA, "No versions to compare."),
    "shared_bytes": (of_cache.SHARED_BYTES_SCHEMA, "Fewer than two apps: nothing can be shared."),
    "timeline": (HISTORY_SCHEMA, "No pull is recorded."),
    "grains": (of_cache.GRAINS_SCHEMA, "There are no bytes to compare."),
    "chunk_sweep": (of_cache.CHUNK_SWEEP_SCHEMA, "There are no bytes to compare."),
    "section_map": (of_cache.SECTION_MAP_SCHEMA, "There are no sections to draw."),
    "host_overlap": (of_fleet.HOST_PAIRS_SCHEMA, "Fewer than two hosts: nothing can be shared."),
    "shared_cache": (of_fleet.HOST_OVERLAP_SCHEMA, "No hosts."),
    "prewarm": (of_fleet.PREWARM_SCHEMA, "No blobs."),
    "version_tail": (of_fleet.VERSIONS_SCHEMA, "No versions."),
}


@pytest.mark.parametrize("name", OF_NOTHING)
def test_plots_of_nothing_say_so_and_of_another_frame_are_an_error(name):
    (schema, text), draw = OF_NOTHING[name], getattr(plots, name)
    assert [one.get_text() for one in draw(empty(schema), ax=Figure().add_subplot()).texts] == [text]
    if name != "timeline":  # which takes any frame for a history
        with pytest.raises(ValueError, match=r"draws what (analysis|Fleet)\.\w+\(\) gives"):
            draw(empty({"digest": "string"}), ax=Figure().add_subplot())


def test_every_plot_of_an_empty_cache_says_so():
    frames = World([], {}, set()).frames()
    for draw in (plots.breakdown, plots.shared_bytes):
        assert len(draw(frames, ax=Figure().add_subplot()).texts) == 1
    assert len(plots.sharing(frames, fig=Figure())["sets"].texts) == 1


def test_hostile_names_do_no_harm():
    """Projects and tags may hold what a registry or a file system allows."""
    shared, own = digest_of(1), digest_of(2)
    tags = ["v1", "тег", "汉字", "x" * 128]
    apps = [App("r.io", "o/web", tag, [(shared, "wasm"), (own, "data")]) for tag in tags]
    projects = {
        name: {shared: "spin.toml"} for name in ("<script>alert(1)</script>", "$\\frac{$", "a\nb", "\u202e")
    }
    world = World(apps, {shared: 5_000_000, own: 70}, {(shared, "wasm"), (own, "data")}, projects)
    frames = world.frames()
    history = build(HISTORY_SCHEMA, [])
    for figure in draw_all(frames, frames, history, "o/web"):
        out = io.StringIO()
        with mpl.rc_context({"svg.fonttype": "none"}):
            figure.savefig(out, format="svg")
        assert "<script" not in out.getvalue()


@pytest.mark.parametrize("name", list(style._SIZES))
def test_figure_size_grows_with_the_count_up_to_a_limit(name):
    sizes = [plots.figure_size(name, count) for count in (1, 3, 12, 60, 200, 20_000)]
    assert sizes == sorted(sizes)
    assert max(max(size) for size in sizes) < 20


def test_plots_without_axes_make_a_figure_that_pyplot_knows():
    from matplotlib import pyplot as plt

    frames = cache_of(3).frames()
    ax = plots.breakdown(frames)
    panels = plots.sharing(frames)
    assert [plt.figure(number) for number in plt.get_fignums()] == [ax.figure, panels["sets"].figure]
    for number in plt.get_fignums():
        plt.close(number)
