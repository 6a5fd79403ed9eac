"""The repositories, versions and blobs that the hosts of a made-up fleet choose from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

DAY_NS = 86_400 * 10**9
START_NS = 1_735_689_600 * 10**9
"""2025-01-01, UTC."""
WASM, DATA, ARCHIVE, APPLICATION = range(4)
CONFIG_BYTES = 312
_TEAMS = ("shop", "docs", "auth", "media", "search", "mail", "billing", "maps", "chat", "ops")
_THINGS = ("api", "site", "worker", "gate", "feed", "admin", "hooks", "edge")
_RUNTIMES = 24


@dataclass(frozen=True)
class FleetPlan:
    """How large a made-up fleet is.

    Parameters
    ----------
    hosts
        Snapshots.
    apps_per_host
        Cached tags on each, about.
    files_per_app
        Mounted files of an app, about; every one is a layer, but for apps in archive style.
    repositories
        How many there are to choose from.
    versions
        Of each, about.
    changed_share
        Part of the files that a new version changes.
    """

    hosts: int = 40
    apps_per_host: int = 60
    files_per_app: int = 30
    repositories: int = 150
    versions: int = 8
    changed_share: float = 0.08


class World:
    """All repositories, versions and blobs that hosts choose from."""

    def __init__(self, plan: FleetPlan, rng: np.random.Generator) -> None:
        import numpy as np

        self.rng = rng
        self.blob_count = _RUNTIMES
        layers: list[Ints] = []
        members: list[Ints] = []
        repository: list[int] = []
        kinds: list[tuple[Ints, int]] = [(np.arange(_RUNTIMES), WASM)]
        for number in range(plan.repositories):
            for listed, unpacked, new in self._versions(plan):
                layers.append(listed)
                members.append(unpacked)
                repository.append(number)
                kinds += new
        self.layers, self.layer_at = _joined(layers)
        self.members, self.member_at = _joined(members)
        self.repository = np.array(repository)
        self.position = np.arange(len(repository)) - np.searchsorted(self.repository, self.repository)
        self.kind = np.full(self.blob_count, DATA, dtype=np.int8)
        for blobs, kind in kinds:
            self.kind[blobs] = kind
        self.digests = _digests(rng.bytes(32 * self.blob_count))
        scale = np.array([13.2, 9.2, 12.5, 8.0])[self.kind]
        self.sizes = np.exp(rng.normal(scale, 1.1)).astype(np.int64) + 1
        self._describe(plan)

    def _versions(self, plan: FleetPlan) -> Iterator[tuple[Ints, Ints, list[tuple[Ints, int]]]]:
        """Layers, archive members and new blobs of each version of one repository."""
        import numpy as np

        rng = self.rng
        runtime = np.array([min(_RUNTIMES, int(rng.zipf(1.6))) - 1])
        archive = rng.random() < 0.08
        files = self._new(max(3, int(plan.files_per_app * rng.lognormal(0, 0.5))))
        component = self._new(1)
        for version in range(max(1, int(rng.poisson(plan.versions)))):
            if version:
                changed = rng.random(len(files)) < plan.changed_share
                files = files.copy()
                files[changed] = self._new(int(changed.sum()))
                component = self._new(1) if rng.random() < 0.7 else component
            application = self._new(1)
            new = [(component, WASM), (application, APPLICATION)]
            if archive:
                packed = self._new(1)
                new.append((packed, ARCHIVE))
                yield np.concatenate([runtime, component, packed, application]), files, new
            else:
                yield np.concatenate([runtime, component, files, application]), files[:0], new

    def _new(self, count: int) -> Ints:
        import numpy as np

        found = np.arange(self.blob_count, self.blob_count + count)
        self.blob_count += count
        return found

    def _describe(self, plan: FleetPlan) -> None:
        """Names, times and totals of the versions."""
        import numpy as np

        names = [
            f"{_TEAMS[number % len(_TEAMS)]}/{_THINGS[number // len(_TEAMS) % len(_THINGS)]}-{number}"
            for number in range(plan.repositories)
        ]
        count = len(self.repository)
        born = self.rng.integers(0, 300, plan.repositories)[self.repository]
        self.created = START_NS + (born + self.position * 14) * DAY_NS
        self.created += self.rng.integers(0, DAY_NS, count)
        self.repositories = np.array(names, dtype=object)[self.repository]
        self.tags = np.array([f"1.{place}.0" for place in self.position], dtype=object)
        self.declared = np.add.reduceat(self.sizes[self.layers], self.layer_at[:-1]) + CONFIG_BYTES
        self.manifests = _digests(self.rng.bytes(32 * count))
        self.fingerprints = _digests(self.rng.bytes(32 * count))


def _digests(content: bytes) -> npt.NDArray[Any]:
    """Every 32 bytes as a digest."""
    import numpy as np

    text = content.hex()
    found = np.empty(len(content) // 32, dtype=object)
    found[:] = [f"sha256:{text[start : start + 64]}" for start in range(0, len(text), 64)]
    return found


def _joined(lists: list[Ints]) -> tuple[Ints, Ints]:
    """Lists one after the other, and where each begins."""
    import numpy as np

    return np.concatenate(lists), np.concatenate([[0], np.cumsum([len(one) for one in lists])])
