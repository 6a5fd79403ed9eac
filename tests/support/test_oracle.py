"""The oracle against trees written out by hand, from literal bytes."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import archives, odd_artifacts
from tests.support.artifact import DOCKER_LIST, Artifact
from tests.support.artifacts import five_kinds
from tests.support.oracle import (
    SpinRefuses,
    allowed_additions,
    our_tree,
    reserialised,
    spin_tree,
    split_reference,
)
from tests.support.trees import Tree, assert_same_tree, differences, read_tree, union, write_tree

WASM = b"\0asm\x01\0\0\0"
PAGE = b"<h1>hello</h1>\n"
APP = b'{"spin_lock_version":0,"triggers":[],"components":[]}'
CONFIG = b'{"architecture":"wasm","os":"wasip1","rootfs":{"type":"layers","diff_ids":[]}}'
WASM_HEX = "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"


def hexa(data: bytes) -> str:
    """Return the sha256 of bytes in hex, straight from hashlib."""
    return hashlib.sha256(data).hexdigest()


def literal(config: tuple[str, bytes], *layers: tuple[str, bytes], tag: str | None = "v1") -> Artifact:
    """Return an artifact whose manifest is literal text, indented as no Spin writes it."""

    def entry(media_type: str, data: bytes) -> str:
        return f'{{"size": {len(data)}, "digest": "sha256:{hexa(data)}", "mediaType": "{media_type}"}}'

    rows = ",\n  ".join(entry(*layer) for layer in layers)
    text = f'{{"layers": [\n  {rows}],\n "config": {entry(*config)},\n "schemaVersion": 2}}\n'
    blobs = {f"sha256:{hexa(data)}": data for _, data in (config, *layers)}
    return Artifact("org/app", tag, text.encode(), blobs=blobs)


NEW = literal(
    ("application/vnd.oci.image.config.v1+json", CONFIG),
    ("application/vnd.wasm.content.layer.v1+wasm", WASM),
    ("application/vnd.wasm.content.layer.v1+data", PAGE),
    ("application/vnd.fermyon.spin.application.v1+config", APP),
)


def test_wasm_hex_is_what_sha256sum_prints() -> None:
    assert hexa(WASM) == WASM_HEX


def test_spin_tree_of_a_new_style_app_as_written_by_hand() -> None:
    spins_manifest = (
        '{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json",'
        f'"digest":"sha256:{hexa(CONFIG)}","size":78}},"layers":['
        f'{{"mediaType":"application/vnd.wasm.content.layer.v1+wasm","digest":"sha256:{WASM_HEX}","size":8}},'
        f'{{"mediaType":"application/vnd.wasm.content.layer.v1+data","digest":"sha256:{hexa(PAGE)}","size":15}},'
        '{"mediaType":"application/vnd.fermyon.spin.application.v1+config",'
        f'"digest":"sha256:{hexa(APP)}","size":53}}]}}'
    )
    assert spin_tree(NEW, "localhost:5000/org/app:v1") == {
        "manifests/localhost:5000/org/app/v1/manifest.json": spins_manifest.encode(),
        "manifests/localhost:5000/org/app/v1/config.json": APP,
        f"wasm/sha256:{WASM_HEX}": WASM,
        f"data/sha256:{hexa(PAGE)}": PAGE,
    }


def test_our_tree_keeps_the_manifest_as_served_and_files_digests_under_the_digest() -> None:
    digest = f"sha256:{hexa(NEW.manifest)}"
    assert our_tree(NEW, f"localhost:5000/org/app@{digest}") == {
        f"manifests/localhost:5000/org/app/{digest}/manifest.json": NEW.manifest,
        f"manifests/localhost:5000/org/app/{digest}/config.json": APP,
        f"wasm/sha256:{WASM_HEX}": WASM,
        f"data/sha256:{hexa(PAGE)}": PAGE,
    }
    assert set(spin_tree(NEW, f"localhost:5000/org/app@{digest}")) > {
        "manifests/localhost:5000/org/app/latest/manifest.json",
        "manifests/localhost:5000/org/app/latest/config.json",
    }


def test_our_tree_under_windows_names() -> None:
    digest = f"sha256:{hexa(NEW.manifest)}"
    assert our_tree(NEW, f"localhost:5000/org/app@{digest}", naming="windows") == {
        f"manifests/localhost_5000/org/app/sha256_{hexa(NEW.manifest)}/manifest.json": NEW.manifest,
        f"manifests/localhost_5000/org/app/sha256_{hexa(NEW.manifest)}/config.json": APP,
        f"wasm/sha256_{WASM_HEX}": WASM,
        f"data/sha256_{hexa(PAGE)}": PAGE,
    }


def test_a_tag_beside_a_digest_names_the_directory() -> None:
    reference = f"ghcr.io/org/app:v1@sha256:{hexa(NEW.manifest)}"
    assert "manifests/ghcr.io/org/app/v1/config.json" in our_tree(NEW, reference)
    assert our_tree(NEW, reference).keys() == spin_tree(NEW, reference).keys()


def test_trees_of_an_archive_hold_the_archive_and_its_members() -> None:
    members = archives.mount_archive({"index.html": PAGE, "copy.html": PAGE, "empty": b""})
    artifact = literal(
        ("application/vnd.oci.image.config.v1+json", CONFIG),
        ("application/vnd.wasm.content.layer.v1+wasm", WASM),
        ("application/vnd.wasm.content.bundle.v1.tar+gzip", members),
        ("application/vnd.fermyon.spin.application.v1+config", APP),
    )
    assert our_tree(artifact, "ghcr.io/org/app:v1") == {
        "manifests/ghcr.io/org/app/v1/manifest.json": artifact.manifest,
        "manifests/ghcr.io/org/app/v1/config.json": APP,
        f"wasm/sha256:{WASM_HEX}": WASM,
        f"data/sha256:{hexa(members)}": members,
        f"data/sha256:{hexa(PAGE)}": PAGE,
        "data/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": b"",
    }


def test_trees_of_an_old_style_app_and_of_a_package_keep_the_config() -> None:
    old = literal(
        ("application/vnd.fermyon.spin.application.v1+config", APP),
        ("application/vnd.wasm.content.layer.v1+wasm", WASM),
        ("text/plain", PAGE),
    )
    assert our_tree(old, "test.example/org/app") == {
        "manifests/test.example/org/app/latest/manifest.json": old.manifest,
        "manifests/test.example/org/app/latest/config.json": APP,
        f"wasm/sha256:{WASM_HEX}": WASM,
        f"data/sha256:{hexa(PAGE)}": PAGE,
    }
    package = literal(("application/vnd.wasm.config.v0+json", b"{}"), ("application/wasm", WASM))
    assert our_tree(package, "test.example/org/app:1.0.0") == {
        "manifests/test.example/org/app/1.0.0/manifest.json": package.manifest,
        "manifests/test.example/org/app/1.0.0/config.json": b"{}",
        f"wasm/sha256:{WASM_HEX}": WASM,
    }


def test_bytes_listed_as_wasm_and_as_data_are_in_both_areas() -> None:
    artifact = odd_artifacts.wasm_and_data()
    digest = artifact.layers[0]["digest"]
    assert {f"wasm/{digest}", f"data/{digest}"} <= our_tree(artifact, "a.b/c:1").keys()
    assert allowed_additions(artifact) == {f"data/{digest}"}
    only_wasm = odd_artifacts.altered(artifact, lambda document: document["layers"].pop(1))
    assert f"data/{digest}" not in our_tree(only_wasm, "a.b/c:1")
    assert allowed_additions(only_wasm) == {f"data/{digest}"}
    assert allowed_additions(five_kinds()["new"]) == set()


def test_sha512_layers_are_filed_under_their_own_digest() -> None:
    tree = our_tree(odd_artifacts.sha512_layer(), "a.b/c:1")
    assert sorted(path.partition(":")[0] for path in tree if "manifests" not in path) == [
        "data/sha512",
        "wasm/sha512",
    ]


@pytest.mark.parametrize("media_type", ["index", "docker-list"])
def test_an_index_gives_the_first_child_of_the_platform_under_the_tag_of_the_index(media_type: str) -> None:
    index = odd_artifacts.pushable()[media_type]
    assert (index.media_type == DOCKER_LIST) == (media_type == "docker-list")
    tree = our_tree(index, "a.b/c:1", platform=("linux", "amd64"))
    assert tree["manifests/a.b/c/1/manifest.json"] == index.children[1].manifest
    tree = our_tree(index, "a.b/c:1", platform=("windows", "amd64"))
    assert tree["manifests/a.b/c/1/manifest.json"] == index.children[0].manifest


@pytest.mark.parametrize(
    "name", ["index for others", "index for wasm", "index without platforms", "nested index"]
)
def test_spin_refuses_an_index_without_a_match(name: str) -> None:
    with pytest.raises(SpinRefuses):
        spin_tree(odd_artifacts.broken()[name], "a.b/c:1", platform=("linux", "amd64"))


def test_spin_refuses_a_config_that_is_not_utf_8() -> None:
    with pytest.raises(SpinRefuses):
        spin_tree(odd_artifacts.bad_config(), "a.b/c:1")


def test_reserialised_drops_what_spin_does_not_model() -> None:
    served = json.dumps(
        {
            "annotations": {"b": "Ω\u0001", "a": "1"},
            "artifactType": "x/y",
            "subject": {"size": 1, "mediaType": "m", "digest": "d", "data": "e30="},
            "layers": [{"artifactType": "t", "size": 2, "mediaType": "m", "digest": "d", "platform": {}}],
            "config": {"urls": None, "annotations": {}, "size": 3, "digest": "d", "mediaType": "m"},
            "vendor": True,
            "mediaType": None,
            "schemaVersion": 2,
        }
    ).encode()
    assert reserialised(served).decode() == (
        '{"schemaVersion":2,"config":{"mediaType":"m","digest":"d","size":3,"annotations":{}},'
        '"layers":[{"mediaType":"m","digest":"d","size":2,"artifactType":"t"}],'
        '"subject":{"mediaType":"m","digest":"d","size":1},"artifactType":"x/y",'
        '"annotations":{"a":"1","b":"Ω\\u0001"}}'
    )
    assert reserialised(served, "v4").decode() == (
        '{"schemaVersion":2,"config":{"mediaType":"m","digest":"d","size":3,"annotations":{}},'
        '"layers":[{"mediaType":"m","digest":"d","size":2}],"artifactType":"x/y",'
        '"annotations":{"a":"1","b":"Ω\\u0001"}}'
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ghcr.io/o/app:v1", ("ghcr.io", "o/app", "v1", None)),
        ("ghcr.io/o/app", ("ghcr.io", "o/app", "latest", None)),
        ("localhost:5000/a/b/c:1", ("localhost:5000", "a/b/c", "1", None)),
        ("localhost/a", ("localhost", "a", "latest", None)),
        ("busybox", ("docker.io", "library/busybox", "latest", None)),
        ("index.docker.io/x:1", ("docker.io", "library/x", "1", None)),
        ("test.com:5000", ("docker.io", "library/test.com", "5000", None)),
        ("o/app@sha256:ab", ("docker.io", "o/app", None, "sha256:ab")),
        ("a.b/c:1@sha256:ab", ("a.b", "c", "1", "sha256:ab")),
    ],
)
def test_split_reference_follows_spins_table(
    text: str, parts: tuple[str, str, str | None, str | None]
) -> None:
    assert split_reference(text) == parts


def test_read_tree_reads_what_write_tree_wrote_and_refuses_links(tmp_path: Path) -> None:
    tree: Tree = {"wasm/sha256:ab": b"1", "manifests/a/b/c/manifest.json": b"2"}
    folder = write_tree(tmp_path / "registry", tree)
    assert read_tree(folder) == tree
    assert read_tree(tmp_path / "nothing") == {}
    (folder / "wasm" / "link").symlink_to("sha256:ab")
    with pytest.raises(AssertionError, match="symbolic link"):
        read_tree(folder)


def test_assert_same_tree_names_every_difference() -> None:
    expected, actual = {"a": b"1", "b": b"2", "c": b"3"}, {"a": b"1", "b": b"x", "d": b"4"}
    assert [line.split()[:2] for line in differences(expected, actual)] == [
        ["differs", "b:"],
        ["missing", "c"],
        ["unexpected", "d"],
    ]
    with pytest.raises(AssertionError, match="missing     c"):
        assert_same_tree(expected, actual)
    assert_same_tree({"a": b"1"}, {"a": b"1", "d": b"4"}, allowed={"d"})
    assert union({"a": b"1", "b": b"2"}, {"b": b"3"}) == {"a": b"1", "b": b"3"}


def test_located_moves_an_index_with_its_children() -> None:
    moved = odd_artifacts.image_index().located(repository="x/y", tag="t")
    assert (moved.repository, moved.tag, moved.children[0].repository) == ("x/y", "t", "x/y")
    assert moved.children[0].tag is None
    assert replace(moved, tag=None).reference("a.b") == f"a.b/x/y@{moved.digest}"
