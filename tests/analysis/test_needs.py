from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb import analysis
from spincache_nb.analysis.needs import NEEDED
from spincache_nb.errors import InvalidDigestError
from tests.analysis.worlds import DIGESTS, SOME, digest_of, two_versions, worlds


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
