"""Air gap: OCI image layouts out of a cache and into one, with skopeo as the second reader."""

import json
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History
from spincache_nb.core.pull import pull
from spincache_nb.core.transfer import Layout, export, import_
from spincache_nb.errors import (
    ArchiveError,
    CacheWriteError,
    DigestMismatchError,
    InvalidReferenceError,
    LimitError,
    ManifestError,
    NotInCacheError,
    SpinCacheError,
)
from tests.support import archives
from tests.support.artifact import Artifact, sha256
from tests.support.artifacts import five_kinds, new_style
from tests.support.isolation import need
from tests.support.odd_artifacts import altered, pushable
from tests.support.oracle import our_tree, spin_tree
from tests.support.registry_server import RegistryServer
from tests.support.trees import read_tree, write_tree

KINDS = five_kinds()
ODD = {name: artifact for name, artifact in pushable().items() if not artifact.children}


def pulled(registry: RegistryServer, cache: Cache, *artifacts: Artifact) -> list[str]:
    registry.push(*artifacts)
    references = [registry.reference(artifact) for artifact in artifacts]
    pull(cache, references)
    return references


Packed = Callable[..., list[str]]


@pytest.fixture
def packed(plain_registry: RegistryServer, cache: Cache, tmp_path: Path) -> Packed:
    """Pulls some artifacts into `cache` and exports them to ``apps.tar``; their references."""

    def pack(*artifacts: Artifact) -> list[str]:
        references = pulled(plain_registry, cache, *artifacts)
        export(cache, references, tmp_path / "apps.tar")
        return references

    return pack


def entries(path: Path) -> dict[str, bytes]:
    """Read a tar with a plain reader."""
    with tarfile.open(path, "r:") as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isreg()}  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", sorted({**KINDS, **ODD}))
def test_export_holds_the_pushed_bytes(
    plain_registry: RegistryServer, cache: Cache, tmp_path: Path, kind: str
) -> None:
    artifact = {**KINDS, **ODD}[kind]
    (reference,) = pulled(plain_registry, cache, artifact)
    target = tmp_path / "apps.tar"
    exported = export(cache, reference, target)
    assert exported.references == {reference: artifact.digest}
    assert exported.rewritten == ()
    assert exported.stored_bytes == target.stat().st_size
    found = entries(target)
    index = json.loads(found.pop("index.json"))
    assert json.loads(found.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    assert [entry["digest"] for entry in index["manifests"]] == [artifact.digest]
    named = {d["digest"] for d in (artifact.document["config"], *artifact.layers)} | {artifact.digest}
    blobs = {**artifact.blobs, artifact.digest: artifact.manifest}
    assert found == {f"blobs/{d.replace(':', '/')}": blobs[d] for d in named}


@pytest.mark.parametrize("kind", sorted({*KINDS, *ODD}))
def test_import_leaves_what_a_pull_leaves(packed: Packed, cache: Cache, tmp_path: Path, kind: str) -> None:
    (reference,) = packed({**KINDS, **ODD}[kind])
    other = Cache(tmp_path / "other")
    (result,) = import_(other, tmp_path / "apps.tar")
    assert (result.reference, result.wire_bytes) == (reference, 0)
    assert read_tree(other.path) == read_tree(cache.path)
    (again,) = import_(other, tmp_path / "apps.tar")
    assert again.fetch_bytes == 0


def test_export_of_several_holds_shared_blobs_once(packed: Packed, cache: Cache, tmp_path: Path) -> None:
    references = packed(*(new_style("demo/air", f"v{n}", version=f"{n}") for n in (1, 2)))
    with tarfile.open(tmp_path / "apps.tar") as tar:
        names = tar.getnames()
    assert len(names) == len(set(names))
    other = Cache(tmp_path / "other")
    assert [result.reference for result in import_(other, tmp_path / "apps.tar")] == references
    assert read_tree(other.path) == read_tree(cache.path)


def test_export_is_read_by_skopeo_and_pushed_on(
    plain_registry: RegistryServer, packed: Packed, tmp_path: Path
) -> None:
    skopeo = need("skopeo")
    artifact = KINDS["archive"]
    (reference,) = packed(artifact)
    target = f"docker://{plain_registry.name}/demo/copied:v9"
    subprocess.run(
        [skopeo, "copy", "-q", "--insecure-policy", "--dest-tls-verify=false",
         f"oci-archive:{tmp_path / 'apps.tar'}:{reference}", target],
        check=True, capture_output=True,
    )  # fmt: skip
    copied = Cache(tmp_path / "copied")
    assert pull(copied, f"{plain_registry.name}/demo/copied:v9").manifest_digest == artifact.digest


def test_import_reads_what_skopeo_writes(
    plain_registry: RegistryServer, cache: Cache, tmp_path: Path
) -> None:
    skopeo = need("skopeo")
    artifact = new_style("demo/skopeo")
    plain_registry.push(artifact)
    for target in (f"oci-archive:{tmp_path / 'a.tar'}:v1", f"oci:{tmp_path / 'folder'}:v1"):
        subprocess.run(
            [skopeo, "copy", "-q", "--insecure-policy", "--src-tls-verify=false",
             f"docker://{plain_registry.reference(artifact)}", target],
            check=True, capture_output=True,
        )  # fmt: skip
    with pytest.raises(InvalidReferenceError) as caught:
        import_(cache, tmp_path / "a.tar")
    assert "v1" in caught.value.found
    for path in (tmp_path / "a.tar", tmp_path / "folder"):
        other = Cache(tmp_path / f"to-{path.name}")
        import_(other, path, names={"v1": "ghcr.io/o/app:v1"})
        assert read_tree(other.path) == our_tree(artifact, "ghcr.io/o/app:v1")


def test_export_says_so_when_spin_rewrote_the_manifest(cache: Cache, tmp_path: Path) -> None:
    artifact = new_style("demo/spin")
    write_tree(cache.path, spin_tree(artifact, "ghcr.io/demo/spin:v1"))
    with pytest.raises(ManifestError):
        export(cache, "ghcr.io/demo/spin:v1", tmp_path / "apps.tar")
    assert list(tmp_path.glob("*.tar")) == []
    exported = export(cache, "ghcr.io/demo/spin:v1", tmp_path / "apps.tar", rewritten=True)
    assert exported.rewritten == ("ghcr.io/demo/spin:v1",)
    stored = (cache.path / "manifests/ghcr.io/demo/spin/v1/manifest.json").read_bytes()
    assert entries(tmp_path / "apps.tar")[f"blobs/{sha256(stored).replace(':', '/')}"] == stored


def test_export_of_a_damaged_blob_writes_nothing(
    plain_registry: RegistryServer, cache: Cache, tmp_path: Path
) -> None:
    artifact = KINDS["new"]
    (reference,) = pulled(plain_registry, cache, artifact)
    layer = artifact.layers[0]
    path = cache.path / "wasm" / layer["digest"]
    for content, kind in ((bytes(layer["size"]), DigestMismatchError), (b"cut", NotInCacheError)):
        path.write_bytes(content)
        with pytest.raises(kind):
            export(cache, reference, tmp_path / "apps.tar")
        assert [p.name for p in tmp_path.iterdir() if p.is_file()] == []


def test_export_does_not_invent_an_image_config(
    plain_registry: RegistryServer, cache: Cache, tmp_path: Path
) -> None:
    """Spin stores none; only one of the forms that it pushes can be made out from its digest."""
    artifact = new_style("demo/other-config")
    config = b'{"architecture":"wasm","os":"wasip1","author":"somebody else","rootfs":{"type":"layers"}}'
    described = {"digest": sha256(config), "size": len(config)}
    changed = altered(artifact, lambda document: document["config"].update(described))
    changed = replace(changed, blobs={**artifact.blobs, sha256(config): config})
    (reference,) = pulled(plain_registry, cache, changed)
    with pytest.raises(NotInCacheError) as caught:
        export(cache, reference, tmp_path / "apps.tar")
    assert sha256(config) in caught.value.where
    assert "from its registry" in caught.value.remedy
    assert not (tmp_path / "apps.tar").exists()


def test_export_of_an_app_that_is_not_there(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(NotInCacheError):
        export(cache, "ghcr.io/o/app:v1", tmp_path / "apps.tar")


def test_import_records_the_manifest(packed: Packed, tmp_path: Path) -> None:
    (reference,) = packed(KINDS["old"])
    history = History(tmp_path / "history.jsonl")
    import_(Cache(tmp_path / "other"), tmp_path / "apps.tar", history=history)
    assert [(r.reference, r.manifest_digest) for r in history.read()] == [(reference, KINDS["old"].digest)]


def layout(tmp_path: Path, files: dict[str, bytes]) -> Path:
    path = tmp_path / "made.tar"
    path.write_bytes(
        archives.tar((archives.member(name, size=len(data)), data) for name, data in files.items())
    )
    return path


def test_import_of_a_tar_with_an_entry_larger_than_any_disk(cache: Cache, tmp_path: Path) -> None:
    path = layout(tmp_path, {"index.json": b"{}"})
    for size in (2**63 - 1, 2**40, 10_000):
        info = tarfile.TarInfo("huge")
        info.size = size
        path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + path.read_bytes()[:1024])
        with pytest.raises(ArchiveError) as caught:
            import_(cache, path)
        assert str(size) in caught.value.found
    assert not cache.path.exists()


def index_of(digest: str, name: str | None = "ghcr.io/o/app:v1") -> bytes:
    annotations = {"org.opencontainers.image.ref.name": name} if name else {}
    return json.dumps({"manifests": [{"digest": digest, "annotations": annotations}]}).encode()


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({}, NotInCacheError),
        ({"index.json": b"[]"}, ArchiveError),
        ({"index.json": b'{"manifests": 3}'}, ArchiveError),
        ({"index.json": b'{"manifests": [3]}'}, ArchiveError),
        ({"index.json": index_of("sha256:../../etc")}, SpinCacheError),
        ({"index.json": index_of("sha256:" + "0" * 64)}, NotInCacheError),
        ({"index.json": index_of("sha256:" + "0" * 64, None)}, InvalidReferenceError),
        (
            {"index.json": index_of("sha256:" + "0" * 64), "blobs/sha256/" + "0" * 64: b"{}"},
            DigestMismatchError,
        ),
    ],
    ids=["empty", "list", "number", "entry", "climbing", "missing", "unnamed", "damaged"],
)
def test_import_refuses_what_is_no_layout(
    cache: Cache, tmp_path: Path, files: dict[str, bytes], kind: type[SpinCacheError]
) -> None:
    with pytest.raises(kind):
        import_(cache, layout(tmp_path, files))
    assert not cache.path.exists()


@pytest.mark.parametrize(("size", "kind"), [(1001, LimitError), (1000, ManifestError)])
def test_import_refuses_a_manifest_beyond_the_limit(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, kind: type[SpinCacheError]
) -> None:
    monkeypatch.setattr("spincache_nb.core.settings.STORED_MANIFEST_BYTES", 1000)
    digest = sha256(bytes(size))
    files = {"index.json": index_of(digest), f"blobs/{digest.replace(':', '/')}": bytes(size)}
    with pytest.raises(kind):
        import_(cache, layout(tmp_path, files))
    assert not cache.path.exists()


def test_import_of_no_tar(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"\x1f\x8b" + bytes(2000))
    with pytest.raises(ArchiveError) as caught:
        import_(cache, tmp_path / "x.tar")
    assert "oci-archive" in caught.value.remedy  # it is this file that is wrong, no app that was pushed
    for path in (tmp_path / "absent.tar", tmp_path):
        with pytest.raises(NotInCacheError) as absent:
            import_(cache, path)
        assert absent.value.where == str(path)
        assert "pull" not in absent.value.remedy


def test_import_follows_the_callers_own_link(packed: Packed, cache: Cache, tmp_path: Path) -> None:
    references = packed(KINDS["new"])
    (tmp_path / "latest.tar").symlink_to("apps.tar")
    other = Cache(tmp_path / "other")
    assert [one.reference for one in import_(other, tmp_path / "latest.tar")] == references
    assert read_tree(other.path) == read_tree(cache.path)


@pytest.mark.parametrize("target", ["absent/apps.tar", "."])
def test_export_to_where_no_file_can_be(
    plain_registry: RegistryServer, cache: Cache, tmp_path: Path, target: str
) -> None:
    references = pulled(plain_registry, cache, KINDS["new"])
    with pytest.raises(CacheWriteError) as caught:
        export(cache, references, tmp_path / target)
    assert caught.value.where == str(tmp_path / target)
    assert "Cache(" not in caught.value.remedy


def test_layout_lists_its_references(packed: Packed, tmp_path: Path) -> None:
    references = packed(KINDS["new"], KINDS["package"])
    assert [str(r) for r in Layout(tmp_path / "apps.tar").references] == references


def test_layout_goes_by_the_name_that_containerd_writes_before_any_other(tmp_path: Path) -> None:
    index = json.loads(index_of("sha256:" + "0" * 64, "docker.io/o/other:v1"))
    index["manifests"][0]["annotations"]["io.containerd.image.name"] = "ghcr.io/o/app:v1"
    path = layout(tmp_path, {"index.json": json.dumps(index).encode()})
    assert [str(r) for r in Layout(path).references] == ["ghcr.io/o/app:v1"]
