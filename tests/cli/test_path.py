"""``spincache-nb path``."""

import json

from spincache_nb.cli import main


def test_path_prints_one_line_and_makes_nothing(isolated_home, capsys):
    assert main(["path"]) == 0
    assert capsys.readouterr() == (f"{isolated_home}/.cache/spin/registry\n", "")
    assert list(isolated_home.iterdir()) == []


def test_path_is_below_the_directory_named(capsys):
    assert main(["path", "--cache-dir", "/srv/spin"]) == 0
    assert capsys.readouterr().out == "/srv/spin/registry\n"


def test_path_is_absolute(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["path", "--cache-dir", "here"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/here/registry\n"


def test_path_is_never_shortened(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["path", "--cache-dir", "/" + "long/" * 40]) == 0
    assert capsys.readouterr().out == "/" + "long/" * 40 + "registry\n"


def test_path_all_names_state_history_and_credential_stores(isolated_home, capsys):
    (isolated_home / ".docker").mkdir()
    (isolated_home / ".docker" / "config.json").write_text('{"auths": {"ghcr.io": {"auth": "c2VjcmV0"}}}')
    assert main(["path", "--all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    home = isolated_home
    assert f"cache                    {home}/.cache/spin/registry  (not there)" in lines
    assert f"state                    {home}/.local/state/spincache-nb  (not there)" in lines
    assert f"history                  {home}/.local/state/spincache-nb/history.jsonl  (not there)" in lines
    assert f"credentials of Spin      {home}/.config/fermyon/registry-auth.json  (not there)" in lines
    assert f"credentials of Docker    {home}/.docker/config.json" in lines
    assert f"credentials of Podman    {home}/.config/containers/auth.json  (not there)" in lines
    assert f"wasm package registries  {home}/.config/wasm-pkg/config.toml  (not there)" in lines


def test_path_json_is_a_list_of_records(isolated_home, capsys):
    assert main(["path", "--json"]) == 0
    path = f"{isolated_home}/.cache/spin/registry"
    assert json.loads(capsys.readouterr().out) == [{"name": "cache", "path": path, "exists": False}]


def test_path_without_a_home_says_so(monkeypatch, capsys):
    for variable in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable)
    monkeypatch.setattr("spincache_nb.core.paths._home_of_this_user", lambda: None)
    assert main(["path"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "spincache-nb path: Spin's cache: expected a home directory to hold it, got none; "
        "set HOME, or name the cache directory yourself\n"
    )
