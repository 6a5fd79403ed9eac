"""Values as text, HTML, Markdown and JSON: one form each, escaped, cut where they are long."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import PurePosixPath
from typing import Any

import pandas as pd
import pytest

from spincache_nb import show
from spincache_nb.errors import NotFoundError, PullCancelled
from spincache_nb.show import Cell, Column, Table

EVIL = '<img src=x onerror="1">\n'
DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "?"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1023.7, "1.0 KiB"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1048524, "1023.9 KiB"),
        (1048525, "1.0 MiB"),
        (5 << 20, "5.0 MiB"),
        (123 << 30, "123.0 GiB"),
        (5 << 40, "5.0 TiB"),
        (5000 << 50, "5000.0 PiB"),
    ],
)
def test_size_text_has_one_decimal_and_a_binary_unit(count, text):
    assert show.size_text(count) == text


def test_unit_for_takes_the_largest_unit_that_fits():
    assert show.unit_for(2**20) == ("MiB", 2**20)
    assert show.unit_for(2**20 - 1) == ("KiB", 2**10)
    assert show.unit_for(0) == ("bytes", 1)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "-"),
        (0, "0 %"),
        (1e-9, "<0.1 %"),
        (0.0006, "0.1 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.5, "50 %"),
        (0.9951, ">99 %"),
        (1, "100 %"),
        (1.25, "125 %"),
    ],
)
def test_share_text_calls_only_nothing_nothing_and_only_all_all(share, text):
    assert show.share_text(share) == text


def test_counts_have_plurals_and_say_what_is_hidden():
    assert [show.count_text(n, "app") for n in (0, 1, 10_000)] == ["0 apps", "1 app", "10,000 apps"]
    assert [show.more_text(10, 10), show.more_text(10_010, 10)] == ["", "and 10,000 more"]


def test_time_text_is_in_utc():
    berlin = datetime(2026, 6, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert show.time_text(berlin) == "2026-05-31 23:30:00"
    assert show.time_text(berlin, "minute") == "2026-05-31 23:30"
    assert show.time_text(pd.Timestamp(berlin), "day") == "2026-05-31"
    assert show.time_text(None) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.1, "1 s"), (59.5, "1 min 0 s"), (3599, "59 min 59 s"), (90_000, "25 h 0 min")],
)
def test_wait_text_rounds_up(seconds, text):
    assert show.wait_text(seconds) == text


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (
            NotFoundError("r.io/a:1", "tag 1", "404", "check it"),
            "r.io/a:1: expected tag 1, got 404; check it",
        ),
        (PullCancelled("pull", "", "", "stopped"), "pull; stopped"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(2, "No such file", "a\nb"), "a\\nb: No such file"),
        (OSError("odd"), "unexpected OSError: odd"),
        (ValueError("one\ntwo"), "unexpected ValueError: one"),
        (ValueError(), "unexpected ValueError"),
        (RuntimeError("\x1b[31mred"), "unexpected RuntimeError: \\x1b[31mred"),
    ],
)
def test_error_text_is_one_plain_line(fault, text):
    assert show.error_text(fault) == text


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
def test_plain_escapes_what_a_terminal_would_obey(text, shown):
    assert show.plain(text) == shown


def test_short_digests():
    assert show.short_digest("sha512:" + "ab" * 64) == "ab" * 6
    assert show.short_digest("nonsense") == "nonsense"
    close = ["sha256:" + "a" * 20 + end * 44 for end in "bc"]
    assert list(show.short_digests(close).values()) == ["a" * 20 + "b…", "a" * 20 + "c…"]
    assert show.short_digests(["nonsense", "sha512:" + "1" * 128]) == {
        "nonsense": "nonsense",
        "sha512:" + "1" * 128: "sha512:" + "1" * 8 + "…",
    }


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
def test_shorten_keeps_the_part_that_tells(columns, cut, shown):
    assert show.shorten("0123456789", columns, cut=cut) == shown


def test_width_counts_wide_and_combining_characters():
    assert [show.width("日本"), show.width("e\u0301")] == [4, 1]
    for columns in range(1, 12):
        for cut in ("start", "middle", "end"):
            assert show.width(show.shorten("日本語の名前です", columns, cut=cut)) <= columns


def test_to_json_knows_times_paths_and_missing_numbers():
    document = {
        "at": datetime(2026, 6, 1, tzinfo=UTC),
        "path": PurePosixPath("/a"),
        "part": float("nan"),
        1: ("é",),
    }
    assert json.loads(show.to_json(document)) == {
        "at": "2026-06-01T00:00:00.000000Z",
        "path": "/a",
        "part": None,
        "1": ["é"],
    }
    assert show.to_json("x" * 10, longest=3) == '"xxx\\u2026"'


def test_records_of_a_frame_have_plain_values():
    frame = pd.DataFrame(
        {
            "size": pd.array([1, None], "Int64"),
            "kind": pd.Categorical(["app", None]),
            "at": pd.to_datetime(["2026-06-01", None], utc=True),
            "name": pd.array(["a", None], "string"),
        }
    )
    first, second = show.records(frame)
    assert first == {"size": 1, "kind": "app", "at": pd.Timestamp("2026-06-01", tz="UTC"), "name": "a"}
    assert set(second.values()) == {None}


ROWS: list[dict[str, Any]] = [
    {"reference": "ghcr.io/org/team/a-long-name:v1", "kind": "app", "bytes": 1536, "at": None},
    {"reference": "ghcr.io/b:v2", "kind": "package", "bytes": None, "at": None},
]
COLUMNS = (
    Column("reference", "Reference", "code", shortest=20, cut="start"),
    Column("kind", "Kind", rank=1),
    Column("bytes", "Size", "size"),
)
AT = Column("at", "Pulled", "time", rank=2)


def test_text_aligns_words_left_and_numbers_right():
    assert Table(ROWS, COLUMNS).text() == [
        "REFERENCE                        KIND        SIZE",
        "ghcr.io/org/team/a-long-name:v1  app      1.5 KiB",
        "ghcr.io/b:v2                     package        ?",
    ]
    assert Table([], COLUMNS).text() == ["REFERENCE  KIND  SIZE"]


def test_text_shortens_before_it_leaves_out():
    shown = Table(ROWS, COLUMNS).text(columns=46)
    assert shown[1] == "….io/org/team/a-long-name:v1  app      1.5 KiB"
    timed = Table(ROWS, (*COLUMNS, AT))
    assert timed.text()[0].endswith("SIZE  PULLED (UTC)")
    assert timed.text(columns=46)[0] == shown[0]
    assert timed.text(columns=35)[0] == "REFERENCE                      SIZE"


def test_text_fits_every_width_as_far_as_columns_allow():
    for columns in range(29, 80):
        assert max(show.width(line) for line in Table(ROWS, COLUMNS).text(columns=columns)) <= columns


def test_text_keeps_the_start_of_digests_and_lets_no_control_character_in():
    columns = (
        Column("name", "Name", shortest=20),
        Column("digest", "Digest", "digest", shortest=16, cut="end"),
    )
    line = Table([{"name": "evil\x1b[2J\nname", "digest": DIGEST}], columns).text(columns=44)[1]
    assert line == "evil\\x1b[2J\\nname  sha256:00000000000000000…"


def test_text_aligns_wide_characters():
    rows = [{"name": "日本", "bytes": 1}, {"name": "abcd", "bytes": 1}]
    table = Table(rows, (Column("name", "Name"), Column("bytes", "Size", "size")))
    assert table.text()[1:] == ["日本   1 B", "abcd   1 B"]


def test_one_table_has_all_forms_of_every_kind():
    values = {
        "digest": (DIGEST, "0" * 12 + "…"),
        "size": (5 << 20, "5.0 MiB"),
        "count": (12_345, "12,345"),
        "share": (0.25, "25 %"),
        "seconds": (1.5, "1.50 s"),
        "minute": (datetime(2026, 6, 1, tzinfo=UTC), "2026-06-01 00:00"),
        "day": (datetime(2026, 6, 1, tzinfo=UTC), "2026-06-01"),
        "flag": (True, "yes"),
    }
    columns = [Column(kind, kind, kind) for kind in values]  # type: ignore[arg-type]
    rows = [{kind: value for kind, (value, _) in values.items()}, dict.fromkeys(values)]
    table = Table(rows, columns)
    shown, missing = ([cell.text for cell in line] for line in table.cells())
    assert shown == [text for _, text in values.values()]
    assert missing == ["", "?", "", "-", "", "", "", ""]
    assert table.text()[1].split("  ")[0] == DIGEST
    assert all(text in table.html() and text in table.markdown() for text in shown)
    assert Table(pd.DataFrame(rows).convert_dtypes(), columns).cells() == table.cells()


def test_a_page_shows_long_text_cut_in_its_middle_and_whole_as_title():
    name = "start" + "x" * 300 + "end"
    (cell,) = Column("name", "Name").cells([name])
    assert (len(cell.text), cell.title) == (160, name)
    assert cell.text.startswith("start")
    assert cell.text.endswith("end")


@pytest.mark.parametrize("kind", ["text", "code", "number"])
def test_cells_let_no_mark_up_in(kind):
    made = Cell(EVIL, kind, EVIL).html()  # type: ignore[arg-type]
    assert "<img" not in made
    assert '"1"' not in made
    assert "\n" not in made


def test_tables_are_cut_and_say_so():
    rows = [(DIGEST, n) for n in range(1000)]
    table = Table(rows, (Column("digest", "Digest", "digest"), Column("size", "Size", "size")), most=10)
    made = table.html()
    assert made.count("<tr>") == 1 + 10 + 1
    assert "and 990 more" in made
    assert len(made) < 4000
    assert table.markdown().endswith("\n\nand 990 more")
    assert Table([], COLUMNS).html() == ""


def test_markdown_means_itself():
    rows = [{"name": EVIL + "|a_b`[x](http://evil)"}]
    assert Table(rows, (Column("name", "Name"),)).markdown().splitlines() == [
        "| Name |",
        "|---|",
        '| &lt;img src=x onerror="1"&gt;\\\\n\\|a\\_b\\`\\[x\\](http\\://evil) |',
    ]


@pytest.mark.parametrize(("reused", "total", "stop"), [(0, 10, "0.0%"), (5, 10, "50.0%"), (20, 10, "100.0%")])
def test_share_bar_says_in_words_what_it_draws(reused, total, stop):
    made = show.share_bar(reused, total)
    assert f"#0072B2 {stop}" in made
    assert f'aria-label="{reused} B of 10 B stored already"' in made
    assert show.share_bar(0, 0) == ""


def test_block_lets_no_mark_up_in():
    for made in (show.block(EVIL, EVIL, notes=[EVIL, ""]), show.block("", EVIL)):
        assert "<img" not in made
        assert "<p></p>" not in made
