"""Credentials: which store wins, what each form means, and that no secret is ever shown."""

import base64
import json
import logging
import os
import pickle
import pprint
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.core.credentials import (
    Credentials,
    CredentialSearch,
    Wanted,
    as_credentials,
    choose,
    normalise_host,
    search_credentials,
)
from spincache_nb.errors import CredentialsError
from tests.support.procs import call

SECRET = "hunter2"
TOKEN = "refresh-me"

# base64 by coreutils: printf 'ann:hunter2' | base64
ANN = "YW5uOmh1bnRlcjI="
BOB = "Ym9iOnBhOnNz"  # bob:pa:ss, no padding needed
CLEO = "Y2xlbzp4eA"  # cleo:xx, padding left out


def encode(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


class Stores:
    """The credential stores of one made-up user."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ = {
            "HOME": str(home),
            "PATH": f"{home / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "XDG_RUNTIME_DIR": str(home / "run"),
        }
        (home / "bin").mkdir(parents=True)

    def write(self, name: str, content: object) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    def spin(self, content: object) -> Path:
        return self.write(".config/fermyon/registry-auth.json", content)

    def docker(self, content: object) -> Path:
        return self.write(".docker/config.json", content)

    def podman(self, content: object) -> Path:
        return self.write("run/containers/auth.json", content)

    def podman_config(self, content: object) -> Path:
        return self.write(".config/containers/auth.json", content)

    def helper(self, name: str, code: str) -> Path:
        """A credential helper: Python code that is given `server`, the text on its standard input."""
        body = f"#!{sys.executable} -IS\nimport sys\nserver = sys.stdin.read()\n{code}\n"
        path = self.write(f"bin/docker-credential-{name}", body)
        path.chmod(0o755)
        return path

    def answering(self, name: str, answers: dict[str, tuple[str, str]]) -> Path:
        """A helper that knows some servers and says of others what all helpers say."""
        return self.helper(
            name,
            f"answers = {answers!r}\n"
            "import json\n"
            "assert sys.argv[1:] == ['get']\n"
            "if server not in answers:\n"
            "    print('credentials not found in native keychain')\n"
            "    sys.exit(1)\n"
            "user, secret = answers[server]\n"
            "print(json.dumps({'ServerURL': server, 'Username': user, 'Secret': secret}))",
        )

    def search(
        self, host: str = "ghcr.io", repository: str | None = None, **options: Any
    ) -> CredentialSearch:
        return search_credentials(host, repository, system="linux", environ=self.environ, **options)

    def pair(self, host: str = "ghcr.io", repository: str | None = None) -> tuple[str, str] | str | None:
        """User and password, or the identity token, or None; and no complaint."""
        search = self.search(host, repository)
        assert search.notes == ()
        found = search.credentials
        if found is None:
            return None
        return found.identity_token or found.registry_token or (found.username, found.password)


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path / "home")


def test_search_goes_through_the_stores_in_order(stores: Stores) -> None:
    files = [
        stores.spin({"auths": {"ghcr.io": encode("spin", "1")}}),
        stores.docker({"auths": {"ghcr.io": {"auth": encode("docker", "2")}}}),
        stores.podman({"auths": {"ghcr.io": {"auth": encode("podman", "3")}}}),
        stores.podman_config({"auths": {"ghcr.io": {"auth": encode("config", "4")}}}),
    ]
    found = []
    for path in files:
        credentials = stores.search().credentials
        assert credentials is not None
        assert credentials.source == str(path)
        found.append((credentials.username, credentials.password))
        path.unlink()
    assert found == [("spin", "1"), ("docker", "2"), ("podman", "3"), ("config", "4")]
    assert stores.search() == CredentialSearch(None, ())


def test_docker_auth_config_holds_the_json_itself(stores: Stores) -> None:
    """Set by GitLab and by docker for jobs of a CI; it goes before Docker's file, and after Spin's."""
    stores.docker({"auths": {"ghcr.io": {"auth": BOB}}})
    stores.environ["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {"ghcr.io": {"auth": ANN}}})
    assert stores.pair() == ("ann", SECRET)
    stores.environ["DOCKER_AUTH_CONFIG"] = f'{{"auths": {{"ghcr.io": "{ANN}'
    search = stores.search()
    assert search.credentials == Credentials("bob", "pa:ss")
    assert ANN not in search.notes[0]
    assert search.notes[0].startswith("DOCKER_AUTH_CONFIG: ")
    stores.spin({"auths": {"ghcr.io": encode("spin", "1")}})
    assert stores.pair() == ("spin", "1")


@pytest.mark.parametrize(
    ("variable", "value", "written"),
    [("DOCKER_CONFIG", "mine", "mine/config.json"), ("REGISTRY_AUTH_FILE", "mine.json", "mine.json")],
)
def test_variables_move_the_files(stores: Stores, variable: str, value: str, written: str) -> None:
    place = stores.docker if variable == "DOCKER_CONFIG" else stores.podman
    place({"auths": {"ghcr.io": {"auth": ANN}}})
    stores.write(written, {"auths": {"ghcr.io": {"auth": BOB}}})
    stores.environ[variable] = str(stores.home / value)
    assert stores.pair() == ("bob", "pa:ss")


def test_search_without_any_store_is_anonymous_and_creates_nothing(stores: Stores) -> None:
    before = sorted(stores.home.rglob("*"))
    assert stores.search() == CredentialSearch(None, ())
    assert sorted(stores.home.rglob("*")) == before


def test_search_without_a_home_is_anonymous() -> None:
    assert search_credentials("ghcr.io", environ={}) == CredentialSearch(None, ())


def test_search_reads_the_process_by_default(isolated_home: Path) -> None:
    assert search_credentials("ghcr.io").credentials is None
    path = isolated_home / ".docker" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"auths": {"ghcr.io": {"auth": ANN}}}))
    assert search_credentials("ghcr.io").credentials == Credentials("ann", SECRET)


@pytest.mark.parametrize(
    ("host", "key", "found"),
    [
        ("ghcr.io", "ghcr.io", True),
        ("localhost:5000", "localhost:5000", True),
        ("index.docker.io", "index.docker.io", True),
        ("docker.io", "index.docker.io", True),
        ("index.docker.io", "docker.io", False),  # Spin looks for nothing else
        ("ghcr.io", "https://ghcr.io", False),
        ("ghcr.io", "GHCR.io", False),
        ("localhost:5000", "localhost", False),
    ],
)
def test_spin_entries_are_found_by_the_exact_host(stores: Stores, host: str, key: str, found: bool) -> None:
    stores.spin({"auths": {key: ANN}})
    assert stores.pair(host) == (("ann", SECRET) if found else None)


@pytest.mark.parametrize(
    ("entry", "pair"),
    [
        (ANN, ("ann", SECRET)),
        (BOB, ("bob", "pa:ss")),
        (encode("", "only-password"), ("", "only-password")),
        (encode("only-user", ""), ("only-user", "")),
        (encode("ünï", "pässwörd 中"), ("ünï", "pässwörd 中")),
        (encode("<token>", TOKEN), TOKEN),
    ],
)
def test_spin_entries_are_base64_of_user_and_password(stores: Stores, entry: str, pair: object) -> None:
    stores.spin({"auths": {"ghcr.io": entry}})
    assert stores.pair() == pair


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "\ufeff{}",
        {"auths": []},
        {"auths": {"ghcr.io": {"auth": ANN}}},  # Docker's form
        {"auths": {"ghcr.io": 7}},
        {"auths": {"ghcr.io": CLEO}},  # Spin wants the padding
        {"auths": {"ghcr.io": "%%%"}},
        {"auths": {"ghcr.io": f"!{ANN}"}},
        {"auths": {"ghcr.io": ""}},
        {"auths": {"ghcr.io": "aHVudGVyMg=="}},  # no colon
        {"auths": {"ghcr.io": "OmE6/w=="}},  # not UTF-8
        {"auths": {"ghcr.io": "Og=="}},  # a colon alone
    ],
)
def test_damaged_spin_file_falls_through_with_a_note(stores: Stores, content: object) -> None:
    path = stores.spin(content)
    stores.docker({"auths": {"ghcr.io": {"auth": BOB}}})
    search = stores.search()
    assert search.credentials == Credentials("bob", "pa:ss")
    (note,) = search.notes
    assert str(path) in note
    assert "\n" not in note


def test_store_that_cannot_be_read_is_a_note(stores: Stores) -> None:
    stores.spin('{"auths": {"ghcr.io": "' + ANN + '"}}' + " " * (4 << 20))
    (stores.home / ".docker" / "config.json").mkdir(parents=True)
    large, folder = stores.search().notes
    assert "bytes" in large
    assert "config.json" in folder


def search_notes(home: str) -> list[str]:
    from spincache_nb.core.credentials import search_credentials

    return list(search_credentials("ghcr.io", system="linux", environ={"HOME": home}).notes)


def test_store_without_permission_is_a_note(nobodys_folder: Path) -> None:
    path = nobodys_folder / ".docker" / "config.json"
    path.parent.mkdir(mode=0o755)
    path.write_text("{}")
    path.chmod(0o000)
    (note,) = call(search_notes, str(nobodys_folder), unprivileged=True).value
    assert note.startswith(f"{path}: ")
    assert "Permission denied" in note


HUB = "https://index.docker.io/v1/"


def test_normalise_host_gives_docker_hub_one_name() -> None:
    for name in ("docker.io", "registry-1.docker.io", HUB, "https://registry-1.docker.io/v2/"):
        assert normalise_host(name) == "index.docker.io"
    assert normalise_host("ghcr.io") == "ghcr.io"


@pytest.mark.parametrize(
    ("host", "config", "expected"),
    [
        ("ghcr.io", {"auths": {"ghcr.io": {"auth": ANN}}}, ("ann", SECRET)),
        ("ghcr.io", {"auths": {"ghcr.io": {"auth": CLEO}}}, ("cleo", "xx")),
        ("ghcr.io", {"auths": {"ghcr.io": {"auth": CLEO + "=="}}}, ("cleo", "xx")),
        ("ghcr.io", {"auths": {"https://ghcr.io": {"auth": ANN}}}, ("ann", SECRET)),
        ("ghcr.io", {"auths": {"https://ghcr.io/v2/": {"auth": ANN}}}, ("ann", SECRET)),
        ("ghcr.io", {"auths": {"ghcr.io/v2/": {"auth": ANN}}}, ("ann", SECRET)),
        ("ghcr.io", {"auths": {"ghcr.io/v1/": {"auth": ANN}}}, ("ann", SECRET)),
        ("h.example:5000", {"auths": {"h.example:5000/v2/": {"auth": ANN}}}, ("ann", SECRET)),
        ("ghcr.io", {"auths": {"ghcr.io/org": {"auth": ANN}}}, None),
        ("ghcr.io", {"auths": {"ghcr.io:443": {"auth": ANN}}}, None),
        ("ghcr.io", {"auths": {"GHCR.io": {"auth": ANN}}}, None),
        ("ghcr.io", {"auths": {"evilghcr.io": {"auth": ANN}}}, None),
        ("ghcr.io", {"auths": {"ghcr.io.evil.example": {"auth": ANN}}}, None),
        ("localhost:5000", {"auths": {"localhost:5000": {"auth": ANN}}}, ("ann", SECRET)),
        ("localhost:5000", {"auths": {"localhost": {"auth": ANN}}}, None),
        ("index.docker.io", {"auths": {HUB: {"auth": ANN}}}, ("ann", SECRET)),
        ("index.docker.io", {"auths": {"docker.io": {"auth": ANN}}}, ("ann", SECRET)),
        ("docker.io", {"auths": {HUB: {"auth": ANN}}}, ("ann", SECRET)),
        # the very key wins, then Docker's own for the Hub; an identity token goes before a password
        ("docker.io", {"auths": {HUB: {"auth": BOB}, "index.docker.io": {"auth": ANN}}}, ("ann", SECRET)),
        ("docker.io", {"auths": {"https://docker.io": {"auth": BOB}, HUB: {"auth": ANN}}}, ("ann", SECRET)),
        ("ghcr.io", {"auths": {"https://ghcr.io": {"auth": BOB}, "ghcr.io": {"auth": ANN}}}, ("ann", SECRET)),
        ("ghcr.io", {"auths": {"ghcr.io": {"auth": ANN, "identitytoken": TOKEN}}}, TOKEN),
        ("ghcr.io", {"auths": {"ghcr.io": {"identitytoken": TOKEN}}}, TOKEN),
        ("ghcr.io", {"auths": {"ghcr.io": {"auth": ANN, "identitytoken": ""}}}, ("ann", SECRET)),
        ("ghcr.io", {"auths": {"ghcr.io": {"auth": encode("u", "p\0\0")}}}, ("u", "p")),
        # as GNU base64 wraps it
        ("ghcr.io", {"auths": {"ghcr.io": {"auth": f"{ANN[:4]}\n{ANN[4:]}\r\n"}}}, ("ann", SECRET)),
        # what Desktop keeps beside the login is none
        ("docker.io", {"auths": {f"{HUB}access-token": {"auth": BOB}, HUB: {"auth": ANN}}}, ("ann", SECRET)),
        ("docker.io", {"auths": {f"{HUB}refresh-token": {"auth": BOB}}}, None),
        # in whatever case Go's tools wrote it
        ("ghcr.io", {"Auths": {"ghcr.io": {"Auth": ANN}}}, ("ann", SECRET)),
        ("ghcr.io", {"auths": {"ghcr.io": {"identityToken": TOKEN}}}, TOKEN),
        ("ghcr.io", {"auths": {"ghcr.io": {"auth": ANN, "registrytoken": "bearer"}}}, "bearer"),
        # what Docker reads where there is no auth
        ("ghcr.io", {"auths": {"ghcr.io": {"username": "ann", "password": SECRET}}}, ("ann", SECRET)),
        ("ghcr.io", {"auths": {"ghcr.io": {"username": "u", "password": "p", "auth": ANN}}}, ("ann", SECRET)),
        ("ghcr.io", {"auths": {"ghcr.io": {"username": "ann", "password": None}}}, None),
        # nothing to find
        ("ghcr.io", {"auths": {"ghcr.io": {}}}, None),
        ("ghcr.io", {"auths": {"ghcr.io": {"auth": None, "email": "x"}}}, None),
        ("ghcr.io", {"auths": None, "credHelpers": None, "credsStore": None}, None),
        ("ghcr.io", {"HttpHeaders": {"User-Agent": "x"}, "psFormat": "table"}, None),
        ("ghcr.io", {"credsStore": ""}, None),
        ("ghcr.io", {"credHelpers": {"ghcr.io": ""}}, None),
        *(("ghcr.io", {"credsStore": name, "credHelpers": {"ghcr.io": name}}, None) for name in (7, [], {})),
    ],
)
def test_docker_auths(stores: Stores, host: str, config: object, expected: object) -> None:
    stores.docker(config)
    assert stores.pair(host) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"credHelpers": {"ghcr.io": "own"}, "credsStore": "all"}, ("own", "1")),
        ({"credHelpers": {"other.io": "own"}, "credsStore": "all"}, ("all", "2")),
        ({"credsStore": "all", "auths": {"ghcr.io": {}}}, ("all", "2")),
        ({"credsStore": "all", "auths": {"ghcr.io": None}}, ("all", "2")),
        ({"credSstore": "all"}, ("all", "2")),
        ({"credhelpers": {"ghcr.io": "own"}, "credsStore": "all"}, ("own", "1")),
        ({"credsStore": "none", "auths": {"ghcr.io": {"auth": ANN}}}, ("ann", SECRET)),
        ({"credHelpers": {"ghcr.io": ""}, "credsStore": "all"}, ("all", "2")),
        ({"credHelpers": {"https://ghcr.io": "own"}, "auths": {"ghcr.io": {}}}, ("own", "1")),
        ({"credHelpers": {"https://ghcr.io/v2/": "own"}, "credsStore": "all"}, ("own", "1")),
        ({"credHelpers": {"https://ghcr.io": "own"}}, ("own", "1")),
    ],
)
def test_docker_helpers_come_before_what_the_file_holds(
    stores: Stores, config: object, expected: object
) -> None:
    stores.answering("own", {"ghcr.io": ("own", "1")})
    stores.answering("none", {})
    stores.answering("all", {"ghcr.io": ("all", "2")})
    stores.docker(config)
    assert stores.pair() == expected


def test_docker_helper_of_the_hub_goes_before_the_one_for_all(stores: Stores) -> None:
    stores.answering("own", {HUB: ("own", "1")})
    stores.answering("all", {HUB: ("all", "2")})
    stores.docker({"credHelpers": {HUB: "own"}, "credsStore": "all"})
    assert stores.pair("docker.io") == ("own", "1")


@pytest.mark.parametrize("held", [{"auth": ANN}, {"identitytoken": TOKEN}])
def test_stale_login_beside_a_store_is_told(stores: Stores, held: object) -> None:
    """docker, crane and oras ask the store; Spin, which takes what the file holds, may be refused."""
    stores.answering("all", {"ghcr.io": ("all", "2")})
    stores.docker({"credsStore": "all", "auths": {"ghcr.io": held}})
    search = stores.search()
    assert search.credentials == Credentials("all", "2")
    assert "which Spin would take" in search.notes[0]


def test_store_that_is_not_installed_does_not_hide_what_the_file_holds(stores: Stores) -> None:
    stores.docker({"credsStore": "desktop", "auths": {"ghcr.io": {"auth": ANN}}})
    search = stores.search()
    assert search.credentials == Credentials("ann", SECRET)
    assert "docker-credential-desktop" in search.notes[0]


@pytest.mark.parametrize(
    "config",
    [
        {"credHelpers": []},
        {"auths": []},
        {"auths": "x"},
        {"auths": {"ghcr.io": "text"}},
        {"auths": {"ghcr.io": {"auth": "%%%"}}},
        {"auths": {"ghcr.io": {"auth": f"{ANN[:4]} {ANN[4:]}"}}},
        {"auths": {"ghcr.io": {"auth": "aHVudGVyMg"}}},
        {"auths": {"ghcr.io": {"auth": "ä"}}},
    ],
)
def test_damaged_docker_entry_falls_through_with_a_note(stores: Stores, config: object) -> None:
    stores.docker(config)
    stores.podman({"auths": {"ghcr.io": {"auth": BOB}}})
    search = stores.search()
    assert search.credentials == Credentials("bob", "pa:ss")
    assert len(search.notes) == 1


def test_damaged_entry_does_not_hide_a_good_one_for_the_same_host(stores: Stores) -> None:
    stores.docker({"auths": {"docker.io": {"auth": "%%%"}, HUB: {"auth": ANN}}})
    assert stores.pair("index.docker.io") == ("ann", SECRET)


def test_helper_is_run_with_get_and_the_host_on_its_input(stores: Stores) -> None:
    stores.docker({"credsStore": "spy"})
    stores.helper("spy", "import json\nprint(json.dumps({'Username': sys.argv[1], 'Secret': server}))")
    assert stores.pair("ghcr.io") == ("get", "ghcr.io")


def test_helper_with_the_user_token_gives_an_identity_token(stores: Stores) -> None:
    stores.answering("desk", {"ghcr.io": ("<token>", TOKEN)})
    path = stores.docker({"credsStore": "desk"})
    found = stores.search().credentials
    assert found == Credentials(identity_token=TOKEN)
    assert found is not None
    assert found.source == f"docker-credential-desk (named in {path})"


def test_helper_is_asked_for_docker_hub_under_both_names(stores: Stores) -> None:
    stores.answering("desk", {HUB: ("hub", "2")})
    stores.docker({"credsStore": "desk"})
    assert stores.pair("index.docker.io") == ("hub", "2")
    stores.answering("desk", {HUB: ("hub", "2"), "index.docker.io": ("spin", "1")})
    assert stores.pair("docker.io") == ("spin", "1")


def test_helper_that_has_nothing_is_no_fault(stores: Stores) -> None:
    stores.answering("desk", {})
    stores.docker({"credsStore": "desk"})
    stores.podman({"auths": {"ghcr.io": {"auth": BOB}}})
    assert stores.pair() == ("bob", "pa:ss")


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (f"print('{SECRET}'); print('{SECRET}', file=sys.stderr); sys.exit(1)", "exit status 1"),
        ("import os; os.kill(os.getpid(), 9)", "exit status -9"),
        ("pass", "JSON"),
        (f"print('{SECRET}')", "JSON"),
        (f"print('[\"{SECRET}\"]')", "JSON"),
        (f'print(\'{{"Username": "ann"}}\', "{SECRET}")', "JSON"),
        (f'print(\'{{"Secret": "{SECRET}"}}\')', "JSON"),
        (f'print(\'{{"Username": 1, "Secret": "{SECRET}"}}\')', "JSON"),
        (f'print(\'{{"Username": "a:b", "Secret": "{SECRET}"}}\')', "colon"),
        ('print(\'{"Username": "", "Secret": ""}\')', "empty"),
        ('print(\'{"Username": "<token>", "Secret": ""}\')', "empty"),
        ("print('[' * 100000)", "JSON"),
        ('sys.stdout.write(\'{"Username": "a", "Secret": "\' + \'x\' * (2 << 20) + \'"}\')', "JSON"),
        ("sys.stdout.buffer.write(b'\\xff\\xfe')", "JSON"),
    ],
)
def test_helper_that_fails_is_a_note_and_the_next_store_is_asked(
    stores: Stores, code: str, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    stores.helper("desk", code)
    path = stores.docker({"credHelpers": {"ghcr.io": "desk"}})
    stores.podman({"auths": {"ghcr.io": {"auth": BOB}}})
    with caplog.at_level(logging.WARNING, "spincache_nb"):
        search = stores.search()
    assert search.credentials == Credentials("bob", "pa:ss")
    (note,) = search.notes
    assert f"docker-credential-desk (named in {path})" in note
    assert word in note
    assert [record.getMessage() for record in caplog.records] == [note]
    assert SECRET not in note + caplog.text
    assert "\n" not in note


def test_helper_that_does_not_read_its_input_is_understood(stores: Stores) -> None:
    path = stores.write("bin/docker-credential-deaf", '#!/bin/sh\necho \'{"Username":"u","Secret":"s"}\'\n')
    path.chmod(0o755)
    stores.docker({"credsStore": "deaf"})
    assert stores.pair() == ("u", "s")


def test_helper_that_cannot_be_run_is_a_note(stores: Stores) -> None:
    stores.write("bin/docker-credential-bad", "\x00\x01\x02").chmod(0o755)
    for name, word in (("bad", "a program that runs"), ("missing", "on PATH")):
        stores.docker({"credsStore": name})
        search = stores.search()
        assert search.credentials is None
        assert f"docker-credential-{name}" in search.notes[0]
        assert word in search.notes[0]


def test_helper_that_hangs_is_stopped(stores: Stores) -> None:
    stores.helper("slow", "import time; time.sleep(60)")
    stores.docker({"credsStore": "slow"})
    start = time.monotonic()
    search = stores.search(helper_seconds=0.3)
    assert time.monotonic() - start < 20
    assert search.credentials is None
    assert "within 0.3 s" in search.notes[0]


@pytest.mark.parametrize(
    "name",
    [
        *("../evil", "/bin/evil", "a b", "a;b", "$(x)", "a/b", "a\\b", "-x", ".x"),
        *("a\nb", "ä", "a" * 65, " ", "a\0b"),
    ],
)
def test_helper_name_that_could_be_something_else_is_refused(stores: Stores, name: str) -> None:
    stores.docker({"credsStore": name})
    search = stores.search()
    assert search.credentials is None
    assert "the name of a credential helper" in search.notes[0]


@pytest.mark.parametrize("path", ["", ".", "bin"])
def test_helper_in_the_working_directory_is_not_run(
    stores: Stores, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.answering("here", {"ghcr.io": ("evil", "x")})
    monkeypatch.chdir(stores.home / "bin" if path != "bin" else stores.home)
    stores.environ["PATH"] = path
    stores.docker({"credsStore": "here"})
    assert stores.search().credentials is None


NESTED = {
    "auths": {
        "r.example": {"auth": encode("host", "4")},
        "r.example/ns": {"auth": encode("ns", "3")},
        "r.example/ns/user": {"auth": encode("user", "2")},
        "r.example/ns/user/app": {"auth": encode("app", "1")},
        "r.example/empty": {},
    }
}


@pytest.mark.parametrize(
    ("repository", "user"),
    [
        ("ns/user/app", "app"),
        ("ns/user/app/deeper", "app"),
        ("ns/user/other", "user"),
        ("ns/user", "user"),
        ("ns/username", "ns"),
        ("ns", "ns"),
        ("n", "host"),
        ("empty/app", "host"),
        ("", "host"),
        (None, "host"),
    ],
)
@pytest.mark.parametrize("owner", ["docker", "podman"])
def test_key_with_the_longest_match_counts(
    stores: Stores, owner: str, repository: str | None, user: str
) -> None:
    getattr(stores, owner)(NESTED)
    found = stores.search("r.example", repository).credentials
    assert found is not None
    assert found.username == user


@pytest.mark.parametrize(
    ("key", "repository", "found"),
    [
        ("docker.io", "library/busybox", True),
        ("index.docker.io", "library/busybox", True),
        (HUB, "library/busybox", True),
        ("docker.io/library/busybox", "library/busybox", True),
        ("docker.io/library", "library/busybox", True),
        ("docker.io/other", "library/busybox", False),
    ],
)
def test_podman_names_docker_hub_docker_io(stores: Stores, key: str, repository: str, found: bool) -> None:
    stores.podman({"auths": {key: {"auth": ANN}}})
    assert stores.pair("index.docker.io", repository) == (("ann", SECRET) if found else None)


def test_podman_helper_goes_before_its_auths(stores: Stores) -> None:
    stores.answering("pass", {"r.example": ("helped", "1"), "docker.io": ("hub", "2")})
    stores.podman(
        {
            "credHelpers": {"r.example": "pass", "docker.io": "pass"},
            "auths": {"r.example": {"auth": ANN}, "docker.io": {"auth": ANN}},
        }
    )
    assert stores.pair("r.example", "ns/app") == ("helped", "1")
    assert stores.pair("index.docker.io", "library/app") == ("hub", "2")


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials("ann-user", SECRET),
        Credentials(identity_token=SECRET),
        Credentials("", SECRET),
        Credentials(registry_token=SECRET),
    ],
)
def test_credentials_never_show_themselves(credentials: Credentials) -> None:
    search = CredentialSearch(credentials)
    for holder in (credentials, {"auth": credentials}, [credentials], search):
        for text in (repr(holder), str(holder), f"{holder}", f"{holder!r:>200}", pprint.pformat(holder)):
            assert SECRET not in text
            assert "ann-user" not in text
            assert "the caller" in text


def test_credentials_are_equal_wherever_they_come_from() -> None:
    assert Credentials("a", "b", source="x") == Credentials("a", "b", source="y")
    assert Credentials("a", "b") != Credentials("a", "c")
    with pytest.raises(AttributeError):
        Credentials("a", "b").password = "c"  # type: ignore[misc]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"username": "", "password": ""},
        {"username": "a:b", "password": SECRET},
        {"username": "a", "password": SECRET, "identity_token": SECRET},
        {"username": "a", "identity_token": SECRET},
        {"username": 7, "password": SECRET},
        {"username": "a", "password": SECRET.encode()},
        {"identity_token": [SECRET]},
        {"identity_token": SECRET, "registry_token": SECRET},
    ],
)
def test_credentials_that_mean_nothing_are_refused_without_repeating_them(arguments: dict[str, Any]) -> None:
    with pytest.raises(CredentialsError) as caught:
        Credentials(**arguments)
    error = caught.value
    assert SECRET not in str(error) + repr(error)
    assert SECRET.encode() not in pickle.dumps(error)


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (None, None),
        (("ann", SECRET), Credentials("ann", SECRET)),
        (["ann", SECRET], Credentials("ann", SECRET)),
        (("", SECRET), Credentials("", SECRET)),
        (("ann", ""), Credentials("ann", "")),
        (("<token>", TOKEN), Credentials(identity_token=TOKEN)),
        (Credentials(identity_token=TOKEN), Credentials(identity_token=TOKEN)),
    ],
)
def test_as_credentials_understands(auth: object, expected: Credentials | None) -> None:
    assert as_credentials(auth) == expected


@pytest.mark.parametrize(
    "auth",
    [
        f"ann:{SECRET}",
        SECRET,
        "",
        SECRET.encode(),
        (),
        (SECRET,),
        ("ann", SECRET, "x"),
        ("ann", None),
        (None, SECRET),
        ("ann", SECRET.encode()),
        {"ann": SECRET},
        {"ann", SECRET},
        7,
        True,
        False,
        ("", ""),
        ("a:b", SECRET),
    ],
)
def test_as_credentials_refuses_the_rest_without_repeating_it(auth: object) -> None:
    with pytest.raises(CredentialsError) as caught:
        as_credentials(auth)
    error = caught.value
    assert SECRET not in str(error) + repr(error)
    assert SECRET.encode() not in pickle.dumps(error)
    assert error.remedy


@given(
    st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"])),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
)
def test_docker_auth_is_what_docker_login_writes(user: str, password: str) -> None:
    document = {"auths": {"ghcr.io": {"auth": encode(user, password)}}}
    found = choose(Wanted("ghcr.io", ""), document, "Docker", "file").own
    assert found is not None
    if user != "<token>":
        assert (found.username, found.password) == (user, password)
