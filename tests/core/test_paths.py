"""Paths on all three systems. Linux answers were compared with the Rust crate dirs 6.0.0, which Spin uses."""

import os
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest

from spincache_nb.core import paths
from spincache_nb.errors import CacheError

HOME = {"HOME": "/home/ann"}
MAC = {"HOME": "/Users/ann"}
WINDOWS = {
    "USERPROFILE": r"C:\Users\ann",
    "LOCALAPPDATA": r"C:\Users\ann\AppData\Local",
    "APPDATA": r"C:\Users\ann\AppData\Roaming",
}


@pytest.mark.parametrize(
    ("system", "environ", "expected"),
    [
        ("linux", HOME, "/home/ann/.cache/spin/registry"),
        ("linux", {**HOME, "XDG_CACHE_HOME": "/x"}, "/x/spin/registry"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/spin/registry"),
        ("linux", {**HOME, "XDG_CACHE_HOME": ""}, "/home/ann/.cache/spin/registry"),
        ("linux", {**HOME, "XDG_CACHE_HOME": "x/y"}, "/home/ann/.cache/spin/registry"),
        ("linux", {**HOME, "XDG_CACHE_HOME": "./x"}, "/home/ann/.cache/spin/registry"),
        ("linux", {**HOME, "XDG_CACHE_HOME": "~/x"}, "/home/ann/.cache/spin/registry"),
        ("linux", {**HOME, "XDG_CACHE_HOME": " "}, "/home/ann/.cache/spin/registry"),
        ("linux", {**HOME, "XDG_CACHE_HOME": "/x/../y/"}, "/x/../y/spin/registry"),
        ("linux", {"HOME": "relative"}, "relative/.cache/spin/registry"),
        ("linux", {"HOME": "/a b\u00e9\udcff"}, "/a b\u00e9\udcff/.cache/spin/registry"),
        ("linux", {**HOME, **WINDOWS}, "/home/ann/.cache/spin/registry"),
        ("freebsd14", {**HOME, "XDG_CACHE_HOME": "/x"}, "/x/spin/registry"),
        ("darwin", MAC, "/Users/ann/Library/Caches/spin/registry"),
        ("darwin", {**MAC, "XDG_CACHE_HOME": "/x"}, "/Users/ann/Library/Caches/spin/registry"),
        ("win32", WINDOWS, r"C:\Users\ann\AppData\Local\spin\registry"),
        ("win32", {**WINDOWS, "XDG_CACHE_HOME": r"D:\x"}, r"C:\Users\ann\AppData\Local\spin\registry"),
        ("win32", {**WINDOWS, **HOME}, r"C:\Users\ann\AppData\Local\spin\registry"),
    ],
)
def test_cache_root_is_where_spin_has_it(system: str, environ: dict[str, str], expected: str) -> None:
    assert str(paths.cache_root(system=system, environ=environ)) == expected


@pytest.mark.parametrize(
    ("system", "environ"),
    [
        ("linux", {}),
        ("linux", {"HOME": ""}),
        ("linux", {"HOME": "", "XDG_CACHE_HOME": "x"}),
        ("darwin", {}),
        ("darwin", {"XDG_CACHE_HOME": "/x"}),
        ("win32", {}),
        ("win32", {"USERPROFILE": r"C:\Users\ann"}),
        ("win32", {"LOCALAPPDATA": ""}),
    ],
)
def test_cache_root_without_a_home_is_an_error(system: str, environ: dict[str, str]) -> None:
    with pytest.raises(CacheError) as caught:
        paths.cache_root(system=system, environ=environ)
    assert "HOME" in caught.value.remedy


def test_cache_root_goes_by_the_process_unless_told_otherwise(
    isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert paths.cache_root(system="linux") == isolated_home / ".cache" / "spin" / "registry"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert paths.cache_root(system="linux") == Path("/elsewhere/spin/registry")
    assert paths.cache_root(system="darwin") == isolated_home / "Library" / "Caches" / "spin" / "registry"


@pytest.mark.parametrize("home", [None, ""])
def test_cache_root_without_home_variable_asks_the_list_of_users(
    home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwd = pytest.importorskip("pwd")
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: SimpleNamespace(pw_dir=f"/users/{uid}"))
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    if home is not None:
        monkeypatch.setenv("HOME", home)
    assert str(paths.cache_root(system="linux")) == f"/users/{os.getuid()}/.cache/spin/registry"


def test_cache_root_of_a_user_who_is_not_listed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unlisted(uid: int) -> object:
        raise KeyError(uid)

    monkeypatch.setattr(pytest.importorskip("pwd"), "getpwuid", unlisted)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    with pytest.raises(CacheError):
        paths.cache_root(system="linux")


def test_cache_root_agrees_with_platformdirs_where_spin_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second program: platformdirs, with the arguments that give Spin's location."""
    from platformdirs.macos import MacOS
    from platformdirs.unix import Unix
    from platformdirs.windows import Windows

    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    unix = Unix("spin", appauthor=False, opinion=False)
    assert paths.cache_root(system="linux") == Path(unix.user_cache_dir, "registry")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert paths.cache_root(system="linux") == Path(unix.user_cache_dir, "registry")
    macos = MacOS("spin", appauthor=False, opinion=False)
    assert paths.cache_root(system="darwin") == Path(macos.user_cache_dir, "registry")
    monkeypatch.setattr("platformdirs.windows.get_win_folder", {"CSIDL_LOCAL_APPDATA": r"C:\L"}.__getitem__)
    windows = Windows("spin", appauthor=False, opinion=False)
    ours = paths.cache_root(system="win32", environ={"LOCALAPPDATA": r"C:\L"})
    assert PureWindowsPath(str(ours)) == PureWindowsPath(windows.user_cache_dir, "registry")


def test_cache_root_asks_windows_for_the_known_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"CSIDL_LOCAL_APPDATA": r"D:\Local", "CSIDL_APPDATA": r"D:\Roaming"}
    monkeypatch.setattr("platformdirs.windows.get_win_folder_via_ctypes", known.__getitem__)
    monkeypatch.setenv("LOCALAPPDATA", r"E:\no")
    monkeypatch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", r"E:\neither")
    assert str(paths.cache_root(system="win32")) == r"D:\Local\spin\registry"
    assert str(paths.spin_auth_file(system="win32")) == r"D:\Roaming\fermyon\registry-auth.json"


@pytest.mark.parametrize(
    "fault", [OSError("no"), ValueError("no"), AttributeError("no"), NotImplementedError()]
)
def test_cache_root_goes_by_the_variable_where_windows_cannot_be_asked(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> str:
        raise fault

    monkeypatch.setattr("platformdirs.windows.get_win_folder_via_ctypes", fail)
    monkeypatch.setenv("LOCALAPPDATA", r"C:\L")
    assert str(paths.cache_root(system="win32")) == r"C:\L\spin\registry"


@pytest.mark.parametrize(
    ("look_up", "system", "environ", "expected"),
    [
        ("state_dir", "linux", HOME, "/home/ann/.local/state/spincache-nb"),
        ("state_dir", "linux", {**HOME, "XDG_STATE_HOME": "/s"}, "/s/spincache-nb"),
        ("state_dir", "linux", {**HOME, "XDG_STATE_HOME": "s"}, "/home/ann/.local/state/spincache-nb"),
        ("state_dir", "linux", {**HOME, "SPINCACHE_STATE_DIR": "/own"}, "/own"),
        ("state_dir", "linux", {**HOME, "SPINCACHE_STATE_DIR": ""}, "/home/ann/.local/state/spincache-nb"),
        ("state_dir", "linux", {"SPINCACHE_STATE_DIR": "/own"}, "/own"),
        ("state_dir", "linux", {}, None),
        ("state_dir", "darwin", MAC, "/Users/ann/Library/Application Support/spincache-nb"),
        ("state_dir", "darwin", {**MAC, "XDG_STATE_HOME": "/s"}, "/s/spincache-nb"),
        ("state_dir", "win32", WINDOWS, r"C:\Users\ann\AppData\Local\spincache-nb"),
        ("state_dir", "win32", {}, None),
        ("spin_auth_file", "linux", HOME, "/home/ann/.config/fermyon/registry-auth.json"),
        ("spin_auth_file", "linux", {**HOME, "XDG_CONFIG_HOME": "/c"}, "/c/fermyon/registry-auth.json"),
        (
            "spin_auth_file",
            "linux",
            {**HOME, "XDG_CONFIG_HOME": "c"},
            "/home/ann/.config/fermyon/registry-auth.json",
        ),
        ("spin_auth_file", "linux", {}, None),
        (
            "spin_auth_file",
            "darwin",
            {**MAC, "XDG_CONFIG_HOME": "/c"},
            "/Users/ann/Library/Application Support/fermyon/registry-auth.json",
        ),
        ("spin_auth_file", "darwin", {}, None),
        ("spin_auth_file", "win32", WINDOWS, r"C:\Users\ann\AppData\Roaming\fermyon\registry-auth.json"),
        ("spin_auth_file", "win32", {}, None),
        ("docker_config_file", "linux", HOME, "/home/ann/.docker/config.json"),
        ("docker_config_file", "linux", {**HOME, "DOCKER_CONFIG": "/d"}, "/d/config.json"),
        ("docker_config_file", "linux", {**HOME, "DOCKER_CONFIG": "d"}, "d/config.json"),
        ("docker_config_file", "linux", {**HOME, "DOCKER_CONFIG": ""}, "/home/ann/.docker/config.json"),
        ("docker_config_file", "linux", {}, None),
        ("docker_config_file", "darwin", MAC, "/Users/ann/.docker/config.json"),
        ("docker_config_file", "win32", WINDOWS, r"C:\Users\ann\.docker\config.json"),
        ("docker_config_file", "win32", {**WINDOWS, "DOCKER_CONFIG": r"D:\d"}, r"D:\d\config.json"),
        ("wasm_pkg_config_file", "linux", HOME, "/home/ann/.config/wasm-pkg/config.toml"),
        ("wasm_pkg_config_file", "linux", {**HOME, "XDG_CONFIG_HOME": "/c"}, "/c/wasm-pkg/config.toml"),
        (
            "wasm_pkg_config_file",
            "linux",
            {**HOME, "XDG_CONFIG_HOME": "c"},
            "/home/ann/.config/wasm-pkg/config.toml",
        ),
        ("wasm_pkg_config_file", "darwin", {**MAC, "XDG_CONFIG_HOME": "/c"}, "/c/wasm-pkg/config.toml"),
        ("wasm_pkg_config_file", "darwin", MAC, "/Users/ann/.config/wasm-pkg/config.toml"),
        ("wasm_pkg_config_file", "win32", WINDOWS, r"C:\Users\ann\AppData\Roaming\wasm-pkg\config.toml"),
        ("wasm_pkg_config_file", "linux", {}, None),
    ],
)
def test_files_are_where_their_owners_have_them(
    look_up: str, system: str, environ: dict[str, str], expected: str | None
) -> None:
    found = getattr(paths, look_up)(system=system, environ=environ)
    assert (None if found is None else str(found)) == expected


def test_state_dir_agrees_with_platformdirs(monkeypatch: pytest.MonkeyPatch) -> None:
    from platformdirs.macos import MacOS
    from platformdirs.unix import Unix

    assert str(paths.state_dir(system="linux")) == Unix("spincache-nb", appauthor=False).user_state_dir
    monkeypatch.delenv("XDG_STATE_HOME")
    assert str(paths.state_dir(system="linux")) == Unix("spincache-nb", appauthor=False).user_state_dir
    assert str(paths.state_dir(system="darwin")) == MacOS("spincache-nb", appauthor=False).user_state_dir


AUTH = "containers/auth.json"


@pytest.mark.parametrize(
    ("system", "environ", "expected"),
    [
        ("linux", HOME, [f"/home/ann/.config/{AUTH}"]),
        ("linux", {**HOME, "XDG_RUNTIME_DIR": "/run/u"}, [f"/run/u/{AUTH}", f"/home/ann/.config/{AUTH}"]),
        ("linux", {**HOME, "XDG_CONFIG_HOME": "/c"}, [f"/c/{AUTH}"]),
        (
            "linux",
            {**HOME, "XDG_RUNTIME_DIR": "/run/u", "REGISTRY_AUTH_FILE": "/a.json"},
            ["/a.json", f"/home/ann/.config/{AUTH}"],
        ),
        ("linux", {**HOME, "XDG_RUNTIME_DIR": "/home/ann/.config"}, [f"/home/ann/.config/{AUTH}"]),
        ("linux", {}, []),
        ("darwin", {**MAC, "XDG_RUNTIME_DIR": "/run/u"}, [f"/Users/ann/.config/{AUTH}"]),
        ("darwin", {**MAC, "XDG_CONFIG_HOME": "/c"}, [f"/Users/ann/.config/{AUTH}", f"/c/{AUTH}"]),
        ("win32", WINDOWS, [r"C:\Users\ann\.config\containers\auth.json"]),
    ],
)
def test_podman_auth_files_come_in_podmans_order(
    system: str, environ: dict[str, str], expected: list[str]
) -> None:
    found = paths.podman_auth_files(system=system, environ=environ)
    assert [str(path) for path in found] == expected


def test_podman_auth_files_without_a_runtime_directory_has_one_per_user(
    isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert paths.podman_auth_files(system="linux") == (
        Path(f"/run/containers/{os.getuid()}/auth.json"),
        isolated_home / ".config" / "containers" / "auth.json",
    )


def test_looking_a_path_up_creates_nothing(isolated_home: Path) -> None:
    for look_up in (
        paths.cache_root,
        paths.state_dir,
        paths.spin_auth_file,
        paths.docker_config_file,
        paths.podman_auth_files,
        paths.wasm_pkg_config_file,
    ):
        for system in ("linux", "darwin", "win32"):
            assert look_up(system=system)
    assert list(isolated_home.iterdir()) == []
