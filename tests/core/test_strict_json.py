"""JSON from outside: what is taken, what is refused, and that nothing else is raised."""

import json
import pickle
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.core.documents import parse_object
from spincache_nb.errors import FormatError


def parse(data: bytes, error: type[FormatError] = FormatError) -> dict[str, Any]:
    return parse_object(data, where="the file", error=error, what="a document")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"{}", {}),
        (b' \r\n\t{"a" : [1, 2.5, true, null]} \n', {"a": [1, 2.5, True, None]}),
        ('{"ä": "中"}'.encode(), {"ä": "中"}),
        (b'{"a": "\\u00e4\\ud83d\\ude00"}', {"a": "ä😀"}),
        (b'{"a": "\\\\ud800"}', {"a": "\\ud800"}),
        (b'{"n": 18446744073709551616}', {"n": 2**64}),
    ],
)
def test_parse_object_reads_json(data: bytes, value: dict[str, Any]) -> None:
    assert parse(data) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{} x",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 01}',
        b'{"a": "\n"}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',  # half a surrogate pair, as bytes
        b'{"a": "\\ud800"}',  # and as an escape
        b'{"\\udfff": 1}',
        b'\xef\xbb\xbf{"a": 1}',  # a byte order mark
        '{"a": 1}'.encode("utf-16"),
        b"[]",
        b'"text"',
        b"1",
        b"true",
        b"null",
        b"\x00" * 100,
        b"<html></html>",
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
)
def test_parse_object_refuses_what_is_no_object(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse(data)
    assert caught.value.where == "the file"
    assert caught.value.expected.startswith("a document")
    assert caught.value.remedy


@pytest.mark.parametrize("depth", [200, 900, 990, 1000, 5000, 100_000, 1_000_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_parse_object_survives_any_depth(depth: int, opening: bytes, closing: bytes) -> None:
    data = b'{"a":' + opening * depth + b'"\\u0041"' + closing * depth + b"}"
    if depth < 500:
        assert parse(data)
        return
    with suppress(FormatError):
        parse(data)
        assert depth < 200_000


def test_parse_object_does_not_repeat_what_it_read() -> None:
    for data in (
        b'{"password": "hunter2"',
        b'{"password": "hunter2\xff"}',
        b'["hunter2"]',
        b'{"p": hunter2}',
    ):
        with pytest.raises(FormatError) as caught:
            parse(data)
        assert "hunter2" not in str(caught.value) + repr(caught.value)
        assert b"hunter2" not in pickle.dumps(caught.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), values), st.booleans())
def test_parse_object_reads_what_json_writes(value: dict[str, Any], ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == value
