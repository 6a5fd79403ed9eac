"""The panel driven from Python: buttons clicked, fields filled, children read; no kernel, no browser."""

import os
import re
import threading
import time

import pytest

from spincache_nb import Cache, analysis, plan_pull, widgets
from spincache_nb.core.journal import History
from spincache_nb.demo import Workspace
from spincache_nb.show import size_text
from tests.support.artifact import sha256
from tests.support.artifacts import new_style, wasm_module
from tests.support.faults import Hold, Stall
from tests.support.projects import write_project
from tests.support.trees import read_tree


@pytest.fixture(scope="module")
def demo():
    """The demo's registry; its cache stays empty."""
    with Workspace() as workspace:
        yield workspace


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache", history=History(tmp_path / "history.jsonl", enabled=True))


@pytest.fixture
def panel(cache, make):
    """A panel over a cache that is not there yet."""
    return make(cache)


def text(place):
    """What a place says, without mark-up."""
    return re.sub(r"<[^>]*>", "", str(place.value)).strip()


def visible(widget):
    return widget.layout.display != "none"


def run(panel, button):
    """Click and wait until everything is done."""
    assert not button.disabled
    button.click()
    assert panel.wait(60)


def pull_of(panel, text):
    """Type what is wanted, and pull it."""
    panel.pulling.reference.value = text
    run(panel, panel.pulling.pull)


def pulled(panel, demo, *names):
    pull_of(panel, " ".join(demo.reference(f"demo/{name}") for name in names))
    assert text(panel.alert) == ""


def test_panel_is_there_at_once_and_creates_nothing(panel, cache):
    assert panel.tabs.titles == ("Explore", "Pull", "Apps", "Clean up", "Health")
    assert "0 apps, 0 B on disk" in text(panel.head)
    assert not cache.path.parent.exists()
    assert panel._repr_mimebundle_()["text/plain"] == repr(panel), "ipywidgets cuts what is long"
    assert "No widgets here?" in repr(panel)


def test_fields_are_checked_as_one_types(cache, make):
    tab = make(cache).pulling
    assert tab.plan.disabled
    assert tab.pull.disabled
    tab.reference.value = "Foo/Bar"
    assert "repository names are lower case" in text(tab.understood)
    assert tab.pull.disabled
    tab.reference.value = "foo/bar"
    assert text(tab.understood) == "1 reference: docker.io/foo/bar:latest; Enter lists its versions"
    assert not tab.plan.disabled
    assert not tab.pull.disabled
    assert tab.cancel.disabled


def test_plan_lists_each_layer_and_downloads_none(panel, cache, demo):
    reference = demo.reference("demo/playground:0.1.0")
    panel.pulling.reference.value = reference
    before = len(demo.registry.requests)
    run(panel, panel.pulling.plan)
    asked = [request.path for request in demo.registry.requests[before:]]
    assert all("/manifests/" in path for path in asked)
    plan = plan_pull(cache, reference)
    shown = panel.pulling.shown.value
    assert [blob.digest for blob in (plan.config, *plan.layers) if blob.digest not in shown] == []
    assert shown.count("to fetch</td>") == 1 + len(plan.layers)
    assert not cache.path.exists()


def test_pull_of_several_is_shown_to_the_end(panel, cache, demo):
    pulled(panel, demo, "hello:1.0.0", "docs:1.0.0")
    bars = panel.pulling.bars
    assert (bars.overall.bar.value, bars.overall.bar.bar_style) == (1.0, "success")
    assert not any(visible(slot.box) for slot in bars.slots)
    assert text(panel.pulling.state) == "Done: 2 references in the cache."
    assert text(panel.head).startswith("Spin cache2 apps, ")
    run(panel, panel.pulling.plan)
    assert text(panel.pulling.state) == "Planned: all of it is stored."
    run(panel, panel.pulling.pull)
    assert "nothing" not in text(panel.pulling.bars.overall.text)
    assert text(panel.pulling.bars.overall.text).startswith("0 B fetched, ")


def test_cancel_of_a_plan_waits_for_nobody(cache, make, hostile):
    go = threading.Event()
    hostile.serve(new_style("demo/app", "v1"))
    hostile.always("*/manifests/*", Hold(go))
    panel = make(cache)
    panel.pulling.reference.value = f"{hostile.name}/demo/app:v1"
    panel.pulling.plan.click()
    assert panel.pulling.plan.disabled
    panel.pulling.pull_again([panel.pulling.reference.value])
    assert not visible(panel.pulling.bars.box), "one thing at a time"
    start = time.monotonic()
    run(panel, panel.pulling.cancel)
    assert time.monotonic() - start < 2
    assert text(panel.pulling.state) == "Stopped."
    assert not panel.pulling.plan.disabled
    go.set()
    run(panel, panel.pulling.plan)
    assert text(panel.pulling.state).startswith("Planned: ")


def test_errors_are_shown_and_taken_back(panel, demo, capfd):
    panel.pulling.reference.value = demo.reference("demo/none:1")
    for button in (panel.pulling.plan, panel.pulling.pull):
        run(panel, button)
        assert 'role="alert"' in panel.alert.value
        assert "404 Not Found" in text(panel.alert)
    assert text(panel.pulling.state) == "It was not pulled."
    assert not visible(panel.pulling.bars.box)
    pulled(panel, demo, "greet:1.0.0")
    assert capfd.readouterr() == ("", "")


def test_a_fault_of_our_own_is_told_by_type_and_line(cache, make, monkeypatch, capfd):
    def fail(*_arguments, **_options):
        raise KeyError("<b>odd</b>")

    panel = make(cache)
    monkeypatch.setattr("spincache_nb.widgets.pulling.plan_pull", fail)
    panel.pulling.reference.value = "foo/bar"
    run(panel, panel.pulling.plan)
    assert "unexpected KeyError: &#x27;&lt;b&gt;odd" in panel.alert.value
    monkeypatch.setattr("spincache_nb.widgets.pulling.read_request", fail)
    panel.pulling.reference.value = "foo/baz"
    assert "unexpected KeyError" in panel.alert.value
    assert capfd.readouterr() == ("", "")


def test_an_error_stands_above_its_own_tab_only(panel, demo):
    alert = panel.alert
    panel.turn("Pull")
    pull_of(panel, demo.reference("demo/none:1"))
    assert "404 Not Found" in text(alert)
    for elsewhere in ("Apps", "Health", "Clean up", "Explore"):
        panel.turn(elsewhere)
        assert text(alert) == ""
    panel.turn("Pull")
    assert "404 Not Found" in text(alert), "the field still holds what was not found"
    panel.pulling.reference.value = demo.reference("demo/greet:1.0.0")
    assert text(alert) == "", "an old error leaves when its cause does"
    pulled(panel, demo, "greet:1.0.0")
    panel.turn("Health")
    assert panel.wait(60)
    assert text(alert) == ""


def test_an_error_of_work_out_of_sight_is_shown_at_once(cache, make, hostile):
    go = threading.Event()
    hostile.always("*/manifests/*", Hold(go))
    panel = make(cache)
    panel.turn("Pull")
    panel.pulling.reference.value = f"{hostile.name}/demo/none:1"
    panel.pulling.pull.click()
    panel.turn("Apps")
    go.set()
    assert panel.wait(60)
    assert "404 Not Found" in text(panel.alert)
    panel.turn("Health")
    assert text(panel.alert) == ""
    panel.turn("Pull")
    assert "404 Not Found" in text(panel.alert)


def test_a_cache_that_cannot_be_read_is_told_in_every_tab(cache, make, monkeypatch):
    def fail(*_arguments, **_options):
        raise PermissionError(13, "Permission denied", "registry")

    panel = make(cache)
    with monkeypatch.context() as patch:
        patch.setattr("spincache_nb.widgets.session.frames_of.load", fail)
        run(panel, panel.apps.refresh)
    for tab in range(5):
        panel.tabs.selected_index = tab
        assert panel.wait(60)
        assert text(panel.alert) == "registry: Permission denied"
    run(panel, panel.apps.refresh)
    assert text(panel.alert) == ""


def test_who_reads_the_last_word_can_go_on_at_once(cache, make, demo):
    """A key that follows at once must land on a button that can be pressed by then."""
    panel = make(cache)
    pull, clear = panel.pulling, panel.removing
    seen: list[tuple[str, bool, bool]] = []
    pull.state.observe(
        lambda _change: seen.append((text(pull.state), pull.pull.disabled, pull.cancel.disabled)), "value"
    )
    pulled(panel, demo, "greet:1.0.0")
    run(panel, pull.plan)
    pull.reference.value = demo.reference("demo/none:1")
    run(panel, pull.plan)
    last = [line for line in seen if line[0] not in ("Pulling.", "Asking for the manifest.", "")]
    assert [line[1:] for line in last] == [(False, True)] * 3
    assert [line[0].partition(":")[0] for line in last] == ["Done", "Planned", "No plan."]
    asked: list[bool] = []
    clear.ask.layout.observe(lambda change: asked.append(clear.go.disabled or clear.keep.disabled), "display")
    run(panel, clear.clear)
    assert visible(clear.ask)
    assert asked == [False]


@pytest.mark.filterwarnings("always")
def test_a_warning_is_shown_in_the_panel(tmp_path, make, demo, capfd):
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "cache", history=History(tmp_path / "file" / "history.jsonl", enabled=True))
    panel = make(cache)
    pull_of(panel, demo.reference("demo/greet:1.0.0"))
    assert re.match("the pull is not recorded|the history of pulls is not read", text(panel.alert))
    assert "sc-warn" in panel.alert.value
    pull_of(panel, demo.reference("demo/none:1"))
    assert "404 Not Found" in text(panel.alert), "a warning hides no fault"
    assert capfd.readouterr() == ("", "")


def test_pull_of_a_project(cache, make, hostile, tmp_path):
    wasm = wasm_module("source", 5000)
    hostile.content("/0.wasm", wasm)
    project = write_project(tmp_path / "app", wasm, place=hostile.url) / "spin.toml"
    panel = make(cache, [project])
    panel.pulling.reference.value = str(project.parent)
    assert text(panel.pulling.understood) == f"a project: {project}"
    run(panel, panel.pulling.plan)
    assert sha256(wasm) in panel.pulling.shown.value
    run(panel, panel.pulling.pull)
    assert text(panel.alert) == ""
    assert text(panel.pulling.state) == "Done: 1 project in the cache."
    assert (cache.path / "wasm" / sha256(wasm)).read_bytes() == wasm
    panel.removing.minutes.value = 0
    run(panel, panel.removing.prune)
    assert text(panel.removing.state) == "There is nothing to remove.", "the project needs it"


def test_apps_show_what_removing_the_selection_frees(panel, cache, demo):
    pulled(panel, demo, "hello:1.0.0", "playground:0.1.0")
    hello, playground = (demo.reference(f"demo/{name}") for name in ("hello:1.0.0", "playground:0.1.0"))
    tab = panel.apps
    rows = {row.tick.description: row for row in tab.table.rows()}
    assert set(rows) == {hello, playground}
    figures = []
    for reference in (hello, playground):
        rows[reference].tick.value = True
        assert panel.wait(60)
        figures.append(text(tab.freed))
    both = int(analysis.freed_by(cache, [hello, playground])["stored_bytes"].sum())
    alone = int(analysis.freed_by(cache, hello)["stored_bytes"].sum())
    assert figures[0] == f"1 app selected: removing frees {alone / 1024:.1f} KiB."
    assert figures[1] == f"2 apps selected: removing frees {both / 2**20:.1f} MiB."
    assert both > 2 * alone, "what only these two share goes with both"
    tab.table.none.click()
    assert panel.wait(10)
    assert text(tab.freed) == "Select apps to see what removing them frees."
    assert tab.remove.disabled


def test_table_sorts_and_marks_its_order(panel, demo):
    pulled(panel, demo, "hello:1.0.0", "docs:1.0.0", "greet:1.0.0")
    table = panel.apps.table
    table.headings["reference"].click()
    assert table.headings["reference"].description == "App \u25b2"
    shown = [row.tick.description for row in table.rows()]
    assert shown == sorted(shown)
    table.headings["reference"].click()
    assert [row.tick.description for row in table.rows()] == shown[::-1]
    table.filter.value = "DOCS"
    assert [row.tick.description for row in table.rows()] == [shown[0]]
    table.all.click()
    assert panel.wait(10)
    assert panel.session.selected == (shown[0],)


def test_a_tick_means_the_app_beside_it_whatever_the_list_shows_by_then(panel, demo):
    pulled(panel, demo, "hello:1.0.0", "docs:1.0.0")
    table = panel.apps.table
    seen = table.rows()[0]
    table.filter.value = "nothing like it"
    assert table.rows() == []
    seen.tick.value = True
    assert panel.wait(10)
    assert panel.session.selected == (seen.reference,)
    table.filter.value = ""
    assert table.rows()[0] is seen


def test_rows_of_a_large_cache_do_not_pile_up():
    from spincache_nb.widgets.apps import MOST_ROWS, App, AppList, AppTable

    apps = AppList(App(f"ghcr.io/org/app-{n:05}:1", n, n, 0, None) for n in range(1000))
    table = AppTable(apps, lambda: None)
    for _ in range(40):
        table.on.click()
    assert apps.place_text() == "481 to 492 of 1,000"
    assert len(table._rows) == MOST_ROWS
    assert [row.tick.description for row in table.rows()] == [app.reference for app in apps.shown()]


def test_two_panels_read_the_same_cache_at_once(cache, make, demo):
    pulled(make(cache), demo, "hello:1.0.0", "docs:1.0.0")
    both = [widgets.panel(cache) for _ in range(2)]
    heads = [(panel.wait(60), text(panel.head), text(panel.alert)) for panel in both]
    for panel in both:
        panel.close()
    assert heads[0] == heads[1]
    assert (heads[0][0], "2 apps" in heads[0][1], heads[0][2]) == (True, True, "")


def test_refresh_sees_what_others_did(cache, make, demo):
    from spincache_nb import pull

    panel = make(cache)
    pull(cache, demo.reference("demo/greet:1.0.0"))
    run(panel, panel.apps.refresh)
    assert "1 app, " in text(panel.head)
    (cache.path / "wasm" / "odd").write_bytes(b"x")
    run(panel, panel.apps.refresh)
    assert "1 problem (see Health)" in text(panel.head)


def test_a_selection_is_the_same_in_explorer_and_apps(panel, demo):
    pulled(panel, demo, "hello:1.0.0", "hello:1.0.1", "greet:1.0.0")
    first, second, other = (
        demo.reference(f"demo/{n}") for n in ("hello:1.0.0", "hello:1.0.1", "greet:1.0.0")
    )
    panel.explorer.selection = [first.rpartition(":")[0]]
    assert panel.wait(10)
    assert panel.session.selected == (first, second)
    assert panel.apps.apps.selected == {first, second}
    assert not panel.apps.remove.disabled
    ticks = {row.reference: row.tick for row in panel.apps.table.rows()}
    assert [ticks[one].value for one in (first, second, other)] == [True, True, False]
    ticks[other].value = True
    assert panel.wait(10)
    assert panel.explorer.selection == sorted([first, second, other])
    panel.explorer.selection = []
    assert panel.wait(10)
    assert panel.apps.apps.selected == set()
    panel.explorer.on_figure[0]("apps")
    assert panel.tabs.get_title(panel.tabs.selected_index) == "Apps"


def test_what_is_gone_is_no_longer_selected(panel, demo):
    pulled(panel, demo, "hello:1.0.0", "greet:1.0.0")
    panel.explorer.selection = [demo.reference("demo/greet:1.0.0")]
    run(panel, panel.removing.remove)
    run(panel, panel.removing.go)
    assert (panel.explorer.selection, panel.session.selected) == ([], ())
    assert "1 app, " in text(panel.head)


def test_nothing_is_removed_on_one_click(panel, cache, demo):
    pulled(panel, demo, "hello:1.0.0")
    clear = panel.removing
    clear.minutes.value = 0
    (cache.path / "wasm" / ("sha256:" + "0" * 64)).write_bytes(b"nobody's")
    panel.apps.table.all.click()
    assert panel.wait(10)
    before = read_tree(cache.path)
    for button in (clear.remove, clear.prune, clear.clear):
        run(panel, button)
        assert visible(clear.ask)
        assert clear.plan is not None
        run(panel, clear.keep)
        assert not visible(clear.ask)
        assert text(clear.state) == "Kept. Nothing was removed."
        run(panel, clear.go)  # out of sight; a click that was on its way does nothing
        assert read_tree(cache.path) == before


def test_remove_prune_and_clear_after_a_yes(panel, cache, demo):
    pulled(panel, demo, "hello:1.0.0", "greet:1.0.0")
    clear = panel.removing
    panel.apps.table.filter.value = "hello"
    panel.apps.table.all.click()
    run(panel, panel.apps.remove)
    assert panel.tabs.get_title(panel.tabs.selected_index) == "Clean up"
    assert text(clear.question).startswith("Remove 1 app: ")
    assert clear.go.description == "Yes, remove"
    assert "goes beyond what Spin promises" in text(clear.shown)
    run(panel, clear.go)
    assert text(clear.state).startswith("Done: removed ")
    assert [tag.reference for tag in cache.scan().tags] == [demo.reference("demo/greet:1.0.0")]
    assert panel.session.selected == ()
    stray = cache.path / "data" / ("sha256:" + "0" * 64)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"nobody's")
    os.utime(stray, (0, 0))
    run(panel, clear.prune)
    assert stray.name in text(clear.shown)
    run(panel, clear.go)
    assert not stray.exists()
    run(panel, clear.clear)
    assert text(clear.question).startswith("Clear the whole cache: ")
    run(panel, clear.go)
    assert not cache.path.exists()
    assert "0 apps, " in text(panel.head)


def test_a_question_is_withdrawn_when_its_ground_changes(panel, cache, demo):
    pulled(panel, demo, "hello:1.0.0", "greet:1.0.0")
    panel.apps.table.all.click()
    run(panel, panel.removing.remove)
    assert panel.removing.plan is not None
    panel.apps.table.rows()[0].tick.value = False
    assert panel.removing.plan is None
    assert not visible(panel.removing.ask)
    (cache.path / "wasm" / ("sha256:" + "0" * 64)).write_bytes(b"nobody's")
    panel.removing.minutes.value = 0
    run(panel, panel.removing.prune)
    assert visible(panel.removing.ask)
    panel.removing.minutes.value = 30
    assert not visible(panel.removing.ask)


def test_a_directory_that_is_no_cache_is_refused_in_words(make, tmp_path):
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "thesis.txt").write_text("years of work")
    panel = make(Cache(tmp_path))
    run(panel, panel.removing.clear)
    assert "thesis.txt" in text(panel.alert) or "not" in text(panel.alert)
    assert text(panel.removing.state) == "Nothing was removed."
    assert (tmp_path / "registry" / "thesis.txt").exists()


def test_what_comes_from_outside_is_no_mark_up(make, tmp_path):
    place = tmp_path / "<img src=x>"
    (place / "registry" / "manifests" / "r.io" / "<i>x" / "<b>1").mkdir(parents=True)
    (place / "registry" / "manifests" / "r.io" / "<i>x" / "<b>1" / "manifest.json").write_text("{}")
    panel = make(Cache(place))
    panel.turn("Health")
    assert panel.wait(60)
    everything = [panel.head, panel.apps.freed, panel.health.shown, panel.health.badge]
    for row in panel.apps.table.rows():
        everything.append(row.cells)
    assert not re.search(r"<(img src=x|i>x|b>1)", "".join(str(one.value) for one in everything))


def test_close_ends_the_work(cache, make, hostile):
    hostile.serve(new_style("demo/app", "v1"))
    hostile.always("*/blobs/*", Stall(100))
    panel = make(cache)
    panel.pulling.reference.value = f"{hostile.name}/demo/app:v1"
    panel.pulling.pull.click()
    panel.close()
    assert panel.session.worker.wait(10)
    assert list(cache.path.rglob(".spincache-*")) == []


def test_options_reach_the_registry(cache, make, hostile):
    hostile.serve(new_style("demo/app", "v1"))
    hostile.require("Basic dXNlcjpwYXNz", 'Basic realm="r"')
    panel = make(cache, auth=("user", "pass"), jobs=2)
    pull_of(panel, f"{hostile.name}/demo/app:v1")
    assert text(panel.alert) == ""
    assert "pass" not in repr(panel)
    assert len(cache.scan().tags) == 1


def test_keep_the_newest_says_what_it_frees_and_asks(panel, cache, demo):
    pulled(panel, demo, "hello:1.0.0", "hello:1.0.1", "hello:1.1.0", "greet:1.0.0")
    clean = panel.removing
    hello = demo.reference("demo/hello")
    old = [f"{hello}:1.0.0", f"{hello}:1.0.1"]
    freed = int(analysis.freed_by(cache, old)["stored_bytes"].sum())
    assert text(clean.frees) == f"2 apps would go and free {size_text(freed)}"
    assert clean.older in clean.box.children[0].children
    clean.newest.value = 2
    assert panel.wait(60)
    assert text(clean.frees).startswith("1 app would go")
    clean.newest.value = 9
    assert panel.wait(60)
    assert text(clean.frees) == "no repository has more versions"
    assert clean.older.disabled
    clean.newest.value = 1
    assert panel.wait(60)
    run(panel, clean.older)
    assert f"{hello}: 1.0.0, 1.0.1" in text(clean.shown)
    assert "<details>" in clean.shown.value, "the files are folded away"
    assert "beyond what Spin promises" in text(clean.promise)
    run(panel, clean.go)
    assert text(clean.state).startswith("Done: removed ")
    assert sorted(tag.reference for tag in cache.scan().tags) == [
        demo.reference("demo/greet:1.0.0"),
        f"{hello}:1.1.0",
    ]


def test_health_finds_and_repairs_what_is_damaged(panel, cache, demo):
    pulled(panel, demo, "greet:1.0.0")
    health = panel.health
    assert "No problem found" in text(health.badge)
    blob = max((cache.path / "wasm").iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    run(panel, health.verify)
    assert text(health.state) == "Hashed: 1 problem."
    assert "1 problem" in text(health.badge)
    assert "damaged blob" in text(health.shown)
    assert f'data-app="{demo.reference("demo/greet:1.0.0")}"' in health.shown.value, "its name opens it"
    assert health.damaged == [f"wasm/{blob.name}"]
    states = panel.explorer.frame().set_index("path")["state"]
    assert states[f"wasm/{blob.name}"] == "damaged"
    run(panel, health.repair)
    assert "No problem found" in text(health.badge)
    assert health.damaged == []
    run(panel, health.verify)
    assert text(health.state) == "Hashed: no problem."


def test_versions_in_a_registry_are_picked_from(panel, cache, demo):
    pulled(panel, demo, "hello:1.0.0")
    tab = panel.pulling
    assert demo.reference("demo/hello") in tab.reference.options
    tab.reference.value = demo.reference("demo/hello")
    tab.reference._handle_custom_msg({"event": "submit"}, [])  # Enter lists, nothing is pulled
    assert panel.wait(60)
    assert len(cache.scan().tags) == 1
    assert visible(tab.tags)
    labels = [label for label, _ in tab.tags.options[1:]]
    assert [label.partition(":")[0] for label in labels] == ["1.1.0", "1.0.1", "1.0.0"]
    assert all(re.search(r": costs \d.* of 1\.\d MiB$", label) for label in labels)
    tab.tags.value = demo.reference("demo/hello:1.1.0")
    assert tab.reference.value == demo.reference("demo/hello:1.1.0")
    tab.reference._handle_custom_msg({"event": "submit"}, [])  # Enter
    assert panel.wait(60)
    assert text(tab.state) == "Done: 1 reference in the cache."
    assert len(cache.scan().tags) == 2


def test_one_bad_reference_does_not_stop_the_others(panel, cache, demo):
    good, bad = demo.reference("demo/greet:1.0.0"), demo.reference("demo/none:1")
    pull_of(panel, f"{bad} {good}")
    assert text(panel.pulling.state) == "Done: 1 reference in the cache, 1 failed."
    assert "404 Not Found" in text(panel.pulling.shown)
    assert [tag.reference for tag in cache.scan().tags] == [good]


def test_an_app_is_opened_and_updated(panel, cache, demo):
    pulled(panel, demo, "hello:1.0.0", "hello:1.0.1")
    tab = panel.apps
    assert tab.open.disabled
    panel.explorer.selection = [demo.reference("demo/hello:1.0.1")]
    assert panel.wait(10)
    run(panel, tab.open)
    shown = text(tab.opened)
    assert text(panel.alert) == ""
    assert "hello:1.0.1" in shown
    assert f"Since {demo.reference('demo/hello:1.0.0')}" in shown
    assert "Why " in shown
    assert "What finer grains would have saved" in shown
    assert "chunk 4 KiB" in shown
    for action, title in (("open", "Apps"), ("update", "Pull")):
        panel.turn("Health")
        panel._asked(action, demo.reference("demo/hello:1.0.0"))  # a name that is clicked
        assert panel.wait(60)
        assert panel.session.selected == (demo.reference("demo/hello:1.0.0"),)
        assert panel.tabs.get_title(panel.tabs.selected_index) == title
    assert "No version before it" in text(tab.opened) or not tab.opened.value
    panel.turn("Apps")
    panel.explorer.selection = [demo.reference("demo/hello:1.0.1")]
    run(panel, tab.update)
    assert text(panel.pulling.state) == "Done: 1 reference in the cache."
