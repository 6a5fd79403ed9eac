"""Plots that follow a page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from spincache_nb import plots
from spincache_nb.plots import style, svg
from tests.analysis.worlds import World
from tests.plots.samples import cache_of, history_of

HUES = [style.BLUE, style.ORANGE, style.GREEN, style.VERMILION, style.SKY, style.PURPLE, style.YELLOW]


def drawn(draw, size=(6, 4)) -> str:
    with mpl.rc_context({"svg.hashsalt": "x"}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        return svg.following(figure, name="x", label="a “label” & <more>")


DRAWN = {
    *(hue.lower() for hue in HUES),
    *(to_hex(colours(shade)) for colours in style.colour_maps() for shade in range(256)),
    *("#000004", "#fffffb"),
}
"""Colours that are not those of text or ground: areas and cells."""


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    light, dark = sorted((style.luminance(to_rgb(one)), style.luminance(to_rgb(other))), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    "colour", [*(hue.lower() for hue in HUES), "#ffffff", "#000000", "#440154", "#fde725"]
)
def test_twins_leaves_colours_alone_that_are_no_mix(colour: str) -> None:
    assert svg.twins(colour) is None


@pytest.mark.parametrize("strength", [0.0, 0.07, 0.15, 0.3, 0.35, 0.6, 0.7, 1.0])
def test_twins_mixes_the_colours_of_a_dark_page_as_much(strength: float) -> None:
    def mix(ink: str, ground: str) -> list[float]:
        return [strength * i + (1 - strength) * g for i, g in zip(to_rgb(ink), to_rgb(ground), strict=True)]

    light = "#" + "".join(f"{round(part * 255):02x}" for part in mix(svg.LIGHT_INK, svg.LIGHT_GROUND))
    found = svg.twins(light)
    assert found is not None
    _, dark = found
    expected = mix(svg.DARK_INK, svg.DARK_GROUND)
    assert max(abs(a - b) for a, b in zip(to_rgb(dark), expected, strict=True)) < 2 / 255


def test_text_can_be_read_on_both_grounds() -> None:
    assert contrast(svg.LIGHT_INK, svg.LIGHT_GROUND) > 7
    assert contrast(svg.DARK_INK, svg.DARK_GROUND) > 7


def test_following_has_a_label_and_no_comment() -> None:
    text = drawn(lambda figure: figure.add_subplot().set_title("--> a title"))
    assert text.startswith('<svg role="img" aria-label="a “label” &amp; &lt;more&gt;" ')
    assert "<!--" not in text
    assert "<metadata>" not in text
    assert text.rstrip().endswith("</svg>")


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_following_has_the_ground_and_ink_as_variables_only(style: str) -> None:
    """Whatever the colours were in which it was drawn, it comes out in those of the page."""
    with mpl.style.context(style):
        before = dict(mpl.rcParams)
        figure = Figure(figsize=(24, 18), layout="constrained")
        upper, lower = figure.subfigures(2, 1)
        plots.breakdown(cache_of(12).frames(), ax=upper.add_subplot(131))
        plots.shared_bytes(cache_of(12).frames(), ax=upper.add_subplot(132))
        plots.timeline(history_of(20), ax=upper.add_subplot(133))
        plots.sharing(cache_of(12).frames(), fig=lower)
        text = svg.following(figure, name="x", label="a “label” & <more>")
        assert dict(mpl.rcParams) == before
    ink = f"var(--p-{svg.LIGHT_INK[1:]}-{svg.DARK_INK[1:]}, {svg.LIGHT_INK})"
    ground = f"var(--p-{svg.LIGHT_GROUND[1:]}-{svg.DARK_GROUND[1:]}, {svg.LIGHT_GROUND})"
    black = ink if style == "default" else ground
    assert text.startswith('<svg role="img" aria-label="a “label” &amp; &lt;more&gt;" ')
    assert f'fill="{black}"' in text.partition(">")[0]
    assert "style" not in text
    assert {ink, ground} <= set(re.findall(r"var\([^)]+\)", text))
    left_over = set(re.findall(r'(?<==")#[0-9a-f]{6}', re.sub(r"var\([^)]+\)", "", text)))
    assert left_over <= DRAWN


@pytest.mark.parametrize(
    "style", [{"axes.facecolor": "#eaeaf2"}, {"xtick.color": "red"}, {"figure.facecolor": (1, 1, 1, 0)}]
)
def test_following_leaves_a_style_of_several_colours_alone(style: dict[str, Any]) -> None:
    with mpl.rc_context(style):
        figure = Figure(figsize=(6, 4))
        figure.add_subplot().set_title("x")
        text = svg.following(figure, name="x", label="x")
    assert "var(" not in text
    assert text.startswith('<svg role="img" aria-label="x" ')


def test_variables_declares_each_once_for_both_pages() -> None:
    text = drawn(lambda figure: figure.add_subplot().set_title("x"))
    light, dark = svg.variables([text, text])
    used = set(re.findall(r"var\((--p-[0-9a-f-]+),", text))
    for declared in (light, dark):
        names = re.findall(r"(--p-[0-9a-f]{6}-[0-9a-f]{6}):#[0-9a-f]{6};", declared)
        assert sorted(names) == sorted(used)
    assert light != dark


def test_following_names_everything_after_the_plot() -> None:
    text = drawn(lambda figure: figure.add_subplot().plot([1, 2], [1, 2], marker="o"))
    names = re.findall(r'\bid="([^"]+)"', text)
    assert names
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"x-[0-9]+", name) for name in names)
    assert {*re.findall(r'xlink:href="#([^"]+)"', text), *re.findall(r"url\(#([^)]+)\)", text)} <= set(names)


# Files ------------------------------------------------------------------------------------------


def test_plots_of_are_the_same_bytes_whatever_the_users_style_and_leave_it(tmp_path: Path) -> None:
    from matplotlib import pyplot as plt

    found = svg.plots_of(cache_of(12).frames())
    assert [plot.name for plot in found][:3] == ["breakdown", "sharing", "shared-bytes"]
    assert all(re.fullmatch(r"[a-z0-9-]+", plot.name) for plot in found)
    assert len({plot.name for plot in found}) == len(found)
    found[0].png(tmp_path / "plain.png")
    with mpl.rc_context({"text.color": "white", "figure.facecolor": "black", "font.size": 30.0}):
        before = dict(mpl.rcParams)
        found[0].png(tmp_path / "styled.png")
        assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "styled.png").read_bytes()
    assert (tmp_path / "plain.png").read_bytes().startswith(b"\x89PNG")


def test_plots_of_an_empty_cache_are_none() -> None:
    assert svg.plots_of(World([], {}, set()).frames()) == []
