from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb import analysis
from spincache_nb.analysis.shared import NEEDED
from spincache_nb.errors import InvalidDigestError
from tests.analysis.worlds import DIGESTS, SOME, digest_of, two_versions, worlds
from tests.support.artifact import compact, sha256, wasm_module
from tests.support.artifacts import Component, new_style
from tests.support.caches import WEB, pulled
from tests.support.trees import union
from tests.upkeep.worlds import laid_out


def expected_reasons(world, digest):
    """Every reason the world has to need a digest: (user, kind, component)."""
    found = set()
    for app in world.apps:
        me = app.reference
        found |= {(me, "component", name) for name, source in app.sources.items() if source == digest}
        named = {(me, "file", c) for c, _, d, inline in app.mounts if d == digest and not inline}
        found |= named
        found |= {(me, "layer", None) for d, _ in app.layers if d == digest}
        reasons = {why for (d, area), why in app.needs().items() if d == digest and (d, area) in world.stored}
        if "archive member" in reasons:
            found.add((me, "archive member", None))
        explained = named or digest in app.sources.values()
        if "content ref" in reasons and not explained:
            found.add((me, "content ref", None))
    for path, digests in world.projects.items():
        if digest in digests and (digest, "wasm") in world.stored:
            found.add((path, digests[digest], None))
    return found


@SOME
@given(world=worlds(), digest=st.sampled_from(DIGESTS))
def test_why_lists_every_reason(world, digest):
    table = analysis.why(world.frames(*NEEDED), digest).astype(object)
    table = table.where(table.notna(), None)
    got = set(zip(table["user"], table["need"], table["component"], strict=True))
    assert got == expected_reasons(world, digest)


@SOME
@given(world=worlds())
def test_sharing_names_names_what_is_stored_and_used(world):
    table = analysis.sharing_names(world.frames(*NEEDED)).astype(object)
    table = table.where(table.notna(), None)
    got = set(zip(table["digest"], table["user"], table["need"], table["component"], strict=True))
    expected = {
        (digest, user, need, component)
        for digest in DIGESTS
        for user, need, component in expected_reasons(world, digest)
        if any((digest, a) in world.stored and user in world.users(digest, a) for a in ("wasm", "data"))
    }
    assert got == expected


def test_why_gives_chains_that_read_from_the_app_inwards():
    world = two_versions()
    wasm, kept = world.apps[0].layers[0][0], world.apps[0].layers[1][0]
    frames = world.frames()
    assert analysis.why(frames, kept)["chain"].tolist() == [
        "ghcr.io/org/web:1.0.0 > ui > kept.css",
        "ghcr.io/org/web:1.0.0 > layer 1 (data)",
        "ghcr.io/org/web:1.1.0 > ui > kept.css",
        "ghcr.io/org/web:1.1.0 > layer 1 (data)",
    ]
    assert "ghcr.io/org/api:1.0.0 > api > source" in analysis.why(frames, wasm)["chain"].tolist()


def test_why_names_projects_and_archives():
    world = two_versions()
    web = world.apps[0]
    archive, member = web.layers[1][0], web.layers[2][0]
    web.layers, web.members, web.mounts = [(archive, "archive")], {archive: {member}}, []
    world.projects = {"site/spin.toml": {world.apps[2].layers[0][0]: "spin.toml"}}
    frames = world.frames()
    assert analysis.why(frames, member)["chain"].tolist() == [
        "ghcr.io/org/web:1.0.0 > member of layer 0 (archive)"
    ]
    table = analysis.why(frames, world.apps[2].layers[0][0])
    assert table.loc[table["user_kind"] == "project", "chain"].tolist() == ["site/spin.toml > spin.toml"]


def test_why_of_an_unneeded_digest_is_empty_and_of_no_digest_an_error():
    frames = two_versions().frames()
    assert len(analysis.why(frames, digest_of(0xEE))) == 0
    with pytest.raises(InvalidDigestError):
        analysis.why(frames, "sha256:../../etc/passwd")


def test_why_names_dependencies_of_components_and_triggers(tmp_path):
    dependency, middleware = wasm_module("dependency", 900), wasm_module("middleware", 700)
    component = Component("api", WEB, dependencies={"test:dep/a@1.0.0": dependency, "mid": middleware})
    tree = pulled(new_style("org/api", "v1", components=[component]))
    place = "manifests/ghcr.io/org/api/v1/config.json"
    locked = json.loads(tree[place])
    of_trigger = {"middleware": [locked["components"][0]["dependencies"].pop("mid")]}
    locked["triggers"][0] |= {"id": "http-0", "trigger_dependencies": of_trigger}
    cache = laid_out(tmp_path, {**tree, place: compact(locked)})
    chains = [analysis.why(cache, sha256(data))["chain"].tolist() for data in (dependency, middleware)]
    app = "ghcr.io/org/api:v1"
    assert [[chain for chain in each if "layer" not in chain] for each in chains] == [
        [f"{app} > api > dependency test:dep/a@1.0.0"],
        [f"{app} > trigger http-0, dependency middleware"],
    ]
    assert all(any(chain.endswith("(wasm)") for chain in each) for each in chains)
    table = analysis.sharing(cache).set_index("digest")
    assert table.loc[sha256(dependency), "names"] == "dependency test:dep/a@1.0.0"
    assert set(analysis.sharing_names(cache)["need"]) == {"component", "dependency", "layer"}


def test_compare_names_a_dependency_that_changed(tmp_path):
    trees = []
    for tag in ("v1", "v2"):
        needs = {"test:dep/a@1.0.0": wasm_module(f"dependency {tag}", 900), "test:dep/b@1.0.0": WEB}
        component = Component("api", wasm_module("api", 800), dependencies=needs)
        trees.append(pulled(new_style("org/api", tag, components=[component], version=tag)))
    table = analysis.compare(laid_out(tmp_path, union(*trees)), "ghcr.io/org/api:v1", "ghcr.io/org/api:v2")
    layers = table[table["what"] == "layer"]
    assert list(zip(layers["name"], layers["status"], strict=True)) == [
        ("application layer", "changed"),
        ("dependency test:dep/a@1.0.0", "changed"),
        ("component api", "same"),
        ("dependency test:dep/b@1.0.0", "same"),
    ]
