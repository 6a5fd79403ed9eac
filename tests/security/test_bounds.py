"""No answer costs more memory, disk or requests than a limit allows, whatever it claims to be."""

import gzip
import io
import tarfile
import time
from pathlib import Path

import pytest

from spincache_nb import Cache, History, pull
from spincache_nb.core.archive import list_members
from spincache_nb.core.settings import ArchiveLimits
from spincache_nb.errors import (
    ArchiveError,
    LimitError,
    SizeMismatchError,
    SpinCacheError,
)
from tests.faults import judge
from tests.faults.places import small_app
from tests.support.artifact import Artifact, compact
from tests.support.faults import Stream
from tests.support.hostile import HostileServer
from tests.support.memory import memory_below
from tests.support.odd_artifacts import archive_app

MIB = 1 << 20
OFF = History(enabled=False)
GIB = 1 << 30


@pytest.mark.parametrize("chunked", [True, False])
def test_endless_manifest(hostile: HostileServer, tmp_path: Path, chunked: bool) -> None:
    hostile.always("*/manifests/*", Stream(GIB, chunked=chunked))
    with memory_below(24 * MIB), pytest.raises(LimitError):
        pull(Cache(tmp_path), f"{hostile.name}/a/b:c", history=OFF)
    assert hostile.body_bytes < 24 * MIB
    assert len(hostile.requests) == 1
    assert judge.files(tmp_path) == []


def test_endless_token_answer(hostile: HostileServer, tmp_path: Path) -> None:
    hostile.require("nothing", f'Bearer realm="{hostile.url}/token"')
    hostile.always("/token", Stream(GIB))
    with memory_below(24 * MIB), pytest.raises(LimitError):
        pull(Cache(tmp_path), f"{hostile.name}/a/b:c", history=OFF)
    assert hostile.body_bytes < 12 * MIB


def test_endless_error_page(hostile: HostileServer, tmp_path: Path) -> None:
    class Page:
        def answer(self, call: object) -> bool:
            wire = call.wire  # type: ignore[attr-defined]
            wire.send_head(404, (("Transfer-Encoding", "chunked"),))
            for _ in range(1000):
                wire.send_chunk(bytes(MIB))
            return False

    hostile.always("*/manifests/*", Page())
    with memory_below(24 * MIB), pytest.raises(SpinCacheError):
        pull(Cache(tmp_path), f"{hostile.name}/a/b:c", history=OFF)
    assert hostile.body_bytes < 12 * MIB


def test_endless_blob(hostile: HostileServer, tmp_path: Path) -> None:
    """No more is read, and none is kept, than the descriptor says."""
    app = small_app(1)
    hostile.serve(app)
    hostile.always(f"*/blobs/{app.layers[0]['digest']}", Stream(GIB, start=b""))
    with memory_below(32 * MIB), pytest.raises(SizeMismatchError):
        pull(Cache(tmp_path), app.reference(hostile.name), history=OFF)
    assert hostile.body_bytes < 24 * MIB
    assert judge.leftovers(tmp_path) == []


@pytest.mark.parametrize("part", ["config", "locked app"])
def test_document_that_declares_a_gigabyte_is_not_asked_for(
    hostile: HostileServer, tmp_path: Path, part: str
) -> None:
    app = small_app(1)
    document = app.document
    one = document["config"] if part == "config" else document["layers"][-1]
    one["size"] = GIB
    spoilt = Artifact("demo/spoilt", "v1", compact(document), blobs=app.blobs)
    hostile.serve(spoilt)
    with pytest.raises(LimitError):
        pull(Cache(tmp_path), spoilt.reference(hostile.name), history=OFF)
    assert hostile.requests_for(f"*/blobs/{one['digest']}") == []


def header(kind: bytes, size: int = 0, name: str = "x") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def sparse(real: int) -> bytes:
    """The header of a sparse file without any content."""
    block = bytearray(header(b"S"))
    block[483:495] = b"%011o\0" % real
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def sparse_without_end() -> bytes:
    block = bytearray(sparse(0))
    block[482] = 1
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    more = (b"%011o\0" % 1) * 42 + b"\1" + bytes(7)
    return bytes(block) + more * 20_000


BOMBS = {
    "overlapping pax records": header(b"x", 80_001) + padded(b"2 " * 40_000 + b"=") + header(b"0"),
    "digits in a pax header": header(b"x", 900_000) + padded(b"1" * 900_000) + header(b"0"),
    "long names in a row": (header(b"L", 100) + padded(b"n" * 100)) * 3000 + header(b"0"),
    "pax headers in a row": (header(b"x", 9) + padded(b"9 path=a\n")) * 3000 + header(b"0"),
    "global headers without end": (header(b"g", 9) + padded(b"9 path=a\n")) * 3000,
    "a name of a gigabyte": header(b"L", GIB),
    "a sparse file of gigabytes": sparse((1 << 31) - 1),
    "many sparse files": sparse(1 << 28) * 400,
    "a sparse map without end": sparse_without_end(),
    "a member of exabytes": header(b"0", 1 << 62),
    "entries without end": header(b"0") * 6000,
    "a map that breaks off": sparse_without_end()[:1000],
    "a pax header of gigabytes": header(b"x", 8 << 30) + bytes(MIB),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb(name: str) -> None:
    """Small archives that would cost the standard library's reader gigabytes, minutes or its stack."""
    packed = gzip.compress(BOMBS[name], mtime=0)
    assert len(packed) < 200_000
    started = time.process_time()
    with memory_below(24 * MIB), pytest.raises((LimitError, ArchiveError)):
        list_members(io.BytesIO(packed), where="test", limits=ArchiveLimits(entries=5000))
    assert time.process_time() - started < 5


def test_bomb_in_a_pull_leaves_nothing_half(hostile: HostileServer, tmp_path: Path) -> None:
    bomb = archive_app(gzip.compress(sparse((1 << 31) - 1) + bytes(1024), mtime=0))
    hostile.serve(bomb)
    with memory_below(48 * MIB), pytest.raises(LimitError):
        pull(Cache(tmp_path), bomb.reference(hostile.name), history=OFF)
    judge.assert_whole(tmp_path)
    assert not list(tmp_path.rglob("manifest.json"))
    assert sum(path.stat().st_size for path in judge.files(tmp_path)) < MIB
