"""Numbering very many digests at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.core.digest import Digest, joined_digests
from spincache_nb.errors import InvalidDigestError
from spincache_nb.inventory.columns import Packed, distinct, is_among, numbered

HEX = "0123456789abcdef"
ENDS = st.text(HEX, min_size=2, max_size=2)
ALIKE = ENDS.map(lambda end: "sha256:" + "ab" * 31 + end)  # the same in their first bytes
ANY = st.one_of(
    ALIKE,
    st.text(HEX, min_size=64, max_size=64).map("sha256:".__add__),
    ENDS.map(lambda end: "sha512:" + end * 64),
    ENDS.map(lambda end: "sha384:" + end * 48),
    st.just("sha256:" + "0" * 64),
)


@given(st.lists(st.lists(ANY, max_size=9), min_size=1, max_size=4))
def test_numbered_gives_every_digest_its_place_in_order(columns: list[list[str]]) -> None:
    texts, codes = numbered([Packed.of(column) for column in columns])
    assert [[texts[code] for code in some] for some in codes] == columns
    assert texts == sorted(set(texts))


@given(st.lists(ALIKE, min_size=1, max_size=9), st.data())
def test_packed_refuses_what_is_no_digest(texts: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(texts) - 1))
    text = texts[place]
    wrong = [
        *(
            text[:end] + odd + text[end + 1 :]
            for end in (0, 6, 20, 70)
            for odd in ("s", "A", "g", " ", "\n", "é")
        ),
        text[:-1],
        text + "a",
        "a" + text[:-1],
        text[1:] + "s",
        text.upper(),
        "sha512" + text[6:],
        "",
    ]
    texts[place] = data.draw(st.sampled_from([one for one in wrong if one != text]))
    with pytest.raises(InvalidDigestError):
        Packed.of(texts)
    with pytest.raises(InvalidDigestError):
        Packed.of([text * 2])


def test_packed_of_one_by_one_and_of_all_is_the_same() -> None:
    digests = [str(Digest.of(b"%d" % number)) for number in range(5)]
    assert Packed.joined(Packed.of([digest]) for digest in digests) == Packed.of(digests)
    assert Packed.of([]) == Packed()


@given(
    numbers=st.lists(st.integers(0, 1 << 40), max_size=30),
    others=st.lists(st.integers(0, 1 << 40), max_size=30),
)
def test_distinct_and_is_among_agree_with_sets(numbers: list[int], others: list[int]) -> None:
    some, more = np.array(numbers, np.int64), np.array([*others, *numbers[::2]], np.int64)
    assert distinct(some).tolist() == sorted(set(numbers))
    assert is_among(some, more).tolist() == [number in set(more.tolist()) for number in numbers]


@pytest.mark.parametrize(
    "texts",
    [
        ["sha256:" + "0" * 63],
        ["sha256:" + "A" * 64],
        ["sha256:" + "0" * 60 + "sha2", "56:" + "0" * 68],
        ["sha256:" + "0" * 63, "sha256:" + "0" * 65],
        ["sha512:" + "0" * 64],
        ["sha256:" + "0" * 63 + "\u0660"],
    ],
)
def test_joined_digests_refuses_what_is_none(texts: list[str]) -> None:
    good = "sha256:" + "0123456789abcdef" * 4
    assert joined_digests([good, *texts]) is None
    assert joined_digests([good, good]) == (good + good).encode()
