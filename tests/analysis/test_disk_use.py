from __future__ import annotations

import os

from hypothesis import given

from spincache_nb import analysis
from spincache_nb.analysis.disk import NEEDED
from tests.analysis.worlds import SOME, two_versions, worlds
from tests.support.caches import INDEX, WEB, blob, folder, pulled, web
from tests.upkeep.worlds import laid_out


def expected_rows(world):
    """Split the world's files by set arithmetic: (kind, users) -> set of (path, bytes)."""
    files = {}

    def add(kind, users, path, size):
        files.setdefault((kind, frozenset(users)), set()).add((path, size))

    references = {app.reference for app in world.apps}
    keepers = {}
    for app in world.apps:
        own = {digest for digest, _ in app.layers}
        unpacked = {d for d, area in app.needs() if area == "data" and (d, area) in world.stored} - own
        for digest, role in app.layers:
            if role == "archive" and unpacked:
                keepers.setdefault(digest, set()).add(app.reference)
    for digest, area in world.stored:
        users = world.users(digest, area)
        path, size = f"{area}/{digest}", world.on_disk(digest, area)
        if not users:
            add("unreferenced", (), path, size)
        elif area == "data" and users - keepers.get(digest, set()) == set():
            add("archive", (), path, size)
        elif not users & references:
            add("projects", (), path, size)
        else:
            add("exclusive" if len(users) == 1 else "shared", users, path, size)
    for name, area, _, standing, size in world.strays:
        add(standing, (), f"{area}/{name}", size)
    for app in world.apps:
        for name in ("manifest.json", "config.json"):
            add("manifests", (), f"{app.folder}/{name}", world.document_bytes)
    for path, _, size in world.others:
        add("temporary" if "/.spincache-" in path else "other", (), path, size)
    return files


@SOME
@given(world=worlds())
def test_breakdown_has_every_byte_in_exactly_one_row(world):
    frames = world.frames(*NEEDED)
    table = analysis.breakdown(frames)
    members = analysis.breakdown_members(frames)
    got = {}
    for line in table.itertuples():
        users = frozenset(members.loc[members["row"] == line.row, "user"])
        key = (line.kind, users if line.kind in ("exclusive", "shared") else frozenset())
        assert key not in got
        got[key] = (line.file_count, line.stored_bytes)
    expected = expected_rows(world)
    assert got == {key: (len(files), sum(size for _, size in files)) for key, files in expected.items()}
    assert table["stored_bytes"].sum() == frames.disk["stored_bytes"].sum()


@SOME
@given(world=worlds())
def test_breakdown_members_says_what_each_user_needs(world):
    frames = world.frames(*NEEDED)
    table = analysis.breakdown(frames).set_index("row")
    got = {(line.kind, line.user): 0 for line in analysis.breakdown_members(frames).itertuples()}
    for line in analysis.breakdown_members(frames).itertuples():
        assert table.loc[line.row, "kind"] == line.kind
        got[line.kind, line.user] += line.stored_bytes
    needed = {}
    for (kind, _), files in expected_rows(world).items():
        for path, size in files:
            area, _, name = path.partition("/")
            for user in world.users(name, area):
                needed[kind, user] = needed.get((kind, user), 0) + size
    assert got == needed


def test_breakdown_of_two_versions_as_reckoned_by_hand():
    world = two_versions()
    table = analysis.breakdown(world.frames())
    assert list(zip(table["kind"], table["label"], table["stored_bytes"], strict=True)) == [
        ("exclusive", "only web:1.1.0", 9),
        ("exclusive", "only web:1.0.0", 7),
        ("shared", "api:1.0.0, web:1.0.0, 1.1.0", 1000),
        ("shared", "web:1.0.0, 1.1.0", 40),
        ("unreferenced", "unreferenced", 300),
        ("manifests", "manifests and locked apps", 600),
    ]
    assert table["share"].sum() == 1.0
    assert table["user_count"].tolist() == [1, 1, 3, 2, 0, 0]


def test_breakdown_counts_a_file_of_several_names_where_the_name_says_most(tmp_path):
    cache = laid_out(tmp_path, pulled(web()))
    needed = cache.path / blob("data", INDEX)
    for name in ("data/a-misnamed-copy", "a-foreign-copy", blob("wasm", b"an unreferenced copy")):
        os.link(needed, cache.path / name)
    documents = cache.path / folder(web())
    (cache.path / "wasm" / "config").hardlink_to(documents / "config.json")
    table = analysis.breakdown(cache).set_index("kind")
    assert table["stored_bytes"].to_dict() == {
        "exclusive": 300 + len(WEB),
        "manifests": sum(path.stat().st_size for path in documents.iterdir()),
        "unreferenced": 0,
        "misnamed": 0,
        "other": 0,
    }
    assert table["file_count"].sum() == 8
    assert analysis.summary(cache)["unreferenced_bytes"].item() == 0
