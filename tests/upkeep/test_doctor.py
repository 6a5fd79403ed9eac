"""What a pull depends on, looked at one by one."""

import json
import os
import ssl
import sys
from importlib import metadata
from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.errors import InvalidReferenceError
from spincache_nb.upkeep.doctor import Finding, ask_registry, examine
from tests.support.artifacts import new_style
from tests.support.procs import call

SECRET = "c2VjcmV0OnBhc3N3b3Jk"  # secret:password


def found(findings: tuple[Finding, ...], topic: str, name: str) -> Finding:
    (finding,) = [finding for finding in findings if (finding.topic, finding.name) == (topic, name)]
    return finding


def of_store(owner: str) -> Finding:
    named = [f for f in examine(Cache()) if f.topic == "credentials" and f.name.startswith(owner)]
    return named[-1]


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_examine_of_a_fresh_home_finds_nothing_to_do_and_makes_nothing(isolated_home):
    findings = examine(Cache())
    assert [finding for finding in findings if finding.state == "attention"] == []
    assert found(findings, "cache", "path").value == f"{isolated_home}/.cache/spin/registry"
    assert found(findings, "cache", "exists") == Finding(
        "cache", "exists", False, "note", "the first pull makes it"
    )
    assert found(findings, "cache", "writable").value is True
    assert list(isolated_home.iterdir()) == []


def test_examine_counts_files_and_bytes_of_the_cache(tmp_path):
    write(tmp_path / "registry" / "wasm" / "one", "12345")
    write(tmp_path / "registry" / "data" / "two", "123")
    findings = examine(Cache(tmp_path))
    assert found(findings, "cache", "files").value == 2
    assert found(findings, "cache", "disk_bytes").value == 8


@pytest.mark.parametrize(
    ("variable", "named", "said", "state"),
    [
        (None, False, "this system's default", "ok"),
        ("/var/cache/ann", False, "XDG_CACHE_HOME, as Spin does", "ok"),
        ("relative/dir", False, "XDG_CACHE_HOME is relative", "note"),
        (None, True, "the directory that was named", "ok"),
    ],
)
def test_examine_says_why_the_cache_is_there(variable, named, said, state, monkeypatch, tmp_path):
    if variable is None:
        monkeypatch.delenv("XDG_CACHE_HOME")
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", variable)
    finding = found(examine(Cache(tmp_path) if named else Cache()), "cache", "chosen by")
    assert said in str(finding.value)
    assert finding.state == state


def test_examine_wants_attention_for_a_file_in_the_caches_place(tmp_path):
    write(tmp_path / "registry", "a file")
    finding = found(examine(Cache(tmp_path)), "cache", "exists")
    assert (finding.value, finding.state) == (False, "attention")


def test_examine_wants_attention_for_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(Cache, "free_bytes", lambda self: 1 << 20)
    finding = found(examine(Cache(tmp_path)), "cache", "free_bytes")
    assert (finding.value, finding.state) == (1 << 20, "attention")


def _states(folder: str | None = None) -> list[list[object]]:
    from spincache_nb.core.cache import Cache
    from spincache_nb.upkeep.doctor import examine

    return [[f.name, f.value, f.state] for f in examine(Cache(folder)) if f.topic == "cache"]


def test_examine_sees_that_a_cache_is_not_writable(roots_folder):
    (roots_folder / "registry" / "wasm").mkdir(parents=True)
    outcome = call(_states, str(roots_folder), unprivileged=True)
    assert outcome.error is None
    assert ["writable", f"no: {roots_folder}/registry", "attention"] in outcome.value


def test_examine_sees_that_a_cache_cannot_be_made(roots_folder):
    outcome = call(_states, str(roots_folder / "new"), unprivileged=True)
    assert outcome.error is None
    said = f"no: {roots_folder} does not let this user make it"
    assert ["writable", said, "attention"] in outcome.value


def test_examine_sees_that_a_cache_is_behind_a_closed_folder(roots_folder):
    closed = roots_folder / "closed"
    (closed / "spin" / "registry").mkdir(parents=True)
    closed.chmod(0o000)
    outcome = call(_states, unprivileged=True, env={"XDG_CACHE_HOME": str(closed)})
    assert outcome.error is None
    assert ["exists", f"hidden: {closed} is closed", "attention"] in outcome.value


def test_examine_counts_registries_of_a_store_and_repeats_no_secret(isolated_home):
    document = {"auths": {"ghcr.io": SECRET, "index.docker.io": SECRET}}
    write(isolated_home / ".config" / "fermyon" / "registry-auth.json", json.dumps(document))
    finding = of_store("Spin")
    assert (finding.value, finding.state) == ("2 registries", "ok")
    assert SECRET not in repr(examine(Cache()))


@pytest.mark.parametrize("text", [f'{{"auths": {{"ghcr.io": "{SECRET}"', f'["{SECRET}"]', "\xff"])
def test_examine_reports_a_damaged_store_without_its_text(text, isolated_home):
    write(isolated_home / ".docker" / "config.json", text)
    finding = of_store("Docker")
    assert (finding.value, finding.state) == ("damaged: not a JSON object", "attention")
    assert SECRET not in repr(finding)


def test_examine_misses_the_helper_that_a_store_names(isolated_home):
    write(isolated_home / ".docker" / "config.json", '{"auths": {"ghcr.io": {}}, "credsStore": "elsewhere"}')
    finding = of_store("Docker")
    assert finding.state == "attention"
    assert finding.value == "1 registry, helpers: elsewhere; helper not found"
    assert finding.remedy == "install docker-credential-elsewhere, or log in again"


def test_examine_notes_logins_that_a_store_goes_before(isolated_home, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name, **_: f"/usr/bin/{name}")
    text = json.dumps({"auths": {"ghcr.io": {"auth": SECRET}}, "credsStore": "desktop"})
    write(isolated_home / ".docker" / "config.json", text)
    finding = of_store("Docker")
    assert (finding.state, finding.value) == (
        "note", "1 registry, helpers: desktop, and logins in the file beside it"
    )  # fmt: skip
    assert "Spin takes the logins in the file" in finding.remedy
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", text.replace("credsStore", "other"))
    assert of_store("Docker DOCKER_AUTH_CONFIG").value == "1 registry"


@pytest.mark.skipif(os.name == "nt", reason="modes of Unix")
def test_examine_notes_secrets_that_others_can_read(isolated_home):
    path = isolated_home / ".config" / "fermyon" / "registry-auth.json"
    write(path, json.dumps({"auths": {"ghcr.io": SECRET}}), mode=0o644)
    finding = of_store("Spin")
    assert (finding.state, finding.remedy) == ("note", f"chmod 600 {path}")


def test_examine_wants_attention_for_a_folder_in_a_stores_place(isolated_home):
    (isolated_home / ".docker" / "config.json").mkdir(parents=True)
    assert of_store("Docker").state == "attention"


def test_examine_hides_the_user_and_password_of_a_proxy(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:s3cr%65t@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    findings = examine(Cache())
    finding = found(findings, "network", "proxy for https")
    assert finding.value == "http://proxy.example:3128, with a user"
    assert found(findings, "network", "no proxy for").value == "intranet.example"
    assert "ann" not in repr(findings)
    assert "s3cr" not in repr(findings)


def test_examine_wants_attention_for_a_proxy_that_is_none(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "gopher://ann:secret@old.example")
    finding = found(examine(Cache()), "network", "proxy")
    assert finding.state == "attention"
    assert "secret" not in repr(finding)


def test_examine_wants_attention_for_certificates_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    finding = found(examine(Cache()), "network", "certificates (SSL_CERT_FILE)")
    assert (finding.value, finding.state) == (f"not there: {tmp_path}/none.pem", "attention")


def test_examine_says_whose_certificates_count():
    paths = ssl.get_default_verify_paths()
    own = "the system's own store" if sys.platform in ("darwin", "win32") else paths.cafile or paths.capath
    assert found(examine(Cache()), "network", "certificates").value == own


def test_examine_says_that_the_history_is_off(monkeypatch):
    monkeypatch.setenv("SPINCACHE_HISTORY", "off")
    assert found(examine(Cache()), "history", "record of pulls").value == "off"


def test_examine_notes_illegible_lines_of_the_history(isolated_home):
    write(isolated_home / ".local" / "state" / "spincache-nb" / "history.jsonl", "{not a pull}\n")
    finding = found(examine(Cache()), "history", "pulls")
    assert (finding.value, finding.state) == ("0, and 1 illegible lines", "note")


def test_packages_are_those_that_the_installation_asks_for(monkeypatch):
    asked = ["pandas>=2", "no-such-package", 'duckdb>=1; extra == "fleet"', "nothing-here; extra == 'socks'"]
    asked += ['pytest; extra == "dev"', 'spincache-nb[fleet]; extra == "all"']
    monkeypatch.setattr("importlib.metadata.requires", lambda name: asked)
    findings = examine(Cache())
    assert found(findings, "packages", "pandas").value == metadata.version("pandas")
    assert found(findings, "packages", "no-such-package").state == "attention"
    assert found(findings, "packages", "extra fleet").value == "installed"
    assert found(findings, "packages", "extra socks").remedy.startswith("pip install 'spincache-nb[socks]'")
    names = [finding.name for finding in findings if finding.topic == "packages"]
    assert names[2:] == ["pandas", "no-such-package", "extra fleet", "extra socks"]


def test_examine_asks_no_network(monkeypatch):
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert not [finding for finding in examine(Cache()) if finding.topic == "registry"]


def test_ask_registry_gets_the_manifest_and_writes_nothing(hostile, tmp_path):
    artifact = new_style()
    hostile.serve(artifact)
    finding = ask_registry(Cache(tmp_path), f"{hostile.name}/{artifact.repository}:{artifact.tag}")
    assert finding.topic == "registry"
    assert finding.name == hostile.name
    assert finding.state == "ok"
    assert artifact.digest in str(finding.value)
    assert list(tmp_path.iterdir()) == []


def test_ask_registry_reports_a_registry_that_does_not_answer(closed_port):
    finding = ask_registry(Cache(), f"127.0.0.1:{closed_port}/demo/hello:v1")
    assert (finding.topic, finding.state) == ("registry", "attention")
    assert "refused" in str(finding.value)


def test_ask_registry_raises_for_what_is_no_reference():
    with pytest.raises(InvalidReferenceError):
        ask_registry(Cache(), "https://ghcr.io/a:1")
