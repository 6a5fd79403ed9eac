"""Addresses: loopback by name, and what of an address may be shown."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.core.addresses import check_plain, host_of, is_loopback, origin_of, parse_url, public_url
from spincache_nb.core.refusals import causes, translate
from spincache_nb.core.web import Web
from spincache_nb.errors import InsecureTransportError, ProtocolError


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.255.255.254", "::1", "[::1]"])
def test_is_loopback_knows(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "localhost.", "x.localhost", "localhost.example", "127.1", "0.0.0.0", "::", "10.0.0.1",
     "::ffff:127.0.0.1", "127.0.0.1.example", "0177.0.0.1", "2130706433", "127.0.0.1:80", "docker.io"],
)  # fmt: skip
def test_is_loopback_is_not_deceived(host: str) -> None:
    """What could lead elsewhere by a resolver's grace is not loopback: it then has to speak TLS.

    ``::ffff:127.0.0.1`` is loopback to Python from 3.13 on only: here it is the same on each.
    """
    assert not is_loopback(host)


def test_host_of_takes_off_the_port() -> None:
    found = [host_of(text) for text in ("a:1", "a", "[::1]:1", "127.0.0.1:5000")]
    assert found == ["a", "a", "::1", "127.0.0.1"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://r.example/v2/a/blobs/sha256:ab", "https://r.example/v2/a/blobs/sha256:ab"),
        ("https://ann:secret@r.example:5000/a", "https://r.example:5000/a"),
        ("https://ann@secret:x@r.example/a", "https://r.example/a"),
        ("https://s3.example/b?X-Amz-Signature=secret&x=1", "https://s3.example/b?..."),
        ("https://s3.example/b#secret", "https://s3.example/b"),
        ("https://s3.example?secret", "https://s3.example?..."),
        ("https://s3.example/a@b?x", "https://s3.example/a@b?..."),
        ("ann:secret", "ann:..."),
        ("https://cdn.example/npm/x@1.2/y.wasm", "https://cdn.example/npm/x@1.2/y.wasm"),
        ("javascript:alert(1)", "javascript:..."),
        ("r.example/app?x", "r.example/app"),
        # a password is hidden, however badly the address is written
        *(
            (text.replace("PW", "ann:secret"), shown)
            for text, shown in (
                ("https://PW/x@r.example/a", "https://..."),
                ("https://PW#1@r.example/a", "https://..."),
                ("https://PW?1@r.example/a", "https://..."),
                ("https://PW\\1@r.example/a", "https://..."),
                ("https://PW 1@r.example/a", "https://..."),
                ("https://ann:12/secret@r.example/a", "https://..."),
                ("https://PW", "https://..."),
                ("https:/PW@r.example", "https:..."),
                ("https:PW@r.example", "https:..."),
                ("//PW@r.example/a", "..."),
                (" https://PW@r.example/a", "https://..."),
                ("HTTPS://PW@r.example/a", "HTTPS://r.example/a"),
                ("oci://PW@r.example/a", "oci://r.example/a"),
            )
        ),
        ("https://r.example/two\nlines", "https://r.example/two\\nlines"),
    ],
)
def test_public_url_shows(url: str, shown: str) -> None:
    assert public_url(url) == shown


@pytest.mark.parametrize(
    "text",
    ["", "r.example", "/path", "ftp://r.example/", "javascript:alert(1)", "https://", "https://[",
     "https://a b/", "https://r.example:0/", "https://r.example:65536/", "http://\x00/", "http://-a/", "http://a-/",
     "http://[::g]/", "http://a..b/\x7f", "https://exa\u0301mple.com/", "http://.a/"],
)  # fmt: skip
def test_parse_url_refuses(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_url(text, where="test")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["xn--a", "xn--ls8h=.la", "xn--0", "a.xn--zzzzzzzzzzz.b", "xn--\u00e9"])
def test_parse_url_reads_no_punycode(host: str) -> None:
    """httpx decodes a host only when somebody reads it, and raises idna's own exceptions then."""
    for base in (None, httpx.URL("https://r.example/")):
        try:
            url = parse_url(f"https://{host}/x", base=base, where="test")
        except ProtocolError:
            continue
        assert origin_of(url) == ("https", host, 443)
        assert public_url(url) == f"https://{host}/x"
        with pytest.raises(InsecureTransportError):
            check_plain(url.copy_with(scheme="http"), insecure=None, where="test")


@pytest.mark.parametrize(
    "text", ["https://ann:secret@[/x", "https://ann:secret#@h:x/", "http://ann:secret@h:99999/"]
)
def test_parse_url_leaves_no_password_in_the_chain(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_url(text, where="test")
    assert "secret" not in "".join(str(one) + repr(one) for one in causes(caught.value))


def test_origin_of_fills_in_the_port_and_minds_no_case() -> None:
    assert origin_of(httpx.URL("HTTPS://R.Example/a")) == ("https", "r.example", 443)
    assert origin_of(httpx.URL("http://r.example/")) == ("http", "r.example", 80)
    assert origin_of(httpx.URL("http://r.example:443/")) == ("http", "r.example", 443)


@pytest.mark.parametrize("failure", [httpx.ConnectTimeout(""), httpx.ConnectError(""), httpx.ReadTimeout("")])
def test_what_may_be_a_user_and_password_is_shown_as_no_host_and_port(failure: httpx.TransportError) -> None:
    told = str(translate(failure, httpx.URL("http://ann:4711/x@host.example/file")))
    assert "ann" not in told
    assert "4711" not in told
    assert "host.example:4711" in str(
        translate(httpx.ConnectError(""), httpx.URL("http://host.example:4711/file"))
    )


@given(
    st.from_regex(r"/v2(/[\w.:%?#@ ~+-]{0,9}){1,4}", fullmatch=True) | st.just("/v2/org/app/blobs/sha256:ab")
)
def test_path_beside_a_registrys_address_is_the_one_httpx_would_ask_for(target: str) -> None:
    web = Web(transport=httpx.MockTransport(lambda request: httpx.Response(200)))
    ask, whole = web.ask("r.example:5000", target, {}), web.url("r.example:5000", target)
    assert ask.address == whole
    assert ask.target in (None, whole.raw_path)
    assert public_url(whole) in repr(ask)
    assert web.ask("r.example:5000", "/v2/org/app/tags/list", {}).target == b"/v2/org/app/tags/list"
