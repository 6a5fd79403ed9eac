"""One value as text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from spincache_nb.cli import cells


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "?"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_048_524, "1023.9 KiB"),
        (1_048_575, "1.0 MiB"),
        (1_048_576, "1.0 MiB"),
        (1 << 30, "1.0 GiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_size_uses_binary_units(count: int | None, shown: str) -> None:
    assert cells.size(count) == shown


def test_time_is_shown_in_utc() -> None:
    berlin = timezone(timedelta(hours=2))
    assert cells.time(datetime(2026, 6, 1, 1, 30, tzinfo=berlin)) == "2026-05-31 23:30:00"
    assert cells.time(datetime(2026, 6, 1, 1, 30, tzinfo=UTC)) == "2026-06-01 01:30:00"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("two\nlines\ttab", "two\\nlines\\ttab"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("half \udc80 pair", "half \\udc80 pair"),
        ("Zoë 日本", "Zoë 日本"),
        (None, ""),
    ],
)
def test_text_escapes_what_a_terminal_would_obey(text: str | None, shown: str) -> None:
    assert cells.text(text) == shown


def test_width_counts_wide_and_combining_characters() -> None:
    assert cells.width("日本") == 4
    assert cells.width("e\u0301") == 1


@pytest.mark.parametrize(
    ("columns", "cut", "shown"),
    [
        (10, "end", "0123456789"),
        (5, "end", "0123…"),
        (5, "start", "…6789"),
        (7, "middle", "01…6789"),
        (1, "end", "0"),
    ],
)
def test_shorten_keeps_the_part_that_tells(columns: int, cut: cells.Cut, shown: str) -> None:
    assert cells.shorten("0123456789", columns, cut=cut) == shown


def test_shorten_never_exceeds_the_columns_with_wide_characters() -> None:
    for columns in range(1, 12):
        for cut in ("start", "middle", "end"):
            assert cells.width(cells.shorten("日本語の名前です", columns, cut=cut)) <= columns
