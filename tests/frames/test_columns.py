"""Frames that are made of columns say what the values of the inventory say, one by one, on any cache."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spincache_nb.core.cache import Cache
from spincache_nb.core.scan import PlainBlobs
from spincache_nb.frames.bundle import Frames
from spincache_nb.frames.contents import apps_of, layers_of
from spincache_nb.frames.found import Found
from spincache_nb.frames.picking import Ranked, picked
from spincache_nb.frames.storage import blobs_of, uses_of
from spincache_nb.inventory import Inventory, LayerUses, take_inventory
from spincache_nb.inventory.layer_texts import LayerTexts
from tests.support import archives
from tests.support.artifact import (
    APPLICATION,
    ARCHIVE,
    DATA,
    IMAGE_CONFIG,
    WASM,
    compact,
    descriptor,
    sha256,
    sha512,
)
from tests.support.trees import Tree, write_tree

BODIES = [b"\0asm one", b"\0asm two", b"one", b"two", b"three", b"", archives.mount_archive({"a": b"one"})]
NAMES = [
    *map(sha256, BODIES),
    sha256(b"one").replace(":", "_"),
    sha512(b"one"),
    "a" * 64,
    ".spincache-1",
    "odd\nname",
]
LAYERS = [
    *(descriptor(media_type, body) for media_type in (WASM, DATA) for body in BODIES[:6]),
    descriptor(ARCHIVE, BODIES[6]),
    descriptor(APPLICATION, b"{}"),
    descriptor("x/y", b"two"),
    {**descriptor(DATA, b"two"), "annotations": {"a": "b"}},
    {**descriptor(DATA, b"one"), "digest": sha512(b"one")},
    descriptor(DATA, b"three", size=4),
]
STORED = st.dictionaries(
    st.tuples(st.sampled_from(["wasm", "data"]), st.sampled_from(NAMES)), st.sampled_from(BODIES), max_size=14
)
MANIFEST = st.builds(
    lambda config, layers, spaced: json.dumps(
        {"schemaVersion": 2, "config": config, "layers": layers},
        separators=None if spaced else (",", ":"),
    ).encode(),
    st.sampled_from(
        [descriptor(IMAGE_CONFIG, b"{}"), descriptor(APPLICATION, b"{}"), descriptor(DATA, b"one")]
    ),
    st.lists(st.sampled_from(LAYERS), max_size=8),
    st.booleans(),
)
LOCKED_APP = st.builds(
    lambda digests: compact(
        {
            "spin_lock_version": 0,
            "triggers": [],
            "components": [
                {
                    "id": "c",
                    "source": {"digest": digests[0]},
                    "files": [{"path": str(n), "digest": digest} for n, digest in enumerate(digests)],
                }
            ],
        }
    ),
    st.lists(st.sampled_from([sha256(body) for body in BODIES]), min_size=1, max_size=4),
)
APPS = st.dictionaries(
    st.sampled_from(
        ["ghcr.io/a/v1", "ghcr.io/a/v2", "ghcr.io/b/v1", "localhost_5000/a/v1", "localhost:5000/a/v1"]
    ),
    st.tuples(MANIFEST, LOCKED_APP),
    max_size=4,
)


def as_values(inventory: Inventory) -> Inventory:
    """The same with a value for everything."""
    apps = (replace(app, layers=tuple(app.layers), uses=tuple(app.uses)) for app in inventory.apps)
    return replace(inventory, apps=tuple(apps), blobs=tuple(inventory.blobs))


def rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Rows with None for missing."""
    return [
        tuple(None if pd.isna(value) else value for value in row)
        for row in frame.astype(object).itertuples(index=False)
    ]


def expected(inventory: Inventory) -> Iterator[list[tuple[Any, ...]]]:
    """What the frames of layers, uses and blobs, and two columns of apps, have to say."""
    yield [
        (
            app.reference,
            one.position,
            str(one.descriptor.digest),
            one.descriptor.media_type,
            one.descriptor.role,
            one.descriptor.size,
            one.stored,
        )
        for app in inventory.apps
        for one in app.layers
    ]
    yield [(use.user, str(use.digest), use.area, use.stored_bytes, use.via) for use in inventory.uses()]
    yield [
        (
            one.blob.name,
            str(one.digest) if one.digest else None,
            one.blob.area,
            one.blob.stored_bytes,
            pd.Timestamp(one.blob.modified_ns, tz="UTC"),
            one.standing,
        )
        for one in inventory.blobs
    ]
    yield [(app.manifest.total_bytes if app.manifest else None, app.stored_bytes) for app in inventory.apps]


def frames_of(*inventories: Inventory) -> Frames:
    names = tuple(str(number) for number in range(len(inventories)))
    found = Found(inventories, names, len(inventories) > 1)
    return Frames(apps=apps_of(found), layers=layers_of(found), uses=uses_of(found), blobs=blobs_of(found))


def said(frames: Frames) -> list[list[tuple[Any, ...]]]:
    assert frames.apps is not None
    assert frames.layers is not None
    assert frames.uses is not None
    assert frames.blobs is not None
    amounts = frames.apps[["declared_bytes", "stored_bytes"]]
    return [rows(frame) for frame in (frames.layers, frames.uses, frames.blobs, amounts)]


def assert_same(left: Frames, right: Frames) -> None:
    """Compare values, dtypes and categories."""
    for name in ("apps", "layers", "uses", "blobs"):
        pd.testing.assert_frame_equal(getattr(left, name), getattr(right, name))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stored=STORED, apps=APPS)
def test_frames_say_what_the_inventory_says(
    tmp_path_factory: pytest.TempPathFactory, stored: dict[tuple[str, str], bytes], apps: dict[str, Any]
) -> None:
    tree: Tree = {f"{area}/{name}": body for (area, name), body in stored.items()}
    for path, (manifest, locked_app) in apps.items():
        tree |= {f"manifests/{path}/manifest.json": manifest, f"manifests/{path}/config.json": locked_app}
    cache = Cache(write_tree(tmp_path_factory.mktemp("any") / "registry", tree).parent)
    fast = take_inventory(cache)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LayerTexts, "parse", lambda self, data: None)
        patch.setattr(
            "spincache_nb.core.scan.look_at_blobs",
            lambda directory, area: (
                PlainBlobs(str(directory), area, [], array("q"), array("q")),
                {path.name for path in directory.iterdir()},
            ),
        )
        slow = take_inventory(cache)
    assert fast.apps == slow.apps
    assert (fast.blobs, fast.files, fast.missing) == (slow.blobs, slow.files, slow.missing)
    assert fast.problems == slow.problems
    frames = frames_of(fast)
    assert said(frames) == list(expected(slow))
    assert_same(frames, frames_of(as_values(slow)))
    assert_same(frames_of(fast, slow), frames_of(as_values(slow), as_values(fast)))


def test_frames_number_what_several_caches_hold(tmp_path: Path) -> None:
    inventories = []
    for number in range(2):
        bodies = [b"one", b"two", b"three"][number:]
        manifest = {
            "schemaVersion": 2,
            "config": descriptor(IMAGE_CONFIG, b"{}"),
            "layers": [descriptor(DATA, body) for body in bodies],
        }
        tree = {f"data/{sha256(body)}": body for body in bodies}
        tree["manifests/ghcr.io/a/v1/manifest.json"] = compact(manifest)
        inventories.append(
            take_inventory(Cache(write_tree(tmp_path / str(number) / "registry", tree).parent))
        )
    assert all(isinstance(app.uses, LayerUses) for one in inventories for app in one.apps)
    assert said(frames_of(*inventories))[3] == [(2 + 11, 11), (2 + 8, 8)]
    assert_same(frames_of(*inventories), frames_of(*map(as_values, inventories)))


def test_apps_add_up_sizes_that_cannot_be(tmp_path: Path) -> None:
    huge = [{**descriptor(DATA, b"%d" % number), "size": (1 << 60) + number} for number in range(9)]
    manifests = {
        "few": huge[:3] + huge[:2],
        "many": huge,
    }
    tree = {
        f"manifests/ghcr.io/{name}/v1/manifest.json": compact(
            {"schemaVersion": 2, "config": {**descriptor(IMAGE_CONFIG, b"{}"), "size": 5}, "layers": layers}
        )
        for name, layers in manifests.items()
    }
    inventory = take_inventory(Cache(write_tree(tmp_path / "registry", tree).parent))
    assert [amounts[0] for amounts in said(frames_of(inventory))[3]] == [3 * (1 << 60) + 3 + 5, None]


@given(
    st.lists(st.text("ab", max_size=2), min_size=1).flatmap(
        lambda texts: st.tuples(st.just(texts), st.lists(st.integers(0, len(texts) - 1)))
    )
)
def test_ranked_and_picked_give_each_row_its_text(case: tuple[list[str], list[int]]) -> None:
    texts, chosen = case
    places = np.array(chosen, np.intp)
    for column in (picked(texts, places), Ranked.of(texts).picked(places)):
        values = list(column.values)
        assert [values[place] for place in column.places] == [texts[place] for place in chosen]
        assert set(values) == {texts[place] for place in chosen}
    assert values == sorted(set(values))
