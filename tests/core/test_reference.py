"""References by Spin's grammar.

The expectations were compared with oci-spec 0.10.0 (Rust, which Spin uses) on these and 180,000
generated references, and on every Unicode character as a tag.
"""

import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.core.digest import Digest
from spincache_nb.core.reference import Reference
from spincache_nb.errors import InvalidDigestError, InvalidReferenceError

A = "sha256:" + "a" * 64
B = "sha512:" + "b" * 128
C = "sha384:" + "c" * 96

# text, registry, repository, tag, digest
GOOD: list[tuple[str, str, str, str | None, str | None]] = [
    # the Docker Hub's short names
    ("alpine", "docker.io", "library/alpine", "latest", None),
    ("alpine:3.20", "docker.io", "library/alpine", "3.20", None),
    ("org/app", "docker.io", "org/app", "latest", None),
    ("org/team/app:v1", "docker.io", "org/team/app", "v1", None),
    ("docker.io/alpine", "docker.io", "library/alpine", "latest", None),
    ("index.docker.io/alpine", "docker.io", "library/alpine", "latest", None),
    ("index.docker.io/org/app:1", "docker.io", "org/app", "1", None),
    ("registry-1.docker.io/org/app", "registry-1.docker.io", "org/app", "latest", None),
    # what is a registry and what is not
    ("ghcr.io/o/app:v1", "ghcr.io", "o/app", "v1", None),
    ("ghcr.io/app", "ghcr.io", "app", "latest", None),
    ("localhost/app", "localhost", "app", "latest", None),
    ("localhost", "docker.io", "library/localhost", "latest", None),
    ("localhost:5000", "docker.io", "library/localhost", "5000", None),
    ("localhost:5000/a/b/c:1", "localhost:5000", "a/b/c", "1", None),
    ("127.0.0.1:5000/app", "127.0.0.1:5000", "app", "latest", None),
    ("host:99999999/app", "host:99999999", "app", "latest", None),
    ("example.com:5000", "docker.io", "library/example.com", "5000", None),
    ("snake_case.com:8080", "docker.io", "library/snake_case.com", "8080", None),
    ("GHCR.io/app", "GHCR.io", "app", "latest", None),
    ("Foo/bar", "docker.io", "Foo/bar", "latest", None),
    ("Localhost/app", "docker.io", "Localhost/app", "latest", None),
    ("xn--bcher-kva.example/app", "xn--bcher-kva.example", "app", "latest", None),
    ("r.example/r.example/app:r.example", "r.example", "r.example/app", "r.example", None),
    # separators inside a component
    ("a.b/c.d_e__f-g--h---i", "a.b", "c.d_e__f-g--h---i", "latest", None),
    ("0/1:2", "docker.io", "0/1", "2", None),
    # tags and digests
    (f"o/app@{A}", "docker.io", "o/app", None, A),
    (f"ghcr.io/o/app:v1@{A}", "ghcr.io", "o/app", "v1", A),
    (f"h:1/app@{B}", "h:1", "app", None, B),
    (f"h:1/app:x@{C}", "h:1", "app", "x", C),
    ("app:_Tag-1.2", "docker.io", "library/app", "_Tag-1.2", None),
    ("app:" + "t" * 128, "docker.io", "library/app", "t" * 128, None),
    ("app:manifest.json", "docker.io", "library/app", "manifest.json", None),
    # Rust's \w: letters, marks, digits and connectors of any script
    ("app:größe", "docker.io", "library/app", "größe", None),
    ("app:版本", "docker.io", "library/app", "版本", None),
    ("app:e\u0301", "docker.io", "library/app", "e\u0301", None),
    ("app:\u0663", "docker.io", "library/app", "\u0663", None),
    ("app:a\u203fb", "docker.io", "library/app", "a\u203fb", None),
    ("app:Ä\u01c5\u02b0\u0903\u20dd", "docker.io", "library/app", "Ä\u01c5\u02b0\u0903\u20dd", None),
    ("app:\u2167\u24b6\U0001f130", "docker.io", "library/app", "\u2167\u24b6\U0001f130", None),
    ("app:a\u200db", "docker.io", "library/app", "a\u200db", None),
    # as long as may be
    ("r.io/" + "a" * 255, "r.io", "a" * 255, "latest", None),
    ("a" * 247, "docker.io", "library/" + "a" * 247, "latest", None),
]

BAD = [
    "",
    " ",
    ":v1",
    f"@{A}",
    "/app",
    "app/",
    "a//b",
    "ghcr.io/",
    "App:v1",
    "h:1/Org/app",
    "app:",
    "app:.hidden",
    "app:-x",
    "app:a b",
    "app:a/b",
    "app:v1:v2",
    "app:" + "t" * 129,
    "app:\u00b2",  # superscript two: a number, no digit
    "app:\u00bd",
    "app:\U0001f600",
    "app@",
    "app@sha256",
    "app@sha256:" + "a" * 63,
    "app@sha256:" + "a" * 65,
    "app@sha256:" + "a" * 31,
    "app@sha256:" + "g" * 64,
    "app@md5:" + "a" * 32,
    "app@sha1:" + "a" * 40,
    "app@sha512:" + "a" * 64,
    f"app@{A}@{A}",
    f"app@{A}:v1",
    f"app@ {A}",
    "a___b",
    "a..b",
    "a._b",
    "-a",
    "a-",
    "_a",
    "a_",
    ".a",
    "a.",
    "../a",
    "a/../b",
    "..",
    "a\\b",
    "a%2fb",
    "-h.example/a",
    "h-.example/a",
    "h..example/a",
    "h.example:/a",
    "h.example:x/a",
    "[::1]/a",
    "[::1]:5000/a",
    "user@host/app",
    "https://ghcr.io/o/app",
    "ghcr.io/o/app:v1\n",
    "\nghcr.io/o/app:v1",
    " ghcr.io/o/app",
    "ghcr.io/o/app ",
    "ghcr.io/o/äpp",
    "bücher.example/app",
    "app\0",
    "r.io/" + "a" * 256,
    "a" * 248,
]


@pytest.mark.parametrize(("text", "registry", "repository", "tag", "digest"), GOOD)
def test_parse_splits_as_spin_does(
    text: str, registry: str, repository: str, tag: str | None, digest: str | None
) -> None:
    reference = Reference.parse(text)
    assert (reference.registry, reference.repository, reference.tag) == (registry, repository, tag)
    assert reference.digest == (Digest.parse(digest) if digest else None)
    assert reference.host == ("index.docker.io" if registry == "docker.io" else registry)
    shown = f"{registry}/{repository}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    assert str(reference) == shown


@pytest.mark.parametrize("text", BAD)
def test_parse_refuses_what_spin_refuses(text: str) -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        Reference.parse(text)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_parse_refuses_upper_case_hex_that_matches_no_bytes() -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        Reference.parse("ghcr.io/o/app@sha256:" + "A" * 64)
    assert isinstance(caught.value.__cause__, InvalidDigestError)


@pytest.mark.parametrize("value", [None, 3, b"ghcr.io/o/app", ["ghcr.io/o/app"]])
def test_parse_refuses_what_is_no_text(value: object) -> None:
    with pytest.raises(InvalidReferenceError):
        Reference.parse(value)  # type: ignore[arg-type]


def test_parse_returns_a_reference_as_it_is() -> None:
    reference = Reference("ghcr.io", "o/app", "v1")
    assert Reference.parse(reference) is reference


APP = "ghcr.io/o/app"
SECRETS = [
    "hunter2",
    "hun/ter2",
    "hun?ter2",
    "hun#ter2",
    "hun ter2",
    "hun@ter2",
    "hun:ter2",
    "hun%ter2",
    "hun\nter2",
]
SPELLINGS = ["{}@", "https://{}@", "docker://{}@", " {}@", "git+https://{}@", "{}%40", "{}\uff20"]


@pytest.mark.parametrize(
    "target", [APP, f"{APP}:v1", f"{APP}@{A}", f"localhost:5000/o/app:v1@{A}", "ghcr.io/O/app", ""]
)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_parse_does_not_repeat_a_password(spelling: str, target: str) -> None:
    for secret in SECRETS:
        with pytest.raises(InvalidReferenceError) as caught:
            Reference.parse(spelling.format(f"ann:{secret}") + target)
        error = caught.value
        said = str(error) + repr(error) + str(error.args)
        assert not any(part in said for part in ("hun", "ter2", "ann"))
        assert target in error.found
        assert target.lower() in error.remedy or "scheme" in error.remedy


@pytest.mark.parametrize("text", [f"{APP}@sha256:abc", f"ghcr.io/O/app@{A}", f"{APP}@"])
def test_parse_repeats_what_stands_before_a_digest(text: str) -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        Reference.parse(text)
    assert text in caught.value.found


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (f"oci://{APP}", f"leave out the scheme (oci://): write {APP}"),
        ("docker://alpine:3.20", "leave out the scheme (docker://): write alpine:3.20"),
        (f"https://{APP}:v1/?x=1", f"leave out the scheme (https://): write {APP}:v1"),
        ("http://localhost:5000/App@" + A, "(http://): write localhost:5000/app@" + A + " and insecure=True"),
        ("https://../a", "leave out the scheme (https://): write [registry/]repository[:tag][@digest]"),
        (f"ann:x@{APP}:V1", f"write {APP}:V1; pass auth=(user, password), or log in"),
        (f" {APP}\n", f"remove the white space around it: write {APP}"),
        ("ghcr.io/O/App:V1", "repository names are lower case: write ghcr.io/o/app:V1"),
        ("GHCR.io/O/App:V1", "repository names are lower case: write GHCR.io/o/app:V1"),
        ("App", "repository names are lower case: write app"),
        (f"{APP}:", "write [registry/]repository[:tag][@digest]"),
    ],
)
def test_parse_names_the_reference_that_was_meant(text: str, remedy: str) -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        Reference.parse(text)
    assert caught.value.remedy.endswith(remedy)


@pytest.mark.parametrize("host", ["xn--zzzzzzzzzzzz", "xn--", "a.XN--99999999999.example", "xn--\u0130"])
def test_parse_refuses_malformed_punycode(host: str) -> None:
    for text in (f"{host}:5000/app:v1", f"https://{host}.example/app"):
        with pytest.raises(InvalidReferenceError) as caught:
            Reference.parse(text)
        assert caught.value.where == "reference"


@pytest.mark.parametrize(
    ("text", "filed_under", "cached_name", "wanted"),
    [
        ("ghcr.io/o/app:v1", "v1", "ghcr.io/o/app:v1", "v1"),
        ("ghcr.io/o/app", "latest", "ghcr.io/o/app:latest", "latest"),
        # filed under the digest, as Spin's documentation has it, not under "latest", as its code does
        (f"ghcr.io/o/app@{A}", A, f"ghcr.io/o/app@{A}", A),
        (f"ghcr.io/o/app:v1@{A}", "v1", "ghcr.io/o/app:v1", A),
        ("localhost:5000/a/b/c:1", "1", "localhost:5000/a/b/c:1", "1"),
        ("busybox", "latest", "docker.io/library/busybox:latest", "latest"),
    ],
)
def test_reference_says_where_it_is_filed_and_what_to_ask_for(
    text: str, filed_under: str, cached_name: str, wanted: str
) -> None:
    reference = Reference.parse(text)
    assert reference.filed_under == filed_under
    assert reference.cached_name == cached_name
    assert reference.wanted == wanted


def test_parse_takes_linear_time() -> None:
    for part in ("a", "a-", "a.", "a/", "A-", ":", ":a", "@", "a@", "@sha1:", "://", "%40"):
        text = part * 100_000
        with pytest.raises(InvalidReferenceError):
            Reference.parse(text + "!")


components = st.from_regex(r"[a-z0-9]{1,5}([._-][a-z0-9]{1,4}){0,2}", fullmatch=True)
repositories = st.lists(components, min_size=1, max_size=4).map("/".join)
registries = st.one_of(
    st.from_regex(r"[a-zA-Z0-9]{1,6}(-[a-z0-9]{1,3})?\.[a-z]{2,4}(:[0-9]{1,5})?", fullmatch=True),
    st.sampled_from(["localhost", "localhost:5000", "docker.io", "index.docker.io", "10.0.0.1:80"]),
)
tags = st.from_regex(r"[A-Za-z0-9_äé中][A-Za-z0-9_.äé中-]{0,20}", fullmatch=True)
digests = st.binary(max_size=4).map(Digest.of)


@given(registries, repositories, st.none() | tags, st.none() | digests)
def test_parse_and_str_are_inverse(
    registry: str, repository: str, tag: str | None, digest: Digest | None
) -> None:
    text = f"{registry}/{repository}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    reference = Reference.parse(text)
    assert Reference.parse(str(reference)) == reference
    assert reference.digest == digest
    assert reference.tag == (tag or (None if digest else "latest"))
    assert reference.repository.removeprefix("library/") == repository.removeprefix("library/")
    assert pickle.loads(pickle.dumps(reference)) == reference
    assert Reference.parse(reference.cached_name).filed_under == reference.filed_under


@given(st.characters(min_codepoint=128, exclude_categories=["Cs"]))
def test_parse_never_takes_a_tag_of_spaces_or_symbols(char: str) -> None:
    category = unicodedata.category(char)
    if category[0] in "ZS" and not 0x24B6 <= ord(char) <= 0x24E9 and ord(char) < 0x1F000:
        with pytest.raises(InvalidReferenceError):
            Reference.parse(f"app:{char}")
