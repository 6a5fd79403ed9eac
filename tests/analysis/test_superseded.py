"""What old versions hold, against plain set arithmetic on the world the frames were made from."""

from __future__ import annotations

from hypothesis import given

from spincache_nb import analysis
from spincache_nb.analysis.disk import NEEDED
from tests.analysis.worlds import SOME, App, World, two_versions, worlds

ORDER = ["1.0.0", "1.1.0", "2.0.0-rc.1", "2.0.0", "v3"]  # "latest" comes after all of these


def freed(world: World, old: set[str]) -> int:
    """Bytes on disk that only these apps need, and their documents."""
    blobs = sum(
        world.on_disk(digest, area)
        for digest, area in world.stored
        if world.users(digest, area) and world.users(digest, area) <= old
    )
    return blobs + 2 * world.document_bytes * len(old)


def in_order(apps: list[App]) -> list[App]:
    return sorted(apps, key=lambda app: [*ORDER, "latest"].index(app.tag))


@SOME
@given(world=worlds())
def test_superseded_equals_set_arithmetic(world):
    expected = []
    for place in {(app.registry, app.repository) for app in world.apps}:
        apps = in_order([app for app in world.apps if (app.registry, app.repository) == place])
        if len(apps) > 1:
            old = {app.reference for app in apps[:-1]}
            expected.append((f"{place[0]}/{place[1]}", apps[-1].reference, len(old), freed(world, old)))
    table = analysis.superseded(world.frames(*NEEDED))
    assert [tuple(row) for row in table.itertuples(index=False)] == sorted(
        expected, key=lambda row: (-row[3], row[0])
    )


@SOME
@given(world=worlds())
def test_superseded_references_free_together_what_nobody_else_needs(world):
    frames = world.frames(*NEEDED)
    names = analysis.superseded_references(frames)
    assert len(names) == sum(analysis.superseded(frames)["old_count"])
    together = analysis.freed_by(frames, names)["stored_bytes"].sum()
    assert together == freed(world, set(names))
    assert together >= sum(analysis.superseded(frames)["freed_bytes"])


def test_superseded_leaves_apps_alone_whose_manifest_could_not_be_read():
    frames = two_versions().frames()
    frames.apps.loc[frames.apps["tag"] == "1.1.0", "layer_count"] = None
    assert len(analysis.superseded(frames)) == 0
    assert analysis.superseded_references(frames) == []
