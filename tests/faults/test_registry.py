"""What a bad registry does to a pull: it goes well all the same, or there is one clear error."""

import base64
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from spincache_nb import Cache, History, plan_pull, pull
from spincache_nb.core.fetching import Options
from spincache_nb.core.plans import PullResult
from spincache_nb.core.pull import pull_from
from spincache_nb.core.reference import Reference
from spincache_nb.core.settings import RetryPolicy, Timeouts
from spincache_nb.errors import NotFoundError, SpinCacheError
from tests.core.clients import quick_client
from tests.faults import judge
from tests.faults.places import small_app
from tests.faults.table import record
from tests.support.artifact import APPLICATION, ARCHIVE, IMAGE_CONFIG, WASM, Artifact
from tests.support.behaviours import Behaviour, Call, Redirect, challenge, json_reply, later
from tests.support.faults import (
    Cut,
    Drip,
    Drop,
    Gzipped,
    HangUp,
    IgnoreRange,
    Relabel,
    Stall,
    Truncated,
    WrongBytes,
    WrongLength,
    WrongRange,
)
from tests.support.hostile import HostileServer

OFF = History(enabled=False)
PASSWORD = "the-password-of-ann"
BASIC = "Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
LONGEST_SECONDS = 15.0
TIMES = Timeouts(connect=2.0, read=0.3, stall=1.0, stall_bytes=4096)
RETRIES = RetryPolicy(attempts=4, first_wait=0.001, longest_wait=0.005, longest_retry_after=1.0)
Start = Callable[..., HostileServer]


def patient_pull(folder: Path, reference: str) -> PullResult:
    """Pull with the waits of a test, and with a password for whoever asks."""
    client = quick_client(auth=("ann", PASSWORD), timeouts=TIMES, retries=RETRIES)
    return pull_from(Cache(folder), client, [Reference.parse(reference)], Options(history=OFF))[0]


@pytest.fixture
def server(hostile: HostileServer) -> HostileServer:
    """A registry that wants a password, with two versions of the small app."""
    hostile.serve(small_app(1), small_app(2))
    hostile.require(BASIC, 'Basic realm="x"')
    return hostile


@pytest.fixture
def older(server: HostileServer, tmp_path: Path) -> Path:
    """A cache that has version 1."""
    folder = tmp_path / "older"
    patient_pull(folder, small_app(1).reference(server.name))
    return folder


def suffer(folder: Path, server: HostileServer, app: Artifact) -> str:
    """Pull while the fault lasts, end it, pull again; what the first pull raised."""
    reference = app.reference(server.name)
    before = judge.whole_blobs(folder)
    failure: SpinCacheError | None = None
    started = time.monotonic()
    try:
        patient_pull(folder, reference)
    except SpinCacheError as exc:
        failure = exc
    assert time.monotonic() - started < LONGEST_SECONDS
    if failure is not None:
        assert not [text for text in ("\n", PASSWORD, BASIC) if text in str(failure)]
        assert not (folder / "registry/manifests" / reference.replace(":v2", "/v2")).exists()
    judge.assert_whole(folder)
    assert judge.bytes_lost(before, judge.whole_blobs(folder)) == 0
    server.be_honest()
    patient_pull(folder, reference)
    assert judge.faults_of(folder) == []
    return "none" if failure is None else type(failure).__name__


def path_of(app: Artifact, part: str) -> str:
    """Pattern of the request for a part of an app that version 1 has not."""
    if part == "manifest":
        return f"*/manifests/{app.tag}"
    wanted = {"config": IMAGE_CONFIG, "locked app": APPLICATION, "archive": ARCHIVE, "wasm": WASM}[part]
    for one in [app.document["config"], *app.layers]:
        if one["mediaType"] == wanted:
            return f"*/blobs/{one['digest']}"
    raise AssertionError(part)


PARTS = ("manifest", "config", "locked app", "wasm", "archive")
FAILED, STATUS = "ConnectionFailedError", "StatusError"
DIGEST, SIZE, PROTOCOL = "DigestMismatchError", "SizeMismatchError", "ProtocolError"


@dataclass(frozen=True)
class Fault:
    """What the server does, request by request, the last for ever if `lasting`; and what a pull may raise."""

    kind: str
    outcome: str
    behaviours: tuple[Behaviour, ...]
    raised: frozenset[str]
    lasting: bool = False


def passing(kind: str, *behaviours: Behaviour) -> Fault:
    return Fault(kind, "it goes well", behaviours, frozenset({"none"}))


def lasting(kind: str, behaviour: Behaviour, *raised: str) -> Fault:
    shown = " or ".join(f"`{name}`" for name in raised if name != "none")
    outcome = f"one {shown}" if shown else "it goes well"
    outcome += ", or it goes well" if shown and "none" in raised else ""
    return Fault(kind, outcome, (behaviour,), frozenset(raised), lasting=True)


FAULTS = (
    passing("stalls once: no head, or half a body", Stall(None, 5), Stall(40, 5)),
    lasting("stalls for ever, without a head", Stall(None, 5), FAILED),
    lasting("stalls for ever, after each head", Stall(0, 5), FAILED),
    lasting("drips a few bytes at a time", Drip(200, 0.002), "none"),
    passing("cuts a body, twice", Cut(30), Cut(90, reset=True)),
    lasting("cuts every body at the same byte", Cut(50), FAILED, "none"),
    passing("hangs up without an answer, twice", Drop(), Drop(reset=True)),
    lasting("never answers and hangs up", Drop(), FAILED),
    lasting("closes each connection that it said it would keep", HangUp(), "none"),
    lasting("sends fewer bytes than there are, and says so", Truncated(3), SIZE, DIGEST),
    lasting("sends more bytes than there are, and says so", Truncated(-3), SIZE, DIGEST),
    lasting("lies about Content-Length: too large", WrongLength(9), FAILED, SIZE, DIGEST),
    lasting("lies about Content-Length: too small", WrongLength(-9), SIZE, DIGEST),
    lasting("sends the wrong bytes", WrongBytes(), DIGEST),
    lasting("compresses what nobody asked to be compressed", Gzipped(), "none"),
    lasting(
        "names another digest in its header", Relabel({"Docker-Content-Digest": "sha256:" + "0" * 64}), DIGEST
    ),
    lasting("has no digest in its header", Relabel({"Docker-Content-Digest": None}), "none"),
    lasting("has nonsense in its digest header", Relabel({"Docker-Content-Digest": "../../etc"}), PROTOCOL),
    lasting("redirects in a loop", Redirect(lambda request: request.target), PROTOCOL),
    lasting("redirects to a file on this machine", Redirect("file:///etc/passwd"), PROTOCOL),
    lasting("redirects to an address that is none", Redirect("//[::%0\xff]4/x"), PROTOCOL),
    passing("answers 503, 502 and 500, once each", later(503), later(502), later(500)),
    passing("answers 429 with Retry-After, once", later(429, 1)),
    lasting("answers 503 for ever", later(503), STATUS),
    lasting("answers 429 for ever, Retry-After of an hour", later(429, 3600), STATUS),
    passing("ignores Range after a break", Cut(30), IgnoreRange()),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind.replace(" ", "-"))
def test_registry_that(fault: Fault, server: HostileServer, older: Path, tmp_path: Path) -> None:
    """Each part of an app meets the fault: manifest, config, locked app, wasm, archive."""
    app = small_app(2)
    waits = "for ever" in fault.kind and ("429" in fault.kind or "stalls" in fault.kind)
    parts = ("manifest", "wasm") if waits else PARTS
    for part in parts:
        work = tmp_path / part
        shutil.copytree(older, work)
        if fault.lasting:
            server.always(path_of(app, part), fault.behaviours[0])
        else:
            server.on(path_of(app, part), *fault.behaviours)
        assert suffer(work, server, app) in fault.raised, part
    record(f"a registry that {fault.kind}", fault.outcome, len(parts))


def test_registry_that_drops_every_third_connection(older: Path, start_hostile: Start) -> None:
    server = start_hostile(drop_every=3)
    app = small_app(2)
    server.serve(app)
    server.always("*", HangUp())  # so that there are many connections
    assert suffer(older, server, app) == "none"
    record("a registry that drops every third connection", "it goes well")


def test_wrong_range_after_a_break(server: HostileServer, older: Path) -> None:
    server.on(path_of(small_app(2), "wasm"), Cut(50), WrongRange())
    assert suffer(older, server, small_app(2)) == PROTOCOL
    record("a registry that answers a range request with another range", "one `ProtocolError`")


def test_tag_that_moves_between_plan_and_pull(hostile: HostileServer, tmp_path: Path) -> None:
    old, new = small_app(1).located(tag="latest"), small_app(2).located(tag="latest")
    reference = old.reference(hostile.name)
    hostile.serve(old)
    plan = plan_pull(Cache(tmp_path), reference)
    hostile.serve(new)
    result = pull(Cache(tmp_path), reference, history=OFF)
    assert (plan.manifest_digest, result.manifest_digest) == (old.digest, new.digest)
    assert judge.faults_of(tmp_path) == []
    record("a tag that moves between plan and pull", "the new app; the result names its digest")


@dataclass
class Move:
    """Answers honestly, then serves another app under the same tag."""

    server: HostileServer
    other: Artifact

    def answer(self, call: Call) -> bool:
        stays = call.honest().answer(call)
        self.server.serve(self.other)
        return stays


@pytest.mark.parametrize("lost", [False, True], ids=["blobs stay", "blobs go"])
def test_tag_that_moves_in_the_middle_of_a_pull(hostile: HostileServer, tmp_path: Path, lost: bool) -> None:
    old, new = small_app(1).located(tag="latest"), small_app(2).located(tag="latest")
    reference = old.reference(hostile.name)
    hostile.serve(old)
    hostile.on("*/manifests/latest", Move(hostile, new))
    if lost:
        for path in {path_of(old, part) for part in ("wasm", "archive")} - {path_of(new, "wasm")}:
            hostile.always(path, later(404))
        with pytest.raises(NotFoundError):
            pull(Cache(tmp_path), reference, history=OFF)
        assert not list(tmp_path.rglob("manifest.json"))
    else:
        assert pull(Cache(tmp_path), reference, history=OFF).manifest_digest == old.digest
        stored = next(tmp_path.rglob("manifest.json"))
        assert stored.read_bytes() == old.manifest
    assert judge.faults_of(tmp_path) == []
    hostile.be_honest()
    assert pull(Cache(tmp_path), reference, history=OFF).manifest_digest == new.digest
    assert judge.faults_of(tmp_path) == []
    outcome = "one `NotFoundError`" if lost else "the app whose manifest was served"
    what = ", its old blobs gone" if lost else ""
    record(f"a tag that moves in the middle of a pull{what}", outcome)


@dataclass
class Tokens:
    """A token service in the registry itself, whose tokens can be made to expire."""

    server: HostileServer
    issued: int = 0
    valid: int = 0

    def answer(self, call: Call) -> bool:
        self.issued += 1
        self.valid = self.issued
        return json_reply({"token": f"token-{self.issued}", "expires_in": 300}).answer(call)

    def accepts(self, request: object) -> bool:
        return getattr(request, "authorization", None) == f"Bearer token-{self.valid}"


@dataclass
class Expire:
    """Refuses once, and every token that was issued so far from then on."""

    tokens: Tokens
    challenge: str

    def answer(self, call: Call) -> bool:
        self.tokens.valid = -1
        return challenge(self.challenge).answer(call)


def test_token_that_expires_in_the_middle_of_a_pull(hostile: HostileServer, tmp_path: Path) -> None:
    app = small_app(2)
    hostile.serve(app)
    tokens = Tokens(hostile)
    wanted = f'Bearer realm="{hostile.url}/token",service="s"'
    hostile.always("/token", tokens)
    hostile.require(tokens.accepts, wanted)
    for part in ("locked app", "archive"):
        hostile.on(path_of(app, part), Expire(tokens, wanted))
    patient_pull(tmp_path, app.reference(hostile.name))
    assert judge.faults_of(tmp_path) == []
    assert 2 <= tokens.issued <= 5
    record("a token that expires in the middle of a pull, twice", "it goes well; one new token each")


def test_token_service_that_fails(hostile: HostileServer, tmp_path: Path) -> None:
    app = small_app(2)
    hostile.serve(app)
    hostile.require("nothing", f'Bearer realm="{hostile.url}/token",service="s"')
    answers = (
        (json_reply({}), PROTOCOL),
        (json_reply({"token": "a\nb"}), PROTOCOL),
        (json_reply([1]), PROTOCOL),
        (json_reply({"token": "x", "expires_in": 10**400}), "AccessDeniedError"),
        (later(503), STATUS),
        (challenge(), "AccessDeniedError"),
        (Drop(), FAILED),
        (Stall(None, 5), FAILED),
    )
    for answer, expected in answers:
        hostile.always("/token", answer)
        with pytest.raises(SpinCacheError) as caught:
            patient_pull(tmp_path, app.reference(hostile.name))
        assert type(caught.value).__name__ == expected, answer
        hostile.be_honest()
    assert judge.files(tmp_path) == []
    record("a token service that fails or answers nonsense", "one error that names it", len(answers))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_blobs_on_another_host_get_no_credentials(
    server: HostileServer, start_hostile: Start, older: Path, status: int
) -> None:
    app = small_app(2)
    storage = start_hostile("127.0.0.2")
    storage.serve(app)
    server.always(
        "*/blobs/*", Redirect(lambda request: f"{storage.url}{request.target}?X-Signature=s", status)
    )
    storage.on("*/blobs/*", Cut(20), later(503))
    assert suffer(older, server, app) == "none"
    assert storage.requests
    assert storage.authorizations == []
    assert BASIC in server.authorizations
    record(
        "blobs that are redirected to another host, which fails twice",
        "it goes well; no credentials go there",
    )


def test_other_host_that_refuses(server: HostileServer, start_hostile: Start, older: Path) -> None:
    storage = start_hostile("127.0.0.2")
    storage.require("nothing", 'Basic realm="give me the password"')
    server.always("*/blobs/*", Redirect(lambda request: f"{storage.url}{request.target}"))
    assert suffer(older, server, small_app(2)) == "AccessDeniedError"
    assert storage.authorizations == []
    record("blobs on another host that asks for a password", "one `AccessDeniedError`; it gets none")
