"""Manifests and indexes; the documents are written out by hand from the OCI image spec."""

import json
from typing import Any

import pytest

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import (
    ACCEPTED,
    Descriptor,
    Index,
    Manifest,
    Platform,
    choose_manifest,
    parse_manifest,
)
from spincache_nb.errors import ManifestError

A, B, C, D = ("sha256:" + letter * 64 for letter in "abcd")
CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": A, "size": 10}
APP = {"mediaType": "application/vnd.fermyon.spin.application.v1+config", "digest": B, "size": 20}
WASM = {"mediaType": "application/vnd.wasm.content.layer.v1+wasm", "digest": C, "size": 30}
DATA = {"mediaType": "application/vnd.wasm.content.layer.v1+data", "digest": D, "size": 40}


def document(**changes: Any) -> dict[str, Any]:
    whole = {"schemaVersion": 2, "config": CONFIG, "layers": [WASM, DATA, APP], **changes}
    return {key: value for key, value in whole.items() if value is not ...}


def read(value: Any) -> Manifest | Index:
    return parse_manifest(json.dumps(value).encode(), where="r.io/app:v1")


def read_manifest(value: Any) -> Manifest:
    manifest = read(value)
    assert isinstance(manifest, Manifest)
    return manifest


def refused(value: Any) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        read(value)
    assert caught.value.where.startswith("r.io/app:v1")
    assert "\n" not in str(caught.value)
    return caught.value


def test_parse_manifest_reads_what_spin_pushes() -> None:
    text = (
        '{"annotations":{"org.opencontainers.image.title":"hello"},'
        f'"config":{{"digest":"{A}","mediaType":"application/vnd.oci.image.config.v1+json","size":10}},'
        f'"layers":[{{"digest":"{C}","mediaType":"application/vnd.wasm.content.layer.v1+wasm","size":30}},'
        f'{{"digest":"{B}","mediaType":"application/vnd.fermyon.spin.application.v1+config","size":20}}],'
        '"schemaVersion":2}'
    )
    manifest = parse_manifest(text.encode(), where="demo")
    assert isinstance(manifest, Manifest)
    assert manifest.config == Descriptor("application/vnd.oci.image.config.v1+json", Digest.parse(A), 10)
    assert [(str(layer.digest), layer.size, layer.role, layer.area) for layer in manifest.layers] == [
        (C, 30, "wasm", "wasm"),
        (B, 20, "application", "data"),
    ]
    assert dict(manifest.annotations) == {"org.opencontainers.image.title": "hello"}
    assert (manifest.media_type, manifest.artifact_type) == (None, None)
    assert manifest.kind == "app"


@pytest.mark.parametrize(
    ("media_type", "role", "area"),
    [
        ("application/vnd.fermyon.spin.application.v1+config", "application", "data"),
        ("application/vnd.wasm.content.layer.v1+wasm", "wasm", "wasm"),
        ("application/wasm", "wasm", "wasm"),
        ("application/vnd.wasm.content.layer.v1+data", "data", "data"),
        ("application/vnd.wasm.content.bundle.v1.tar+gzip", "archive", "data"),
        ("application/vnd.oci.image.layer.v1.tar+gzip", "other", "data"),
        ("application/wasm; charset=x", "other", "data"),
        ("Application/Wasm", "other", "data"),
        ("", "other", "data"),
    ],
)
def test_descriptor_role_decides_the_area(media_type: str, role: str, area: str) -> None:
    descriptor = Descriptor(media_type, Digest.parse(A), 1)
    assert (descriptor.role, descriptor.area) == (role, area)


PACKAGE = {"mediaType": "application/vnd.wasm.config.v0+json", "digest": A, "size": 10}
OLD = {"mediaType": "application/vnd.fermyon.spin.application.v1+config", "digest": A, "size": 10}
WKG = {"mediaType": "application/wasm", "digest": C, "size": 30}


@pytest.mark.parametrize(
    ("config", "layers", "kind", "application", "tag_document"),
    [
        (CONFIG, [WASM, APP], "app", B, B),
        (CONFIG, [APP], "app", B, B),
        (OLD, [WASM, DATA], "app", A, A),  # Spin v0.8 to v1.5
        (OLD, [], "app", A, A),
        (PACKAGE, [WKG], "package", None, A),
        (CONFIG, [WKG], "package", None, A),
        (CONFIG, [WASM], "package", None, A),
        (CONFIG, [DATA], "unknown", None, A),
        (CONFIG, [WASM, DATA], "unknown", None, A),
        (CONFIG, [], "unknown", None, A),
    ],
)
def test_manifest_kind_and_locked_app(
    config: dict[str, Any], layers: list[Any], kind: str, application: str | None, tag_document: str
) -> None:
    manifest = read_manifest(document(config=config, layers=layers))
    found = manifest.application
    assert manifest.kind == kind
    assert (str(found.digest) if found else None) == application
    assert str(manifest.tag_document.digest) == tag_document


def test_application_is_the_last_of_several() -> None:
    first = {**APP, "digest": D, "size": 40}
    assert str(read_manifest(document(layers=[first, APP])).tag_document.digest) == B


def test_content_layers_are_all_but_the_locked_app() -> None:
    manifest = read_manifest(document(layers=[WASM, APP, DATA, WASM]))
    assert [str(layer.digest) for layer in manifest.content_layers] == [C, D, C]


def test_distinct_names_each_digest_once_config_first() -> None:
    same_bytes_as_data = {**DATA, "digest": C, "size": 30}
    manifest = read_manifest(
        document(layers=[WASM, DATA, same_bytes_as_data, WASM, {**WASM, "digest": A, "size": 10}])
    )
    assert [str(descriptor.digest) for descriptor in manifest.distinct()] == [A, C, D]


def test_parse_manifest_reads_optional_parts() -> None:
    layer = {
        **WASM,
        "annotations": {"k": "v"},
        "urls": ["https://mirror/x"],
        "platform": None,
        "data": "aGk=",
    }
    manifest = read_manifest(
        document(
            layers=[layer],
            mediaType="application/vnd.docker.distribution.manifest.v2+json",
            artifactType="application/x",
            annotations=None,
            subject=CONFIG,
        )
    )
    assert manifest.layers[0].urls == ("https://mirror/x",)
    assert dict(manifest.layers[0].annotations) == {"k": "v"}
    assert dict(manifest.annotations) == {}
    assert manifest.artifact_type == "application/x"


@pytest.mark.parametrize("media_type", [None, "", *ACCEPTED])
def test_parse_manifest_takes_the_four_types_and_none(media_type: str | None) -> None:
    assert read_manifest(document(mediaType=media_type)).media_type == (media_type or None)


def test_parse_manifest_passes_over_annotations_without_a_value() -> None:
    """As crane, oras, regctl and skopeo do."""
    said = {"a": None, "b": "c"}
    manifest = read_manifest(document(annotations=said, layers=[{**WASM, "annotations": said}]))
    assert [manifest.annotations, manifest.layers[0].annotations] == [{"b": "c"}, {"b": "c"}]


@pytest.mark.parametrize("version", [1, 3, "2", None, ..., True, 2.0, [2], {}])
def test_parse_manifest_refuses_another_schema_version(version: Any) -> None:
    assert "schemaVersion" in refused(document(schemaVersion=version)).where


@pytest.mark.parametrize("media_type", ["application/json", 7, ["x"], "text/html"])
def test_parse_manifest_refuses_another_media_type(media_type: Any) -> None:
    assert "mediaType" in refused(document(mediaType=media_type)).where


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../../../etc/passwd",
        "../" * 20 + "x",
        "/etc/passwd",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "md5:" + "a" * 32,
        "",
        None,
        7,
        ["sha256"],
    ],
)
@pytest.mark.parametrize("place", ["config", "layers"])
def test_parse_manifest_refuses_a_digest_that_no_client_takes(digest: Any, place: str) -> None:
    bad = {**WASM, "digest": digest}
    error = refused(document(config=bad) if place == "config" else document(layers=[DATA, bad]))
    assert error.where == f"r.io/app:v1, {place if place == 'config' else 'layers[1]'}.digest"


@pytest.mark.parametrize(
    ("size", "found"),
    [
        *((-1, "-1"), (1 << 63, "9223372036854775808"), (1.0, "1.0"), ("10", "10"), (None, "None")),
        *((True, "True"), ([], "a list of 0"), (10**400, "a number of more than 150 digits")),
    ],
)
def test_parse_manifest_refuses_an_impossible_size(size: Any, found: str) -> None:
    error = refused(document(layers=[{**WASM, "size": size}]))
    assert error.where.endswith("layers[0].size")
    assert found in error.found


@pytest.mark.parametrize("size", [0, (1 << 63) - 1])
def test_parse_manifest_takes_any_size_that_a_file_can_have(size: int) -> None:
    assert read_manifest(document(layers=[{**WASM, "size": size}])).layers[0].size == size


def test_parse_manifest_refuses_two_sizes_of_one_digest() -> None:
    assert C in refused(document(layers=[WASM, {**WASM, "size": 31}])).expected
    assert A in refused(document(layers=[{**WASM, "digest": A}])).expected


NEITHER = "an OCI manifest (config and layers) or index"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"config": ...}, NEITHER),
        ({"config": None}, NEITHER),
        ({"config": []}, "a descriptor"),
        ({"config": "x"}, "a descriptor"),
        ({"layers": ...}, NEITHER),
        ({"layers": None}, NEITHER),
        ({"layers": {}}, "a list of descriptors"),
        ({"layers": [None]}, "a descriptor"),
        ({"layers": [[]]}, "a descriptor"),
        ({"layers": [{}]}, "text"),
        ({"layers": [{**WASM, "mediaType": None}]}, "text"),
        ({"layers": [{**WASM, "mediaType": 1}]}, "text"),
        ({"layers": [{**WASM, "annotations": []}]}, "text by key"),
        ({"layers": [{**WASM, "annotations": {"k": 1}}]}, "text by key"),
        ({"layers": [{**WASM, "urls": "https://x"}]}, "a list of addresses"),
        ({"layers": [{**WASM, "urls": [1]}]}, "text"),
        ({"layers": [{**WASM, "platform": "linux"}]}, "os and architecture as text"),
        ({"layers": [{**WASM, "size": "1"}]}, "a number of bytes"),
        ({"config": None, "manifests": {}}, "a list of descriptors"),
        ({"config": None, "manifests": [1]}, "a descriptor"),
        ({"annotations": [1]}, "text by key"),
        ({"artifactType": 1}, "text"),
    ],
)
def test_parse_manifest_refuses_parts_of_another_shape(changes: dict[str, Any], expected: str) -> None:
    assert refused(document(**changes)).expected == expected


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b'"x"', b"{}", b"<html>", b"\xff", b'{"errors":[{"code":"DENIED"}]}', b"[" * 9999],
)
def test_parse_manifest_refuses_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(data, where="r.io/app:v1")


def entry(digest: str, os: str | None = None, architecture: str = "amd64") -> dict[str, Any]:
    descriptor = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 5}
    return (
        {**descriptor, "platform": {"os": os, "architecture": architecture, "variant": "v8"}}
        if os
        else descriptor
    )


def test_parse_manifest_reads_an_index() -> None:
    index = read({"schemaVersion": 2, "mediaType": ACCEPTED[1], "manifests": [entry(A, "linux"), entry(B)]})
    assert isinstance(index, Index)
    assert index.media_type == ACCEPTED[1]
    assert [item.platform for item in index.manifests] == [Platform("linux", "amd64"), None]


def test_parse_manifest_prefers_a_manifest_to_an_index() -> None:
    assert isinstance(read(document(manifests=[entry(A, "linux")])), Manifest)


@pytest.mark.parametrize(
    ("data", "held"),
    [("e30=", b"{}"), ("e30", None), ("W10=", None), ("", None), (7, None), ("é", None), (None, None)],
)
def test_parse_manifest_keeps_embedded_content_that_is_what_the_digest_names(data: Any, held: Any) -> None:
    described = {**CONFIG, "digest": str(Digest.of(b"{}")), "size": 2, "data": data}
    manifest = read(document(config=described))
    assert isinstance(manifest, Manifest)
    assert manifest.config.data == held


def test_choose_manifest_takes_the_first_of_the_platform() -> None:
    entries = [entry(A), entry(B, "linux", "arm64"), entry(C, "linux"), entry(D, "linux")]
    index = read({"schemaVersion": 2, "manifests": entries})
    assert isinstance(index, Index)
    chosen = choose_manifest(index, Platform("linux", "amd64"), where="demo")
    assert str(chosen.digest) == C


@pytest.mark.parametrize(
    "entries",
    [[], [entry(A)], [entry(A, "linux", "arm64"), entry(B, "windows")], [entry(A, "wasip1", "wasm")]],
)
def test_choose_manifest_says_what_is_offered(entries: list[Any]) -> None:
    index = read({"schemaVersion": 2, "manifests": entries})
    assert isinstance(index, Index)
    with pytest.raises(ManifestError) as caught:
        choose_manifest(index, Platform("linux", "amd64"), where="demo")
    assert "linux/amd64" in caught.value.expected
    for item in index.manifests:
        if item.platform:
            assert f"{item.platform.os}/{item.platform.architecture}" in caught.value.found
        assert f"@{item.digest}" in caught.value.remedy


@pytest.mark.parametrize(
    ("system", "machine", "platform"),
    [
        ("linux", "x86_64", ("linux", "amd64")),
        ("linux", "aarch64", ("linux", "arm64")),
        ("darwin", "arm64", ("darwin", "arm64")),
        ("win32", "AMD64", ("windows", "amd64")),
        ("linux", "i686", ("linux", "386")),
        ("linux", "riscv64", ("linux", "riscv64")),
    ],
)
def test_platform_of_this_host_speaks_gos_words(
    system: str, machine: str, platform: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert Platform.of_this_host() == Platform(*platform)


def test_manifest_is_a_value() -> None:
    assert hash(read(document())) == hash(read(document()))
    assert read(document()) == read(document())
    assert read(document()) != read(document(annotations={"a": "b"}))
