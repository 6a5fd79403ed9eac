"""Names and places inside a Spin registry cache.

Sources: Spin main, crates/loader/src/cache.rs and crates/oci/src/client.rs.

::

    registry/
      manifests/<registry>/<repository, may contain />/<tag>/manifest.json
      manifests/<registry>/<repository>/<tag>/config.json      the locked app
      wasm/<digest>
      data/<digest>

A blob's file name is its digest; Windows writes ``_`` for the colon (since Spin v2.1), and likewise
in a registry's ``host:port`` (since v3.0). Both spellings are read on every system, since caches are
copied from one to another; the system's own is written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from spincache_nb.core.digest import ENCODED_LENGTH, Digest, joined_digests
from spincache_nb.core.reference import Reference
from spincache_nb.errors import CacheError, NotACacheError

REGISTRY = "registry"
WASM = "wasm"
DATA = "data"
MANIFESTS = "manifests"
AREAS: tuple[Literal["wasm", "data"], ...] = ("wasm", "data")
MANIFEST_FILE = "manifest.json"
LOCKED_APP_FILE = "config.json"
TEMPORARY_PREFIX = ".spincache-"
"""Names of files that this toolkit is still writing begin so."""

_SYSTEM_FILES = frozenset(
    {
        ".DS_Store",
        ".directory",
        ".localized",
        ".metadata_never_index",
        ".nobackup",
        ".nomedia",
        ".stignore",
        "CACHEDIR.TAG",
        "Thumbs.db",
        "desktop.ini",
    }
)
_SYSTEM_FOLDERS = frozenset(
    {
        "#recycle",
        "$RECYCLE.BIN",
        ".DocumentRevisions-V100",
        ".Spotlight-V100",
        ".TemporaryItems",
        ".Trashes",
        ".fseventsd",
        ".stfolder",
        ".stversions",
        "@eaDir",
        "System Volume Information",
        "lost+found",
    }
)
_SNAPSHOTS = frozenset({"#snapshot", ".snap", ".snapshot", ".snapshots", ".zfs"})
_SYSTEM_STARTS = (".nfs", "._", ".fuse_hidden", ".Trash-", ".stfolder")

NameForm = Literal["digest", "temporary", "bare hex", "other"]

_SPIN_TEMPORARY = re.compile(r"download-sha256-[0-9a-f]{64}[0-9A-Za-z]{6}")
_BARE_HEX = re.compile(r"[0-9a-f]{64}")
_DIGEST_NAME = re.compile("|".join(f"{name}[:_][0-9a-f]{{{size}}}" for name, size in ENCODED_LENGTH.items()))
_ALGORITHM_LENGTH = 6  # of each of them
_SHA256_NAME = re.compile(r"sha256[:_][0-9a-f]{64}")
_STARTS = ("sha256:", "sha256_")
_SIGN = len("sha256")
_UNDERSCORE_PORT = re.compile(r"(.+)_([0-9]{1,5})")


def is_left_by_system(name: str, *, folder: bool | None = None) -> bool:
    """Whether an operating system or a tool leaves a file, or a folder, of this name in any folder."""
    if name.startswith(_SYSTEM_STARTS) or is_snapshot(name):
        return True
    as_file, as_folder = name in _SYSTEM_FILES, name in _SYSTEM_FOLDERS
    return (
        as_file or as_folder if folder is None else (as_folder if folder else as_file or name == ".stfolder")
    )


def is_snapshot(name: str) -> bool:
    """Whether a folder of this name shows what a file system was like before; its files take no room."""
    return name in _SNAPSHOTS


def file_name(digest: Digest, *, windows: bool) -> str:
    """Name of a blob's file, or of a tag directory that is a digest."""
    return f"{digest.algorithm}{'_' if windows else ':'}{digest.encoded}"


def digest_of_name(name: str) -> Digest | None:
    """Read a file or directory name in either spelling as a digest."""
    if _DIGEST_NAME.fullmatch(name) is None:
        return None
    return Digest(name[:_ALGORITHM_LENGTH], name[_ALGORITHM_LENGTH + 1 :])


def form_of_name(name: str) -> NameForm:
    """Say what a file name in ``wasm/`` or ``data/`` means."""
    if digest_of_name(name) is not None:
        return "digest"
    if name.startswith(TEMPORARY_PREFIX) or _SPIN_TEMPORARY.fullmatch(name):
        return "temporary"
    return "bare hex" if _BARE_HEX.fullmatch(name) else "other"


def tag_segments(reference: Reference, *, windows: bool) -> tuple[str, ...]:
    """Directories from ``manifests/`` down to an app's cached tag."""
    registry = reference.registry.replace(":", "_") if windows else reference.registry
    filed = reference.filed_under
    if reference.tag is None and reference.digest is not None:
        filed = file_name(reference.digest, windows=windows)
    return (registry, *reference.repository.split("/"), filed)


def registry_of_segment(segment: str) -> str:
    """Read a directory under ``manifests/`` in either spelling as a registry."""
    match = _UNDERSCORE_PORT.fullmatch(segment)
    return f"{match[1]}:{match[2]}" if match else segment


def shown(name: str) -> str:
    """Make a file name printable: bytes that are not UTF-8, and control characters, are escaped."""
    if name.isprintable():
        return name
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def usual_digests(names: Sequence[str]) -> Sequence[bool]:
    """Of each name, whether it is a SHA-256 digest in the spelling that the first of them has."""
    if any(joined_digests(names, start=start) is not None for start in _STARTS):
        return [True] * len(names)
    signs = [name[_SIGN] if _SHA256_NAME.fullmatch(name) else None for name in names]
    usual = next(filter(None, signs), "")
    return [sign == usual for sign in signs]


def refuse_registry_itself(folder: Path) -> None:
    """Refuse a folder that is a ``registry`` where the one that holds it is meant."""
    parts = (WASM, DATA, MANIFESTS)
    try:
        found = [part for part in parts if (folder / part).is_dir()]
        nested = (folder / REGISTRY).is_dir()
        is_file = folder.exists() and not folder.is_dir()
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise CacheError(
            shown(str(folder)), "a folder to look into", reason, "check its permissions"
        ) from exc
    if is_file:
        raise NotACacheError(
            shown(str(folder)), "the directory that holds `registry`", "a file", "name a directory"
        )
    if nested or not found:
        return
    if folder.name == REGISTRY or MANIFESTS in found:
        raise NotACacheError(
            str(folder),
            "the directory that holds `registry`",
            "a `registry` directory itself",
            f"you probably mean Cache({str(folder.parent)!r})",
        )
