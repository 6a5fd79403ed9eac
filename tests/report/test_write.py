"""The page about a cache."""

import base64
import errno
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from spincache_nb import analysis, demo, report
from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History
from spincache_nb.core.pull import pull
from spincache_nb.errors import CacheWriteError, FormatError, NoSpaceError
from tests.plots.samples import cache_of
from tests.support.artifacts import new_style, package
from tests.support.procs import run_python

EPOCH = {"SOURCE_DATE_EPOCH": "1767225600"}
EVIL = "<img src=x onerror=alert(1)>\u202e"


class Page(HTMLParser):
    """What a browser would see, as far as it matters here."""

    VOID = frozenset({"meta", "br", "img", "link", "hr", "input"})

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = dict(attrs)["content"]
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} has {name}"
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "xlink:href", "src"):
                self.targets.append(value or "")
            self.targets += [f"#{found}" for found in re.findall(r"url\(#([^)]+)\)", value or "")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        else:
            self.text += data

    def only_its_own_script_runs(self):
        """Whether there is the data, and one script, which the page's policy names by its hash."""
        _, script = self.scripts
        name = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        return self.policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{name}'"


@pytest.fixture
def cache(hostile, tmp_path):
    artifacts = [new_style("demo/app", "v1"), new_style("demo/app", "v2", version="2.0.0"), package()]
    hostile.serve(*artifacts)
    cache = Cache(tmp_path / "cache")
    references = [f"{hostile.name}/{artifact.repository}:{artifact.tag}" for artifact in artifacts]
    pull(cache, references, history=History(enabled=False))
    return cache


def test_write_returns_the_page_and_replaces_what_is_there(cache, tmp_path):
    target = tmp_path / "page.html"
    target.write_text("old" * 10_000_000)
    assert report.write(cache, target) == target
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>\n<html lang=")
    assert "oldold" not in target.read_text(encoding="utf-8")


def test_page_is_well_formed_asks_for_nothing_and_shows_the_numbers(cache):
    text = report.render(cache, title="A page")
    page = Page(text)
    assert page.open == []
    assert page.only_its_own_script_runs()
    assert "link" not in page.tags
    assert [target for target in page.targets if not target.startswith("#")] == []
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert re.findall(r"https?://[^\s\"<]+", without_namespaces) == []
    assert len(page.ids) == len(set(page.ids))
    wanted = {target[1:] for target in page.targets}
    assert {"app-0", "app-1", "apps", "disk"} <= wanted
    assert wanted <= set(page.ids)
    words = re.sub(r"\s+", " ", page.text)
    assert "3 apps" in words
    assert "0 problems" in words
    assert "None were found." in words
    assert words.count("127.0.0.1:") >= 3


def test_page_is_the_same_bytes_in_another_place_at_another_time(cache, hostile, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    other = Cache(tmp_path / "elsewhere" / "deep")
    references = [str(name) for name in analysis.load(cache, "apps").need("apps")["reference"]]
    pull(other, references, history=History(enabled=False))
    here = report.render(cache, title="A page")
    folders = [str(one.path.parent) for one in (cache, other)]
    assert "2026-01-01 00:00 UTC" in here
    assert here == report.render(other, title="A page").replace(folders[1], folders[0])
    code = (
        "import sys; from spincache_nb import Cache, report; report.write(Cache(sys.argv[1]), sys.argv[2],"
        " title='A page')"
    )
    target = tmp_path / "by-another-process.html"
    done = run_python(["-c", code, str(cache.path.parent), str(target)], env={"PYTHONHASHSEED": "7"} | EPOCH)
    assert done.returncode == 0, done.stderr
    assert target.read_text(encoding="utf-8") == here


def test_page_of_an_empty_cache_says_so(tmp_path):
    page = Page(report.render(Cache(tmp_path), title="Empty"))
    assert page.open == []
    assert "svg" not in page.tags
    assert "There are no apps in this cache." in page.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["page.html", "page.md", "page.json"])
def test_a_full_disk_leaves_the_report_that_was_there(name, tmp_path, monkeypatch):
    """A report is written beside the old one and takes its name when it is whole."""
    page = tmp_path / name
    report.write(Cache(tmp_path / "none"), page)
    before = page.read_bytes()
    monkeypatch.setattr("os.write", full_disk)
    with pytest.raises(NoSpaceError) as caught:
        report.write(Cache(tmp_path / "none"), page, title="Another")
    assert caught.value.where == str(page)
    assert page.read_bytes() == before
    assert list(tmp_path.iterdir()) == [page]


@pytest.mark.parametrize("place", ["none", "file"])
def test_a_folder_that_is_none_is_one_of_our_errors(place, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheWriteError) as caught:
        report.write(Cache(tmp_path / "cache"), tmp_path / place / "page.html")
    assert caught.value.expected == "a folder to write into"


def full_disk(*_arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("inside", [False, True])
def test_page_needs_no_style_of_its_own_for_its_pictures(inside, tmp_path):
    """Under a server's policy such as ``style-src 'self'`` they keep their colours."""
    with demo.Workspace() as workspace:
        workspace.pull_all()
        page = report.render(workspace.cache, inside=inside)
    drawings = re.findall(r"<svg\b.*?</svg>", page, re.DOTALL)
    assert len(drawings) >= 30
    for drawing in drawings:
        assert not re.search(r"<style|\bstyle=|<image|data:", drawing)
    assert "data:" not in page
    colours = re.findall(r'<rect [^>]*fill="(.*?)"', page)
    assert {colour for colour in colours if not re.fullmatch(r"var\(--\w+, #[0-9a-f]{6}\)", colour)} == set()


def test_page_of_many_apps_links_every_row_names_every_shape_and_opens_the_rest():
    page = report.render(cache_of(60).frames())
    apps = re.search(r'<section id="apps">.*?</section>', page, re.DOTALL)
    assert apps is not None
    assert re.findall(r'<tr id="(app-\d+)">', apps[0]) == [f"app-{number}" for number in range(60)]
    assert "<details><summary>and 45 more</summary>" in apps[0]
    for name in ("disk", "sharing", "versions", "reclaimable"):
        section = re.search(rf'<section id="{name}">.*?</section>', page, re.DOTALL)
        assert section is not None
        rows = re.findall(r"<tr[ >].*?</tr>", section[0], re.DOTALL)
        lines = [
            row
            for row in rows
            if "<td" in row and not re.search("manifests|unreferenced|temporary|other", row)
        ]
        assert len(lines) > 5
        assert [row for row in lines if ' id="' not in row and '<a href="#' not in row] == []
        bars = re.findall(r'<svg viewBox="0 0 100 1".*?</svg>', section[0])
        assert [bar for bar in bars if "<title>" not in bar] == []
    square = re.search(r"<figure>.*?</figure>", page, re.DOTALL)
    assert square is not None
    assert square[0].count("<rect") == square[0].count("<title>") > 10


def test_page_begins_with_findings_that_name_what_to_do(cache):
    text = report.render(cache, host="node-17")
    words = re.sub(r"\s+", " ", Page(text).text)
    found = analysis.findings(cache)
    assert 1 <= len(found) <= 5
    begin = words.index("What stands out")
    for sentence, command in zip(found["sentence"], found["command"], strict=True):
        place = words.index(sentence)
        assert begin < place < words.index("apps", place + len(sentence) + len(command))
        assert command in words
        begin = place
    assert re.search(r"UTC · node-17 · \S+registry · spincache-nb 0", words)
    assert f"{begin and sentence} `{command}`" in report.render(cache, format="markdown").replace("\\", "")


@pytest.mark.parametrize("suffix", ["html", "json"])
def test_since_says_what_came_went_and_changed(cache, tmp_path, suffix):
    earlier = report.write(cache, tmp_path / f"earlier.{suffix}")
    assert "no app came, went or changed." in report.render(cache, since=earlier, format="markdown")
    tags = sorted(path.parent for path in cache.path.glob("manifests/**/manifest.json"))
    names = analysis.load(cache, "apps").need("apps")["reference"].tolist()
    shutil.copytree(tags[0], tags[0].with_name("v9"))
    document = json.loads((tags[1] / "manifest.json").read_text())
    document["layers"] = document["layers"][:1]
    (tags[1] / "manifest.json").write_text(json.dumps(document))
    shutil.rmtree(tags[2])
    found = json.loads(report.render(cache, since=earlier, format="json"))["since"]
    changes = {one["reference"]: one["change"] for one in found["apps"]}
    assert changes == {names[0][:-2] + "v9": "new", names[1]: "changed", names[2]: "gone"}
    page = Page(report.render(cache, since=earlier))
    assert "1 app came, 1 app went, 1 app changed." in page.text
    assert page.only_its_own_script_runs()


@pytest.mark.parametrize(
    "text", ["", "{}", "<p>", '{"format": "spincache-nb report 1", "apps": 1}', "[" * 10**5]
)
def test_since_takes_reports_only(text, tmp_path):
    (tmp_path / "x").write_text(text)
    with pytest.raises(FormatError, match="a report of spincache-nb"):
        report.render(Cache(tmp_path), since=tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        report.render(Cache(tmp_path), since=tmp_path / "none")


def test_report_draws_without_matplotlib(tmp_path):
    code = (
        "import sys; from spincache_nb import report; report.write(sys.argv[1], sys.argv[2]);"
        " assert 'matplotlib' not in sys.modules"
    )
    done = run_python(["-c", code, str(tmp_path / "none"), str(tmp_path / "page.html")])
    assert done.returncode == 0, done.stderr
