from __future__ import annotations

import gzip
import io
import random
import sys
import tarfile
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.analysis import ALL_GRAINS, GRAINS, chunk_sweep, grains
from spincache_nb.analysis.pieces import chunk_cuts, make_patch
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.errors import MissingExtraError, NotInCacheError, WasmFormatError
from tests.analysis.worlds import by_grain
from tests.support.payloads import payload
from tests.wasm.builders import active, body, code, component, custom, data, module, nested
from tests.wasm.generated import binaries

# Measured by independent scripts: per cent of the new version's bytes that the old one has.
# Columns: section, nested modules, function, pieces of 4, 16 and 64 KiB.
MEASURED = {
    ("hello-js/1.0.0", "hello-js/1.0.1"): (2.8, 77.9, 77.9, 95.0, 88.2, 86.5),
    ("web-tree-sitter/0.26.8", "web-tree-sitter/0.26.9"): (5.8, 5.8, 88.6, 67.7, 43.3, 0),
    ("web-tree-sitter/0.26.9", "web-tree-sitter/0.26.10"): (8.1, 8.1, 82.3, 60.9, 31.5, 0),
    ("redact/1.11.0", "redact/1.12.0"): (0, 0, 0, 43.2, 16.6, 0),
}


def per_cent(frame):
    return {grain: 100 * row["reused_bytes"] / row["total_bytes"] for grain, row in by_grain(frame).items()}


@pytest.mark.parametrize("pair", MEASURED, ids=lambda pair: pair[1])
def test_grains_agrees_with_independent_measurements(pair):
    section, nested_modules, function, *pieces = MEASURED[pair]
    found = per_cent(grains(payload(f"{pair[0]}.wasm"), payload(f"{pair[1]}.wasm")))
    assert found["blob"] == 0
    assert found["section"] == pytest.approx(section, abs=0.1)
    assert found["module"] == pytest.approx(nested_modules, abs=0.1)
    assert found["nested section"] == pytest.approx(nested_modules, abs=0.1)
    assert found["function"] == pytest.approx(function, abs=0.1)
    for kib, expected in zip((4, 16, 64), pieces, strict=True):
        assert found[f"chunk {kib} KiB"] == pytest.approx(expected, abs=3)


def test_grains_of_the_same_bytes_reuses_everything_at_every_grain():
    path = payload("tree-sitter-json/0.24.8.wasm")
    frame = grains(path, path, only=ALL_GRAINS)
    assert (frame["reused_bytes"] == frame["total_bytes"]).all()
    assert (frame["total_bytes"] == 5596).all()


def test_grains_gives_the_documented_rows_in_order():
    pytest.importorskip("zstandard")
    chunks = (f"chunk {kib} KiB" for kib in (4, 8, 16, 64))
    expected = ["blob", "section", "module", "nested section", "function", *chunks, "patch"]
    assert grains(module(), module(custom("x")))["grain"].tolist() == list(GRAINS) == expected


def test_grains_by_hand_on_a_component():
    same, other = body(b"\x00\x0b"), body(b"\x00\x41\x2a\x0b")
    kept = module(custom("kept"))
    old = component(nested(kept), nested(module(code(same), data(active(0, b"one")))))
    new = component(nested(module(code(same, other), data(active(0, b"two")))), nested(kept))
    wasm_grains = ["blob", "section", "module", "nested section", "function", "data segment"]
    rows = by_grain(grains(old, new, only=wasm_grains))
    core = 8 + 2 + 1 + 3 + 5 + 2 + 1 + 8  # preamble; code: header, count, bodies; data: header, count, one
    total = 8 + 2 + core + 2 + len(kept)
    assert total == len(new)
    assert {grain: row["reused_bytes"] for grain, row in rows.items()} == {
        "blob": 0,
        "section": 8 + 2 + len(kept),
        "module": 8 + 2 + len(kept),  # the header in front of it is the same too
        "nested section": 8 + 8 + 2 + len(kept),  # and the preamble of the other module
        "function": 8 + 8 + 3 + 2 + len(kept),
        "data segment": 8 + 8 + 3 + 3 + 2 + len(kept),  # and the header of its data section
    }
    assert [rows[grain]["piece_count"] for grain in wasm_grains] == [1, 3, 5, 8, 10, 11]
    assert all(row["index_bytes"] == 32 * row["piece_count"] for row in rows.values())


@given(binaries, binaries)
def test_grains_agrees_with_sets_of_pieces(old, new):
    rows = by_grain(grains(old.binary, new.binary, only=["section", "module", "function", "data segment"]))
    for grain, row in rows.items():
        known, pieces = (getattr(made, grain.removeprefix("data ")) for made in (old, new))
        assert row["reused_bytes"] == sum(len(piece) for piece in pieces if piece in known)
        assert (row["piece_count"], row["total_bytes"]) == (len(pieces), len(new.binary))


def test_grains_treats_what_is_not_wasm_as_one_piece():
    old = payload("bootstrap/5.3.6/bootstrap.min.css")
    new = payload("bootstrap/5.3.8/bootstrap.min.css")
    rows = by_grain(grains(old, new))
    assert [rows[grain]["piece_count"] for grain in GRAINS[:5]] == [1] * 5
    assert rows["function"]["reused_bytes"] == 0
    assert rows["chunk 4 KiB"]["reused_bytes"] > rows["chunk 4 KiB"]["total_bytes"] // 2


def test_grains_of_no_bytes_at_all_has_no_shares():
    frame = grains(b"", b"", only=["blob", "function", "chunk 4 KiB", "patch"])
    assert frame["total_bytes"].tolist() == [0, 0, 0, 0]
    assert frame["piece_count"].tolist() == [0, 0, 0, 1]
    assert frame["reused_share"].isna().all()


def test_grains_takes_paths_bytes_and_digests_alike(tmp_path):
    cache = Cache(tmp_path)
    old, new = (payload(f"redact/{version}.wasm") for version in ("1.11.0", "1.12.0"))
    digests = [Digest.of(path.read_bytes()) for path in (old, new)]
    for digest, path in zip(digests, (old, new), strict=True):
        cache.put_blob("wasm", digest, [path.read_bytes()])
    wanted = ["blob", "section", "function"]
    expected = grains(old, new, only=wanted)
    assert grains(old.read_bytes(), memoryview(new.read_bytes()), only=wanted).equals(expected)
    assert grains(str(old), new, only=wanted).equals(expected)
    assert grains(*digests, cache=cache, only=wanted).equals(expected)
    assert grains(*map(str, digests), cache=cache, only=wanted).equals(expected)
    assert grains(old, digests[1], cache=cache, only=wanted).equals(expected)


def test_grains_of_a_digest_needs_a_cache_that_holds_it(tmp_path):
    digest = Digest.of(b"x")
    with pytest.raises(ValueError, match="cache="):
        grains(digest, b"")
    with pytest.raises(NotInCacheError) as caught:
        grains(str(digest), b"", cache=Cache(tmp_path))
    assert caught.value.where == str(digest)


def test_grains_maps_large_files_instead_of_reading_them(tmp_path, monkeypatch):
    from spincache_nb.analysis import pieces as blobs

    old, new = (payload(f"redact/{version}.wasm") for version in ("1.11.0", "1.12.0"))
    expected = grains(old, new)
    monkeypatch.setattr(blobs, "_MAPPED_FROM_BYTES", 1)
    assert grains(old, new).equals(expected)


def test_grains_refuses_malformed_wasm_with_the_offset(tmp_path):
    path = tmp_path / "broken.wasm"
    path.write_bytes(module(custom("x"))[:-1])
    with pytest.raises(WasmFormatError) as caught:
        grains(path, module())
    assert (caught.value.offset, caught.value.where) == (8, str(path))


def test_grains_refuses_names_of_grains_that_there_are_not():
    with pytest.raises(ValueError, match="'sentence'"):
        grains(b"", b"", only=["sentence"])


def test_grains_without_the_extra_leaves_the_patch_out_with_one_warning(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.warns(UserWarning, match=r"spincache-nb\[grains\]") as caught:
        frame = grains(module(), module())
    assert len(caught) == 1
    assert frame["grain"].tolist() == list(GRAINS[:-1])


def test_a_patch_asked_for_without_the_extra_says_how_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError) as caught:
        grains(b"a", b"b", only=["patch"])
    assert "spincache-nb[grains]" in caught.value.remedy


@pytest.mark.parametrize("kib", [4, 8, 16, 64])
def test_chunks_cover_every_byte_within_their_bounds(kib):
    content = random.Random(kib).randbytes(3 << 20)
    offsets = chunk_cuts(memoryview(content), kib << 10).tolist()
    sizes = [b - a for a, b in pairwise(offsets)]
    assert (offsets[0], offsets[-1]) == (0, len(content))
    assert min(sizes[:-1]) >= (kib << 10) // 4
    assert max(sizes) <= (kib << 10) * 4
    assert (kib << 10) / 2 < len(content) / len(sizes) < (kib << 10) * 2


def test_chunks_are_those_of_other_implementations():
    """The first cuts that the package fastcdc 1.7 finds."""
    content = payload("redact/1.12.0.wasm").read_bytes()
    assert chunk_cuts(memoryview(content), 4096).tolist()[:6] == [0, 4104, 7720, 11253, 14299, 16860]
    assert chunk_cuts(memoryview(content), 1 << 15).tolist()[:4] == [0, 29130, 82833, 118408]
    zeros = chunk_cuts(memoryview(bytes(100_000)), 4096).tolist()
    assert {b - a for a, b in pairwise(zeros[:-1])} == {4 * 4096}


def test_chunks_find_what_an_insertion_moved():
    content = random.Random(1).randbytes(1 << 20)
    moved = content[:1000] + b"inserted" + content[1000:]
    row = by_grain(grains(content, moved, only=["chunk 4 KiB"]))["chunk 4 KiB"]
    assert row["reused_bytes"] > len(content) - (64 << 10)


@pytest.mark.parametrize("pair", MEASURED, ids=lambda pair: pair[1])
def test_patch_turns_the_old_version_into_the_new_one(pair):
    zstandard = pytest.importorskip("zstandard")
    old, new = (payload(f"{name}.wasm").read_bytes() for name in pair)
    patch = make_patch(memoryview(old), memoryview(new))
    base = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    unpacked = zstandard.ZstdDecompressor(dict_data=base, max_window_size=2**31).decompress(patch)
    assert unpacked == new
    row = by_grain(grains(old, new, only=["patch"]))["patch"]
    assert row["reused_bytes"] == len(new) - len(patch)


def test_patch_reaches_over_old_bytes_far_away():
    pytest.importorskip("zstandard")
    content = random.Random(2).randbytes(6 << 20)
    turned = content[3 << 20 :] + b"between" + content[: 3 << 20]
    assert len(make_patch(memoryview(content), memoryview(turned))) < 4096


def archive(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def test_grains_compares_archives_by_their_members():
    old = archive(a=b"same" * 100, b=b"old")
    new = archive(c=b"same" * 100, b=b"newer")
    rows = by_grain(grains(old, new))
    assert rows["blob"]["reused_bytes"] == 0
    found = [rows["archive member"][name] for name in ("total_bytes", "reused_bytes", "piece_count")]
    assert found == [405, 400, 2]
    row = by_grain(grains(b"", gzip.compress(b"no tar", mtime=0)))["archive member"]
    assert row["piece_count"] == 1, "gzip that is no archive"


def test_chunk_sweep_is_grains_at_more_sizes():
    old, new = (payload(f"web-tree-sitter/0.26.{patch}.wasm") for patch in (8, 9))
    sweep = chunk_sweep(old, new, sizes_kib=[4, 16, 256])
    rows = by_grain(grains(old, new, only=["chunk 4 KiB", "chunk 16 KiB"]))
    assert sweep["average_bytes"].tolist() == [4096, 16384, 262144]
    expected = [rows["chunk 4 KiB"]["reused_bytes"], rows["chunk 16 KiB"]["reused_bytes"], 0]
    assert sweep["reused_bytes"].tolist() == expected


@given(st.binary(max_size=2000), st.binary(max_size=2000))
def test_grains_never_reuses_more_than_there_is(old, new):
    frame = grains(old, new, only=["blob", "chunk 4 KiB", "patch"])
    assert (frame["reused_bytes"] <= frame["total_bytes"]).all()
    assert (frame["reused_bytes"] >= 0).all()
