"""Made-up snapshots of many hosts, the same for the same seed, to try fleets on.

Teams own repositories of unequal popularity. A version keeps most files of the one before; runtimes
are shared by many repositories. Hosts have a role and mostly what goes with it, hold recent versions
more often than old ones, and keep blobs of versions that are gone. Nothing in it is anybody's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from spincache_nb.demo.fleet_world import (
    APPLICATION,
    ARCHIVE,
    CONFIG_BYTES,
    DATA,
    DAY_NS,
    START_NS,
    WASM,
    FleetPlan,
    World,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from spincache_nb.fleet import Snapshot

    Ints = npt.NDArray[np.int64]

_ROLES = ("edge", "ci", "dev", "batch")


def write_fleet(
    target: str | os.PathLike[str],
    plan: FleetPlan | None = None,
    *,
    seed: int = 1,
    day: date = date(2026, 3, 2),
) -> list[Snapshot]:
    """Write a made-up fleet as `fleet.snapshot` would write it.

    Parameters
    ----------
    target
        Folder of the dataset.
    plan
        How large.
    seed
        Another one gives another fleet.
    day
        When all snapshots were taken.

    Returns
    -------
    list of Snapshot
        One per host.

    Raises
    ------
    MissingExtraError
        If ``spincache-nb[fleet]`` is not installed.
    """
    from spincache_nb.fleet.marker import Marker
    from spincache_nb.fleet.place import Place
    from spincache_nb.fleet.snapshots import encode, publish

    place = Place(target)
    taken_at = datetime(day.year, day.month, day.day, 3, 0, tzinfo=UTC)
    written = []
    for host, tables in _Hosts(plan or FleetPlan(), seed):
        part, contents = encode(tables, number=0)
        written.append(publish(place, Marker("cache", host, day, taken_at, (part,)), contents))
    return written


class _Hosts:
    """The tables of one host after the other."""

    def __init__(self, plan: FleetPlan, seed: int) -> None:
        import numpy as np

        self._plan = plan
        self._rng = np.random.default_rng(seed)
        self._world = World(plan, self._rng)
        rank = self._rng.permutation(plan.repositories)
        self._popular = 1.0 / (rank + 8.0) ** 0.9
        self._last = np.searchsorted(self._world.repository, np.arange(plan.repositories), side="right") - 1

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        digits = len(str(self._plan.hosts - 1))
        for number in range(self._plan.hosts):
            role = number % len(_ROLES)
            versions, latest = self._choose(role)
            gone, _ = self._choose(role)
            yield f"{_ROLES[role]}-{number:0{digits}d}", self._tables(versions, latest, gone[:3])

    def _choose(self, role: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Versions that a host holds, and whether it has them under the tag ``latest``."""
        import numpy as np

        rng, world = self._rng, self._world
        weights = self._popular * np.where(np.arange(self._plan.repositories) % len(_ROLES) == role, 9.0, 1.0)
        wanted = max(1, round(self._plan.apps_per_host / 2.2))
        wanted = min(wanted, self._plan.repositories)
        chosen = rng.choice(self._plan.repositories, wanted, replace=False, p=weights / weights.sum())
        held = np.repeat(chosen, rng.geometric(1 / 2.0, wanted))
        back = rng.geometric(0.4, len(held)) - 1 + np.where(rng.random(len(held)) < 0.1, 4, 0)
        first = np.searchsorted(world.repository, held)
        versions = np.unique(np.maximum(self._last[held] - back, first))
        moving = rng.choice(chosen, min(len(chosen), max(3, wanted // 8)), replace=False)
        newest = np.maximum(self._last[moving] - (rng.random(len(moving)) < 0.4), 0)
        newest = np.where(world.repository[newest] == moving, newest, self._last[moving])
        latest = np.repeat([False, True], [len(versions), len(newest)])
        return np.concatenate([versions, newest]), latest

    def _tables(self, versions: Ints, latest: npt.NDArray[np.bool_], gone: Ints) -> dict[str, Any]:
        import numpy as np

        from spincache_nb.fleet import tables

        world = self._world
        tags = np.where(latest, "latest", world.tags[versions])
        references = "ghcr.io/" + world.repositories[versions] + ":" + tags
        order = np.argsort(references)
        versions, latest, tags, references = versions[order], latest[order], tags[order], references[order]
        layer_app, layer, position = _gathered(world.layers, world.layer_at, versions)
        member_app, member, _ = _gathered(world.members, world.member_at, versions)
        stored = world.kind[layer] != APPLICATION
        use_app, used = (
            np.concatenate([layer_app[stored], member_app]),
            np.concatenate([layer[stored], member]),
        )
        via = np.repeat(["layer", "archive member"], [int(stored.sum()), len(member)])
        held = np.unique(used)
        left = np.setdiff1d(_gathered(world.layers, world.layer_at, gone)[1], held)
        left = left[world.kind[left] != APPLICATION]
        made = {
            "apps": self._apps(versions, latest, tags, references, use_app, used),
            "uses": self._uses(use_app, used, via, versions),
            "layers": self._layers(layer_app, layer, position, len(versions)),
            "members": {"key": world.keys[member], "app": member_app, "size_bytes": world.sizes[member]},
            "blobs": self._blobs(held, left),
            "digests": self._digests(np.union1d(np.union1d(held, left), layer), held),
            "breakdown": self._breakdown(use_app, used, left, len(versions)),
            "problems": {"kind": [], "reference": [], "path": []},
        }
        return {name: tables.make_table(name, made[name]) for name in tables.TABLES}

    def _apps(
        self, versions: Ints, latest: Any, tags: Any, references: Any, use_app: Ints, used: Ints
    ) -> dict[str, Any]:
        import numpy as np

        world, count = self._world, len(versions)
        known = self._rng.random() < 0.3
        pulled = world.created[versions] + self._rng.integers(0, 60 * DAY_NS, count)
        stored = np.zeros(count, dtype=np.int64)
        np.add.at(stored, use_app, world.sizes[used])
        keys = np.where(latest, world.latest_keys[versions], world.sort_keys[versions])
        return {
            "app": np.arange(count, dtype=np.int32),
            "reference": references,
            "registry": ["ghcr.io"] * count,
            "repository": world.repositories[versions],
            "tag": tags,
            "kind": ["app"] * count,
            "name": [name.rpartition("/")[2] for name in world.repositories[versions]],
            "version": world.tags[versions],
            "description": [None] * count,
            "created_at": world.created[versions].view("datetime64[ns]"),
            "pulled_at": pulled.view("datetime64[ns]"),
            "manifest_digest": [world.manifests[v].tobytes() if known else None for v in versions],
            "layers_digest": [world.fingerprints[v].tobytes() for v in versions],
            "config_digest": [None] * count,
            "document_digest": [
                world.digests[world.layers[world.layer_at[v + 1] - 1]].tobytes() for v in versions
            ],
            "layer_count": np.diff(world.layer_at)[versions],
            "component_count": np.ones(count, dtype=np.int64),
            "declared_bytes": world.declared[versions],
            "stored_bytes": stored,
            "version_bytes": world.declared[versions],
            "sort_key": list(keys),
        }

    def _uses(self, app: Ints, used: Ints, via: Any, versions: Ints) -> dict[str, Any]:
        import numpy as np

        from spincache_nb.fleet.columns import use_flags

        world = self._world
        key, number = world.keys[used], app.astype(np.int32)
        area = np.where(world.kind[used] == WASM, 1, 2).astype(np.uint8)
        return {
            "key": key,
            "app": number,
            "stored_bytes": world.sizes[used],
            "flags": use_flags(key, number, area, versions[app]),
            "via": via,
        }

    def _layers(self, app: Ints, layer: Ints, position: Ints, count: int) -> dict[str, Any]:
        import numpy as np

        from spincache_nb.fleet.extras import load
        from spincache_nb.fleet.tables import ARCHIVE as ARCHIVE_BIT
        from spincache_nb.fleet.tables import CONFIG, COUNTS, DOCUMENT, STORING

        pa, world = load("pyarrow"), self._world
        kind = np.concatenate([world.kind[layer], np.full(count, 4)])
        missing = np.repeat([False, True], [len(layer), count])
        content = "application/vnd.wasm.content."
        types = [
            f"{content}layer.v1+wasm",
            f"{content}layer.v1+data",
            f"{content}bundle.v1.tar+gzip",
            "application/vnd.fermyon.spin.application.v1+config",
            None,
        ]
        roles = ["wasm", "data", "archive", "application", "config"]
        flags = np.array([STORING, STORING, STORING | ARCHIVE_BIT, DOCUMENT, CONFIG], dtype=np.uint8) | COUNTS
        return {
            "key": pa.array(np.append(world.keys[layer], np.zeros(count, np.int64)), mask=missing),
            "app": np.append(app, np.arange(count)),
            "position": pa.array(np.append(position, np.zeros(count, np.int64)), mask=missing),
            "media_type": np.array(types, dtype=object)[kind],
            "role": np.array(roles, dtype=object)[kind],
            "declared_bytes": np.append(world.sizes[layer], np.full(count, CONFIG_BYTES)),
            "stored": pa.array(~missing, mask=missing),
            "flags": flags[kind],
        }

    def _blobs(self, held: Ints, left: Ints) -> dict[str, Any]:
        import numpy as np

        world = self._world
        blobs = np.concatenate([held, left])
        modified = START_NS + self._rng.integers(300 * DAY_NS, 420 * DAY_NS, len(blobs))
        return {
            "key": world.keys[blobs],
            "area": np.where(world.kind[blobs] == WASM, "wasm", "data"),
            "stored_bytes": world.sizes[blobs],
            "modified_at": modified.view("datetime64[ns]"),
            "standing": np.repeat(["referenced", "unreferenced"], [len(held), len(left)]),
        }

    def _digests(self, blobs: Ints, held: Ints) -> dict[str, Any]:
        import numpy as np

        from spincache_nb.fleet.extras import load

        pa, world = load("pyarrow"), self._world
        content = np.ascontiguousarray(world.digests[blobs])
        raw = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(32), len(blobs), [None, pa.py_buffer(content.tobytes())]
        )
        kinds = np.array(["component app", "", "archive layer", ""], dtype=object)[world.kind[blobs]]
        files = np.array([f"assets/{number % 997:03d}.js" for number in range(997)], dtype=object)
        names = np.where(world.kind[blobs] == DATA, files[blobs % 997], kinds)
        named = np.isin(blobs, held)
        return {
            "key": world.keys[blobs],
            "digest": raw.cast(pa.binary()),
            "is_prefix": np.ones(len(blobs), dtype=bool),
            "name": pa.array(names, mask=~named),
        }

    def _breakdown(self, app: Ints, used: Ints, left: Ints, count: int) -> dict[str, Any]:
        import numpy as np

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
        return {
            "kind": kinds,
            "file_count": [len(split[kind]) for kind in kinds],
            "stored_bytes": [int(split[kind].sum()) for kind in kinds],
        }


def _gathered(values: Ints, starts: Ints, chosen: Ints) -> tuple[Ints, Ints, Ints]:
    """Values of some lists: number of the list in `chosen`, value, and place in the list."""
    import numpy as np

    counts = starts[chosen + 1] - starts[chosen]
    place = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return (
        np.repeat(np.arange(len(chosen)), counts),
        values[np.repeat(starts[chosen], counts) + place],
        place,
    )
