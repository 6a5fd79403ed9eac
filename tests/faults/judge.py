"""What is wrong with a cache, told by the rules and not by the package; and what was lost in it."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

TEMPORARY = ".spincache-"


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []


def leftovers(folder: Path) -> list[Path]:
    """Files that somebody was still writing."""
    return [path for path in files(folder / "registry") if path.name.startswith(TEMPORARY)]


def grow_old(folder: Path, hours: float = 2) -> None:
    """Make leftovers older than any pull that could still be at work."""
    old = time.time() - hours * 3600
    for path in leftovers(folder):
        os.utime(path, (old, old))


def whole_blobs(folder: Path) -> dict[str, int]:
    """Size of every blob whose bytes are what its name says, by area and name."""
    found = {}
    for area in ("wasm", "data"):
        for path in files(folder / "registry" / area):
            if not path.name.startswith(TEMPORARY) and is_whole(path):
                found[f"{area}/{path.name}"] = path.stat().st_size
    return found


def is_whole(path: Path) -> bool:
    algorithm, _, encoded = path.name.replace("_", ":").partition(":")
    return hashlib.new(algorithm, path.read_bytes()).hexdigest() == encoded


def bytes_lost(before: dict[str, int], after: dict[str, int]) -> int:
    """Bytes of blobs that were whole and are not any more."""
    return sum(size for name, size in before.items() if name not in after)


def faults_of(folder: Path) -> list[str]:
    """Damaged blobs, and blobs that a manifest or a locked app names and that are not there."""
    registry = folder / "registry"
    faults = []
    for area in ("wasm", "data"):
        for path in files(registry / area):
            if not path.name.startswith(TEMPORARY) and not is_whole(path):
                faults.append(f"{area}/{path.name} is not what its name says")
    for path in files(registry / "manifests"):
        if path.name == "manifest.json":
            faults += _missing(registry, path)
    return faults


def assert_whole(folder: Path) -> None:
    """Nothing is wrong, and nothing half-written is left."""
    assert (faults_of(folder), leftovers(folder)) == ([], [])


def _missing(registry: Path, path: Path) -> Iterator[str]:
    manifest = json.loads(path.read_bytes())
    for layer in manifest["layers"]:
        if layer["mediaType"].endswith("application.v1+config"):
            continue
        if not any((registry / area / layer["digest"]).is_file() for area in ("wasm", "data")):
            yield f"{path.parent.name} names {layer['digest']}, which is not there"
    locked = json.loads(path.with_name("config.json").read_bytes())
    for component in locked.get("components", []):
        for file in component.get("files", []):
            if "inline" not in file and not (registry / "data" / file["digest"]).is_file():
                yield f"{path.parent.name} mounts {file['digest']}, which is not there"
