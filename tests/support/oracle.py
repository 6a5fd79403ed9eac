"""A second opinion: the files that a Spin pull leaves under ``registry``, for an artifact and a reference.

Written from Spin's own source (``crates/oci/src/client.rs``: ``pull``, ``unpack_archive_layer``,
``manifest_path``; ``crates/loader/src/cache.rs``) and sharing nothing with the package under test. Two
options turn on the two documented differences of this toolkit from Spin: a pull by digest alone is filed
under the digest, and ``manifest.json`` is kept as served.
"""

import json
import platform as host
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal

from tests.support.artifact import APPLICATION, ARCHIVE, WASM, WKG_WASM, Artifact, sha256
from tests.support.oracle_tar import regular_files
from tests.support.trees import Tree

Naming = Literal["unix", "windows"]
DIGEST = re.compile(r"(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})")


def spin_tree(artifact: Artifact, reference: str, *, naming: Naming = "unix") -> Tree:
    """Return what Spin leaves in an empty cache: ``manifest.json`` written again, digests as ``latest``."""
    served = _chosen(artifact)
    return _tree(served, reference, naming, reserialised(served.manifest), "latest")


def our_tree(artifact: Artifact, reference: str, *, naming: Naming = "unix") -> Tree:
    """Return what this toolkit is to leave: as ``spin_tree`` with the two documented differences."""
    served = _chosen(artifact)
    digest = split_reference(reference)[3] or ""
    return _tree(served, reference, naming, served.manifest, _safe(digest, naming))


def allowed_additions(artifact: Artifact) -> set[str]:
    """Return paths that may be there in addition: bytes needed as wasm and as data are stored in both areas.

    These are files of the locked app (with a digest and not inlined) that the manifest lists as wasm only;
    Spin stores them in ``wasm`` and then cannot mount them.
    """
    served = _chosen(artifact)
    wasm = {layer["digest"] for layer in served.layers if layer["mediaType"] in (WASM, WKG_WASM)}
    components = json.loads(served.application or b"{}").get("components", [])
    files = [file for component in components for file in component.get("files", [])]
    needed = {file.get("digest") for file in files if "inline" not in file}
    return {f"data/{digest}" for digest in needed & wasm}


def split_reference(text: str) -> tuple[str, str, str | None, str | None]:
    """Return registry, repository, tag and digest of a well-formed reference, by Spin's rules.

    The registry is the part before the first slash if that has a dot or a colon or is ``localhost``;
    otherwise Docker Hub is meant, whose one-part names are in ``library/``. Without tag and digest the tag is
    ``latest``.
    """
    name, _, digest = text.partition("@")
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    name = head + slash + last
    registry, slash, repository = name.partition("/")
    if not slash or not ("." in registry or ":" in registry or registry == "localhost"):
        registry, repository = "docker.io", name
    if registry == "index.docker.io":
        registry = "docker.io"
    if registry == "docker.io" and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository, tag or (None if digest else "latest"), digest or None


def host_platform() -> tuple[str, str]:
    """Return operating system and architecture of this machine by Go's names."""
    machine = host.machine().lower()
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    return {"win32": "windows"}.get(sys.platform, sys.platform), names.get(machine, machine)


def reserialised(manifest: bytes) -> bytes:
    """Return a manifest as Spin writes it to ``manifest.json``: known fields in a fixed order, compact.

    Absent and ``null`` fields are left out; annotations are sorted by key; anything unknown is lost.
    """
    document = json.loads(manifest)
    written: dict[str, Any] = {}
    for key in ("schemaVersion", "mediaType", "config", "layers", "subject", "artifactType", "annotations"):
        value = document.get(key)
        if value is None:
            continue
        if key in ("config", "subject"):
            value = _descriptor(value)
        elif key == "layers":
            value = [_descriptor(layer) for layer in value]
        elif key == "annotations":
            value = dict(sorted(value.items()))
        written[key] = value
    return json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode()


def _descriptor(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a descriptor that Spin keeps, in its order."""
    fields = ["mediaType", "digest", "size", "urls", "annotations", "artifactType"]
    kept = {key: value[key] for key in fields if value.get(key) is not None}
    if "annotations" in kept:
        kept["annotations"] = dict(sorted(kept["annotations"].items()))
    return kept


def _chosen(artifact: Artifact) -> Artifact:
    """Return the artifact itself, or the child of an index that Spin takes."""
    document = artifact.document
    if "config" in document and "layers" in document:
        return artifact
    wanted = host_platform()
    for entry in document["manifests"]:
        has = entry.get("platform") or {}
        if (has.get("os"), has.get("architecture")) == wanted:
            return next(child for child in artifact.children if child.digest == entry["digest"])
    raise AssertionError(f"the index has nothing for {wanted}")


def _tree(served: Artifact, reference: str, naming: Naming, manifest: bytes, untagged: str) -> Tree:
    registry, repository, tag, _ = split_reference(reference)
    folder = "/".join(["manifests", _safe(registry, naming), repository, tag or untagged])
    document = served.document
    config = served.blobs[document["config"]["digest"]]
    tree: Tree = {f"{folder}/manifest.json": manifest}
    for layer in document["layers"]:
        digest, data = layer["digest"], served.blobs[layer["digest"]]
        assert DIGEST.fullmatch(digest)
        if layer["mediaType"] == APPLICATION:
            config = data
        elif layer["mediaType"] in (WASM, WKG_WASM):
            tree[f"wasm/{_safe(digest, naming)}"] = data
        else:
            tree[f"data/{_safe(digest, naming)}"] = data
        if layer["mediaType"] == ARCHIVE:
            for member in regular_files(data).values():
                tree[f"data/{_safe(sha256(member), naming)}"] = member
    return {**tree, f"{folder}/config.json": config}


def _safe(name: str, naming: Naming) -> str:
    return name.replace(":", "_") if naming == "windows" else name
