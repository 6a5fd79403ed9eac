"""A password and a token go to their registry and its token service, and appear nowhere else at all."""

import base64
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import httpx
import pytest

from spincache_nb import Cache, History, cli, frames, plan_pull, pull
from spincache_nb.errors import SpinCacheError
from tests.core.clients import blob_of, errors_page, mock_client, quick_client, ref
from tests.faults.places import small_app
from tests.support.behaviours import Redirect, Reply, challenge, error, json_reply
from tests.support.hostile import HostileServer
from tests.support.registry_server import RegistryServer
from tests.support.token_service import TokenService

PASSWORD = "p4ssw0rd-of-ann"
TOKEN = "t0ken-of-ann"
REFRESH = "r3fresh-of-ann"
BASIC = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, TOKEN, REFRESH, BASIC, BASIC.rstrip("="))
Start = Callable[..., HostileServer]


@pytest.fixture
def everything_said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """All that any logger says from DEBUG up, libraries included, as text."""
    names = ("", "httpx", "httpcore", "spincache_nb", "spincache_nb.core")
    levels = {name: logging.getLogger(name).level for name in names}
    with caplog.at_level(logging.DEBUG):
        for name in names:
            logging.getLogger(name).setLevel(logging.DEBUG)
        yield lambda: caplog.text + "".join(repr(vars(record)) for record in caplog.records)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def shown(exc: BaseException) -> str:
    """All that an error can show: its text, repr, parts, pickle and traceback with all causes."""
    text = "".join(traceback.format_exception(exc))
    return text + str(exc) + repr(exc) + repr(vars(exc)) + repr(pickle.dumps(exc)) + str(exc.args)


def assert_no_secret(*texts: str) -> None:
    for text in texts:
        assert not [secret for secret in SECRETS if secret in text]


def log_in(home: Path, registry: str) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker/config.json").write_text(json.dumps({"auths": {registry: {"auth": BASIC}}}))


def as_own_token_service(server: HostileServer, answer: Reply) -> None:
    server.always("/token", answer)
    server.require(f"Bearer {TOKEN}", f'Bearer realm="{server.url}/token",service="s"')


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_pull_shows_no_secret(
    hostile: HostileServer,
    isolated_home: Path,
    tmp_path: Path,
    scheme: str,
    everything_said: Callable[[], str],
) -> None:
    """Nothing that a pull leaves, says or gives holds the password that opened the registry."""
    app = small_app(1)
    hostile.serve(app)
    log_in(isolated_home, hostile.name)
    if scheme == "Basic":
        hostile.require(f"Basic {BASIC}", 'Basic realm="x"')
    else:
        as_own_token_service(hostile, json_reply({"token": TOKEN, "refresh_token": REFRESH}))
    cache = Cache(tmp_path)
    reference = app.reference(hostile.name)
    plan, result = plan_pull(cache, reference), pull(cache, reference)
    texts = [repr(plan), str(plan), plan._repr_html_(), repr(result), str(result), result._repr_html_()]
    texts += [repr(vars(History())), frames.history().to_csv(), frames.apps(cache).to_csv()]
    places = [*tmp_path.rglob("*"), *(isolated_home / ".local").rglob("*")]
    texts += [path.read_bytes().decode("latin-1") for path in places if path.is_file()]
    assert len(frames.history()) == 1
    assert_no_secret(everything_said(), *texts)
    assert any(BASIC in value for value in hostile.authorizations)


def test_pull_from_real_servers_shows_no_secret(
    basic_registry: RegistryServer,
    token_registry: RegistryServer,
    token_service: TokenService,
    tmp_path: Path,
    everything_said: Callable[[], str],
) -> None:
    for number, registry in enumerate((basic_registry, token_registry)):
        app = small_app(1, repository="security/app")
        registry.push(app)
        user, password = next((u, p) for u, p in registry.users.items() if u != "pusher")
        result = pull(Cache(tmp_path / str(number)), app.reference(registry.name), auth=(user, password))
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        said = everything_said() + repr(result) + frames.history().to_csv()
        assert password not in said
        assert pair not in said
        assert "eyJ" not in said  # as each JWT begins


ANSWERS = {
    "401 again": challenge('Basic realm="x"'),
    "403 that repeats": error(403, "DENIED", f"{PASSWORD} {BASIC} is wrong"),
    "404 that repeats": error(404, "NAME_UNKNOWN", PASSWORD),
    "500 that repeats": Reply(418, f"you sent {BASIC}, {TOKEN}".encode()),
    "a redirect with it": Redirect(f"ftp://ann:{PASSWORD}@h.example/{TOKEN}?{REFRESH}"),
    "headers with it": Reply(200, b"{}", (("Docker-Content-Digest", "x"), ("X-Echo", BASIC))),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("at", ["manifest", "blob", "token"])
def test_refused_pull_shows_no_secret(
    hostile: HostileServer,
    isolated_home: Path,
    tmp_path: Path,
    at: str,
    answer: Reply,
    everything_said: Callable[[], str],
) -> None:
    """Servers may repeat what they were sent; errors, logs and the command line do not."""
    app = small_app(1)
    hostile.serve(app)
    log_in(isolated_home, hostile.name)
    hostile.always({"manifest": "*/manifests/*", "blob": "*/blobs/*", "token": "/token"}[at], answer)
    as_own_token_service(hostile, json_reply({"token": TOKEN}))
    with pytest.raises(SpinCacheError) as caught:
        pull(Cache(tmp_path), app.reference(hostile.name))
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        assert cli.main(["pull", app.reference(hostile.name), "--cache-dir", str(tmp_path)]) == 3
    assert_no_secret(everything_said(), shown(caught.value), out.getvalue(), err.getvalue())


def test_damaged_store_shows_nothing_of_itself(
    hostile: HostileServer, isolated_home: Path, tmp_path: Path, everything_said: Callable[[], str]
) -> None:
    hostile.require("nothing", 'Basic realm="x"')
    (isolated_home / ".docker").mkdir()
    stores = ('{"auths": {"%s": {"auth": "%s"}', '{"auths": {"%s": "%s"}}', '{"%s": "%s"} trailing', "%s %s")
    for text in stores:
        (isolated_home / ".docker/config.json").write_text(text % (hostile.name, PASSWORD))
        with pytest.raises(SpinCacheError) as caught:
            pull(Cache(tmp_path), f"{hostile.name}/a/b:c")
        assert_no_secret(everything_said(), shown(caught.value))


def test_secret_in_a_reference_is_not_repeated(tmp_path: Path) -> None:
    for text in (f"https://ann:{PASSWORD}@r.example/a/b", f"http://ann:{PASSWORD}@r.example/a"):
        with pytest.raises(SpinCacheError) as caught:
            pull(Cache(tmp_path), text)
        assert_no_secret(shown(caught.value).replace(repr(text), ""))
        assert_no_secret(str(caught.value))


def echoing(request: httpx.Request) -> str:
    """What a server can tell of a request, which is everything."""
    return (
        f"{request.method} {request.url} {dict(request.headers)} {request.read().decode()} {PASSWORD} {TOKEN}"
    )


class Everything:
    def __init__(self, status: int, at: str, challenge: str) -> None:
        self.status = status
        self.at = at
        self.challenge = challenge

    def __call__(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if host == self.at and (host != "r.example" or "Authorization" in request.headers):
            headers = {"WWW-Authenticate": self.challenge, "X-Echo": "x"}
            return httpx.Response(
                self.status, content=errors_page(echoing(request), echoing(request)), headers=headers
            )
        if host == "auth.example":
            return httpx.Response(200, json={"token": TOKEN, "refresh_token": REFRESH})
        if host == "s.example":
            return httpx.Response(200, content=b"data")
        if "Authorization" not in request.headers:
            return httpx.Response(401, headers={"WWW-Authenticate": self.challenge})
        return httpx.Response(307, headers={"Location": f"https://u:{PASSWORD}@s.example/x?{REFRESH}"})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 503, 200, 307])
@pytest.mark.parametrize("at", ["r.example", "auth.example", "s.example", "nowhere"])
@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
@pytest.mark.parametrize("identity", [False, True])
def test_no_error_and_no_log_holds_a_secret(
    everything_said: Callable[[], str], status: int, at: str, scheme: str, identity: bool
) -> None:
    realm = (
        f"https://ann:{PASSWORD}@auth.example/token?key={REFRESH}" if scheme == "Bearer" else "the registry"
    )
    handler = Everything(status, at, f'{scheme} realm="{realm}",service="s"')
    auth = ("<token>", REFRESH) if identity else ("ann", PASSWORD)
    with mock_client(handler, auth=auth) as client:
        for work in (
            lambda: client.fetch_manifest(ref("r.example/a/b:c")),
            lambda: list(client.stream_blob(ref("r.example/a/b:c"), blob_of(b"data"))),
        ):
            try:
                work()
            except SpinCacheError as exc:
                assert_no_secret(shown(exc))
        assert_no_secret(repr(client) + repr(vars(client)) + repr(vars(client._web)))
    assert_no_secret(everything_said())


def test_log_tells_what_was_asked_without_signatures(
    everything_said: Callable[[], str], start_hostile: Start
) -> None:
    registry, storage = start_hostile(), start_hostile("127.0.0.2")
    registry.always("*", Redirect(f"{storage.url}/s?{REFRESH}"))
    storage.content("/s", b"data")
    with quick_client() as client:
        list(client.stream_blob(ref(f"{registry.name}/org/app:v1"), blob_of(b"data")))
    assert f"GET {storage.url}/s?...: 200" in everything_said()
    assert_no_secret(everything_said())


def test_redirect_takes_no_credentials_along(
    start_hostile: Start, isolated_home: Path, tmp_path: Path
) -> None:
    """Manifests and blobs may be elsewhere: another host, or another port of the same host."""
    app = small_app(1)
    own, port, host = start_hostile(), start_hostile(), start_hostile("127.0.0.2")
    for server in (own, port, host):
        server.serve(app)
    log_in(isolated_home, own.name)
    own.require(f"Basic {BASIC}", 'Basic realm="x"')
    own.always("*/manifests/*", Redirect(lambda request: f"{port.url}{request.target}"))
    own.always("*/blobs/*", Redirect(lambda request: f"{host.url}{request.target}"))
    pull(Cache(tmp_path), app.reference(own.name))
    assert port.requests
    assert host.requests
    assert port.authorizations == host.authorizations == []
    for server in (port, host):
        assert_no_secret(repr([(r.target, r.headers, r.body) for r in server.requests]))


def test_credentials_of_one_registry_open_no_other(start_hostile: Start, isolated_home: Path) -> None:
    own, other = start_hostile(), start_hostile()
    log_in(isolated_home, own.name)
    other.require(f"Basic {BASIC}", 'Basic realm="x"')
    with pytest.raises(SpinCacheError):
        plan_pull(Cache("/nonexistent"), f"{other.name}/a/b:v1")
    assert other.authorizations == []


def test_password_goes_to_a_token_service_that_the_registry_names_and_no_further(
    start_hostile: Start, isolated_home: Path, tmp_path: Path
) -> None:
    app = small_app(1)
    own, service, stranger = start_hostile(), start_hostile(), start_hostile("127.0.0.2")
    own.serve(app)
    log_in(isolated_home, own.name)
    own.require(f"Bearer {TOKEN}", f'Bearer realm="{service.url}/token",service="s"')
    service.on("/token", Redirect(f"{stranger.url}/token"))
    service.always("/token", json_reply({"token": TOKEN}))
    stranger.always("/token", json_reply({"token": "of-a-stranger"}))
    with pytest.raises(SpinCacheError):
        pull(Cache(tmp_path), app.reference(own.name))
    pull(Cache(tmp_path), app.reference(own.name))
    assert set(service.authorizations) == {f"Basic {BASIC}"}
    assert stranger.authorizations == []
    assert all(BASIC not in value for value in own.authorizations)


def test_credentials_never_go_over_plain_http_unless_asked() -> None:
    seen: list[tuple[str, str | None]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.scheme, request.headers.get("Authorization")))
        return httpx.Response(401, headers={"WWW-Authenticate": "Basic realm=x"})

    for insecure in (None, False, True):
        client = mock_client(handler, auth=("ann", PASSWORD), insecure=insecure)
        with client, pytest.raises(SpinCacheError):
            client.fetch_manifest(ref("r.example/a/b:c"))
    plain = [authorization for scheme, authorization in seen if scheme == "http"]
    assert [scheme for scheme, _ in seen] == ["https"] * 4 + ["http"] * 2
    assert plain == [None, f"Basic {BASIC}"]
