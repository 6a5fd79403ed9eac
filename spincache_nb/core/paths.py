"""Where Spin's cache, the credential stores and this toolkit's own state are on each system.

Spin asks the ``dirs`` crate (6.0, Spin main): XDG variables on Linux and the BSDs, ``~/Library`` on
macOS, known folders on Windows. The Python counterpart is platformdirs with ``appauthor=False,
opinion=False``, and where both agree, these functions give the same answer. They disagree in four
places, in which Spin is followed here:

- on macOS newer platformdirs honour ``XDG_CACHE_HOME``; Spin does not;
- on Linux older platformdirs take a relative ``XDG_CACHE_HOME``; Spin falls back to ``~/.cache``;
- an empty ``HOME`` counts as none; a relative one is taken as it is;
- ``WIN_PD_OVERRIDE_*`` moves what platformdirs sees as a known folder, but not what Spin sees.

So platformdirs is asked only for the known folders of Windows.

``system`` is a value of `sys.platform`; what is neither ``win32`` nor ``darwin`` follows the Linux rules.
If ``environ`` is given, nothing else of this machine is asked: ``LOCALAPPDATA`` and ``APPDATA`` stand in
for its known folders. Nothing here looks at the disk: a path that is returned need not exist.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

from spincache_nb.errors import CacheError

STATE_DIR_VARIABLE = "SPINCACHE_STATE_DIR"
"""Environment variable that moves this toolkit's own state."""

_APP = "spincache-nb"
_Environ = Mapping[str, str]


def cache_root(*, system: str | None = None, environ: _Environ | None = None) -> Path:
    r"""Directory of Spin's registry cache when nobody says otherwise."""
    base = _Machine(system, environ).cache_home()
    if base is None:
        raise CacheError(
            "Spin's cache",
            "a home directory to hold it",
            "none",
            "set HOME, or name the cache directory yourself",
        )
    return Path(str(base / "spin" / "registry"))


def state_dir(*, system: str | None = None, environ: _Environ | None = None) -> Path | None:
    r"""Directory of this toolkit's own state, such as the history of pulls."""
    machine = _Machine(system, environ)
    if override := machine.environ.get(STATE_DIR_VARIABLE):
        return Path(override)
    return _inside(machine.state_home(), _APP)


def spin_auth_file(*, system: str | None = None, environ: _Environ | None = None) -> Path | None:
    """File in which ``spin registry login`` keeps credentials (Spin, crates/oci/src/auth.rs)."""
    return _inside(_Machine(system, environ).config_home(), "fermyon", "registry-auth.json")


def docker_config_file(*, system: str | None = None, environ: _Environ | None = None) -> Path | None:
    """Docker's client configuration, which may hold or point at credentials."""
    machine = _Machine(system, environ)
    folder = machine.path(machine.environ.get("DOCKER_CONFIG")) or _below(machine.home(), ".docker")
    return _inside(folder, "config.json")


def podman_auth_files(*, system: str | None = None, environ: _Environ | None = None) -> tuple[Path, ...]:
    """Files in which Podman, Buildah and Skopeo keep credentials, in their order."""
    machine = _Machine(system, environ)
    config = machine.path(machine.environ.get("XDG_CONFIG_HOME")) or _below(machine.home(), ".config")
    files = (machine.podman_primary(), _below(config, "containers", "auth.json"))
    return tuple(dict.fromkeys(Path(str(file)) for file in files if file is not None))


def wasm_pkg_config_file(*, system: str | None = None, environ: _Environ | None = None) -> Path | None:
    """Configuration of the wasm package tools: which registry serves which namespace."""
    machine = _Machine(system, environ)
    if machine.windows:
        folder = machine.known_folder("CSIDL_APPDATA", "APPDATA")
    else:
        folder = machine.absolute("XDG_CONFIG_HOME") or _below(machine.home(), ".config")
    return _inside(folder, "wasm-pkg", "config.toml")


def _below(folder: PurePath | None, *parts: str) -> PurePath | None:
    return folder.joinpath(*parts) if folder is not None else None


def _inside(folder: PurePath | None, *parts: str) -> Path | None:
    return Path(str(folder.joinpath(*parts))) if folder is not None else None


class _Machine:
    """One system's rules over one set of variables."""

    def __init__(self, system: str | None, environ: _Environ | None) -> None:
        self.system = system or sys.platform
        self.windows = self.system == "win32"
        self.macos = self.system == "darwin"
        self.environ = os.environ if environ is None else environ
        self.asks_system = environ is None

    def path(self, text: str | None) -> PurePath | None:
        """Path by this system's rules; an empty text is none."""
        if not text:
            return None
        return PureWindowsPath(text) if self.windows else PurePosixPath(text)

    def absolute(self, variable: str) -> PurePath | None:
        """Value of an XDG variable; unset, empty and relative count alike (dirs-sys 0.5)."""
        path = self.path(self.environ.get(variable))
        return path if path is not None and path.is_absolute() else None

    def home(self) -> PurePath | None:
        if self.windows:
            return self.path(self.environ.get("USERPROFILE"))
        return self.path(self.environ.get("HOME") or (self.asks_system and _home_of_this_user()) or None)

    def known_folder(self, name: str, variable: str) -> PurePath | None:
        known = _known_folder(name) if self.asks_system else None
        return self.path(known or self.environ.get(variable))

    def cache_home(self) -> PurePath | None:
        if self.windows:
            return self.known_folder("CSIDL_LOCAL_APPDATA", "LOCALAPPDATA")
        if self.macos:
            return _below(self.home(), "Library", "Caches")
        return self.absolute("XDG_CACHE_HOME") or _below(self.home(), ".cache")

    def config_home(self) -> PurePath | None:
        if self.windows:
            return self.known_folder("CSIDL_APPDATA", "APPDATA")
        if self.macos:
            return _below(self.home(), "Library", "Application Support")
        return self.absolute("XDG_CONFIG_HOME") or _below(self.home(), ".config")

    def state_home(self) -> PurePath | None:
        if self.windows:
            return self.known_folder("CSIDL_LOCAL_APPDATA", "LOCALAPPDATA")
        parts = ("Library", "Application Support") if self.macos else (".local", "state")
        return self.absolute("XDG_STATE_HOME") or _below(self.home(), *parts)

    def podman_primary(self) -> PurePath | None:
        if chosen := self.path(self.environ.get("REGISTRY_AUTH_FILE")):
            return chosen
        if self.windows or self.macos:
            return _below(self.home(), ".config", "containers", "auth.json")
        if runtime := self.path(self.environ.get("XDG_RUNTIME_DIR")):
            return runtime / "containers" / "auth.json"
        if self.asks_system and hasattr(os, "getuid"):
            return PurePosixPath(f"/run/containers/{os.getuid()}/auth.json")
        return None


def _home_of_this_user() -> str | None:
    """Home directory from the list of users, for a process without ``HOME``."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_dir
    except (ImportError, KeyError):
        return None


def _known_folder(name: str) -> str | None:
    """Ask Windows, past the overrides of platformdirs; None where it cannot be asked."""
    from platformdirs import windows

    look_up = getattr(windows, "get_win_folder_via_ctypes", windows.get_win_folder)
    try:
        return str(look_up(name))
    except (AttributeError, NotImplementedError, OSError, ValueError):
        return None
