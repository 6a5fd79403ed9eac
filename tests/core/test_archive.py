"""Archive layers: members by digest, limits, and what a tar from outside may try."""

import gzip
import io
import tarfile
import zlib
from pathlib import Path

import pytest

from spincache_nb.core.archive import Unpacked, list_members, unpack
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.journal import History
from spincache_nb.core.pull import pull
from spincache_nb.core.settings import ArchiveLimits
from spincache_nb.errors import ArchiveError, LimitError, NotInCacheError, PullCancelled
from spincache_nb.upkeep import check_cache, is_damage
from tests.support import archives
from tests.support.artifact import ARCHIVE, WASM, sha256
from tests.support.artifacts import Component
from tests.support.caches import PAGES, WEB
from tests.support.memory import memory_below
from tests.support.odd_artifacts import with_layers
from tests.support.registry_server import RegistryServer

Entry = tuple[tarfile.TarInfo, bytes] | tuple[str, bytes]


def tar_gz(*entries: Entry, format: int = tarfile.PAX_FORMAT) -> bytes:
    members = []
    for head, content in entries:
        info = tarfile.TarInfo(head) if isinstance(head, str) else head
        info.size = len(content)
        members.append((info, content))
    return archives.compress(archives.tar(members, tar_format=format))


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    return archives.member(name, kind, link=target)


def listed(archive: bytes, **limits: int) -> Unpacked:
    return list_members(io.BytesIO(archive), where="test", limits=ArchiveLimits(**limits))


def stored(tmp_path: Path, archive: bytes) -> tuple[Cache, Digest]:
    cache, digest = Cache(tmp_path), Digest.of(archive)
    cache.put_blob("data", digest, [archive])
    return cache, digest


def test_unpack_stores_each_regular_file_by_its_digest(tmp_path: Path) -> None:
    big = b"0123456789" * 300_000
    archive = tar_gz(("./a.txt", b"a"), ("./dir/b.bin", big), ("./same", b"a"), ("./empty", b""))
    cache, digest = stored(tmp_path, archive)
    found = unpack(cache, digest)
    assert [(m.path, str(m.digest), m.size) for m in found.members] == [
        ("./a.txt", sha256(b"a"), 1),
        ("./dir/b.bin", sha256(big), len(big)),
        ("./same", sha256(b"a"), 1),
        ("./empty", sha256(b""), 0),
    ]
    files = {path.name: path.read_bytes() for path in (cache.path / "data").iterdir()}
    assert files == {str(digest): archive, sha256(b"a"): b"a", sha256(big): big, sha256(b""): b""}
    assert {path.name for path in cache.path.iterdir()} == {"data"}


def test_unpack_skips_and_counts_what_is_no_regular_file(tmp_path: Path) -> None:
    archive = tar_gz(
        (special("./d", tarfile.DIRTYPE), b""),
        (special("./link", tarfile.SYMTYPE, "/etc/passwd"), b""),
        ("../outside", b"x"),
        ("/absolute", b"a"),
        (special("./hard", tarfile.LNKTYPE, "./absolute"), b""),
    )
    cache, digest = stored(tmp_path / "c", archive)
    found = unpack(cache, digest)
    assert [m.path for m in found.members] == ["/absolute"]
    assert found.skipped == 4
    assert {p.name for p in (tmp_path / "c" / "registry" / "data").iterdir()} == {str(digest), sha256(b"a")}
    assert {p.name for p in tmp_path.iterdir()} == {"c"}


def members(archive: bytes) -> dict[str, bytes | str]:
    return {m.path: str(m.digest) for m in listed(archive).members}


def test_list_members_takes_unknown_types_and_devices_for_files() -> None:
    kinds = (tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, b"X", b"M", b"Z")
    heads = [(special(f"{number}", kind), b"content") for number, kind in enumerate(kinds)]
    assert members(tar_gz(*heads, format=tarfile.GNU_FORMAT)) == {
        str(n): sha256(b"content") for n in range(6)
    }


def test_list_members_passes_over_the_content_of_folders_and_links() -> None:
    archive = tar_gz(
        (special("d", tarfile.DIRTYPE), b"x" * 600),
        (special("link", tarfile.SYMTYPE, "a"), b"y"),
        ("a", b"z"),
        format=tarfile.GNU_FORMAT,
    )
    assert members(archive) == {"a": sha256(b"z")}


def test_list_members_counts_the_last_entry_of_a_name() -> None:
    found = listed(tar_gz(("a", b"first"), ("b", b"b"), ("./a", b"last")))
    assert [(m.path, str(m.digest)) for m in found.members] == [("b", sha256(b"b")), ("./a", sha256(b"last"))]


def test_list_members_reads_one_gzip_member() -> None:
    one, other = tar_gz(("a", b"a")), tar_gz(("b", b"b"))
    half = gzip.decompress(one)[:1024]
    for following in (other, b"garbage"):
        assert members(one + following) == members(gzip.compress(half) + following) == {"a": sha256(b"a")}


@pytest.mark.parametrize(
    "entries",
    [
        (("a", b"x"), ("a/b", b"y")),
        (("a/b", b"y"), ("a", b"x")),
        ((special("a", tarfile.DIRTYPE), b""), ("./a", b"x")),
        (("a", b"x"), (special("a", tarfile.DIRTYPE), b"")),
        ((special("hard", tarfile.LNKTYPE, "later"), b""), ("later", b"x")),
        ((special("label", b"V"), b""), ("a", b"x")),
    ],
    ids=["file then folder", "folder then file", "folder", "file", "forward hard link", "volume label"],
)
def test_list_members_refuses_what_spin_refuses(
    entries: tuple[Entry, ...],
) -> None:
    with pytest.raises(ArchiveError):
        listed(tar_gz(*entries, format=tarfile.GNU_FORMAT))


def test_a_stream_that_breaks_off_gives_its_whole_members(tmp_path: Path) -> None:
    """Spin's main never finishes the gzip stream of an archive that it pushes."""
    raw = gzip.decompress(tar_gz(("a", b"a"), ("b", bytes(range(256)) * 40)))
    packer = zlib.compressobj(wbits=31)
    unfinished = packer.compress(raw) + packer.flush(zlib.Z_SYNC_FLUSH)
    cache, digest = stored(tmp_path, unfinished)
    for found in (listed(unfinished), unpack(cache, digest), unpack(cache, digest)):
        assert [m.path for m in found.members] == ["a", "b"]
        assert found.is_cut
    assert not listed(gzip.compress(raw)).is_cut
    whole = gzip.compress(raw, mtime=0)
    for length in range(20, len(whole), 7):  # wherever it breaks off: a prefix of the members, none half-read
        try:
            found = listed(whole[:length])
        except ArchiveError:
            assert length < 100
            continue
        assert found.is_cut
        assert [(m.path, m.size) for m in found.members] == [("a", 1), ("b", 10240)][: len(found.members)]


def test_pulls_of_an_archive_that_breaks_off_end_alike(
    plain_registry: RegistryServer, tmp_path: Path
) -> None:
    raw = gzip.decompress(archives.mount_archive(PAGES))
    packer = zlib.compressobj(wbits=31)
    archive = packer.compress(raw) + packer.flush(zlib.Z_SYNC_FLUSH)
    component = Component("site", WEB, dict(PAGES))
    artifact = with_layers("demo/cut", component, [(WASM, WEB), (ARCHIVE, archive)])
    plain_registry.push(artifact)
    cache = Cache(tmp_path)
    for _ in range(2):
        pull(cache, plain_registry.reference(artifact), history=History(enabled=False))
        assert all((cache.path / "data" / sha256(page)).read_bytes() == page for page in PAGES.values())
        (row,) = check_cache(cache)
        assert (row.path, row.kind) == (f"data/{sha256(archive)}", "cut archive")
        assert "breaks off" in row.detail
        assert not is_damage(row.kind)


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_list_members_reads_long_names(format: int) -> None:
    name = "d/" * 150 + "ä.txt"
    assert [m.path for m in listed(tar_gz((name, b"x"), format=format)).members] == [name]


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"not gzip at all",
        gzip.compress(b"not a tar, but long enough to fill a block of it " * 40),
        gzip.compress(b"")[:10],
    ],
    ids=["empty", "not gzip", "not tar", "cut header"],
)
def test_list_members_refuses_what_is_no_archive(archive: bytes) -> None:
    with pytest.raises(ArchiveError) as caught:
        listed(archive)
    assert caught.value.where == "test"


@pytest.mark.parametrize(
    ("limits", "word"),
    [({"entries": 2}, "entries"), ({"member_bytes": 99}, "100"), ({"total_bytes": 1000}, "unpacked")],
)
def test_list_members_keeps_to_its_limits(limits: dict[str, int], word: str) -> None:
    archive = tar_gz(("a", b""), ("b", b"x" * 100), ("c", b""))
    with pytest.raises(LimitError) as caught:
        listed(archive, **limits)
    assert word in str(caught.value)
    assert len(listed(archive).members) == 3


def test_unpack_stops_when_told(tmp_path: Path) -> None:
    cache, digest = stored(tmp_path, tar_gz(("a", b"x" * 5_000_000)))

    def check() -> None:
        raise PullCancelled("pull")

    with pytest.raises(PullCancelled):
        unpack(cache, digest, check=check)
    assert [path.name for path in (cache.path / "data").iterdir()] == [str(digest)]


def test_unpack_without_the_archive(tmp_path: Path) -> None:
    with pytest.raises(NotInCacheError):
        unpack(Cache(tmp_path), Digest.of(b"x"))


def test_list_members_refuses_a_bomb_before_it_explodes() -> None:
    bomb = archives.bomb(400 << 20)
    with memory_below(16 << 20), pytest.raises(LimitError) as caught:
        listed(bomb)
    assert "bomb" in caught.value.found
