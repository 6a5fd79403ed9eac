"""``spincache-nb path``, and which cache is meant."""

import pytest


def test_path_prints_one_line_and_makes_nothing(isolated_home, run):
    assert run("path") == (0, f"{isolated_home}/.cache/spin/registry\n", "")
    assert list(isolated_home.iterdir()) == []


@pytest.mark.parametrize("folder", ["/srv/spin", "here", "/" + "long/" * 40])
def test_path_is_below_the_directory_named_absolute_and_whole(folder, tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    assert run("path", "--cache-dir", folder)[1] == f"{(tmp_path / folder)}/registry\n"


def test_path_of_no_name_or_of_registry_itself_is_wrong_usage(tmp_path, run):
    (tmp_path / "registry" / "manifests").mkdir(parents=True)
    for folder, meant in (("", "got nothing"), (tmp_path / "registry", f"mean --cache-dir {tmp_path}")):
        status, out, err = run("path", "--cache-dir", folder)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("spincache-nb path: --cache-dir: expected ")
        assert err.endswith(f"{meant}\n")


def test_path_all_names_state_history_and_credential_stores(isolated_home, run):
    (isolated_home / ".docker").mkdir()
    (isolated_home / ".docker" / "config.json").write_text('{"auths": {"ghcr.io": {"auth": "c2VjcmV0"}}}')
    lines = run("path", "--all")[1].splitlines()
    home = isolated_home
    assert f"cache                    {home}/.cache/spin/registry  (not there)" in lines
    assert f"state                    {home}/.local/state/spincache-nb  (not there)" in lines
    assert f"history                  {home}/.local/state/spincache-nb/history.jsonl  (not there)" in lines
    assert f"credentials of Spin      {home}/.config/fermyon/registry-auth.json  (not there)" in lines
    assert f"credentials of Docker    {home}/.docker/config.json" in lines
    assert f"credentials of Podman    {home}/.config/containers/auth.json  (not there)" in lines
    assert f"wasm package registries  {home}/.config/wasm-pkg/config.toml  (not there)" in lines


def test_path_json_is_a_list_of_records(isolated_home, run):
    path = f"{isolated_home}/.cache/spin/registry"
    assert run("path", "--json")[1] == [{"name": "cache", "path": path, "exists": False}]


def test_path_without_a_home_says_so(monkeypatch, run):
    for variable in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable)
    monkeypatch.setattr("spincache_nb.core.paths._home_of_this_user", lambda: None)
    assert run("path") == (
        3,
        "",
        "spincache-nb path: Spin's cache: expected a home directory to hold it, got none; "
        "set HOME, or name the cache directory yourself\n",
    )
