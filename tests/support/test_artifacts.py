"""The builders give what Spin and wkg push; expectations are written out by hand."""

import gzip
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support import archives, odd_artifacts
from tests.support.artifact import inline_text, leb128, sha256, wasm_module
from tests.support.artifacts import five_kinds, new_style, old_style
from tests.support.isolation import need
from tests.support.oracle_tar import regular_files


def media_types(name: str) -> list[str]:
    """Return the last parts of the layers' media types."""
    return [layer["mediaType"].rsplit(".", 1)[-1] for layer in five_kinds()[name].layers]


def test_new_style_lists_shared_content_once_and_the_application_last() -> None:
    artifact = five_kinds()["new"]
    assert media_types("new") == [
        "v1+wasm",
        "v1+data",
        "v1+data",
        "v1+wasm",
        "v1+wasm",
        "v1+data",
        "v1+config",
    ]
    assert list(artifact.document) == ["annotations", "config", "layers", "schemaVersion"]
    assert b" " not in artifact.manifest.replace("Zoë <".encode(), b"").replace(
        "A “test” app new".encode(), b""
    )
    config = artifact.blobs[artifact.document["config"]["digest"]].decode()
    label = artifact.layers[-1]["digest"]
    assert config == (
        '{"architecture":"wasm","os":"wasip1","config":{"Labels":{"com.fermyon.spin.lockedAppDigest":"'
        + label
        + '"}},"rootfs":{"type":"layers","diff_ids":[]}}'
    )


def test_new_style_has_no_label_before_v2_4() -> None:
    artifact = new_style(label=False, annotated=False)
    assert artifact.blobs[artifact.document["config"]["digest"]] == (
        b'{"architecture":"wasm","os":"wasip1","rootfs":{"type":"layers","diff_ids":[]}}'
    )
    assert "annotations" not in artifact.document


def test_inline_files_keeps_up_to_128_bytes_out_of_the_layers() -> None:
    artifact = five_kinds()["inline"]
    assert [layer["size"] for layer in artifact.layers[:3]] == [8, 129, 2000 + 3 + 1 + 5 + 8]
    app = artifact.application
    assert app is not None
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert f'{{"inline":"","digest":"sha256:{empty}","path":"file-0.txt"}}'.encode() in app
    assert b'"inline":"UEFTU1dPUkQ9aHVudGVyMgo","digest"' in app
    assert b'"source":{"content_type":"application/wasm","inline":"AGFzbQEAAAA","digest":' in app


def test_inline_text_has_no_padding() -> None:
    assert inline_text(b"a") == "YQ"


def test_archive_style_has_one_archive_per_component_with_inlined_files_in_it_too() -> None:
    assert media_types("archive") == ["v1+wasm", "tar+gzip", "v1+config"]
    artifact = five_kinds()["archive"]
    with tarfile.open(fileobj=io.BytesIO(artifact.blobs[artifact.layers[1]["digest"]])) as archive:
        names = [member.name for member in archive if member.isfile()]
    assert "./robots.txt" in names
    assert max(map(len, names)) > 100
    assert len(names) == 17
    assert artifact.application is not None
    assert b'"path":"robots.txt"' in artifact.application


def test_old_style_has_the_locked_app_as_config() -> None:
    artifact = old_style()
    assert artifact.document["config"]["mediaType"] == "application/vnd.fermyon.spin.application.v1+config"
    assert [layer["size"] for layer in artifact.layers[1:]] == [500, 4]
    assert artifact.application == artifact.blobs[artifact.document["config"]["digest"]]
    assert b"inline" not in artifact.application
    assert b"inline" in (old_style(inline=True).application or b"")


def test_package_has_one_wasm_layer() -> None:
    artifact = five_kinds()["package"]
    assert [layer["mediaType"] for layer in artifact.layers] == ["application/wasm"]
    assert artifact.document["config"]["mediaType"] == "application/vnd.wasm.config.v0+json"
    assert artifact.application is None


def test_content_bytes_counts_each_digest_once() -> None:
    artifact = odd_artifacts.duplicate_layers()
    sizes = [layer["size"] for layer in artifact.layers]
    assert sizes[1] == sizes[2] == 900
    config = artifact.document["config"]["size"]
    assert artifact.content_bytes == config + sizes[0] + 900 + sizes[-1]


def test_many_layers_reaches_500_with_the_application() -> None:
    artifact = odd_artifacts.many_layers()
    assert len({layer["digest"] for layer in artifact.layers}) == 500


def test_wasm_module_is_a_module_with_one_custom_section() -> None:
    assert wasm_module("ab", 0) == b"\0asm\x01\0\0\0\0\x03\x02ab"
    assert leb128(300) == b"\xac\x02"


@pytest.mark.parametrize("name", [*five_kinds(), *odd_artifacts.pushable()])
def test_blobs_are_named_by_their_digest(name: str) -> None:
    artifact = (five_kinds() | odd_artifacts.pushable())[name]
    for one in [artifact, *artifact.children]:
        named = {digest for digest in one.blobs if digest.startswith("sha256:")}
        assert named == {sha256(data) for digest, data in one.blobs.items() if digest in named}
        listed = [one.document["config"], *one.layers] if "config" in one.document else []
        assert {entry["digest"] for entry in listed} == set(one.blobs)
        assert all(entry["size"] == len(one.blobs[entry["digest"]]) for entry in listed)


def test_bomb_is_small_and_unpacks_to_what_was_asked() -> None:
    archive = archives.bomb(10_000_000)
    assert len(archive) < 20_000
    with tarfile.open(fileobj=io.BytesIO(archive)) as unpacked:
        assert [(member.name, member.size) for member in unpacked] == [("./zeros", 10_000_000)]


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_regular_files_reads_what_the_tar_program_unpacks(tmp_path: Path, tar_format: int) -> None:
    files = {"a/b/c.txt": b"deep", "empty": b"", "long/" * 30 + "näme": b"x" * 1500, "blocks": bytes(1024)}
    archive = archives.mount_archive(files, tar_format=tar_format)
    (tmp_path / "a.tar.gz").write_bytes(archive)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run([need("tar"), "-xzf", tmp_path / "a.tar.gz", "-C", out], check=True)
    unpacked = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert unpacked == files
    assert regular_files(archive) == files


def test_regular_files_leaves_out_links_folders_and_climbing_names() -> None:
    assert regular_files(archives.with_links({"a": b"1"}, "a")) == {"a": b"1"}
    assert regular_files(archives.climbing(b"x")) == {"absolute": b"x"}
    assert regular_files(archives.with_devices({"a": b"1"})) == {"a": b"1"}


def test_regular_files_takes_the_later_of_two_members_of_one_name() -> None:
    twice = archives.tar([(archives.member("./a", size=1), b"1"), (archives.member("a", size=1), b"2")])
    assert regular_files(gzip.compress(twice)) == {"a": b"2"}
