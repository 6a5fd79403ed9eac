"""The same report as Markdown, as JSON, and as tables in files."""

import csv
import json
from html.parser import HTMLParser

import pandas as pd
import pytest

from spincache_nb import analysis, report
from spincache_nb.core.cache import Cache
from spincache_nb.errors import MissingExtraError
from spincache_nb.show import markdown
from tests.analysis.worlds import World, two_versions
from tests.plots.samples import cache_of

EMPTY = World([], {}, set())
TAGS = {"h1", "h2", "p", "ol", "ul", "li", "code", "strong", "table", "thead", "tbody", "tr", "th", "td"}
"""All that Markdown of ours becomes."""


class Tables(HTMLParser):
    """Tables of a page as lists of rows of text, and the tags on it."""

    def __init__(self, text):
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.tags: set[str] = set()
        self._inside, self._opens = False, 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self._opens += tag == "details"
        if self._opens or ("class", "bar") in attrs:
            return
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._inside = True

    def handle_endtag(self, tag):
        self._opens -= tag == "details"
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.tables[-1][-1][-1] += data


def rendered(markdown):
    """Markdown as another program reads it."""
    mistune = pytest.importorskip("mistune")
    read = mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "url", "math"])
    return Tables(str(read(markdown)))


@pytest.mark.parametrize("frames", [two_versions().frames(), cache_of(12).frames(), EMPTY.frames()])
def test_markdown_has_the_tables_of_the_page(frames):
    markdown = rendered(report.render(frames, format="markdown"))
    page = Tables(report.render(frames))
    assert [[[cell.strip() for cell in row] for row in table] for table in markdown.tables] == page.tables
    assert markdown.tags <= TAGS


def test_markdown_has_the_words_of_the_page():
    frames = two_versions().frames()
    text = report.render(frames, format="markdown", title="What we share")
    assert text.startswith("# What we share\n\n20")
    assert "\n\n- **3** apps\n" in text
    assert "1.0 KiB (53 %) is needed by several apps and stored once" in text
    assert text.isprintable() is False
    assert "\n\n\n" not in text


@pytest.mark.parametrize(
    "text",
    [
        "<b>x</b> & <script>",
        "*a* _b_ ~~c~~ `d`",
        "[a](http://e.example) ![b](http://e.example)",
        "http://e.example www.e.example a@e.example",
        "| a | b |",
        "$x$ #1 @someone ^1 \\",
        "{{ 7*7 }}",
        "&amp; &#60;",
    ],
)
def test_escaped_text_is_read_as_itself(text):
    page = rendered(f"| a |\n|---|\n| {markdown(text)} |\n\nWords {markdown(text)}")
    assert page.tables[0][1] == [text]
    assert page.tags <= {"table", "thead", "tbody", "tr", "th", "td", "p"}


def test_escaped_keeps_text_on_one_line():
    assert markdown("a\n# b\t\r\nc") == "a \\# b c"


def test_json_has_every_row_of_every_analysis():
    frames = cache_of(12).frames()
    document = json.loads(report.render(frames, format="json", title="x"))
    for name in ("breakdown", "sharing", "sharing_sets", "reclaimable", "superseded", "summary"):
        frame = getattr(analysis, name)(frames)
        found = document[name] if name != "summary" else [document[name]]
        expected = [
            {key: None if pd.isna(value) else value for key, value in row.items()}
            for row in frame.astype(object).to_dict("records")
        ]
        assert found == expected, name
    shared = analysis.shared_bytes(frames)
    assert sum(row["shared_bytes"] for row in document["shared_bytes"]) == shared["shared_bytes"].sum()
    assert all(row["shared_bytes"] for row in document["shared_bytes"])
    fetched = {}
    for row in document["version_savings"]:
        fetched[row["repository"]] = fetched.get(row["repository"], 0) + row["fetch_bytes"]
    assert fetched == {name: analysis.version_savings(frames, name)["fetch_bytes"].sum() for name in fetched}
    assert document["format"] == "spincache-nb report 1"
    assert document["title"] == "x"


def test_json_has_times_in_utc_and_missing_values_as_null():
    document = json.loads(report.render(two_versions().frames(), format="json"))
    app = next(app for app in document["apps"] if app["reference"] == "ghcr.io/org/web:1.0.0")
    assert app["created_at"] == "2024-05-01T00:00:00.000000Z"
    assert app["pulled_at"] is None


def test_json_of_an_empty_cache_has_the_same_keys():
    empty = json.loads(report.render(EMPTY.frames(), format="json"))
    assert list(empty) == list(json.loads(report.render(two_versions().frames(), format="json")))
    assert empty["version_savings"] == []


def test_write_frames_gives_parquet_that_reads_back(tmp_path):
    material = report.gather(cache_of(12).frames())
    written = report.write_frames(material, tmp_path / "deep" / "data")
    assert all(path.suffix == ".parquet" for path in written)
    for name in ("apps", "layers", "uses", "blobs"):
        found = pd.read_parquet(tmp_path / "deep" / "data" / f"{name}.parquet")
        expected = material.frames.need(name)
        assert found.columns.tolist() == expected.columns.tolist()
        assert found.astype(str).values.tolist() == expected.astype(str).values.tolist()
    matrix = pd.read_parquet(tmp_path / "deep" / "data" / "upgrade_matrix.parquet")
    assert len(matrix) == sum(count**2 for count in material.savings["repository"].value_counts())


def test_write_frames_gives_csv_that_another_program_reads(tmp_path):
    material = report.gather(two_versions().frames())
    report.write_frames(material, tmp_path, data_format="csv")
    with (tmp_path / "sharing.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["names"], row["saved_bytes"]) for row in rows[:2]] == [
        ("component api, component ui", "2000"),
        ("kept.css", "40"),
    ]
    with (tmp_path / "apps.csv").open(newline="", encoding="utf-8") as stream:
        assert {row["pulled_at"] for row in csv.DictReader(stream)} == {""}


def test_write_frames_falls_back_on_csv(tmp_path, monkeypatch):
    monkeypatch.setattr("spincache_nb.report.forms.find_spec", lambda name: None)
    material = report.gather(EMPTY.frames())
    assert {path.suffix for path in report.write_frames(material, tmp_path)} == {".csv"}
    with pytest.raises(MissingExtraError):
        report.write_frames(material, tmp_path, data_format="parquet")


def test_write_frames_is_the_same_bytes_twice(tmp_path):
    for place in ("one", "two"):
        for form in ("csv", "parquet"):
            report.write_frames(report.gather(cache_of(3).frames()), tmp_path / place, data_format=form)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 44
    assert [
        n for n in names if (tmp_path / "one" / n).read_bytes() != (tmp_path / "two" / n).read_bytes()
    ] == []


def test_write_refuses_a_form_that_there_is_not(tmp_path):
    frames = two_versions().frames()
    with pytest.raises(ValueError, match="one of html, markdown, json"):
        report.write(frames, tmp_path / "b", format="pdf")
    assert not (tmp_path / "b").exists()


def test_gather_refuses_to_look_inside_frames(tmp_path):
    with pytest.raises(ValueError, match="the cache itself"):
        report.gather(two_versions().frames(), inside=True)
    assert report.gather(Cache(tmp_path), inside=True).grains is not None
