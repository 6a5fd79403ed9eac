from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest

from spincache_nb.analysis import GRAINS, cache_grains, grains
from spincache_nb.analysis.reuse import PieceCount, lineage
from spincache_nb.core.digest import Digest
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import APPS_SCHEMA, COMPONENTS_SCHEMA, FILES_SCHEMA
from tests.analysis.worlds import by_grain, frame_of
from tests.support.payloads import payload
from tests.wasm.builders import body, code, custom, module


def stored(folder: Path, *contents: bytes) -> list[tuple[str, Path]]:
    pairs = []
    for number, content in enumerate(contents):
        path = folder / str(number)
        path.write_bytes(content)
        pairs.append((str(Digest.of(content)), path))
    return pairs


def test_cache_grains_counts_each_piece_once(tmp_path):
    shared = body(b"\x00\x41\x2a\x0b")
    one, two = module(code(shared, body(b"\x00\x0b"))), module(custom("n"), code(shared))
    rows = by_grain(cache_grains(stored(tmp_path, one, two, b"a stylesheet")))
    total = len(one) + len(two) + 12
    assert {row["total_bytes"] for row in rows.values()} == {total}
    assert rows["blob"]["reused_bytes"] == 0
    assert rows["section"]["reused_bytes"] == 8  # the preamble
    assert rows["function"]["reused_bytes"] == 8 + len(shared)
    assert rows["function"]["piece_count"] == 4 + 4 + 1
    assert rows["function"]["index_bytes"] == 9 * 32


def test_cache_grains_agrees_with_the_pair_where_there_are_two(tmp_path):
    old, new = (payload(f"web-tree-sitter/0.26.{patch}.wasm").read_bytes() for patch in (8, 9))
    both = stored(tmp_path, old, new)
    rows = by_grain(cache_grains(both, predecessors={both[1][0]: both[0][0]}))
    pair = by_grain(grains(old, new))
    assert rows["function"]["total_bytes"] == len(old) + len(new)
    # a piece that is twice in one version counts as reused here, not in the pair
    assert rows["function"]["reused_bytes"] >= pair["function"]["reused_bytes"]
    assert rows["function"]["reused_bytes"] == pytest.approx(pair["function"]["reused_bytes"], rel=0.02)
    assert rows["chunk 4 KiB"]["reused_bytes"] == pair["chunk 4 KiB"]["reused_bytes"]
    assert rows["patch"]["reused_bytes"] == pair["patch"]["reused_bytes"]


def test_cache_grains_does_not_depend_on_the_order(tmp_path):
    names = ("hello-js/1.0.1.wasm", "hello-js/1.0.0.wasm", "redact/1.11.0.wasm", "redact/1.12.0.wasm")
    pairs = stored(tmp_path, *(payload(name).read_bytes() for name in names))
    before = {pairs[0][0]: pairs[1][0], pairs[3][0]: pairs[2][0]}
    expected = cache_grains(pairs, predecessors=before)
    assert cache_grains(reversed(pairs), predecessors=before).equals(expected)


def test_cache_grains_counts_a_blob_that_is_stored_twice_as_repeated(tmp_path):
    content = random.Random(1).randbytes(30_000)
    pairs = [stored(tmp_path, content)[0]] * 2
    for row in cache_grains(pairs, predecessors={}).to_dict("records"):
        assert (row["total_bytes"], row["reused_bytes"]) == (60_000, 30_000), row["grain"]


def test_cache_grains_counts_malformed_wasm_as_one_piece_and_logs_it_once(tmp_path, caplog):
    whole = module(code(body(b"\x00\x0b")), custom("x"))
    with caplog.at_level(logging.WARNING, logger="spincache_nb"):
        rows = by_grain(cache_grains(stored(tmp_path, whole, whole[:-1])))
    assert rows["function"]["piece_count"] == 4 + 1
    assert rows["function"]["total_bytes"] == 2 * len(whole) - 1
    assert len([r for r in caplog.records if "one piece" in r.getMessage()]) == 1


def test_cache_grains_leaves_out_blobs_that_vanished(tmp_path, caplog):
    pairs = stored(tmp_path, b"here", b"gone")
    pairs[1][1].unlink()
    with caplog.at_level(logging.WARNING, logger="spincache_nb"):
        rows = by_grain(cache_grains(pairs))
    assert rows["blob"]["total_bytes"] == 4
    assert "left out" in caplog.text


def test_cache_grains_of_nothing_has_a_row_for_each_grain():
    frame = cache_grains([])
    assert frame["grain"].tolist() == [grain for grain in GRAINS if grain != "patch"]
    assert frame["total_bytes"].tolist() == [0] * 9
    assert frame["reused_share"].isna().all()


def test_cache_grains_asked_for_patches_needs_to_know_what_precedes_what():
    with pytest.raises(ValueError, match="predecessors"):
        cache_grains([], only=["patch"])


def frames(apps, components, files=()) -> Frames:
    """Bundle the frames a lineage reads: apps as (tag), components as (tag, id, digest)."""
    named = [(f"r.io/a:{tag}", "r.io", "a", tag, 1) for tag in apps]
    sources, mounts = ([(f"r.io/a:{tag}", *line) for tag, *line in lines] for lines in (components, files))
    app = "reference", "registry", "repository", "tag", "layer_count"
    component, mount = (
        ("reference", "component", "source_digest"),
        ("reference", "component", "path", "digest"),
    )
    return Frames(
        apps=frame_of(APPS_SCHEMA, *app, lines=named),
        components=frame_of(COMPONENTS_SCHEMA, *component, lines=sources),
        files=frame_of(FILES_SCHEMA, *mount, lines=mounts),
    )


def test_predecessors_follow_versions_in_their_order():
    sources = "1.2.0 web A", "1.9.0 web B", "1.10.0 web C", "1.10.0 new X"
    components = [*(tuple(line.split()) for line in sources), ("1.9.0", "old", None)]
    mounts = "1.2.0 web a.css a1", "1.9.0 web a.css a1", "1.10.0 web a.css a2"
    found = lineage(frames(["1.10.0", "1.9.0", "1.2.0"], components, map(str.split, mounts)))
    assert found == {"B": "A", "C": "B", "a2": "a1"}


def test_predecessors_of_versions_that_return_have_no_circle():
    components = [("1.0.0", "c", "A"), ("1.0.1", "c", "B"), ("1.0.2", "c", "A"), ("1.0.3", "c", "C")]
    found = lineage(frames([tag for tag, _, _ in components], components))
    assert found == {"B": "A", "C": "A"}


def test_ledger_counts_distinct_pieces_over_many_merges():
    rng = random.Random(3)
    known = [rng.randbytes(32) for _ in range(1000)]
    ledger = PieceCount()
    ledger_total = 0
    seen: set[int] = set()
    for _ in range(600):
        chosen = [rng.randrange(1000) for _ in range(700)]
        ledger.add(([known[n] for n in chosen], [n + 1 for n in chosen]))
        ledger_total += sum(n + 1 for n in chosen)
        seen.update(chosen)
    assert ledger.total_bytes == ledger_total
    assert ledger.piece_count == 600 * 700
    assert ledger.distinct_bytes() == sum(n + 1 for n in seen)


def test_ledger_tells_digests_apart_that_end_in_zeros():
    ledger = PieceCount()
    ledger.add(([b"a" + bytes(31), b"a\x01" + bytes(30), bytes(32)], [1, 2, 4]))
    assert ledger.distinct_bytes() == 7
