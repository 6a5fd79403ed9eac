"""The demo's artifacts: pinned digests, their layout, and the shape that Spin and wkg give them."""

import base64
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from typing import Any

import pytest

from spincache_nb import demo
from spincache_nb.errors import SpinCacheError
from tests.support.isolation import need

Json = dict[str, Any]

WASM = "application/vnd.wasm.content.layer.v1+wasm"
DATA = "application/vnd.wasm.content.layer.v1+data"
ARCHIVE = "application/vnd.wasm.content.bundle.v1.tar+gzip"
APPLICATION = "application/vnd.fermyon.spin.application.v1+config"

# Manifest digests, and so every byte of every app; a change here changes every notebook and report.
PINNED = {
    "demo/hello:1.0.0": "sha256:d30e7b6d76bd94a064db77a301cf4c490cce217e4d5cdfbc4b5878539f3f0218",
    "demo/hello:1.0.1": "sha256:ce123eb0bbfd61b1a3bc1b43f10c1dc5118bbb2b80f02392bff032bc7f95532b",
    "demo/hello:1.1.0": "sha256:962aab0c737966d7553482e423c6d03de57f9ff4759a1d2434d23de15259cab5",
    "demo/site:1.0.0": "sha256:e6cd2fbf52b776ceb183baaedd8b24bde3c4fd5532af81fc9cd09e8b78e27d31",
    "demo/site:1.1.0": "sha256:9a2b30aae5732d352f44a27c794edfd6a42431d321c9afabd41bc3e5361898d4",
    "demo/site:1.2.0": "sha256:ad1016d2ad05842044cc8a59b2ef15271f84c8d68f1defddf4215dbec1bed88a",
    "demo/docs:1.0.0": "sha256:ca2248626065b42d8e1b8cd95a62b266f43198647be3ea47a2119b507362bf24",
    "demo/docs:1.1.0": "sha256:c392ef9af2298787c1ad9e939f0e75a000cd8040091c42a471e10376a045a022",
    "demo/docs:1.2.0": "sha256:0a3e8ae9ab9fe730714600eeb1f33ce6ffc84ac14798369fa92366ab7a921a63",
    "demo/playground:0.1.0": "sha256:af445cfcc6df661eca374d997c2cdaa51564bc310e7cdbc5c99e8c69e70956a3",
    "demo/playground:0.2.0": "sha256:42a8aa3fbf12ab0fc8adeb298eb26f72a937911718e1f3f32a6140ef7f8f990b",
    "demo/playground:0.3.0": "sha256:077ef2109d802a09c161bb0b58fa2df4a8a6917ba7c670a0e37fb02a2ad50f37",
    "demo/greet:1.0.0": "sha256:6384d25c10f9fabbd2d57b46fbce60db45c6c0662448da5a22f479ed1c471204",
    "demo/greet:1.0.1": "sha256:be6018cbf6125dfe3c6e5be31ae28e4d43dc737803c47a87f75f0603746686d5",
    "demo/greet:1.1.0": "sha256:da06e41d3ec9f00013f8bc3cecf03777f841ebaa71b86b2dfb36fa47f607ab58",
    "demo/redact:0.1.0": "sha256:3d3dd5b556dfffb46fe6f4957d21dde0bb6d3faf793601702d67c1ef27c255ac",
    "demo/redact:0.2.0": "sha256:0beefba76aefeac47841023f686439a33699796e51c0697516256aa9f9b24e12",
    "demo/redact:0.2.1": "sha256:4754a3c6fbe5da0ee839c46a4247906e4e316c97a323da1933141af9fa9aff93",
}


NEW_STYLE = [name for name in PINNED if "/greet:" not in name and "/redact:" not in name]
OLD_STYLE = [name for name in PINNED if "/redact:" in name]
PACKAGES = [name for name in PINNED if "/greet:" in name]


def artifact(name: str) -> demo.Artifact:
    repository, _, tag = name.partition(":")
    return next(a for a in demo.artifacts() if (a.repository, a.tag) == (repository, tag))


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def manifest(name: str) -> Json:
    parsed: Json = json.loads(artifact(name).manifest)
    return parsed


def locked_app(name: str) -> Json:
    found = artifact(name)
    blob = found.config if name in OLD_STYLE else found.layers[-1]
    assert blob.media_type == APPLICATION
    parsed: Json = json.loads(blob.data)
    return parsed


def members(name: str) -> dict[str, bytes]:
    """The regular files in the archive layer of an artifact."""
    (layer,) = [layer for layer in artifact(name).layers if layer.media_type == ARCHIVE]
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.data)), mode="r:") as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]


def decode_inline(text: str) -> bytes:
    assert not text.endswith("=")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def test_artifacts_have_the_pinned_digests_in_order_and_are_read_once():
    found = [(f"{a.repository}:{a.tag}", sha256(a.manifest)) for a in demo.artifacts()]
    assert found == list(PINNED.items())
    assert demo.artifacts() is demo.artifacts()


@pytest.mark.parametrize("name", PINNED)
def test_manifest_describes_exactly_its_blobs(name):
    found, parsed = artifact(name), manifest(name)
    described = [parsed["config"], *parsed["layers"]]
    actual = [found.config, *found.layers]
    assert [d["digest"] for d in described] == [sha256(blob.data) for blob in actual]
    assert [d["size"] for d in described] == [blob.size for blob in actual]
    assert [d["mediaType"] for d in described] == [blob.media_type for blob in actual]
    assert found.blobs == {blob.digest: blob.data for blob in actual}
    canonical = json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert found.manifest == canonical.encode()
    shown = repr(found) + repr(found.config) + repr(found.layers)
    assert demo.CANARY not in shown
    assert len(shown) < 2000


def test_payload_knows_what_there_is():
    assert demo.payload("hello-js/hello.wit").read_text().startswith("package local:hello")
    for name in ("none", "../README.md"):
        with pytest.raises(SpinCacheError):
            demo.payload(name)


def test_layout_is_read_by_another_program(tmp_path):
    skopeo = need("skopeo")
    layout = shutil.copytree(demo.data_fixtures() / "registry", tmp_path / "registry")
    for name in ("demo/docs:1.0.0", "demo/greet:1.0.0"):
        places = (f"oci:{layout}:{name}", f"dir:{tmp_path / 'out'}")
        command = [skopeo, "copy", "-q", "--insecure-policy", *places]
        subprocess.run(command, check=True, capture_output=True)
        assert (tmp_path / "out" / "manifest.json").read_bytes() == artifact(name).manifest


@pytest.mark.parametrize("name", NEW_STYLE)
def test_new_style_is_what_spin_pushes(name):
    """The locked app last, its digest in a label; annotations as Spin makes them up."""
    found, parsed = artifact(name), manifest(name)
    assert [layer.media_type for layer in found.layers].count(APPLICATION) == 1
    assert found.layers[-1].media_type == APPLICATION
    assert found.config.media_type == "application/vnd.oci.image.config.v1+json"
    assert found.config.data.decode() == (
        '{"architecture":"wasm","os":"wasip1","config":{"Labels":'
        f'{{"com.fermyon.spin.lockedAppDigest":"{found.layers[-1].digest}"}}}},'
        '"rootfs":{"type":"layers","diff_ids":[]}}'
    )
    assert parsed.keys() == {"annotations", "config", "layers", "schemaVersion"}
    annotations, metadata = parsed["annotations"], locked_app(name)["metadata"]
    assert annotations.pop("org.opencontainers.image.created").endswith("+00:00")
    assert annotations == {
        "org.opencontainers.image.authors": ", ".join(metadata["authors"]),
        "org.opencontainers.image.title": name.removeprefix("demo/").partition(":")[0],
        "org.opencontainers.image.description": metadata["description"],
        "org.opencontainers.image.version": name.partition(":")[2],
    }


@pytest.mark.parametrize("name", NEW_STYLE)
def test_files_up_to_128_bytes_are_inlined_and_no_others(name):
    found = artifact(name)
    layers = {layer.digest: layer for layer in found.layers}
    unpacked = members(name) if "/docs:" in name else {}
    for component in locked_app(name)["components"]:
        assert component["source"].keys() == {"content_type", "digest"}
        assert layers[component["source"]["digest"]].media_type == WASM
        for file in component.get("files", []):
            if unpacked:
                data = unpacked[file["path"]]
                assert file["digest"] not in layers
            elif "inline" in file:
                data = decode_inline(file["inline"])
                assert file["digest"] not in layers
            else:
                data = layers[file["digest"]].data
                assert layers[file["digest"]].media_type == DATA
            assert sha256(data) == file["digest"]
            assert ("inline" in file) == (len(data) <= 128)


@pytest.mark.parametrize(
    ("name", "pages"), [("demo/docs:1.0.0", 512), ("demo/docs:1.1.0", 512), ("demo/docs:1.2.0", 520)]
)
def test_docs_is_an_archive_of_over_500_files(name, pages):
    found = members(name)
    assert len([path for path in found if path.startswith("numbers/")]) == pages
    assert [layer.media_type for layer in artifact(name).layers] == [WASM, ARCHIVE, APPLICATION]
    large = {sha256(data) for data in found.values() if len(data) > 128}
    assert len(large) + 1 > 499  # as many layers as make Spin switch to an archive
    (component,) = locked_app(name)["components"]
    assert sorted(file["path"] for file in component["files"]) == sorted(found)


@pytest.mark.parametrize("name", OLD_STYLE)
def test_old_style_has_the_locked_app_as_config_and_inlines_nothing(name):
    parsed = manifest(name)
    assert parsed.keys() == {"config", "layers", "schemaVersion"}
    assert parsed["config"]["mediaType"] == APPLICATION
    assert [layer["mediaType"] for layer in parsed["layers"]] == [WASM, DATA, DATA, DATA]
    (component,) = locked_app(name)["components"]
    files = [(file["path"], file["digest"]) for file in component["files"]]
    assert [path for path, _ in files] == ["rules/names.txt", "rules/places.txt", "rules/version.txt"]
    assert [digest for _, digest in files] == [layer["digest"] for layer in parsed["layers"][1:]]
    assert parsed["layers"][-1]["size"] == 2
    assert all(file.keys() == {"digest", "path"} for file in component["files"])


@pytest.mark.parametrize("name", PACKAGES)
def test_package_is_what_wkg_publishes(name):
    parsed = manifest(name)
    (layer,) = parsed["layers"]
    assert parsed["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert parsed["annotations"] == {"org.opencontainers.image.version": name.partition(":")[2]}
    assert layer["mediaType"] == "application/wasm"
    assert layer["annotations"] == {"org.opencontainers.image.title": "greet.wasm"}
    assert parsed["config"]["mediaType"] == "application/vnd.wasm.config.v0+json"
    config = json.loads(artifact(name).config.data)
    assert config.pop("created").endswith("Z")
    assert config == {
        "author": None,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer["digest"]],
        "component": {"exports": ["init", "greet"], "imports": [], "target": None},
    }


def test_secrets_in_the_demo_apps_all_start_with_the_canary():
    hello, old = locked_app("demo/hello:1.0.0"), locked_app("demo/redact:0.1.0")
    playground = locked_app("demo/playground:0.1.0")
    inlined = decode_inline(hello["components"][0]["files"][0]["inline"]).decode()
    assert demo.CANARY == "spincache-demo-canary-not-a-secret"
    assert hello["variables"]["api_token"]["default"] == f"{demo.CANARY}-variable"
    assert hello["variables"]["api_token"]["secret"] is True
    assert hello["components"][0]["env"]["SESSION_KEY"] == f"{demo.CANARY}-env"
    assert f"GREETING_TOKEN={demo.CANARY}-file\n" in inlined
    assert f":{demo.CANARY}-address@" in playground["metadata"]["triggers"]["redis"]["address"]
    assert old["variables"]["license_key"] == {"default": f"{demo.CANARY}-old-variable", "secret": True}
    assert old["components"][0]["env"]["AUDIT_KEY"] == f"{demo.CANARY}-old-env"
