"""The explorer without a browser: areas that sum to the disk, a selection that Python reads and sets."""

import re
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import traitlets
from hypothesis import given

from spincache_nb import Cache, analysis, explore
from spincache_nb.analysis.tree import FILES_SCHEMA, STATES, Tree
from spincache_nb.plots.squares import squarified
from spincache_nb.show import size_text
from spincache_nb.widgets import explorer as module
from spincache_nb.widgets.explorer import FRAMES, Explorer
from tests.analysis.worlds import SOME, two_versions, worlds
from tests.plots.samples import cache_of
from tests.plots.test_theme import DEFICIENCIES, lab

WEB, API = "ghcr.io/org/web", "ghcr.io/org/api:1.0.0"
OLD, NEW = f"{WEB}:1.0.0", f"{WEB}:1.1.0"


def loaded(world):
    return world.frames(*FRAMES)


@pytest.fixture
def made():
    return Explorer(loaded(two_versions()))


@SOME
@given(worlds())
def test_areas_sum_to_the_disk_and_to_what_removal_frees(world):
    frames = loaded(world)
    tree = Tree(frames)
    saved = size_text(int(analysis.summary(frames)["saved_bytes"].iloc[0]))
    assert module._figures(frames, tree)[1]["value"] == saved
    assert tree.root.size == int(frames.need("disk")["stored_bytes"].sum())
    for place in tree.root:
        parts = [
            part.size if not isinstance(part, int) else tree.files[part].size for part in tree.parts(place)
        ]
        assert sum(parts) == place.size
        assert parts == sorted(parts, reverse=True)
        apps = [one.id for one in place if one.kind == "app"]
        if place.kind in ("app", "repository", "registry"):
            assert place.size == int(analysis.freed_by(frames, apps)["stored_bytes"].sum())


def test_each_place_on_the_way_down_is_drawn_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_PARTS", 5)
    monkeypatch.setattr(module, "MOST_INNER", 40)
    explorer = explore(cache_of(60).lay_out(tmp_path))
    seen, left = 0, [""]
    while left:
        explorer.at = left.pop()
        parts = explorer.view["parts"]
        assert len(parts) <= 7
        assert sum(part["size"] for part in parts) == explorer.view["size"]
        for part in parts:
            assert sum(part["sizes"]) == part["size"]
            assert sum(one["size"] for one in part.get("parts", [part])) == part["size"]
        seen += sum(part["size"] for part in parts if not part["in"])
        left += [part["id"] for part in parts if part["in"]]
    assert seen == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())


def test_what_is_shared_stands_beside_who_shares_it(made):
    made.at = "ghcr.io"
    sizes = {part["name"]: part["size"] for part in made.view["parts"]}
    assert sizes == {"shared": 1000, "org/web": 456, "org/api": 200}
    made.at = WEB
    assert [(part["name"], part["size"]) for part in made.view["parts"]] == [
        ("1.1.0", 209),
        ("1.0.0", 207),
        ("shared", 40),
    ]
    assert [one["name"] for one in made.view["path"]] == ["this cache", "ghcr.io", "org/web"]
    made.at = f"{WEB} > shared"
    (part,) = made.view["parts"]
    assert part["text"] == "Needed by web:1.0.0, web:1.1.0; goes with the last of the 2."
    made.at = "nowhere"
    assert made.at == ""


def test_components_and_files_have_the_names_that_the_app_gives_them(tmp_path):
    explorer = explore(cache_of(6).lay_out(tmp_path))
    app = "ghcr.io/shop/shop-api-0:1.4.0"
    explorer.at = app
    assert {part["name"] for part in explorer.view["parts"]} >= {"part-0", "documents"}
    explorer.at = f"{app} > part-0"
    names = {part["name"] for part in explorer.view["parts"]}
    assert names <= {f"assets/{number}.png" for number in range(12)}
    assert len(names) == 3
    explorer.at = explorer.view["parts"][0]["id"]
    assert explorer.view["path"][-1]["id"] == f"{app} > part-0", "a file is looked at where it is"


def test_selection_is_read_and_set_and_gives_a_frame(made):
    assert made.frame().dtypes.astype(str).to_dict().keys() == FILES_SCHEMA.keys()
    assert (
        made.frame()["stored_bytes"].sum() == two_versions().frames("disk").need("disk")["stored_bytes"].sum()
    )
    made.selection = [OLD]
    assert made.frame()["stored_bytes"].sum() == 1247
    assert made.frame()["state"].value_counts().to_dict() == {"shared": 2, "here": 3}
    assert made.marked == sorted(["ghcr.io", "ghcr.io > shared", WEB, OLD]), "and the group that it needs"
    made.selection = [f"{WEB} > shared", f"{WEB} > shared"]
    assert made.selection == [f"{WEB} > shared"]
    assert made.frame()["stored_bytes"].tolist() == [40]
    assert made.apps == []
    made.selection = [WEB]
    assert made.apps == [OLD, NEW]
    with pytest.raises(traitlets.TraitError, match="nothing in this cache is called"):
        made.selection = ["ghcr.io/none"]
    assert made.selection == [WEB]


def test_load_forgets_what_is_gone(made):
    made.selection, made.at = [OLD, API], OLD
    world = two_versions()
    del world.apps[0]
    made.load(loaded(world))
    assert (made.selection, made.at) == ([API], "")
    made.load(loaded(world), damaged=[path for path in made.frame()["path"] if "manifests" not in path])
    assert set(made.frame()["state"]) == {"damaged", "here"}


def test_figures_lead_to_what_they_count(made):
    assert [(one["id"], one["value"]) for one in made.view["figures"]] == [
        ("apps", "3"),
        ("saved", "2.0 KiB"),
        ("freed", "300 B"),
        ("problems", "1"),
    ]
    heard: list[str] = []
    made.on_figure.append(heard.append)
    for name, at, tab in (
        ("freed", " > needed by nothing", "map"),
        ("saved", "", "sharing"),
        ("apps", "", "map"),
    ):
        made._handle_custom_msg({"figure": name}, [])
        assert (made.at, made.tab) == (at, tab)
    made.load(loaded(two_versions()), damaged=[made.frame()["path"][0]])
    made._handle_custom_msg({"figure": "problems"}, [])
    assert made.selection == [made.frame()["path"][0]]
    for nonsense in ("", None, {"figure": 3}, {}):
        made._handle_custom_msg(nonsense, [])
    assert heard == ["freed", "saved", "apps", "problems", "3"]


def test_columns_of_sharing_and_of_versions_select_apps(made):
    made.tab = "sharing"
    assert [(one["ids"], one["size"]) for one in made.view["columns"]] == [
        ([API, OLD, NEW], 1000),
        ([OLD, NEW], 40),
    ]
    assert made.view["finding"].endswith(" that 3 apps share")
    made.tab = "versions"
    assert [(one["ids"], one["name"], one["opens"]) for one in made.view["columns"]] == [
        ([WEB], "web (2)", True),
        (["ghcr.io/org/api"], "api (1)", True),
    ]
    made.at = NEW
    assert [(one["ids"], one["size"], one["more"]) for one in made.view["columns"]] == [
        ([OLD], 1117, 0),
        ([NEW], 80, 1040),
    ]
    many = Explorer(loaded(cache_of(60)))
    many.tab = "sharing"
    for column in many.view["columns"]:
        many.selection = column["ids"]
        assert not set(many.selection) & {app.reference for app in cache_of(60).apps}, (
            "repositories, not versions"
        )


def test_a_picture_stands_where_no_widget_can(made):
    data, _ = made._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == repr(made)
    assert "No widgets here?" in repr(made)
    unread = Explorer()
    bundle = unread._repr_mimebundle_()
    assert "image/png" not in (bundle[0] if isinstance(bundle, tuple) else bundle)
    with pytest.raises(ValueError, match="not read yet"):
        unread.frame()


def test_explore_of_an_empty_cache_and_of_what_is_none(tmp_path, isolated_home):
    for explorer in (explore(Cache(tmp_path)), explore(str(tmp_path)), explore()):
        assert explorer.view["parts"] == []
        assert explorer.png()
    assert not (isolated_home / ".cache" / "spin").exists()
    with pytest.raises(TypeError, match="expected a Cache, a path, a fleet or nothing, got int"):
        explore(3)  # type: ignore[arg-type]


def test_explorer_escapes_nothing_because_the_page_makes_text_nodes_only():
    script = Path(module.__file__).with_name("explorer.js").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://", script)
    assert len(script.splitlines()) <= 500


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_states_stay_apart_for_colour_blind_readers_and_in_grey(theme, deficiency):
    sheet = Path(module.__file__).with_name("explorer.css").read_text()
    colours = {state: re.findall(rf"--sc-{state}: (#[0-9a-f]{{6}})", sheet)[theme] for state in STATES}
    seen = {state: lab(colour, deficiency) for state, colour in colours.items()}
    for one, other in combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 10, (one, other)
    plain = {state: seen[state][0] for state in ("here", "shared")}
    assert abs(plain["here"] - plain["shared"]) > 20, "the two without a pattern differ in grey"
    inks = {state: re.findall(rf"--sc-{state}-ink: (#[0-9a-f]{{6}})", sheet)[theme] for state in STATES}
    assert all(abs(lab(inks[state], "none")[0] - lab(colours[state], "none")[0]) > 40 for state in STATES)


def test_squarified_fills_its_box_in_proportion():
    sizes = [1, 60, 3, 22, 7, 7]
    boxes = squarified(sizes, (0, 0, 2, 1))
    assert [w * h for _, _, w, h in boxes] == pytest.approx([size / 50 for size in sizes])
    assert max(max(w / h, h / w) for _, _, w, h in boxes) < 4
    for (x, y, w, h), (left, low, wide, high) in combinations(boxes, 2):
        assert (
            x + w <= left + 1e-9 or left + wide <= x + 1e-9 or y + h <= low + 1e-9 or low + high <= y + 1e-9
        )


@pytest.mark.slow
def test_five_thousand_apps_are_drawn_in_no_time():
    """Of what the explorer does itself, in seconds of this processor; reading the cache is not its own."""
    world = cache_of(5000)
    frames = world.frames(*FRAMES)
    start = time.process_time()
    explorer = Explorer(frames)
    assert time.process_time() - start < 3
    app = world.apps[2500].reference
    repository = app.rpartition(":")[0]
    steps = [("at", repository), ("at", app), ("selection", [app]), ("tab", "sharing"), ("at", "")]
    for name, value in steps:
        start = time.process_time()
        setattr(explorer, name, value)
        assert time.process_time() - start < 0.3, name
