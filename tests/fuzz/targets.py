"""Everything of this package that reads text or bytes from outside, as functions of bytes.

A target may raise `SpinCacheError` and nothing else; it must end within `CPU_SECONDS` and keep to the
memory that `guarded` allows.
"""

import contextlib
import io
import json
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType

import httpx

from spincache_nb.core.addresses import Proxy, check_plain, is_exempt, origin_of, parse_url, public_url
from spincache_nb.core.archive import list_members
from spincache_nb.core.auth import parse_challenges, parse_token, realm_of, scopes_of
from spincache_nb.core.credentials import Wanted, as_credentials, choose
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Manifest, choose_manifest, parse_manifest, parse_object
from spincache_nb.core.journal import PullRecord
from spincache_nb.core.locked_app import read_locked_app, usual_locked_app
from spincache_nb.core.reference import Reference
from spincache_nb.core.refusals import parse_retry_after
from spincache_nb.core.registry import next_target, parse_page
from spincache_nb.core.settings import ArchiveLimits
from spincache_nb.core.sockets import read_head
from spincache_nb.core.transfer import Layout
from spincache_nb.errors import FormatError, LockedAppError, SpinCacheError
from spincache_nb.project.spin_toml import parse_environment_lock, parse_spin_manifest
from tests.fuzz import seeds

CPU_SECONDS = 2.0
"""Processor time after which a case counts as hanging; usual ones take less than a millisecond."""

EXTRA_BYTES = 768 << 20
"""Address space that cases may add to what the process has when it starts."""

ARCHIVE_LIMITS = ArchiveLimits(entries=2000, member_bytes=1 << 20, total_bytes=4 << 20)
PAGE = httpx.URL("https://r.example/v2/org/app/tags/list?n=2")


@dataclass(frozen=True)
class Target:
    name: str
    run: Callable[[bytes], None]
    form: str
    seeds: tuple[bytes, ...] = ()
    words: tuple[str, ...] = field(default=(), repr=False)


def text(data: bytes) -> str:
    """Read as a header is read: any bytes are text."""
    return data.decode("utf-8", "surrogateescape")


def reference(data: bytes) -> None:
    """What is accepted prints and parses to itself, and leaves no directory."""
    parsed = Reference.parse(text(data))
    assert Reference.parse(str(parsed)) == parsed
    parts = [parsed.registry, *parsed.repository.split("/"), parsed.filed_under]
    assert not {"", ".", ".."} & set(parts)
    assert not set("".join(parts)) & set("/\\\0\n ")


def password(data: bytes) -> None:
    """Whatever a password is mixed with, no error shows it."""
    mixed = text(data)
    for given in (f"https://ann:hunter2{mixed}@r.example/a", f"ann:{mixed}hunter2@r.example/a:{mixed}"):
        try:
            Reference.parse(given)
        except SpinCacheError as exc:
            said = str(exc) + repr(exc) + repr(exc.__cause__)
        else:
            said = ""
        assert "hunter2" not in said
    Reference.parse(mixed)


def digest(data: bytes) -> None:
    """What is accepted prints to itself and is plain."""
    parsed = Digest.parse(text(data))
    assert str(parsed).encode("ascii") == data
    assert parsed.encoded.isalnum()


def manifest(data: bytes) -> None:
    """A manifest answers every question about itself."""
    parsed = parse_manifest(data, where="fuzz")
    if isinstance(parsed, Manifest):
        assert parsed.kind in ("app", "package", "unknown")
        distinct = list(parsed.distinct())
        assert all(layer.size >= 0 for layer in distinct)
        assert len({layer.digest for layer in distinct}) == len(distinct)
        assert len(parsed.content_layers) <= len(parsed.layers)
        repr(parsed)
        hash(parsed)
        hash(parsed.tag_document)
    else:
        choose_manifest(parsed, where="fuzz")


def locked_app(data: bytes) -> None:
    """A locked app lists its content; what is decoded by type says what the tolerant reader says."""
    usual = usual_locked_app(data)
    try:
        parsed = read_locked_app(
            parse_object(data, where="fuzz", error=LockedAppError, what="an app"), where=""
        )
    except LockedAppError:
        assert usual is None
        raise
    assert usual in (None, parsed)
    for component, what, content in parsed.content():
        assert isinstance(component, str)
        assert isinstance(what, str)
        assert content.digest is None or Digest.parse(str(content.digest)) == content.digest
    assert all(isinstance(fault, str) for fault in parsed.faults)
    repr(parsed)


def spin_toml(data: bytes) -> None:
    """A spin.toml lists its sources, and shows no address whole."""
    parsed = parse_spin_manifest(data, where="fuzz")
    for source in parsed.web_sources:
        assert source.address not in ("", None) or not source.url
    repr(parsed)


def environment_lock(data: bytes) -> None:
    for environment in parse_environment_lock(data, where="fuzz").environments:
        assert environment.named_by_manifest in (True, False)


def archive(data: bytes) -> None:
    """An archive's members are hashed within the limits."""
    unpacked = list_members(io.BytesIO(data), where="fuzz", limits=ARCHIVE_LIMITS)
    assert len(unpacked.members) + unpacked.skipped <= ARCHIVE_LIMITS.entries
    assert sum(member.size for member in unpacked.members) <= ARCHIVE_LIMITS.total_bytes


def layout(data: bytes) -> None:
    """A tar that is taken for an OCI image layout names whole references."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        for found in Layout(file.name, names={"v1": "r.example/a:v1"}).references:
            assert Reference.parse(str(found)) == found


def challenge(data: bytes) -> None:
    """A challenge leads to a scope for one repository, and to no realm in the clear."""
    registry = httpx.URL("https://r.example")
    for one in parse_challenges(text(data).split("\n")):
        assert one.scheme == one.scheme.lower()
        own, *others = scopes_of("org/app", one)
        assert own in ("repository:org/app:pull", "repository:org/app:pull,metadata_read")
        assert all(scope.startswith("repository:") and scope.endswith(":pull") for scope in others)
        if "realm" in one.parameters:
            realm = realm_of(one, registry, where="fuzz")
            host = realm.raw_host.decode()
            assert realm.scheme == "https" or host in ("localhost", "::1") or host[:4] == "127."


def link(data: bytes) -> None:
    """The next page is of the same registry."""
    target = next_target(text(data).split("\n"), PAGE, where="fuzz")
    assert target is None or target.startswith("/")


def tag_page(data: bytes) -> None:
    """Tags are such as a reference can have."""
    for tag in parse_page(data, "tags", where="fuzz"):
        assert isinstance(tag, str)


def token(data: bytes) -> None:
    """A token can be sent in a header and hides itself."""
    parsed = parse_token(data, where="fuzz")
    assert parsed.value.isascii()
    assert not set(parsed.value) & set(" \r\n\t")
    assert len(parsed.value) < 12 or parsed.value not in repr(parsed)
    assert parsed.lifetime >= 60


def redirect(data: bytes) -> None:
    """A redirect leads to a web address, and is shown without secrets."""
    url = parse_url(text(data), base=PAGE, where="fuzz")
    check_plain(url, insecure=None, where="fuzz")
    origin_of(url)
    assert (url.scheme in ("http", "https"), url.userinfo) == (True, b"")
    assert "@" not in public_url(url).partition("//")[2].partition("/")[0]
    httpx.Request("GET", url)


def retry_after(data: bytes) -> None:
    """A wait is never negative."""
    for date in ("Thu, 01 Jan 2026 00:00:00 GMT", text(data)):
        wait = parse_retry_after({"Retry-After": text(data), "Date": date})
        assert wait is None or wait >= 0


def answer_head(data: bytes) -> None:
    """A head is read within bounds, or is none; nothing but httpx's own errors is raised."""
    reader = io.BufferedReader(io.BytesIO(b"HTTP/1.1 " + data))  # type: ignore[arg-type]
    with contextlib.suppress(httpx.TransportError):
        head = read_head(reader, "GET")  # type: ignore[arg-type]
        assert 200 <= head.status < 1000
        assert head.length is None or not head.chunked
        assert not any(b"\n" in name + value or b"\r" in name + value for name, value in head.fields)
        httpx.Response(head.status, headers=head.fields)


def shown_address(data: bytes) -> None:
    """No password is shown, however badly an address is written; and NO_PROXY is any text."""
    for address in (f"https://ann:s3cret{text(data)}@r.example/x", f"https://ann:s3cret@{text(data)}"):
        shown = public_url(address)
        assert "s3cret" not in shown
        assert "\n" not in shown
        with contextlib.suppress(SpinCacheError):
            assert "s3cret" not in public_url(parse_url(address, where="fuzz"))
        with contextlib.suppress(SpinCacheError):
            assert "s3cret" not in repr(Proxy.parse(address))
    is_exempt("r.example", "443", text(data))
    is_exempt("fd00::1", "443", text(data))


def history_line(data: bytes) -> None:
    """A line is a pull, which writes and reads back, or nothing; it never raises."""
    try:
        record = PullRecord.parse(data)
    except SpinCacheError as exc:
        raise AssertionError("PullRecord.parse must not raise") from exc
    assert record is None or PullRecord.parse(record.to_line()) == record


def credentials(data: bytes) -> None:
    """No store's secret appears in what is raised or shown."""
    document = parse_object(data, where="fuzz", error=FormatError, what="a credential store")
    for owner in ("Spin", "Docker", "Podman"):
        try:
            said = repr(choose(Wanted("r.example", "org/app"), document, owner, "fuzz"))
        except SpinCacheError as exc:
            said = str(exc) + repr(exc)
        assert "secret" not in said
    with contextlib.suppress(SpinCacheError):
        assert "secret" not in repr(as_credentials((str(document.get("user")), "secret")))


_JSON = ("spin_lock_version", "components", "source", "digest", "inline", "files", "path", "dependencies")
_OCI = ("schemaVersion", "mediaType", "config", "layers", "manifests", "digest", "size", "annotations")
_OCI += ("platform", "os", "architecture", "urls", *seeds.MEDIA_TYPES)
_STORE = ("auths", "credHelpers", "credsStore", "auth", "identitytoken", "r.example", "https://r.example/v1/")
_PULL = ("at", "cache", "reference", "manifest_digest", "index_digest", "fetch_bytes", "seconds")
_WORDS = ("Bearer", "Basic", "realm", "service", "scope", "=", '"', ",", " ", "\\", "https://a.example", "\n")
_LINK = ("<", ">", ";", "rel", "=", '"', "next", ",", " ", "/v2/", "?", "https://", "\t")
_TOML = ("spin_manifest_version = 2\n", "[component.a]\n", "source", " = ", "{", "}", "[", "]", '"', "\n")
_TOML += ("dependencies", "url", "digest", "package", "version", "trigger", ".", "a:b/c@1.0.0", "profile")

TARGETS = (
    Target("reference", reference, "text", seeds.REFERENCES, (":", "/", "@", ".", "-", "_", "sha256:", "a")),
    Target(
        "password",
        password,
        "text",
        seeds.REFERENCES,
        ("@", "/", "?", "#", " ", ":", "://", "%40", "@sha256:"),
    ),
    Target("digest", digest, "text", seeds.DIGESTS, ("sha256:", "sha512:", "0" * 64, "A", "\n")),
    Target("manifest", manifest, "json", seeds.MANIFESTS, _OCI),
    Target("locked app", locked_app, "json", seeds.LOCKED_APPS, (*_JSON, "trigger_dependencies", "metadata")),
    Target("spin.toml", spin_toml, "text", seeds.SPIN_TOMLS, _TOML),
    Target("environment lock", environment_lock, "json", seeds.LOCKS, ("package", "r.example", "a:b@1.0.0")),
    Target("archive", archive, "tar", seeds.ARCHIVES),
    Target("layout", layout, "tar", seeds.LAYOUTS),
    Target("challenge", challenge, "text", seeds.CHALLENGES, _WORDS),
    Target("link", link, "text", seeds.LINKS, _LINK),
    Target("tag page", tag_page, "json", seeds.TAG_PAGES, ("name", "tags")),
    Target("token", token, "json", seeds.TOKENS, ("token", "access_token", "expires_in", "issued_at")),
    Target(
        "redirect", redirect, "text", seeds.REDIRECTS, ("https:", "//", "/", "..", "@", "[::1]", "%", "?")
    ),
    Target("retry-after", retry_after, "text", seeds.RETRY_AFTERS, ("GMT", "Jan", "2026", ":", "1", " ")),
    Target(
        "answer head",
        answer_head,
        "text",
        seeds.HEADS,
        ("\r\n", ":", " ", "200", "Content-Length", "chunked"),
    ),
    Target("shown address", shown_address, "text", seeds.REDIRECTS, ("@", ":", "/", "#", "?", "\\", "[")),
    Target("history line", history_line, "json", seeds.HISTORY_LINES, _PULL),
    Target("credentials", credentials, "json", seeds.STORES, _STORE),
)
BY_NAME = {target.name: target for target in TARGETS}


class Hang(Exception):
    """A case took more processor time than it may."""


def call(target: Target, data: bytes) -> None:
    """Run one case; whatever is no `SpinCacheError` comes through. Its message must be one short line."""
    message = ""
    try:
        target.run(data)
    except SpinCacheError as exc:
        message = str(exc)
    assert "\n" not in message
    assert len(message) < 2000


@contextlib.contextmanager
def guarded() -> Iterator[Callable[[], None]]:
    """Bound memory and time of what runs inside; gives a function to be called before each case.

    Time is the processor's, so that a busy machine makes nobody fail.
    """

    def on_time(signum: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {CPU_SECONDS} s of processor time")

    def rearm() -> None:
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)

    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGPROF, on_time)
    with open("/proc/self/statm", encoding="ascii") as status:  # noqa: PTH123 - no file of ours
        used = int(status.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + EXTRA_BYTES, before[1]))
    try:
        yield rearm
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()
