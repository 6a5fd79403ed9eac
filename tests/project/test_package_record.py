"""The record of which content a package was."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from spincache_nb.core.digest import Digest
from spincache_nb.core.journal import HistoryWarning
from spincache_nb.project.package_config import PackageLog, PackageRecord

AT = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
ONE, TWO = Digest.of(b"one"), Digest.of(b"two")


def record(
    digest: Digest = ONE, requirement: str = "^1", registry: str | None = "r.example"
) -> PackageRecord:
    return PackageRecord(AT, "acme:tools", requirement, registry, "1.2.3", str(digest))


@pytest.fixture
def log(tmp_path: Path) -> PackageLog:
    return PackageLog(tmp_path / "state" / "packages.jsonl")


def test_known_is_what_was_last_appended(log: PackageLog) -> None:
    log.append([record(ONE), record(ONE, "=1.2.3", None)])
    log.append([record(TWO)])
    assert log.known() == {("acme:tools", "^1", "r.example"): TWO, ("acme:tools", "=1.2.3", None): ONE}


def test_append_writes_news_only_and_one_line_each(log: PackageLog) -> None:
    for _ in range(3):
        log.append([record(), record(requirement="*")])
    assert log.path is not None
    assert log.path.read_text() == (
        '{"at":"2026-03-01T10:00:00Z","package":"acme:tools","requirement":"^1","registry":"r.example",'
        f'"version":"1.2.3","digest":"{ONE}"}}\n'
        '{"at":"2026-03-01T10:00:00Z","package":"acme:tools","requirement":"*","registry":"r.example",'
        f'"version":"1.2.3","digest":"{ONE}"}}\n'
    )
    assert log.path.stat().st_mode & 0o077 == 0


def test_known_passes_over_lines_that_are_none(log: PackageLog) -> None:
    log.append([record()])
    assert log.path is not None
    good = log.path.read_bytes()
    bad = [
        b"\xff",
        b"{",
        b"[]",
        b"{}",
        b'{"at":1}',
        good.replace(b"sha256:", b"../../"),
        good.replace(b'"^1"', b"1"),
    ]
    log.path.write_bytes(b"\n".join([*bad, good]))
    assert log.known() == {("acme:tools", "^1", "r.example"): ONE}


def test_record_is_in_the_state_directory_unless_switched_off(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    assert PackageLog(environ=environ).path == tmp_path / "state" / "spincache-nb" / "packages.jsonl"
    off = PackageLog(environ=environ | {"SPINCACHE_HISTORY": "off"})
    off.append([record()])
    assert off.known() == {}
    assert list(tmp_path.iterdir()) == []


def test_record_that_cannot_be_kept_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    broken = PackageLog(tmp_path / "file" / "packages.jsonl")
    with pytest.warns(HistoryWarning, match="packages"):
        broken.append([record()])
