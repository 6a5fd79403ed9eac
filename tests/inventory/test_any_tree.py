"""Taking an inventory of trees that nobody expects."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spincache_nb.core.cache import Cache
from spincache_nb.core.scan import Problem
from spincache_nb.inventory import take_inventory
from tests.inventory.reading import blobs, each_use
from tests.support.artifact import (
    APPLICATION,
    ARCHIVE,
    DATA,
    IMAGE_CONFIG,
    WASM,
    compact,
    descriptor,
    sha256,
)
from tests.support.caches import INDEX, WEB
from tests.support.trees import Tree, write_tree

NAMES = st.sampled_from(
    [
        "wasm",
        "data",
        "manifests",
        "ghcr.io",
        "localhost_5000",
        "a",
        "b",
        "latest",
        "manifest.json",
        "config.json",
        sha256(WEB),
        sha256(INDEX),
        sha256(b"").replace(":", "_"),
        ".spincache-x",
    ]
)
MANIFEST = st.fixed_dictionaries(
    {
        "schemaVersion": st.sampled_from([2, 2, 2, 1, "2"]),
        "config": st.sampled_from(
            [descriptor(IMAGE_CONFIG, b"{}"), descriptor(APPLICATION, b"{}"), {"digest": "../../x"}, None]
        ),
        "layers": st.lists(
            st.sampled_from(
                [
                    descriptor(WASM, WEB),
                    descriptor(DATA, INDEX),
                    descriptor(DATA, WEB),
                    descriptor(ARCHIVE, INDEX),
                    descriptor(APPLICATION, INDEX),
                    descriptor("x/y", WEB, size=3),
                ]
            )
        ),
    }
)
LOCKED_APP = st.fixed_dictionaries(
    {
        "spin_lock_version": st.sampled_from([0, 1, 7, "0"]),
        "components": st.lists(
            st.fixed_dictionaries(
                {
                    "id": st.sampled_from(["a", "b", 3]),
                    "source": st.sampled_from([{"digest": sha256(WEB)}, {"digest": "x"}, None, {}]),
                    "files": st.lists(
                        st.sampled_from(
                            [
                                {"path": "a", "digest": sha256(INDEX)},
                                {"path": "../b", "digest": sha256(b""), "inline": ""},
                                {"path": "\\c", "inline": "!"},
                                [],
                            ]
                        )
                    ),
                }
            ),
            max_size=3,
        ),
    }
)
CONTENT = st.one_of(
    st.sampled_from([WEB, INDEX, b"", b"{}", WEB[:9]]),
    st.binary(max_size=20),
    st.builds(compact, MANIFEST),
    st.builds(compact, LOCKED_APP),
)
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.dictionaries(PATHS, CONTENT, max_size=12))
def test_take_inventory_agrees_with_itself_on_any_tree(
    tmp_path_factory: pytest.TempPathFactory, tree: Tree
) -> None:
    root = tmp_path_factory.mktemp("any")
    for path, data in tree.items():
        target = root / "registry" / path
        if not any(parent.is_file() for parent in target.parents) and not target.is_dir():
            write_tree(root / "registry", {path: data})
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    inventory = take_inventory(Cache(root))
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before
    files = {path.relative_to(root / "registry").as_posix(): path for path in before if path.is_file()}
    assert [file.path for file in inventory.files] == sorted(files)
    stored = {f"{one.blob.area}/{one.blob.name}": one for one in blobs(inventory)}
    needed = map(inventory.blobs.blob, inventory.contents.uses.blobs.tolist())
    used = {f"{blob.area}/{blob.name}" for blob in needed}
    assert used == {path for path, one in stored.items() if one.standing == "referenced"}
    assert all((one.digest is None) == (one.standing in ("temporary", "misnamed")) for one in stored.values())
    keys = [(use.user, use.digest, use.area) for use in each_use(inventory)]
    assert len(keys) == len(set(keys))
    assert len({app.reference for app in inventory.apps}) == len(inventory.apps)
    assert all(isinstance(problem, Problem) and problem.remedy for problem in inventory.problems)
