"""The HTML and text of values: escaped, short, alike."""

from __future__ import annotations

import pytest

from spincache_nb.core.display import (
    Cell,
    block,
    count_text,
    digest_cell,
    more_text,
    share_bar,
    short_digest,
    size_cell,
    size_text,
    table,
)

EVIL = '<img src=x onerror="1">\n'


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1048524, "1023.9 KiB"),
        (1048525, "1.0 MiB"),
        (3 << 20, "3.0 MiB"),
        (5 << 40, "5120.0 GiB"),
        (None, "?"),
    ],
)
def test_size_text(count: int | None, text: str) -> None:
    assert size_text(count) == text


def test_count_text_has_a_plural() -> None:
    assert [count_text(n, "app") for n in (0, 1, 2, 10_000)] == ["0 apps", "1 app", "2 apps", "10,000 apps"]


def test_short_digest_of_each_algorithm() -> None:
    assert short_digest("sha512:" + "ab" * 64) == "ab" * 6
    assert short_digest("nonsense") == "nonsense"


@pytest.mark.parametrize("kind", ["text", "code", "number"])
def test_cell_lets_no_mark_up_in(kind: str) -> None:
    made = Cell(EVIL, kind, EVIL).html()  # type: ignore[arg-type]
    assert "<img" not in made
    assert '"1"' not in made
    assert "\n" not in made


def test_table_is_cut_and_says_so() -> None:
    rows = [(digest_cell("sha256:" + "0" * 64), size_cell(n)) for n in range(1000)]
    made = table(("digest", "size"), rows, most=10)
    assert made.count("<tr>") == 1 + 10 + 1
    assert "and 990 more" in made
    assert len(made) < 3000
    assert table(("digest", "size"), [], most=10) == ""


def test_more_text_of_nothing_more() -> None:
    assert [more_text(10, 10), more_text(10_010, 10)] == ["", "and 10,000 more"]


@pytest.mark.parametrize(("reused", "total", "stop"), [(0, 10, "0.0%"), (5, 10, "50.0%"), (20, 10, "100.0%")])
def test_share_bar_says_in_words_what_it_draws(reused: int, total: int, stop: str) -> None:
    made = share_bar(reused, total)
    assert f"#0072B2 {stop}" in made
    assert f'aria-label="{reused} B of 10 B stored already"' in made


def test_share_bar_of_nothing_is_nothing() -> None:
    assert share_bar(0, 0) == ""


def test_block_lets_no_mark_up_in() -> None:
    for made in (block(EVIL, EVIL, notes=[EVIL, ""]), block("", EVIL)):
        assert "<img" not in made
        assert "<p></p>" not in made
