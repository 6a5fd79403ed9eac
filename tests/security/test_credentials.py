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

import pytest

from spincache_nb import Cache, History, cli, frames, plan_pull, pull
from spincache_nb.errors import SpinCacheError
from tests.core.clients import blob_of, quick_client, ref
from tests.faults.places import small_app
from tests.support.behaviours import Redirect, Reply, challenge, error, json_reply
from tests.support.hostile import HostileServer

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


def log_in(home: Path, registry: str, *, identity: bool = False) -> None:
    held = {"identitytoken": REFRESH} if identity else {"auth": BASIC}
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker/config.json").write_text(json.dumps({"auths": {registry: held}}))


def as_own_token_service(server: HostileServer, answer: Reply) -> None:
    server.always("/token", answer)
    realm = f"http://ann:{PASSWORD}@{server.name}/token?key={REFRESH}"
    server.require(f"Bearer {TOKEN}", f'Bearer realm="{realm}",service="s"')


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


EVERYTHING = f"{PASSWORD} {BASIC} {TOKEN} {REFRESH}"
ANSWERS = {
    "200 that repeats": json_reply({"token": EVERYTHING, "mediaType": EVERYTHING}),
    "400 that repeats": error(400, EVERYTHING, EVERYTHING),
    "401 again": challenge('Basic realm="x"'),
    "403 that repeats": error(403, "DENIED", f"{EVERYTHING} is wrong"),
    "404 that repeats": error(404, "NAME_UNKNOWN", EVERYTHING),
    "418 that repeats": Reply(418, f"you sent {EVERYTHING}".encode()),
    "a redirect with it": Redirect(f"ftp://ann:{PASSWORD}@h.example/{TOKEN}?{REFRESH}"),
    "headers with it": Reply(200, b"{}", (("Docker-Content-Digest", "x"), ("X-Echo", EVERYTHING))),
}
PLACES = {"manifest": "*/manifests/*", "blob": "*/blobs/*", "token": "/token", "storage": "/s"}


@pytest.mark.parametrize("identity", [False, True], ids=["password", "identity token"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("at", PLACES)
def test_refused_pull_shows_no_secret(
    hostile: HostileServer,
    isolated_home: Path,
    tmp_path: Path,
    at: str,
    answer: Reply,
    identity: bool,
    everything_said: Callable[[], str],
) -> None:
    """Servers may repeat what they were sent; errors, logs and the command line do not."""
    app = small_app(1)
    hostile.serve(app)
    log_in(isolated_home, hostile.name, identity=identity)
    hostile.on(PLACES[at], *[error(503, EVERYTHING, EVERYTHING)] * (answer is ANSWERS["400 that repeats"]))
    hostile.always(PLACES[at], answer)
    if at == "storage":
        hostile.always("*/blobs/*", Redirect(f"http://u:{PASSWORD}@{hostile.name}/s?{REFRESH}"))
    as_own_token_service(hostile, json_reply({"token": TOKEN, "refresh_token": REFRESH}))
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
