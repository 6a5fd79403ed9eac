from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spincache_nb.plots.text import harmless, names_for, share_text, size_text, unit_for, version_names
from tests.analysis.worlds import SOME


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (10 * 1024, "10.0 KiB"),
        (123 * 2**20, "123 MiB"),
        (3 * 2**30, "3.00 GiB"),
        (5 * 2**40, "5.00 TiB"),
    ],
)
def test_size_text_has_three_digits_and_a_unit(size, text):
    assert size_text(size) == text


def test_unit_for_takes_the_largest_unit_that_fits():
    assert unit_for(2**20) == ("MiB", 2**20)
    assert unit_for(2**20 - 1) == ("KiB", 2**10)
    assert unit_for(0) == ("bytes", 1)


def test_share_text_never_calls_something_nothing():
    assert [share_text(share) for share in (0, 1e-9, 0.0049, 0.005, 0.5, 1)] == [
        "0 %",
        "<1 %",
        "<1 %",
        "0 %",
        "50 %",
        "100 %",
    ]


def draw(text):
    figure = Figure()
    ax = figure.add_subplot()
    ax.set_yticks([0], [text])
    ax.set_title(text)
    FigureCanvasAgg(figure).draw()
    return ax.title


HOSTILE = [
    "<script>alert(1)</script>",
    "$\\frac{",
    "a$b$c",
    r"\$x$",
    "two\nlines\ttab",
    "\u202eevil",
    "emoji \U0001f600 汉字",
    "\x00\x1b[31m",
    "_hidden",
    "%s {0} #",
    "",
    "zero\u200bwidth",
    "\ud800",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_harmless_text_is_drawn_without_a_warning_and_as_text(text):
    title = draw(harmless(text))
    shown, is_math = title._preprocess_math(title.get_text())
    assert is_math in (False, "TeX") or not is_math
    assert shown.count("$") == text.count("$")


def test_harmless_escapes_what_cannot_be_drawn():
    assert harmless("a\nb") == r"a\nb"
    assert harmless("\u202e") == r"\u202e"
    assert harmless("汉") == r"\u6c49"
    assert harmless("<b>ü…") == "<b>ü…"


@SOME
@given(st.text(max_size=60))
def test_harmless_never_grows_beyond_its_limit(text):
    shown = harmless(text, longest=20)
    assert len(shown.replace(r"\$", "$")) <= 20
    assert shown.isprintable()


def test_harmless_is_quick_with_a_megabyte():
    assert len(harmless("x" * 2**20)) == 36


def test_names_for_stay_different():
    names = names_for([f"ghcr.io/{'o' * 40}/{'a' * 60}:{n}" for n in range(3)])
    assert len(set(names.values())) == 3


def test_version_names_are_tags_where_all_are_of_one_repository():
    digest = "sha256:" + "ab" * 32
    assert version_names(["localhost:5000/o/web:1", f"localhost:5000/o/web@{digest}"]) == {
        "localhost:5000/o/web:1": "1",
        f"localhost:5000/o/web@{digest}": "abababab…",
    }
    assert version_names(["r.io/web:1", "r.io/api:1"])["r.io/api:1"] == "api:1"
