"""What a pull leaves in a cache, against trees written out by hand from literal bytes."""

import hashlib
from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.core.pull import pull
from tests.support import archives
from tests.support.artifact import Artifact
from tests.support.hostile import HostileServer
from tests.support.trees import read_tree

WASM = b"\0asm\x01\0\0\0"
WASM_HEX = "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"  # as sha256sum prints it
EMPTY_HEX = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
PAGE = b"<h1>hello</h1>\n"
APP = b'{"spin_lock_version":0,"triggers":[],"components":[]}'
CONFIG = b'{"architecture":"wasm","os":"wasip1","rootfs":{"type":"layers","diff_ids":[]}}'
MEMBERS = archives.mount_archive({"index.html": PAGE, "copy.html": PAGE, "empty": b""})
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
SPIN = "application/vnd.fermyon.spin.application.v1+config"
CONTENT = "application/vnd.wasm.content."


def hexa(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def literal(config: tuple[str, bytes], *layers: tuple[str, bytes]) -> Artifact:
    """An artifact whose manifest is literal text, indented as no Spin writes it."""

    def entry(media_type: str, data: bytes) -> str:
        return f'{{"size": {len(data)}, "digest": "sha256:{hexa(data)}", "mediaType": "{media_type}"}}'

    rows = ",\n  ".join(entry(*layer) for layer in layers)
    text = f'{{"layers": [\n  {rows}],\n "config": {entry(*config)},\n "schemaVersion": 2}}\n'
    blobs = {f"sha256:{hexa(data)}": data for _, data in (config, *layers)}
    return Artifact("org/app", "v1", text.encode(), blobs=blobs)


NEW = literal(
    (IMAGE_CONFIG, CONFIG), (f"{CONTENT}layer.v1+wasm", WASM), (f"{CONTENT}layer.v1+data", PAGE), (SPIN, APP)
)
ARCHIVED = literal(
    (IMAGE_CONFIG, CONFIG),
    (f"{CONTENT}layer.v1+wasm", WASM),
    (f"{CONTENT}bundle.v1.tar+gzip", MEMBERS),
    (SPIN, APP),
)
OLD = literal((SPIN, APP), (f"{CONTENT}layer.v1+wasm", WASM), ("text/plain", PAGE))
PACKAGE = literal(("application/vnd.wasm.config.v0+json", b"{}"), ("application/wasm", WASM))


@pytest.mark.parametrize(
    ("artifact", "config", "blobs"),
    [
        (NEW, APP, {f"wasm/sha256:{WASM_HEX}": WASM, f"data/sha256:{hexa(PAGE)}": PAGE}),
        (
            ARCHIVED,
            APP,
            {
                f"wasm/sha256:{WASM_HEX}": WASM,
                f"data/sha256:{hexa(MEMBERS)}": MEMBERS,
                f"data/sha256:{hexa(PAGE)}": PAGE,
                f"data/sha256:{EMPTY_HEX}": b"",
            },
        ),
        (OLD, APP, {f"wasm/sha256:{WASM_HEX}": WASM, f"data/sha256:{hexa(PAGE)}": PAGE}),
        (PACKAGE, b"{}", {f"wasm/sha256:{WASM_HEX}": WASM}),
    ],
    ids=["new", "archived", "old", "package"],
)
@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("by", [":v1", "@{digest}", ":other@{digest}"])
def test_pull_leaves_the_tree_written_by_hand(
    hostile: HostileServer,
    tmp_path: Path,
    artifact: Artifact,
    config: bytes,
    blobs: dict[str, bytes],
    windows: bool,
    by: str,
) -> None:
    hostile.serve(artifact)
    digest = f"sha256:{hexa(artifact.manifest)}"
    name = by.format(digest=digest)
    cache = Cache(tmp_path, windows_names=windows)
    result = pull(cache, f"{hostile.name}/org/app{name}")
    assert result.manifest_digest == digest
    assert result.reference == f"{hostile.name}/org/app{name.rpartition('@')[0] or name}"
    folder = f"manifests/{hostile.name}/org/app/{name.split('@')[0].lstrip(':') or digest}"
    expected = {**blobs, f"{folder}/manifest.json": artifact.manifest, f"{folder}/config.json": config}
    if windows:
        expected = {path.replace(":", "_"): data for path, data in expected.items()}
    assert read_tree(cache.path) == expected
    assert pull(cache, f"{hostile.name}/org/app{name}").fetch_bytes == 0
