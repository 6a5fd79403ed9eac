"""Made-up snapshots of many hosts, the same for the same seed, to try fleets on.

Teams own repositories of unequal popularity. A version keeps most files of the one before; runtimes
are shared by many repositories. Hosts have a role and mostly what goes with it, hold recent versions
more often than old ones, and keep blobs of versions that are gone. Nothing in it is anybody's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from spincache_nb.fleet import Snapshot
from spincache_nb.fleet.place import Place
from spincache_nb.fleet.snapshots import publish
from spincache_nb.fleet.table import rows_of, whole

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
    """How large a made-up fleet is; files and apps are about so many."""

    hosts: int = 40
    apps_per_host: int = 60
    files_per_app: int = 30
    repositories: int = 150
    versions: int = 8
    changed_share: float = 0.08
    held_versions: float = 2.0
    """How many versions of a repository a host has by the mean, before those that there are not."""


class World:
    """All repositories, versions and blobs that hosts choose from."""

    def __init__(self, plan: FleetPlan, rng: np.random.Generator) -> None:
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
        found = np.arange(self.blob_count, self.blob_count + count)
        self.blob_count += count
        return found

    def _describe(self, plan: FleetPlan) -> None:
        """Names, times and totals of the versions."""
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
    text = content.hex()
    found = np.empty(len(content) // 32, dtype=object)
    found[:] = [f"sha256:{text[start : start + 64]}" for start in range(0, len(text), 64)]
    return found


def _joined(lists: list[Ints]) -> tuple[Ints, Ints]:
    """Lists one after the other, and where each begins."""
    return np.concatenate(lists), np.concatenate([[0], np.cumsum([len(one) for one in lists])])


_ROLES = ("edge", "ci", "dev", "batch")


def write_fleet(
    target: str | os.PathLike[str],
    plan: FleetPlan | None = None,
    *,
    seed: int = 1,
    day: date = date(2026, 3, 2),
) -> list[Snapshot]:
    """Write a made-up fleet as `fleet.snapshot` would write it."""
    place = Place(target)
    moment = datetime(day.year, day.month, day.day, 3, 0, tzinfo=UTC)
    return [
        publish(place, whole(records, source="cache", host=host, day=day, moment=moment))
        for host, records in _Hosts(plan or FleetPlan(), seed)
    ]


class _Hosts:
    """The rows of one host after the other."""

    def __init__(self, plan: FleetPlan, seed: int) -> None:
        self._plan = plan
        self._rng = np.random.default_rng(seed)
        self._world = World(plan, self._rng)
        rank = self._rng.permutation(plan.repositories)
        self._popular = 1.0 / (rank + 8.0) ** 0.9
        self._last = np.searchsorted(self._world.repository, np.arange(plan.repositories), side="right") - 1

    def __iter__(self) -> Iterator[tuple[str, list[Any]]]:
        digits = len(str(self._plan.hosts - 1))
        for number in range(self._plan.hosts):
            role = number % len(_ROLES)
            versions, latest = self._choose(role)
            gone, _ = self._choose(role)
            yield f"{_ROLES[role]}-{number:0{digits}d}", self._tables(versions, latest, gone[:3])

    def _choose(self, role: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Versions that a host holds, and whether it has them under the tag ``latest``."""
        rng, world = self._rng, self._world
        weights = self._popular * np.where(np.arange(self._plan.repositories) % len(_ROLES) == role, 9.0, 1.0)
        wanted = max(1, round(self._plan.apps_per_host / (0.2 + self._plan.held_versions)))
        wanted = min(wanted, self._plan.repositories)
        chosen = rng.choice(self._plan.repositories, wanted, replace=False, p=weights / weights.sum())
        held = np.repeat(chosen, rng.geometric(1 / self._plan.held_versions, wanted))
        back = rng.geometric(0.8 / self._plan.held_versions, len(held)) - 1
        back += np.where(rng.random(len(held)) < 0.1, 4, 0)
        first = np.searchsorted(world.repository, held)
        versions = np.unique(np.maximum(self._last[held] - back, first))
        moving = rng.choice(chosen, min(len(chosen), max(3, wanted // 8)), replace=False)
        newest = np.maximum(self._last[moving] - (rng.random(len(moving)) < 0.4), 0)
        newest = np.where(world.repository[newest] == moving, newest, self._last[moving])
        latest = np.repeat([False, True], [len(versions), len(newest)])
        return np.concatenate([versions, newest]), latest

    def _tables(self, versions: Ints, latest: npt.NDArray[np.bool_], gone: Ints) -> list[Any]:
        world = self._world
        tags = np.where(latest, "latest", world.tags[versions])
        references = "ghcr.io/" + world.repositories[versions] + ":" + tags
        order = np.argsort(references)
        versions, latest, tags, references = versions[order], latest[order], tags[order], references[order]
        layer_app, layer, position = _gathered(world.layers, world.layer_at, versions)
        member_app, member, _ = _gathered(world.members, world.member_at, versions)
        stored = world.kind[layer] != APPLICATION
        use_app = np.concatenate([layer_app[stored], member_app])
        used = np.concatenate([layer[stored], member])
        held = np.unique(used)
        left = np.setdiff1d(_gathered(world.layers, world.layer_at, gone)[1], held)
        left = left[world.kind[left] != APPLICATION]
        pulled = world.created[versions] + self._rng.integers(0, 60 * DAY_NS, len(versions))
        return [
            rows_of("snapshot", {"name": ["spincache-nb"], "version": ["made up"]}, 1),
            self._apps(versions, tags, references, use_app, used, pulled),
            self._layers(references, layer_app, layer, position),
            self._members(references, member_app, member),
            self._configs(references),
            self._blobs(use_app, used, held, left, pulled),
            self._breakdown(use_app, used, left, len(versions)),
        ]

    def _apps(
        self, versions: Ints, tags: Any, references: Any, use_app: Ints, used: Ints, pulled: Ints
    ) -> Any:
        world, count = self._world, len(versions)
        known = self._rng.random() < 0.3
        stored = np.zeros(count, dtype=np.int64)
        np.add.at(stored, use_app, world.sizes[used])
        columns = {
            "reference": references,
            "registry": ["ghcr.io"] * count,
            "repository": world.repositories[versions],
            "tag": tags,
            "kind": ["app"] * count,
            "name": [name.rpartition("/")[2] for name in world.repositories[versions]],
            "version": world.tags[versions],
            "created_at": world.created[versions].view("datetime64[ns]"),
            "pulled_at": pulled.view("datetime64[ns]"),
            "manifest_digest": world.manifests[versions] if known else [None] * count,
            "layers_digest": world.fingerprints[versions],
            "layer_count": np.diff(world.layer_at)[versions],
            "component_count": np.ones(count, dtype=np.int64),
            "declared_bytes": world.declared[versions],
            "stored_bytes": stored,
        }
        return rows_of("app", columns, count)

    def _layers(self, references: Any, app: Ints, layer: Ints, position: Ints) -> Any:
        world, kind = self._world, self._world.kind[layer]
        stored = kind != APPLICATION
        content = "application/vnd.wasm.content."
        types = [f"{content}layer.v1+wasm", f"{content}layer.v1+data", f"{content}bundle.v1.tar+gzip"]
        types.append("application/vnd.fermyon.spin.application.v1+config")
        areas = np.array(["wasm", "data", "data", None], dtype=object)
        columns = {
            "reference": references[app],
            "kind": ["app"] * len(app),
            "digest": world.digests[layer],
            "area": areas[kind],
            "stored_bytes": _where(stored, world.sizes[layer]),
            "via": np.array([None, "layer"], dtype=object)[stored.astype(int)],
            "role": np.array(["wasm", "data", "archive", "application"], dtype=object)[kind],
            "position": position,
            "media_type": np.array(types, dtype=object)[kind],
            "declared_bytes": world.sizes[layer],
        }
        return rows_of("need", columns, len(app))

    def _members(self, references: Any, app: Ints, member: Ints) -> Any:
        world, count = self._world, len(app)
        columns = {
            "reference": references[app],
            "kind": ["app"] * count,
            "digest": world.digests[member],
            "area": ["data"] * count,
            "stored_bytes": world.sizes[member],
            "via": ["archive member"] * count,
            "member_bytes": world.sizes[member],
        }
        return rows_of("need", columns, count)

    def _configs(self, references: Any) -> Any:
        count = len(references)
        columns = {"reference": references, "kind": ["app"] * count, "role": ["config"] * count}
        return rows_of("need", {**columns, "declared_bytes": [CONFIG_BYTES] * count}, count)

    def _blobs(self, use_app: Ints, used: Ints, held: Ints, left: Ints, pulled: Ints) -> Any:
        world = self._world
        blobs = np.concatenate([held, left])
        # The first pull that needs them writes its blobs within seconds of each other.
        first = np.full(len(blobs), START_NS)
        first[: len(held)] = pulled.max()
        np.minimum.at(first, np.searchsorted(held, used), pulled[use_app])
        modified = (first // 10**9 + self._rng.integers(0, 5, len(blobs))) * 10**9
        counts = np.append(np.unique(used, return_counts=True)[1], np.zeros(len(left), np.int64))
        kinds = np.array(["component app", "", "archive layer", ""], dtype=object)[world.kind[blobs]]
        files = np.array([f"assets/{number % 997:03d}.js" for number in range(997)], dtype=object)
        names = np.where(world.kind[blobs] == DATA, files[blobs % 997], kinds)
        columns = {
            "digest": world.digests[blobs],
            "area": np.where(world.kind[blobs] == WASM, "wasm", "data"),
            "stored_bytes": world.sizes[blobs],
            "modified_at": modified.view("datetime64[ns]"),
            "standing": np.repeat(["referenced", "unreferenced"], [len(held), len(left)]),
            "use_count": counts,
            "app_count": counts,
            "name": np.where(counts > 0, names, np.array(None, dtype=object)),
        }
        return rows_of("blob", columns, len(blobs))

    def _breakdown(self, app: Ints, used: Ints, left: Ints, count: int) -> Any:
        world = self._world
        blobs, users = np.unique(used, return_counts=True)
        archive = world.kind[blobs] == ARCHIVE
        split = {
            "exclusive": world.sizes[blobs[(users == 1) & ~archive]],
            "shared": world.sizes[blobs[(users > 1) & ~archive]],
            "archive": world.sizes[blobs[archive]],
            "unreferenced": world.sizes[left],
            "manifests": np.full(2 * count, 3_000),
        }
        kinds = [kind for kind, sizes in split.items() if len(sizes)]
        columns = {
            "kind": kinds,
            "file_count": [len(split[kind]) for kind in kinds],
            "stored_bytes": [int(split[kind].sum()) for kind in kinds],
        }
        return rows_of("disk", columns, len(kinds))


def _where(there: npt.NDArray[np.bool_], values: Ints) -> list[int | None]:
    return [value if kept else None for value, kept in zip(values.tolist(), there.tolist(), strict=True)]


def _gathered(values: Ints, starts: Ints, chosen: Ints) -> tuple[Ints, Ints, Ints]:
    """Values of some lists: number of the list in `chosen`, value, and place in the list."""
    counts = starts[chosen + 1] - starts[chosen]
    place = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return (
        np.repeat(np.arange(len(chosen)), counts),
        values[np.repeat(starts[chosen], counts) + place],
        place,
    )
