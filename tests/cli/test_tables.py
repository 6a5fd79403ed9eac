"""Rows as a table that fits."""

from typing import Any

from spincache_nb.cli import cells
from spincache_nb.cli.tables import Column, digest_column, reference_column, render, size_column, time_column

ROWS: list[dict[str, Any]] = [
    {"reference": "ghcr.io/org/team/a-long-name:v1", "kind": "app", "bytes": 1536, "at": None},
    {"reference": "ghcr.io/b:v2", "kind": "package", "bytes": None, "at": None},
]
COLUMNS = (reference_column(), Column("kind", "KIND", rank=1), size_column("bytes", "SIZE"))


def test_render_aligns_text_left_and_numbers_right() -> None:
    assert render(ROWS, COLUMNS) == [
        "REFERENCE                        KIND        SIZE",
        "ghcr.io/org/team/a-long-name:v1  app      1.5 KiB",
        "ghcr.io/b:v2                     package        ?",
    ]


def test_render_shortens_before_it_leaves_out() -> None:
    assert render(ROWS, COLUMNS, width=46) == [
        "REFERENCE                     KIND        SIZE",
        "….io/org/team/a-long-name:v1  app      1.5 KiB",
        "ghcr.io/b:v2                  package        ?",
    ]


def test_render_leaves_out_the_highest_rank_first() -> None:
    columns = (*COLUMNS, time_column("at", "PULLED", rank=2))
    assert render(ROWS, columns, width=46)[0] == "REFERENCE                     KIND        SIZE"
    assert render(ROWS, columns, width=35)[0] == "REFERENCE                      SIZE"


def test_render_fits_every_width_as_far_as_columns_allow() -> None:
    for width in range(29, 80):
        assert max(cells.width(line) for line in render(ROWS, COLUMNS, width=width)) <= width


def test_render_keeps_the_start_of_digests_and_the_end_of_references() -> None:
    rows = [{"reference": "r" * 40 + ":v1", "digest": "sha256:0123456789ab" + "f" * 52}]
    line = render(rows, (reference_column(), digest_column()), width=50)[1]
    assert line.startswith("…rr")
    assert ":v1  sha256:0123456789ab" in line
    assert line.endswith("…")
    assert len(line) == 50


def test_render_escapes_control_characters() -> None:
    rows = [{"name": "evil\x1b[2J\nname", "at": None}]
    assert render(rows, (Column("name", "NAME"),))[1] == "evil\\x1b[2J\\nname"


def test_render_aligns_wide_characters() -> None:
    rows = [{"name": "日本", "bytes": 1}, {"name": "abcd", "bytes": 1}]
    table = render(rows, (Column("name", "NAME"), size_column("bytes", "SIZE")))
    assert table[1:] == ["日本   1 B", "abcd   1 B"]


def test_render_shows_headings_alone_without_rows() -> None:
    assert render([], COLUMNS) == ["REFERENCE  KIND  SIZE"]
