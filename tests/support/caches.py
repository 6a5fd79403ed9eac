"""Caches as the releases of Spin leave them, whole and damaged; written from the facts, without our writer.

Each function gives a tree, ``{path below registry: bytes}``, to be laid out with ``trees.write_tree``. What
no tree can say (links, folders in files' places, modes, times) the tests do by hand. The facts are those of
Spin's own code, ``crates/oci/src/client.rs``, ``crates/loader/src/cache.rs`` and ``http.rs``, v0.8 to main.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from tests.support import archives
from tests.support.artifact import (
    ARCHIVE,
    DATA,
    WASM,
    WKG_CONFIG,
    WKG_WASM,
    Artifact,
    canonical,
    compact,
    sha256,
    text_file,
    wasm_module,
)
from tests.support.artifacts import Component, image_config, new_style, old_style, package, published
from tests.support.odd_artifacts import with_application, with_layers, with_sha512
from tests.support.oracle import spin_tree
from tests.support.trees import Tree, union

REGISTRY = "ghcr.io"
WEB = wasm_module("web", 500)
INDEX = text_file("index", 300)
TINY = b"tiny, so inlined"
PAGES = {f"page-{number}.html": text_file(f"page {number}", 200 + number) for number in range(4)}


def web(*, version: str = "1.0.0", tag: str = "v1", repository: str = "org/web") -> Artifact:
    """Build the app most cases start from: one component, one asset, one inlined file.

    Versions differ in the locked app only; wasm and asset stay.
    """
    component = Component("web", WEB, {"index.html": INDEX, "tiny.txt": TINY})
    return new_style(repository, tag, components=[component], version=version)


def pulled(artifact: Artifact, reference: str | None = None, *, naming: str = "unix") -> Tree:
    """Return what Spin leaves after pulling an artifact from ``ghcr.io``, or by another reference."""
    return spin_tree(artifact, reference or artifact.reference(REGISTRY), naming=naming)  # type: ignore[arg-type]


def folder(artifact: Artifact) -> str:
    """Return the directory of an artifact's cached tag."""
    return f"manifests/{REGISTRY}/{artifact.repository}/{artifact.tag}"


def blob(area: str, data: bytes) -> str:
    """Return where some bytes are stored."""
    return f"{area}/{sha256(data)}"


def without(tree: Mapping[str, bytes], *paths: str) -> Tree:
    """Return a tree without some of its files, each of which must be in it."""
    assert set(paths) <= set(tree), f"not in the tree: {sorted(set(paths) - set(tree))}"
    return {path: data for path, data in tree.items() if path not in paths}


def spin_0_8() -> Artifact:
    """Build an app whose locked app is the manifest's config; nothing is inlined."""
    return old_style("org/old", "v08", inline=False)


def spin_1_5() -> Artifact:
    """Build an app whose locked app is the config; small content is inlined and a layer all the same."""
    return old_style("org/old", "v15", inline=True)


def spin_2_0() -> Artifact:
    """Build an app with an image config without label, the locked app its last layer."""
    component = Component("web", WEB, {"index.html": INDEX, "tiny.txt": TINY})
    return new_style("org/web", "v20", components=[component], label=False, annotated=False)


def archive_mode() -> Artifact:
    """Build an app whose files are in one archive layer; the small one is inlined as well."""
    component = Component("site", WEB, {**PAGES, "tiny.txt": TINY})
    return new_style("org/site", "v1", components=[component], archive=True)


def archive_layer() -> bytes:
    return archives.mount_archive({**PAGES, "tiny.txt": TINY})


def wkg_package() -> Artifact:
    return package("org/pkg", "1.0.0")


def package_wasm() -> bytes:
    return wasm_module("package", 6000)


def sha512_app() -> Artifact:
    """Build an app whose asset is named by a sha512 digest."""
    component = Component("web", WEB, {"index.html": INDEX})
    return with_sha512(with_layers("org/long", component, [(WASM, WEB), (DATA, INDEX)]), INDEX)


def unnamed_members() -> Artifact:
    """Build an app whose archive has files that the locked app does not name."""
    named = Component("site", WEB, {"page-0.html": PAGES["page-0.html"]})
    return with_layers("org/unnamed", named, [(WASM, WEB), (ARCHIVE, archives.mount_archive(PAGES))])


def sound() -> dict[str, Tree]:
    """Return by name what pulls leave behind that did all they had to do: all of it is needed and whole."""
    return {
        "v0.8": pulled(spin_0_8()),
        "v1.5": pulled(spin_1_5()),
        "v2.0": pulled(spin_2_0()),
        "web": pulled(web()),
        "archive": pulled(archive_mode()),
        "archive with unnamed members": pulled(unnamed_members()),
        "package": pulled(wkg_package()),
        "sha512": pulled(sha512_app()),
        "nested tags": nested(),
        "back slashes": back_slashes(),
        "digest pull over latest": digest_pull_over_latest()[0],
        "Windows names": pulled(web(), naming="windows"),
    }


def truncated_blob() -> Tree:
    """The asset was cut off after 100 of 300 bytes by a crash; Spin trusts the name forever."""
    return {**pulled(web()), blob("data", INDEX): INDEX[:100]}


def empty_blob() -> Tree:
    return {**pulled(web()), blob("wasm", WEB): b""}


def lost_layers() -> Tree:
    """Spin v1.2 to v1.5 ignored errors of writing blobs: the manifest is there, none of its blobs is."""
    return without(pulled(web()), blob("wasm", WEB), blob("data", INDEX))


def two_versions() -> Tree:
    """The manifest is of version 2, the locked app still of version 1: its config could not be fetched."""
    newer = pulled(web(version="2.0.0"))
    return {**newer, f"{folder(web())}/config.json": web(version="1.0.0").application or b""}


def image_config_left(*, label: bool = True, stuck: bool = True, layer: bool = True) -> Tree:
    """``config.json`` is the image config; an older Spin may have put the locked app's layer in ``data/``."""
    component = Component("web", WEB, {"index.html": INDEX})
    artifact = new_style("org/web", "v1", components=[component], label=label)
    application = artifact.application or b""
    if not layer:
        document = artifact.document
        document["layers"][-1]["mediaType"] = "application/vnd.example+json"
        artifact = replace(artifact, manifest=canonical(document))
    tree = pulled(artifact)
    tree[f"{folder(artifact)}/config.json"] = image_config(application, label=label)
    tree[blob("data", application)] = application
    return tree if stuck else without(tree, blob("data", application))


def temporary_name(data: bytes = WEB, suffix: str = "aB3xYz") -> str:
    """Return the name of a download by Spin that was killed: tempfile's suffix has six characters."""
    return f"wasm/download-{sha256(data).replace(':', '-')}{suffix}"


def bare_hex_name(data: bytes = WEB) -> str:
    """Return where Spin v0.9 to v1.x kept a web source."""
    return "wasm/" + sha256(data).removeprefix("sha256:")


INTERFACES = (
    b"\0asm\x0d\0\x01\0"
    b"\x07\x47\x01A\x02\x01A\x02\x01B\x02\x01r\x01\x01ay\x04\0\x03req\x03\0\0\x04\0\x13spin:up/types@4.1.0"
    b"\x05\0\x04\0\x12spin:up/http@4.1.0\x04\0\x0b\x0a\x01\0\x04http\x03\0\0\0\x16\x0ecomponent-name\x01\x05\x03"
    b"\x01\0\x01w"
)
"""A WIT package as a component: types, an export, and no code (made once by wasmtime's wat2wasm)."""


def environment() -> Artifact:
    """Build the package of a target environment's interfaces."""
    return published("org/spin-up", "4.1.0", (WKG_CONFIG, b"{}"), [(WKG_WASM, INTERFACES)])


def environment_blob() -> Tree:
    """Interfaces of a target environment, fetched by OCI reference: named by the manifest's digest (main)."""
    return {f"wasm/{environment().digest}": INTERFACES}


def members_missing(*names: str) -> Tree:
    """Unpacking the archive was interrupted: the archive is there, some members are not."""
    return without(pulled(archive_mode()), *(blob("data", PAGES[name]) for name in names))


def digest_pull_over_latest() -> tuple[Tree, str]:
    """Return a cache in which ``latest`` was overwritten by a pull by digest, and that digest.

    So Spin's code does; the tag says nothing about what ``latest`` means in the registry.
    """
    latest, other = web(tag="latest", version="9.0.0"), web(tag="latest", version="1.0.0")
    by_digest = pulled(other, f"{REGISTRY}/{other.repository}@{other.digest}")
    return union(pulled(latest), by_digest), other.digest


def nested() -> Tree:
    """A tag that is a prefix of another repository (``a:b``, ``a/b:latest``), and a tag ``manifest.json``."""
    return union(
        pulled(web(repository="org/a", tag="b")),
        pulled(web(repository="org/a/b", tag="latest")),
        pulled(web(repository="org/a", tag="manifest.json")),
    )


def back_slashes() -> Tree:
    """A publisher on Windows, in archive mode, recorded paths with back slashes."""
    document = json.loads(archive_mode().application or b"")
    for file in document["components"][0]["files"]:
        file["path"] = "pages\\" + file["path"]
    return pulled(with_application(archive_mode(), compact(document)))


def documents(tree: Mapping[str, bytes]) -> Tree:
    """Return what a tree has of manifests and locked apps."""
    return {path: data for path, data in tree.items() if path.startswith("manifests/")}


def blobs(tree: Mapping[str, bytes]) -> Tree:
    """Return what a tree has in ``wasm`` and ``data``."""
    return {path: data for path, data in tree.items() if not path.startswith("manifests/")}
