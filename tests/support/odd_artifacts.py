"""Artifacts off the common road: indexes, Docker types, odd layers, and manifests that are wrong.

What ``pushable`` returns a registry accepts; ``broken`` only a scripted server will serve.
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from tests.support import archives
from tests.support.artifact import (
    APPLICATION,
    ARCHIVE,
    DATA,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    IMAGE_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    WASM,
    Artifact,
    Json,
    canonical,
    descriptor,
    filler,
    sha256,
    sha512,
    text_file,
    wasm_module,
)
from tests.support.artifacts import (
    Component,
    Layer,
    image_config,
    locked_app,
    new_style,
    old_style,
    published,
)

Platform = tuple[str, str]
"""Operating system and architecture, by Go's names."""

PLATFORMS: tuple[Platform, ...] = (
    ("windows", "amd64"),
    ("linux", "amd64"),
    ("linux", "arm64"),
    ("darwin", "arm64"),
    ("linux", "amd64"),  # a second one for the same platform: the first counts
)


def with_layers(repository: str, component: Component, layers: Sequence[Layer], tag: str = "v1") -> Artifact:
    """Build a new-style app of one component whose content layers are exactly those given."""
    application = locked_app([component], {"name": repository.rsplit("/", 1)[-1], "version": "1.0.0"})
    config = (IMAGE_CONFIG, image_config(application))
    return published(repository, tag, config, [*layers, (APPLICATION, application)])


def image_index(
    repository: str = "demo/index",
    tag: str = "v1",
    *,
    platforms: Sequence[Platform | None] = PLATFORMS,
    media_type: str = OCI_INDEX,
) -> Artifact:
    """Build an index of one app per platform, each with a wasm of its own; ``None``: an entry without one."""
    children, entries = [], []
    for number, platform in enumerate(platforms):
        name = "none" if platform is None else "-".join(platform)
        component = Component("native", wasm_module(f"{name} {number}", 1500))
        child = new_style(repository, tag, components=[component], version=f"1.0.{number}")
        child = docker_manifest(child) if media_type == DOCKER_LIST else child
        child = replace(child, tag=None)
        entry = descriptor(child.media_type, child.manifest)
        if platform is not None:
            entry["platform"] = {"architecture": platform[1], "os": platform[0]}
        children.append(child)
        entries.append(entry)
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
    return Artifact(repository, tag, canonical(document), media_type, {}, tuple(children))


def docker_list(repository: str = "demo/docker-list", tag: str = "v1") -> Artifact:
    """Build a Docker manifest list of Docker v2 manifests, one per platform."""
    return image_index(repository, tag, media_type=DOCKER_LIST)


def docker_manifest(artifact: Artifact) -> Artifact:
    """Return an artifact under Docker's v2 manifest type, which states its ``mediaType``."""
    document = {**artifact.document, "mediaType": DOCKER_MANIFEST}
    return replace(artifact, manifest=canonical(document), media_type=DOCKER_MANIFEST)


def with_application(artifact: Artifact, application: bytes) -> Artifact:
    """Return a new-style app with another locked app, and the image config that goes with it."""
    document = artifact.document
    replaced = {document["config"]["digest"], document["layers"][-1]["digest"]}
    config = image_config(application)
    document["config"] = descriptor(IMAGE_CONFIG, config)
    document["layers"][-1] = descriptor(APPLICATION, application)
    blobs = {digest: data for digest, data in artifact.blobs.items() if digest not in replaced}
    blobs |= {sha256(application): application, sha256(config): config}
    return replace(artifact, manifest=canonical(document), blobs=blobs)


def with_sha512(artifact: Artifact, *contents: bytes) -> Artifact:
    """Return a new-style app in which some of its content is named by sha512 digests."""
    application, manifest, blobs = artifact.application or b"", artifact.manifest, dict(artifact.blobs)
    for data in contents:
        old, new = sha256(data), sha512(data)
        application = application.replace(old.encode(), new.encode())
        manifest = manifest.replace(old.encode(), new.encode())
        blobs[new] = blobs.pop(old)
    return with_application(replace(artifact, manifest=manifest, blobs=blobs), application)


def sha512_layer(repository: str = "demo/sha512", tag: str = "v1") -> Artifact:
    """Build an app whose wasm and one asset are named by sha512 digests."""
    wasm, asset = wasm_module("sha512", 2000), text_file("sha512", 400)
    component = Component("long", wasm, {"a.txt": asset})
    return with_sha512(with_layers(repository, component, [(WASM, wasm), (DATA, asset)], tag), wasm, asset)


def wasm_and_data(repository: str = "demo/both-areas", tag: str = "v1") -> Artifact:
    """Build an app that needs the same bytes as its wasm and as a mounted file: one digest, two layers."""
    wasm = wasm_module("both areas", 2000)
    component = Component("both", wasm, {"self.wasm": wasm})
    return with_layers(repository, component, [(WASM, wasm), (DATA, wasm)], tag)


def duplicate_layers(repository: str = "demo/duplicates", tag: str = "v1") -> Artifact:
    """Build an app that lists the same asset layer four times and its wasm twice (Spin before v2.5)."""
    wasm, asset = wasm_module("duplicates", 2000), text_file("duplicate", 900)
    component = Component("twice", wasm, {f"{n}.txt": asset for n in range(4)})
    return with_layers(repository, component, [(WASM, wasm), *[(DATA, asset)] * 4, (WASM, wasm)], tag)


def unknown_media_type(repository: str = "demo/unknown-type", tag: str = "v1") -> Artifact:
    """Build an app whose wasm and asset have media types that Spin does not know; both belong in ``data``."""
    wasm, asset = wasm_module("unknown", 2000), filler("unknown", 700)
    layers = [("application/vnd.example.wasm.v9", wasm), ("text/plain", asset)]
    return with_layers(repository, Component("odd", wasm, {"asset.bin": asset}), layers, tag)


def many_layers(count: int = 499, repository: str = "demo/many", tag: str = "v1") -> Artifact:
    """Build an app of ``count`` content layers and the application layer; Spin pushes at most 499."""
    files = {f"{n:03}.txt": text_file(f"file {n}", 129 + n) for n in range(count - 1)}
    component = Component("many", wasm_module("many", 1000), files)
    return new_style(repository, tag, components=[component])


def archive_with_links(repository: str = "demo/links", tag: str = "v1") -> Artifact:
    """Build an archive-mode app whose archive has symbolic and hard links beside its files."""
    files = {"a.txt": text_file("linked", 400), "b.txt": text_file("not linked", 300)}
    component = Component("links", wasm_module("links", 1000), files)
    layers = [(WASM, component.wasm), (ARCHIVE, archives.with_links(files, "a.txt"))]
    return with_layers(repository, component, layers, tag)


def wasm_in_archive(repository: str = "demo/wasm-in-archive", tag: str = "v1") -> Artifact:
    """Build an archive-mode app whose archive holds the component's own wasm: needed in both areas."""
    component = Component("inside", wasm_module("inside", 1000), {"inside.wasm": wasm_module("inside", 1000)})
    return new_style(repository, tag, components=[component], archive=True)


def foreign_manifest(repository: str = "demo/foreign", tag: str = "v1") -> Artifact:
    """Build an app whose manifest no Spin wrote: indented, odd key order, ``null``, vendor keys, a subject.

    Kept as served it is these bytes; written again by Spin it is much shorter.
    """
    artifact = new_style(repository, tag)
    document = artifact.document
    document["layers"][0] |= {
        "annotations": {"z": "last", "a": "first"},
        "artifactType": "text/x",
        "vendor": 1,
    }
    document["config"]["urls"] = None
    foreign = {
        "annotations": {"z.example": "Ω", "a.example": "tab\there"},
        "layers": document["layers"],
        "artifactType": "application/vnd.example.thing",
        "x-vendor": {"nested": [1, 2]},
        "config": document["config"],
        "subject": None,
        "mediaType": OCI_MANIFEST,
        "schemaVersion": 2,
    }
    return replace(artifact, manifest=json.dumps(foreign, indent=3).encode() + b"\n")


@cache
def pushable() -> dict[str, Artifact]:
    """Return by name every odd artifact that docker-registry accepts and a pull should manage."""
    return {
        "index": image_index(),
        "docker-list": docker_list(),
        "docker-manifest": docker_manifest(new_style("demo/docker-manifest")),
        "sha512": sha512_layer(),
        "both-areas": wasm_and_data(),
        "duplicates": duplicate_layers(),
        "unknown-type": unknown_media_type(),
        "links": archive_with_links(),
        "wasm-in-archive": wasm_in_archive(),
        "foreign": foreign_manifest(),
        "old-inline": old_style_inline(),
    }


def old_style_inline() -> Artifact:
    """Build a v1.5 app: small content inlined and pushed as a layer as well."""
    return old_style("demo/old-inline", inline=True)


def altered(artifact: Artifact, change: Callable[[Json], object]) -> Artifact:
    """Return an artifact whose manifest was changed in place by ``change``; the blobs stay."""
    document = copy.deepcopy(artifact.document)
    change(document)
    return replace(artifact, manifest=canonical(document))


def with_layer_field(artifact: Artifact, key: str, value: object, position: int = 0) -> Artifact:
    """Return an artifact with one field of one layer descriptor replaced."""
    return altered(artifact, lambda document: document["layers"][position].update({key: value}))


@cache
def broken() -> Mapping[str, Artifact]:
    """Return by name artifacts whose manifest no careful client accepts; serve them from a hostile server."""
    good = new_style("demo/broken")
    fields = {"climbing digest": ("digest", "sha256:../../../../etc/passwd"), "negative size": ("size", -1)}
    found = {name: with_layer_field(good, key, value) for name, (key, value) in fields.items()}
    found |= {
        "no layers": altered(good, lambda d: d.pop("layers")),
        "schema version 1": altered(good, lambda d: d.update(schemaVersion=1)),
        "foreign media type": altered(good, lambda d: d.update(mediaType="application/json")),
        "not JSON": replace(good, manifest=b"<html>a captive portal</html>"),
        "empty": replace(good, manifest=b""),
        "not UTF-8": replace(good, manifest=b'{"schemaVersion":2,"x":"\xff"}'),
        "deep": replace(good, manifest=b"[" * 100_000),
        "index for others": image_index("demo/broken", platforms=[("plan9", "mips")]),
        "index for wasm": image_index("demo/broken", platforms=[("wasi", "wasm"), ("wasip1", "wasm")]),
        "index without platforms": image_index("demo/broken", platforms=[None]),
        "empty index": image_index("demo/broken", platforms=[]),
        "nested index": nested_index("demo/broken"),
    }
    return found


def nested_index(repository: str, tag: str = "v1") -> Artifact:
    """Build an index whose entries for every common platform are themselves an index."""
    inner = replace(image_index(repository, tag), tag=None)
    entries = [
        {**descriptor(OCI_INDEX, inner.manifest), "platform": {"os": os, "architecture": architecture}}
        for os, architecture in PLATFORMS
    ]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return Artifact(repository, tag, canonical(document), OCI_INDEX, {}, (inner,))


def bad_config(repository: str = "demo/bad-config", tag: str = "v1") -> Artifact:
    """Build an app whose config is not UTF-8, at which Spin gives up after the manifest."""
    artifact = new_style(repository, tag)
    document = artifact.document
    config = b'{"architecture":"\xff"}'
    document["config"] = descriptor(IMAGE_CONFIG, config)
    blobs = {**artifact.blobs, sha256(config): config}
    return replace(artifact, manifest=canonical(document), blobs=blobs)


def archive_app(archive: bytes, repository: str = "demo/bad-archive", tag: str = "v1") -> Artifact:
    """Build an app with the given bytes as its archive layer and no files in its locked app."""
    component = Component("archived", wasm_module("archived", 1000))
    return with_layers(repository, component, [(WASM, component.wasm), (ARCHIVE, archive)], tag)
