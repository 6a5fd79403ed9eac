from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spincache_nb.plots.style import harmless, names_for, version_names
from tests.analysis.worlds import SOME


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
