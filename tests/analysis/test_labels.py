from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.analysis.inputs import short_references, some_of
from spincache_nb.show import short_digests
from tests.analysis.worlds import SOME

HEX = st.text("01", min_size=64, max_size=64)
DIGESTS = st.builds("{}:{}".format, st.just("sha256"), HEX)


@SOME
@given(st.lists(DIGESTS, max_size=8))
def test_short_digests_stay_different_and_are_prefixes(digests):
    short = short_digests(digests)
    assert len(set(short.values())) == len(set(digests))
    for digest, name in short.items():
        assert digest.removeprefix("sha256:").startswith(name.rstrip("…"))
        assert sum(d.removeprefix("sha256:").startswith(name.rstrip("…")) for d in set(digests)) == 1


@SOME
@given(st.sets(st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map("/".join), max_size=8))
def test_short_references_stay_different(names):
    short = short_references(names)
    assert short.keys() == names
    assert len(set(short.values())) == len(names)


def test_short_references_keep_what_tells_them_apart():
    names = [
        "ghcr.io/org/web:1",
        "ghcr.io/org/web:2",
        "quay.io/org/web:2",
        "r.io/api@sha256:" + "a" * 64,
        "/home/someone/site/spin.toml",
        r"C:\work\site\spin.toml",
    ]
    short = short_references(names)
    assert [short[name] for name in names] == [
        "web:1",
        "ghcr.io/org/web:2",
        "quay.io/org/web:2",
        "api@aaaaaaaa…",
        "someone/site/spin.toml",
        "work/site/spin.toml",
    ]


def test_some_of_counts_what_it_leaves_out():
    assert some_of(["a", "b", "c"]) == "a, b, c"
    assert some_of(list("abcd")) == "a, b, c +1"
