"""How Hypothesis makes cases for a target: of any bytes, of its grammar, and by spoiling what is valid."""

import gzip
import json
import tarfile
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.seeds import D
from tests.fuzz.targets import Target, as_json
from tests.support.artifact import places

LARGEST = 64 << 10
"""Bytes to which repetition blows a case up: what costs more than linear time shows."""

_ODD = st.sampled_from(
    [None, True, -1, 0, 2, 1 << 63, 10**400, 1e308, "", "\0", "\ud800", "../..", D, D.upper(), [], {}, "YQ=="]
)


def cases_for(target: Target) -> st.SearchStrategy[bytes]:
    """Give the strategy of a target."""
    grammar = {"json": _json, "text": _text, "tar": _archive}[target.form](target)
    return st.one_of(grammar, grammar, _spoilt(st.sampled_from(target.seeds)), _repeated(target), st.binary())


def _text(target: Target) -> st.SearchStrategy[bytes]:
    words = st.sampled_from(target.words)
    pieces = st.lists(st.one_of(words, words, words, st.text(max_size=4)), max_size=25)
    return pieces.map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass"))


def _json(target: Target) -> st.SearchStrategy[bytes]:
    """Mutations of the seeds' values, deep inside, and values made of the target's words."""
    documents = [json.loads(seed) for seed in target.seeds]
    words = st.sampled_from(target.words)
    leaves = st.one_of(_ODD, words, st.integers(), st.floats(), st.text(max_size=6))
    values: st.SearchStrategy[Any] = st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
        max_leaves=12,
    )
    change = st.tuples(st.integers(0, 40), st.one_of(_ODD, _ODD, values))
    mutated = st.builds(_mutate, st.sampled_from(documents), st.lists(change, min_size=1, max_size=3))
    return st.one_of(mutated, mutated, st.dictionaries(words, values, max_size=6)).map(as_json)


def _mutate(document: Any, changes: list[tuple[int, Any]]) -> Any:
    """Replace some places of a document, counted from its top, by other values."""
    changed = json.loads(json.dumps(document))
    for number, value in changes:
        found = list(places(changed))
        if found:
            parent, key = found[number % len(found)]
            parent[key] = value
    return changed


def _spoilt(seeds: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Cut, overwrite, insert and repeat."""
    edit = st.tuples(st.integers(0, 4000), st.integers(0, 30), st.binary(max_size=6))
    return st.builds(_edit, seeds, st.lists(edit, min_size=1, max_size=3))


def _edit(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for at, removed, added in edits:
        at %= len(data) + 1
        data = data[:at] + added + data[at + removed :]
    return data


def _repeated(target: Target) -> st.SearchStrategy[bytes]:
    """One piece many times between others: a reader that is not linear takes too long for it."""
    words = [word.encode() for word in target.words] or [b"x"]
    piece = st.one_of(st.sampled_from(words), st.binary(min_size=1, max_size=3))
    unit = st.lists(piece, min_size=1, max_size=3).map(b"".join)
    part = st.one_of(st.sampled_from([b"", *target.seeds]), piece)
    count = st.sampled_from([2, 50, 1000, LARGEST])
    return st.builds(
        lambda start, middle, times, end: start + middle * min(times, LARGEST // len(middle)) + end,
        part,
        unit,
        count,
        part,
    )


def _archive(target: Target) -> st.SearchStrategy[bytes]:
    """Headers of all kinds with right checksums, so that what is behind them is reached."""
    del target
    kinds = st.sampled_from(
        [b"0", b"\0", b"1", b"2", b"5", b"7", b"L", b"K", b"x", b"X", b"g", b"S", b"V", b"\xff"]
    )
    number = st.one_of(st.integers(0, 2000), st.sampled_from([-1, 1 << 33, (1 << 63) - 1]))
    record = st.sampled_from(
        [b"path=x", b"size=3", b"size=-1", b"GNU.sparse.map=1,2", b"hdrcharset=BINARY", b"=", b"a"]
    )
    records = st.lists(record, max_size=3).map(lambda texts: b"".join(map(_record, texts)))
    repeated = st.builds(
        lambda unit, n: unit * n, st.binary(min_size=1, max_size=3), st.sampled_from([1, 400, 20000])
    )
    content = st.one_of(records, st.binary(max_size=40), repeated)
    entry = st.builds(
        _entry, kinds, st.binary(max_size=12), content, st.none() | number, st.binary(max_size=120)
    )
    times = st.sampled_from([1, 1, 1, 3, 30, 1500])
    many = st.builds(lambda one, count: one * min(count, (256 << 10) // len(one)), entry, times)
    tar = st.lists(many, max_size=5).map(b"".join)
    whole = st.builds(lambda body, end: body + bytes(512 * end), tar, st.integers(0, 2))
    packed = whole.map(lambda body: gzip.compress(body, 1, mtime=0))
    return st.one_of(packed, packed, _spoilt(packed))


def _record(text: bytes) -> bytes:
    length = len(text) + 3
    length += len(str(length)) - 1
    return str(length).encode() + b" " + text + b"\n"


def _entry(kind: bytes, name: bytes, content: bytes, size: int | None, extra: bytes) -> bytes:
    info = tarfile.TarInfo("x")
    declared = len(content) if size is None else size
    info.size = declared if declared >= 0 else 0
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = kind
    header[: len(name)] = name
    if kind == b"S" and extra:
        header[386 : 386 + len(extra)] = extra[:120]
        header[483:495] = b"%011o\0" % (sum(extra) * 64)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content + bytes(-len(content) % 512)
