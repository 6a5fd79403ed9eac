"""``WWW-Authenticate``, as servers write it and as it should never be written."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.core.registry.challenges import LONGEST_HEADER, parse_challenges

GHCR = 'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull"'


def parsed(*headers: str) -> list[tuple[str, dict[str, str]]]:
    return [(challenge.scheme, dict(challenge.parameters)) for challenge in parse_challenges(headers)]


def test_parse_challenges_reads_the_bearer_challenge_of_a_registry() -> None:
    assert parsed(GHCR) == [
        (
            "bearer",
            {
                "realm": "https://ghcr.io/token",
                "service": "ghcr.io",
                "scope": "repository:user/image:pull",
            },
        )
    ]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["Basic realm=plain"], [("basic", {"realm": "plain"})]),
        (["bAsIc Realm=x"], [("basic", {"realm": "x"})]),
        (['Basic realm=""'], [("basic", {"realm": ""})]),
        (['Basic realm = "x" , charset = "UTF-8"'], [("basic", {"realm": "x", "charset": "UTF-8"})]),
        (['Basic realm="a, b=c"'], [("basic", {"realm": "a, b=c"})]),
        (['Basic realm="say \\"hi\\" \\\\ bye"'], [("basic", {"realm": 'say "hi" \\ bye'})]),
        (['Basic realm="first", realm="second"'], [("basic", {"realm": "first"})]),
        (["Negotiate", 'Basic realm="x"'], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (['Negotiate, Basic realm="x"'], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (['NTLM TlRMTVNT==, Basic realm="x"'], [("ntlm", {}), ("basic", {"realm": "x"})]),
        (
            ['Digest realm="d", qop="auth,auth-int", nonce=abc, Bearer realm="b", service="s"'],
            [
                ("digest", {"realm": "d", "qop": "auth,auth-int", "nonce": "abc"}),
                ("bearer", {"realm": "b", "service": "s"}),
            ],
        ),
        ([', , Basic realm="x",'], [("basic", {"realm": "x"})]),
        (['Bearer realm="r" service="no comma"'], [("bearer", {"realm": "r", "service": "no comma"})]),
        (["Bearer"], [("bearer", {})]),
        ([], []),
        ([""], []),
        ([" ,, "], []),
    ],
)
def test_parse_challenges_reads(headers: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    assert parsed(*headers) == expected


@pytest.mark.parametrize(
    "header",
    ['Bearer realm="not closed', "Bearer realm=https://x.example/token", 'Bearer realm="x"y', "Bearer realm"],
)
def test_parse_challenges_makes_no_realm_of_what_cannot_be_read(header: str) -> None:
    assert all("realm" not in parameters or parameters["realm"] == "x" for _, parameters in parsed(header))


def test_parse_challenges_keeps_what_came_before_the_unreadable() -> None:
    assert parsed('Basic realm="ok", Bearer realm="not closed')[0] == ("basic", {"realm": "ok"})


def test_parse_challenges_ignores_a_header_that_is_too_long() -> None:
    assert parsed("Basic realm=" + "x" * LONGEST_HEADER, "Basic realm=y") == [("basic", {"realm": "y"})]


@pytest.mark.parametrize("unit", ["a", "a ", "a=b,", ",", '"', "\\", 'a="', "a=", " ,"])
def test_parse_challenges_takes_no_time_over_a_hostile_header(unit: str) -> None:
    header = "Bearer " + unit * ((LONGEST_HEADER - 7) // len(unit))
    started = time.perf_counter()
    parse_challenges([header])
    assert time.perf_counter() - started < 1.0


@given(st.lists(st.text(max_size=200), max_size=3))
def test_parse_challenges_never_fails(headers: list[str]) -> None:
    for challenge in parse_challenges(headers):
        assert challenge.scheme == challenge.scheme.lower()


TOKEN = st.text("abcXYZ019-._~!", min_size=1, max_size=8)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@given(
    st.lists(
        st.tuples(TOKEN, st.dictionaries(TOKEN.map(str.lower), VALUE, min_size=1, max_size=3)), max_size=3
    )
)
def test_parse_challenges_reads_back_what_was_quoted(wanted: list[tuple[str, dict[str, str]]]) -> None:
    def quote(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        scheme + " " + ", ".join(f"{name}={quote(value)}" for name, value in parameters.items())
        for scheme, parameters in wanted
    )
    assert parsed(header) == [(scheme.lower(), parameters) for scheme, parameters in wanted]
