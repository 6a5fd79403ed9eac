"""Sentences, against caches small enough to reckon by hand."""

from dataclasses import replace

import pandas as pd
import pytest

from spincache_nb import analysis
from spincache_nb.analysis import schemas
from spincache_nb.analysis.schemas import GRAINS_SCHEMA, REBUILDS_SCHEMA
from spincache_nb.frames.schemas import HISTORY_SCHEMA, build
from spincache_nb.report import gather, sentences
from tests.analysis.worlds import App, World, digest_of, two_versions
from tests.plots.samples import cache_of

WEB = "ghcr.io/org/web"


def two():
    return gather(two_versions().frames())


def one_app():
    app = App("r.io", "a", "1", [(digest_of(1), "wasm")])
    return World([app], {digest_of(1): 1000}, {(digest_of(1), "wasm")}, document_bytes=0)


TWO = {
    "of_breakdown": (
        "1.9 KiB are on disk, in 11 files. 1.0 KiB (53 %) is needed by several apps and stored once; "
        "16 B (0.8 %) by one app only. Nothing needs 300 B (15 %): “spincache-nb prune” would remove it."
    ),
    "of_sharing": (
        "2 of 4 blobs are needed more than once. Without sharing 3.0 KiB would be needed, with it "
        "1.0 KiB: 2.0 KiB (66 %) are saved. What saves most is component api, component ui: 1000 B that "
        "3 users need, which saves 2.0 KiB."
    ),
    "of_sets": (
        "2 sets of apps have something in common which nobody else needs. "
        "The largest is 1000 B that api:1.0.0, web:1.0.0, web:1.1.0 share."
    ),
    "of_reclaimable": (
        "Removing web:1.1.0 alone frees most: 209 B of the 1.2 KiB it needs; the rest stays, as others "
        "need it. All versions but the last of each repository are 1 app: removed together they free "
        "207 B. 300 B that nothing needs can go without removing an app."
    ),
    "of_problems": "1 problem: 1 truncated.",
}
"""What is said of two versions of one app, and of another app."""


@pytest.mark.parametrize("name", TWO)
def test_sentences_add_up_what_two_apps_have(name):
    assert getattr(sentences, name)(two()) == TWO[name]


def test_of_breakdown_of_one_app_says_that_nothing_is_shared():
    assert sentences.of_breakdown(gather(one_app().frames())) == (
        "1000 B are on disk, in 3 files. No two apps share any of it; 1000 B (100 %) is needed by one app "
        "only. Nothing lies there that nobody needs."
    )


def test_of_pairs_names_the_closest():
    assert sentences.of_pairs(two()).startswith(
        "Of 3 pairs of apps, web:1.0.0 and web:1.1.0 have most in common: 1.0 KiB."
    )
    nothing = replace(two(), pairs=two().pairs.assign(shared_bytes=0))
    assert sentences.of_pairs(nothing) == "No two apps have anything in common."


def test_of_very_many_apps_repositories_are_told():
    material = gather(cache_of(230).frames())
    assert len(material.shared_bytes()) == 200 * 199 // 2
    for say in (sentences.of_breakdown, sentences.of_sets, sentences.of_pairs):
        assert "repositories" in say(material)
        assert " apps" not in say(material)


def test_of_versions_adds_up_what_is_fetched():
    savings = analysis.version_savings(two_versions().frames(), WEB)
    assert sentences.of_versions(savings) == (
        "Pulled one after the other, the 2 versions fetch 1.2 KiB instead of 2.2 KiB: 46 % is there "
        "already. Going to 1.1.0 fetches 80 B of 1.1 KiB."
    )


def savings_of(*fetched):
    """Versions of 1000 bytes each of which so many are fetched."""
    lines = []
    for number, fetch in enumerate(fetched):
        total = None if fetch is None else 1000
        reused = None if fetch is None else 1000 - fetch
        lines.append((number, f"r:{number}", str(number), None, total, reused, fetch, *[None] * 6))
    return build(schemas.VERSION_SAVINGS_SCHEMA, lines)


@pytest.mark.parametrize(
    ("fetched", "end"),
    [
        (
            (1000, 10, 700),
            "Going to 2 costs most, 700 B of 1000 B; going to 1 costs least, 10 B of 1000 B.",
        ),
        (
            (1000, 1000, 950),
            "No update finds much there: each fetches at least 95 % of its version.",
        ),
        (
            (1000, 1000, 1000),
            "No update finds anything there: each fetches all of its version.",
        ),
        (
            (10, 1000, 999),
            "No update finds much there: each fetches more than 99 % of its version.",
        ),
    ],
)
def test_of_versions_says_what_updates_cost(fetched, end):
    assert sentences.of_versions(savings_of(*fetched)).endswith(end)


def test_of_versions_leaves_out_sizes_too_large_to_be_true():
    assert sentences.of_versions(savings_of(1000, None, 10)).startswith(
        "Pulled one after the other, the 2 versions fetch 1010 B instead of 2.0 KiB"
    )
    assert "too large" in sentences.of_versions(savings_of(None, None))


def test_of_reclaimable_of_one_app_leaves_nothing():
    said = sentences.of_reclaimable(gather(one_app().frames()))
    assert "needs." in said
    assert "others need it" not in said


def test_of_reclaimable_says_that_together_is_more():
    shared = digest_of(1)
    apps = [App("r.io", name, tag, [(shared, "wasm")] if tag == "1" else []) for name in "ab" for tag in "12"]
    world = World(apps, {shared: 1000}, {(shared, "wasm")})
    assert "2 apps: removed together they free 1.4 KiB; each alone 400 B, but" in sentences.of_reclaimable(
        gather(world.frames())
    )


def test_of_timeline_adds_the_pulls_up():
    at = pd.Timestamp("2026-01-01", tz="UTC")
    lines = [(at, "c", "r:1", digest, fetch, 100, 0, 1.0) for digest, fetch in (("x", 100), ("y", 200))]
    material = gather(two_versions().frames(), history=build(HISTORY_SCHEMA, lines))
    assert sentences.of_timeline(material) == (
        "2 recorded pulls into this cache fetched 300 B and found 200 B (40 %) there already. 1 tag came to "
        "mean something else meanwhile. What Spin itself pulls, nobody records."
    )


def test_of_grains_names_the_best_after_its_index():
    lines = [
        ("blob", 1000, 0, 3, 96, 0.0),
        ("function", 1000, 500, 13, 416, 0.5),
        ("patch", 1000, 400, 3, 96, 0.4),
    ]
    text = sentences.of_grains(build(GRAINS_SCHEMA, lines))
    assert "at the grain patch 400 B of 1000 B (40 %)" in text
    assert sentences.of_grains(build(GRAINS_SCHEMA, lines[:1])).startswith("Within the files nothing")


def test_of_rebuilds_counts_what_is_the_same_code():
    row = ("r", "c", "r:1", "r:2", "x", "y")
    lines = [(*row, verdict, "") for verdict in ("same code", "other code", "same functions")]
    assert sentences.of_rebuilds(build(REBUILDS_SCHEMA, lines)).startswith(
        "3 times a new version brought a component another binary. In 2 of these"
    )


def test_name_keeps_what_is_around_it_in_place():
    assert sentences.name("a\u202eb\nc") == "a\\u202eb\\nc"
    assert sentences.name("שלום") == "\u2068שלום\u2069"
    assert len(sentences.name("x" * 10_000)) == 80
