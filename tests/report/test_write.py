"""The page about a cache."""

import errno
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import pytest

from spincache_nb import analysis, demo, report
from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History
from spincache_nb.core.pull import pull
from spincache_nb.errors import CacheWriteError, NoSpaceError
from tests.support.artifacts import new_style, package
from tests.support.hostile import HostileServer
from tests.support.procs import run_python

EVIL = "<img src=x onerror=alert(1)>\u202e"


class Page(HTMLParser):
    """What a browser would see, as far as it matters here."""

    VOID = frozenset({"meta", "br", "img", "link", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} has {name}"
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "xlink:href", "src"):
                self.targets.append(value or "")
            self.targets += [f"#{found}" for found in re.findall(r"url\(#([^)]+)\)", value or "")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def cache(hostile: HostileServer, tmp_path: Path) -> Cache:
    artifacts = [new_style("demo/app", "v1"), new_style("demo/app", "v2", version="2.0.0"), package()]
    hostile.serve(*artifacts)
    cache = Cache(tmp_path / "cache")
    references = [f"{hostile.name}/{artifact.repository}:{artifact.tag}" for artifact in artifacts]
    pull(cache, references, history=History(enabled=False))
    return cache


def test_write_returns_the_page_and_replaces_what_is_there(cache: Cache, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text("old" * 10_000_000)
    assert report.write(cache, target) == target
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>\n<html lang=")
    assert "oldold" not in target.read_text(encoding="utf-8")


def test_page_is_well_formed_and_asks_for_nothing(cache: Cache) -> None:
    text = report.render(cache, title="A page")
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert "link" not in page.tags
    outside = [target for target in page.targets if not target.startswith(("#", "data:image/png;base64,"))]
    assert outside == []
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert re.findall(r"https?://[^\s\"<]+", without_namespaces) == []


def test_page_has_no_identifier_twice_and_none_is_missing(cache: Cache) -> None:
    page = Page(report.render(cache, title="A page"))
    assert len(page.ids) == len(set(page.ids))
    wanted = {target[1:] for target in page.targets if target.startswith("#")}
    assert len(wanted) > 20
    assert wanted <= set(page.ids)


def test_page_shows_the_numbers_of_the_analyses(cache: Cache) -> None:
    page = Page(report.render(cache, title="A page"))
    words = re.sub(r"\s+", " ", page.text)
    assert "3 apps" in words
    assert "0 problems" in words
    assert "None were found." in words
    assert page.tags.count("svg") == 4  # where bytes go, sharing, pairs, versions of demo/app
    assert words.count("127.0.0.1:") >= 3


def test_page_is_the_same_bytes_in_another_place_at_another_time(
    cache: Cache, hostile: HostileServer, tmp_path: Path
) -> None:
    other = Cache(tmp_path / "elsewhere" / "deep")
    references = [str(name) for name in analysis.load(cache, "apps").need("apps")["reference"]]
    pull(other, references, history=History(enabled=False))
    here = report.render(cache, title="A page")
    assert here == report.render(other, title="A page")
    code = (
        "import sys; from spincache_nb import Cache, report; report.write(Cache(sys.argv[1]), sys.argv[2],"
        " title='A page')"
    )
    target = tmp_path / "by-another-process.html"
    done = run_python(["-c", code, str(cache.path.parent), str(target)], env={"PYTHONHASHSEED": "7"})
    assert done.returncode == 0, done.stderr
    assert target.read_text(encoding="utf-8") == here
    assert str(tmp_path) not in here


def test_page_of_an_empty_cache_says_so(tmp_path: Path) -> None:
    page = Page(report.render(Cache(tmp_path), title="Empty"))
    assert page.open == []
    assert "svg" not in page.tags
    assert "There are no apps in this cache." in page.text
    assert list(tmp_path.iterdir()) == []


def test_page_escapes_whatever_a_registry_or_a_file_name_says(tmp_path: Path) -> None:
    for name in (EVIL, "v1"):
        folder = tmp_path / "registry" / "manifests" / "ghcr.io" / "org" / "app" / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    (tmp_path / "registry" / "data").mkdir()
    (tmp_path / "registry" / "data" / EVIL.replace("/", "")).write_text("x")
    text = report.render(Cache(tmp_path), title=EVIL)
    page = Page(text)
    assert "img" not in page.tags
    assert "\u202e" not in text
    assert "<img src=x onerror=alert(1)>\\u202e" in page.text


def test_plots_of_leaves_matplotlib_as_it_was(cache: Cache, tmp_path: Path) -> None:
    from matplotlib import pyplot as plt

    with mpl.rc_context({"text.color": "red", "svg.hashsalt": "mine"}):
        before = dict(mpl.rcParams)
        plots = report.plots_of(analysis.load(cache))
        plots[0].png(tmp_path / "plot.png")
        plots[0].svg()
        assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_plots_of_are_the_same_bytes_whatever_the_users_style(cache: Cache, tmp_path: Path) -> None:
    frames = analysis.load(cache)
    plain = [plot.svg() for plot in report.plots_of(frames)]
    with mpl.rc_context({"text.color": "white", "figure.facecolor": "black", "font.size": 30.0}):
        assert [plot.svg() for plot in report.plots_of(frames)] == plain


def test_plots_of_an_empty_cache_are_none(tmp_path: Path) -> None:
    assert report.plots_of(analysis.load(Cache(tmp_path))) == []


def test_plots_of_have_names_for_files(cache: Cache) -> None:
    names = [plot.name for plot in report.plots_of(analysis.load(cache))]
    assert names == ["breakdown", "sharing", "shared-bytes", "versions-demo-app"]
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


@pytest.mark.parametrize("name", ["page.html", "page.md", "page.json"])
def test_a_full_disk_leaves_the_report_that_was_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
def test_a_folder_that_is_none_is_one_of_our_errors(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheWriteError) as caught:
        report.write(Cache(tmp_path / "cache"), tmp_path / place / "page.html")
    assert caught.value.expected == "a folder to write into"


def full_disk(*_arguments: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("inside", [False, True])
def test_page_needs_no_style_of_its_own_for_its_plots(inside: bool, tmp_path: Path) -> None:
    """Under a server's policy such as ``style-src 'self'`` plots keep their colours."""
    with demo.Workspace() as workspace:
        workspace.pull_all()
        page = report.render(workspace.cache, inside=inside)
    drawings = re.findall(r"<svg\b.*?</svg>", page, re.DOTALL)
    assert len(drawings) >= 4
    for drawing in drawings:
        assert not re.search(r"<style|\bstyle=|<image|data:", drawing)
        assert 'fill="var(--p-' in drawing
    assert "data:" not in page
