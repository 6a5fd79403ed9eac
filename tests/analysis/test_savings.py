from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb import analysis
from spincache_nb.analysis.schemas import VERSION_SAVINGS_SCHEMA
from spincache_nb.analysis.versions import NEEDED, _manifest_lines, read_versions, savings_rows
from spincache_nb.errors import NotInCacheError
from tests.analysis.worlds import SOME, App, World, digest_of, two_versions, worlds

WEB = "ghcr.io/org/web"


def unpacked(world, app):
    """What the app's archives are known to hold: see `members_of`."""
    if all(role != "archive" for _, role in app.layers):
        return set()
    own = {digest for digest, _ in app.layers}
    mounted = {digest for _, _, digest, inline in app.mounts if not inline}
    used = {digest for digest, area in app.needs() if area == "data" and (digest, area) in world.stored}
    return (mounted | used) - own


def simulate(world, apps, rules):
    """Pull apps one after the other and give (total, reused) of each, by the rules in plain words."""
    files, config_json, costs = set(), {}, []
    for app in apps:
        digests = {digest for digest, _ in app.layers}
        content = {digest for digest, role in app.layers if role != "application"}
        applications = [digest for digest, role in app.layers if role == "application"]
        document = applications[-1] if applications else "the config"
        if rules == "spin":
            found = digests & files
        elif config_json.get(app.reference) == document:
            found = (content & files) | ({document} & digests) | {"the config"}
        else:
            found = (content & files) - {document}
        sizes = {**world.sizes, "the config": app.config_bytes}
        costs.append((sum(sizes[d] for d in digests | {"the config"}), sum(sizes[d] for d in found)))
        files |= content | unpacked(world, app)
        config_json[app.reference] = document
    return costs


@SOME
@given(world=worlds(), rules=st.sampled_from(["spin", "spincache"]))
def test_version_savings_equals_a_simulation_of_the_rules(world, rules):
    apps = [app for app in world.apps if f"{app.registry}/{app.repository}" == WEB]
    if not apps:
        return
    order = [app.reference for app in apps] + [apps[0].reference]
    table = analysis.version_savings(world.frames(*NEEDED), WEB, rules=rules, order=order)
    expected = simulate(world, [*apps, apps[0]], rules)
    assert list(zip(table["total_bytes"], table["reused_bytes"], strict=True)) == expected
    assert table["reference"].tolist() == order
    assert (table["fetch_bytes"] + table["reused_bytes"] == table["total_bytes"]).all()
    assert table["cumulative_fetch_bytes"].iloc[-1] == sum(total - reused for total, reused in expected)
    assert table["cumulative_saved_bytes"].iloc[-1] == sum(reused for _, reused in expected)


@SOME
@given(world=worlds(), rules=st.sampled_from(["spin", "spincache"]))
def test_upgrade_matrix_equals_a_simulation_of_every_pair(world, rules):
    apps = [app for app in world.apps if f"{app.registry}/{app.repository}" == WEB]
    if not apps:
        return
    table = analysis.upgrade_matrix(world.frames(*NEEDED), WEB, rules=rules)
    expected = {}
    for start in apps:
        for end in apps:
            total, reused = simulate(world, [start, end], rules)[1]
            expected[start.reference, end.reference] = (total - reused, reused)
    assert {tuple(row[:2]): tuple(row[2:]) for row in table.itertuples(index=False)} == expected


def test_version_savings_of_two_versions_as_reckoned_by_hand():
    table = analysis.version_savings(two_versions().frames(), WEB)
    assert table["tag"].tolist() == ["1.0.0", "1.1.0"]
    assert table["total_bytes"].tolist() == [20 + 1000 + 40 + 7 + 50, 20 + 1000 + 40 + 9 + 51]
    assert table["reused_bytes"].tolist() == [0, 1040]
    assert table["fetch_bytes"].tolist() == [1117, 20 + 9 + 51]
    assert table["cumulative_total_bytes"].tolist() == [1117, 2237]
    assert table["cumulative_fetch_bytes"].tolist() == [1117, 1197]
    assert table["saved_share"].tolist() == [0.0, 1040 / 1120]
    assert table["archive_fetch_bytes"].tolist() == [0, 0]


def _archived():
    """Version 1 as an archive, 2 as an archive with one more file, 3 with the files as layers."""
    one, two, archive1, archive2 = (digest_of(number) for number in range(1, 5))
    sizes = {one: 100, two: 30, archive1: 60, archive2: 80}
    apps = [
        App("r.io", "site", "1", [(archive1, "archive")], {archive1: {one}}),
        App("r.io", "site", "2", [(archive2, "archive")], {archive2: {one, two}}),
        App("r.io", "site", "3", [(one, "data"), (two, "data")]),
    ]
    return World(apps, sizes, {(digest, "data") for digest in sizes})


def test_version_savings_shows_that_an_archive_is_sent_again_whole():
    table = analysis.version_savings(_archived().frames(), "site")
    assert table["fetch_bytes"].tolist() == [60, 80, 0]
    assert table["archive_fetch_bytes"].tolist() == [60, 80, 0]
    assert table["archive_known_bytes"].tolist() == [0, 100, 0]


def test_version_savings_does_not_count_layers_as_members_of_an_archive():
    world = _archived()
    kept = digest_of(9)
    world.sizes[kept] = 7
    world.stored.add((kept, "data"))
    for app in world.apps[:2]:
        app.layers.append((kept, "data"))
    table = analysis.version_savings(world.frames(), "site", order=["1", "2"])
    assert table["archive_known_bytes"].tolist() == [0, 100]


def with_configs(world, sizes):
    """The frames of a world whose apps have configs of these digests and sizes."""
    frames = world.frames()
    frames.apps["config_digest"] = pd.array(list(sizes), dtype="string")
    frames.apps["config_bytes"] = pd.array(list(sizes.values()), dtype="Int64")
    return frames


def test_version_savings_by_spin_fetches_a_config_that_is_also_stored_as_a_blob():
    same = digest_of(1)
    app = App("r.io", "odd", "1", [(same, "data")], config_bytes=9)
    frames = with_configs(World([app], {same: 9}, {(same, "data")}), {same: 9})
    table = analysis.version_savings(frames, "odd", order=["1", "1"])
    assert table["total_bytes"].tolist() == [9, 9]
    assert table["fetch_bytes"].tolist() == [9, 9]


def test_replay_savings_without_members_says_that_they_are_not_known():
    world = _archived()
    manifests = _manifest_lines(world.frames(), [app.reference for app in world.apps])
    lines = savings_rows(read_versions(manifests))
    fetched, known = list(VERSION_SAVINGS_SCHEMA).index("fetch_bytes"), -1
    assert [(line[fetched], line[known]) for line in lines] == [(60, None), (80, None), (130, 0)]


def test_version_savings_takes_config_bytes_from_the_apps_frame_if_it_says_them():
    frames = with_configs(two_versions(), {digest_of(0xC0): 5, digest_of(0xC1): 6, digest_of(0xC2): 7})
    assert analysis.version_savings(frames, WEB)["total_bytes"].tolist() == [1102, 1106]


def test_version_savings_counts_an_old_config_that_is_the_locked_app_by_our_rules():
    wasm, locked = digest_of(1), digest_of(2)
    app = App("r.io", "old", "1", [(wasm, "wasm")], config_bytes=9)
    frames = with_configs(World([app], {wasm: 100, locked: 9}, {(wasm, "wasm")}), {locked: 9})
    assert analysis.upgrade_matrix(frames, "old")["fetch_bytes"].tolist() == [9]
    assert analysis.upgrade_matrix(frames, "old", rules="spincache")["fetch_bytes"].tolist() == [0]


def test_version_savings_refuses_unknown_and_ambiguous_repositories():
    world = two_versions()
    world.apps.append(App("docker.io", "org/web", "1", []))
    frames = world.frames()
    with pytest.raises(NotInCacheError) as caught:
        analysis.version_savings(frames, "ghcr.io/org/none")
    assert caught.value.where == "ghcr.io/org/none"
    assert analysis.version_savings(frames, "org/api")["reference"].tolist() == ["ghcr.io/org/api:1.0.0"]
    # Short for docker.io/org/web, which is in the cache: no ambiguity.
    assert analysis.version_savings(frames, "org/web")["reference"].tolist() == ["docker.io/org/web:1"]
    world.apps[-1].registry = "quay.io"
    with pytest.raises(NotInCacheError):
        analysis.version_savings(world.frames(), "org/web")


def test_version_savings_refuses_unknown_rules_and_versions():
    frames = two_versions().frames()
    with pytest.raises(ValueError, match="rules"):
        analysis.version_savings(frames, WEB, rules="docker")
    with pytest.raises(ValueError, match="no such version"):
        analysis.version_savings(frames, WEB, order=["9"])


def test_version_savings_leaves_out_apps_whose_manifest_could_not_be_read():
    frames = two_versions().frames()
    frames.apps.loc[0, "layer_count"] = pd.NA
    assert analysis.version_savings(frames, WEB)["tag"].tolist() == ["1.1.0"]
