"""Bars of a pull: slots that blobs take and leave."""

from __future__ import annotations

from typing import Any

from spincache_nb.widgets.bars import MOST_BARS, Bars
from spincache_nb.widgets.tally import Running, Snapshot


def snapshot(*running: Running, done: int = 10, total: int = 100) -> Snapshot:
    return Snapshot(True, done, total, 5.0, 18.0, running)


def shown(bars: Bars) -> list[str]:
    def name(slot: Any) -> str:
        return "" if slot.box.layout.display == "none" else str(slot.name.value).split(">")[1].split()[0]

    return [name(slot) for slot in bars._slots]


def test_blobs_keep_their_slots() -> None:
    bars = Bars()
    assert bars.box.layout.display == "none"
    bars.begin("all layers")
    assert bars.box.layout.display is None
    a, b, c = (Running(digest, "app", 1, 4) for digest in "abc")
    bars.show("all layers", snapshot(a, b))
    assert shown(bars)[:3] == ["a", "b", ""]
    bars.show("all layers", snapshot(b, c))
    assert shown(bars)[:3] == ["c", "b", ""]
    assert bars._slots[1].bar.value == 0.25
    assert bars.overall.text.value == "10 B of 100 B, 5 B/s, 18 s left"
    bars.end("success", "100 B fetched", full=True)
    assert set(shown(bars)) == {""}
    assert bars.overall.bar.value == 1.0


def test_more_blobs_than_slots_are_counted() -> None:
    bars = Bars()
    running = [Running(f"{n:02}", "app", 0, 0) for n in range(MOST_BARS + 5)]
    bars.show("all layers", snapshot(*running))
    assert "and 5 more at the same time" in bars._others.value
    assert bars._slots[0].text.value == "0 B"
    bars.show("all layers", snapshot(*running[:2]))
    assert bars._others.value == ""


def test_fail_hides_a_bar_that_never_began() -> None:
    bars = Bars()
    bars.begin("all layers")
    bars.fail()
    assert bars.box.layout.display == "none"
    bars.begin("all layers")
    bars.show("all layers", snapshot())
    bars.fail()
    assert bars.box.layout.display is None
    assert bars.overall.bar.bar_style == "danger"


def test_nothing_to_fetch_is_said() -> None:
    bars = Bars()
    bars.show("all layers", snapshot(done=0, total=0))
    assert (bars.overall.text.value, bars.overall.bar.value) == ("nothing to fetch", 1.0)
