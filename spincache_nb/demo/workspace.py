"""A cache, a registry and a history to try things on, away from the user's own; and a made-up fleet."""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import weakref
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History
from spincache_nb.demo.server import registry
from spincache_nb.demo.shipped import Artifact, artifacts

if TYPE_CHECKING:
    from spincache_nb.core.plans import PullResult
    from spincache_nb.fleet import Snapshot


class Workspace:
    """The demo registry, running, beside an empty cache in a temporary folder.

    Attributes
    ----------
    registry : DemoRegistry
        Serves the demo apps on loopback.
    cache : Cache
        Empty until something is pulled. Its history is in the temporary folder too.
    folder : pathlib.Path
        The temporary folder, for whatever else is written; it goes with `close`.

    Examples
    --------
    >>> with Workspace() as demo:
    ...     result = demo.pull("demo/greet:1.0.0")
    >>> result.kind, result.fetch_bytes
    ('package', 1070816)
    """

    def __init__(self) -> None:
        with contextlib.ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spincache-demo-")))
            self.registry = stack.enter_context(registry())
            # The registry must be stopped before the interpreter ends: its thread could not answer then.
            self._close = weakref.finalize(self, stack.pop_all().close)
        history = History(self.folder / "history.jsonl", enabled=True)
        self.cache = Cache(self.folder / "cache", history=history)

    def reference(self, name: str) -> str:
        """Full reference of a demo app, such as ``demo/hello:1.0.0``."""
        return f"{self.registry.host}/{name}"

    def pull(self, name: str) -> PullResult:
        """Pull one demo app by its short name into the demo cache."""
        from spincache_nb.core.pull import pull

        return pull(self.cache, self.reference(name))

    def pull_all(self) -> list[PullResult]:
        """Pull every version of every demo app, one after the other, oldest first."""
        return [self.pull(reference.partition("/")[2]) for reference in self.registry.references]

    def close(self) -> None:
        """Stop the registry and remove the folder."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_REGISTRY = "ghcr.io"
_TEAMS = ("shop", "docs", "media", "mail")
_ROLES = {  # which apps hosts of a role hold, and how many of the versions before the newest
    "edge": (("hello", "site", "playground"), 1),
    "ci": (("hello", "site", "playground", "greet", "redact"), 3),
    "dev": (("hello", "greet", "playground"), 2),
    "batch": (("redact", "greet"), 2),
}
_APPLICATION = "application/vnd.fermyon.spin.application.v1+config"


def write_fleet(
    target: str | os.PathLike[str], *, hosts: int = 40, seed: int = 1, day: date = date(2026, 3, 2)
) -> list[Snapshot]:
    """Take snapshots of made-up hosts, as `fleet.snapshot` takes those of real ones.

    Hosts have a role and hold what goes with it: recent versions of demo apps under several teams'
    names, some under a tag ``latest`` that means another version elsewhere, and blobs of versions that
    are gone.

    Parameters
    ----------
    target
        Folder of the dataset.
    hosts, seed
        How many, and which of all the fleets that there could be.
    day
        When all snapshots were taken.

    Returns
    -------
    list of Snapshot
        One per host.
    """
    from spincache_nb import fleet

    at = datetime(day.year, day.month, day.day, 3, tzinfo=UTC)
    chance = random.Random(seed)  # noqa: S311 - a made-up fleet is no secret
    written = []
    for number in range(hosts):
        role = list(_ROLES)[number % len(_ROLES)]
        with tempfile.TemporaryDirectory(prefix="spincache-host-") as folder:
            cache = Cache(folder, windows_names=os.name == "nt", history=History(enabled=False))
            _fill(cache.path, role, chance, at)
            name = f"{role}-{number:0{len(str(hosts - 1))}}"
            written.append(fleet.snapshot(cache, target, host=name, at=at))
    return written


def _fill(root: Path, role: str, chance: random.Random, at: datetime) -> None:
    """Write one host's cache: documents whole, blobs as empty space of their size, which is all one reads."""
    names, back = _ROLES[role]
    for team in chance.sample(_TEAMS, chance.randint(1, 3)):
        for name in names:
            versions = [one for one in artifacts() if one.repository == f"demo/{name}"]
            newest = max(0, len(versions) - 1 - chance.choice((0, 0, 0, 1, 2)))
            held = versions[max(0, newest - chance.randrange(back)) : newest + 1]
            for one in held:
                _store(root, one, f"{team}/{name}", one.tag, at - timedelta(hours=chance.randrange(1500)))
            if chance.random() < 0.3:
                _store(root, held[-1], f"{team}/{name}", "latest", at - timedelta(hours=1))
    gone = chance.choice([one for one in artifacts() if one.repository != "demo/docs"])
    for path, size in _blobs(root, gone):  # what a removed app left behind
        if chance.random() < 0.5:
            _put(path, size=size)


def _store(root: Path, artifact: Artifact, repository: str, tag: str, pulled_at: datetime) -> None:
    documents = [layer.data for layer in artifact.layers if layer.media_type == _APPLICATION]
    folder = root / "manifests" / _REGISTRY / repository / tag
    _put(folder / "config.json", (documents or [artifact.config.data])[0])
    for path, size in _blobs(root, artifact):
        _put(path, size=size)
    _put(folder / "manifest.json", artifact.manifest)
    os.utime(folder / "manifest.json", (pulled_at.timestamp(),) * 2)


def _blobs(root: Path, artifact: Artifact) -> Iterator[tuple[Path, int]]:
    """Path and size of each blob that an app without archives needs."""
    for layer in artifact.layers:
        if layer.media_type != _APPLICATION:
            area = "wasm" if layer.media_type.endswith("wasm") else "data"
            name = layer.digest if os.name != "nt" else layer.digest.replace(":", "_")
            yield root / area / name, layer.size


def _put(path: Path, data: bytes = b"", *, size: int = 0) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(data)
            file.truncate(max(size, len(data)))
