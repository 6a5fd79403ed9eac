"""What stands where in a cache: registry, repository, app, component, file, in areas that sum to the disk.

Each file stands once: where one app needs it, in that app; where several do, in a group named *shared* at
the lowest place that has all of them below it, beside the apps that share it. So what is below an app, a
repository or a registry is what removing it frees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd

from spincache_nb.analysis.disk import DOCUMENTS, disk_users
from spincache_nb.analysis.inputs import short_references, some_of
from spincache_nb.core.layout import TEMPORARY_PREFIX
from spincache_nb.core.locked_app import LockedApp
from spincache_nb.frames.schemas import COUNT, FEW, TEXT, Schema, build
from spincache_nb.frames.tables import Frames
from spincache_nb.show import count_text, rows, short_digest

STATES = ("here", "shared", "idle", "damaged", "other")
"""Needed by one app or project only, by several, by nothing, not what it should be, none of these."""

FILES_SCHEMA: Schema = MappingProxyType(
    {"path": TEXT, "digest": TEXT, "area": FEW, "stored_bytes": COUNT, "state": FEW, "user_count": COUNT}
)
"""What a selection stands for, one row per file."""

ROOT = ""
SHARED, IDLE, PROJECTS, OTHER = "shared", "needed by nothing", "projects only", "other files"
SEPARATOR = " > "
MORE = f"{SEPARATOR}more "

_MOST_ASKED = 6
"""Apps that are asked what they call a file; where a layer alone has it, the first may not know."""

Contents = Callable[[str], LockedApp | None]
"""Reads the locked app of a reference, or gives None if it cannot."""


class File(NamedTuple):
    """One file and who needs it."""

    path: str
    digest: str | None
    area: str
    size: int
    users: frozenset[str]
    state: str


class Place:
    """A rectangle that has others in it: places below it, and files of its own by their number."""

    __slots__ = ("children", "files", "id", "kind", "name", "parent", "sizes")

    def __init__(self, id: str, kind: str, name: str, parent: Place | None) -> None:
        self.id, self.kind, self.name, self.parent = id, kind, name, parent
        self.children: dict[str, Place] = {}
        self.files: list[int] = []
        self.sizes = dict.fromkeys(STATES, 0)
        if parent is not None:
            parent.children[id] = self

    @property
    def size(self) -> int:
        """Bytes of all that is below."""
        return sum(self.sizes.values())

    def path(self) -> list[Place]:
        """The places that lead here, the whole cache first."""
        return [*(self.parent.path() if self.parent is not None else []), self]

    def __iter__(self) -> Iterator[Place]:
        yield self
        for child in self.children.values():
            yield from child


class Tree:
    """All places of a cache; those inside of an app are made when it is first looked at."""

    def __init__(
        self, frames: Frames, *, contents: Contents = lambda _: None, damaged: Iterable[str] = ()
    ) -> None:
        self.contents = contents
        self.root = Place(ROOT, "cache", "this cache", None)
        self.places: dict[str, Place] = {ROOT: self.root}
        self.apps: dict[str, tuple[str, str]] = {
            reference: (registry, f"{registry}/{repository}")
            for reference, registry, repository in rows(
                frames.need("apps"), "reference", "registry", "repository"
            )
        }
        for reference in sorted(self.apps):
            self._app(reference)
        self.files = _files(frames, frozenset(damaged))
        self.number = {file.path: number for number, file in enumerate(self.files)}
        self._opened: set[str] = set()
        self._homes: dict[frozenset[str], Place] = {}
        self._labels: dict[str, dict[str, tuple[str | None, str]]] = {}
        for number, file in enumerate(self.files):
            home = self._home(file)
            home.files.append(number)
            for place in home.path():
                place.sizes[file.state] += file.size

    def _place(self, id: str, kind: str, name: str, parent: Place) -> Place:
        if id not in self.places:
            self.places[id] = Place(id, kind, name, parent)
        return self.places[id]

    def _app(self, reference: str) -> Place:
        registry, repository = self.apps[reference]
        above = self._place(registry, "registry", registry, self.root)
        above = self._place(repository, "repository", repository.removeprefix(f"{registry}/"), above)
        return self._place(reference, "app", reference.removeprefix(repository).lstrip(":@"), above)

    def _group(self, parent: Place, name: str) -> Place:
        return self._place(f"{parent.id}{SEPARATOR}{name}", "group", name, parent)

    def _home(self, file: File) -> Place:
        """Find the lowest place that has all who need a file below it."""
        if not file.users:
            return self._group(self.root, IDLE if file.state in ("idle", "damaged") else OTHER)
        if file.users not in self._homes:
            self._homes[file.users] = self._home_of(file.users)
        return self._homes[file.users]

    def _home_of(self, users: frozenset[str]) -> Place:
        if len(users) == 1 and (only := next(iter(users))) in self.apps:
            return self.places[only]
        known = [self.apps.get(user) for user in users]
        first = known[0]
        if first is not None and all(one == first for one in known):
            return self._group(self.places[first[1]], SHARED)
        if first is not None and all(one is not None and one[0] == first[0] for one in known):
            return self._group(self.places[first[0]], SHARED)
        return self._group(self.root, SHARED if any(known) else PROJECTS)

    def find(self, id: str) -> Place | None:
        """Find a place by what a selection says; of a file, the place it is in; None if there is none."""
        id = id.partition(MORE)[0]
        if (reference := id.partition(SEPARATOR)[0]) in self.apps:
            self.open(reference)
        if id not in self.number:
            return self.places.get(id)
        number = self.number[id]
        home = self._home(self.files[number])
        if home.kind == "app":
            self.open(home.id)
            return next(place for place in home if number in place.files)
        return home

    def open(self, reference: str) -> Place:
        """Sort the files of an app into its components, once."""
        app = self.places[reference]
        if reference in self._opened:
            return app
        self._opened.add(reference)
        for number in app.files:
            file = self.files[number]
            component, _ = self.labels(reference).get(file.digest or "", (None, ""))
            if file.path.rpartition("/")[2] in DOCUMENTS:
                part = self._group(app, "documents")
            elif component is None:
                part = self._group(app, "archives and other layers")
            else:
                part = self._place(f"{reference}{SEPARATOR}{component}", "component", component, app)
            part.files.append(number)
            part.sizes[file.state] += file.size
        app.files = []
        return app

    def labels(self, reference: str) -> Mapping[str, tuple[str | None, str]]:
        """Say for each digest that an app names in which component, and as what; nothing if unreadable."""
        if reference not in self._labels:
            found = self._labels[reference] = {}
            locked = self.contents(reference)
            for component in locked.components if locked is not None else ():
                named = [(f"{component.id}.wasm", component.source)]
                named += [(one.name, one.source) for one in component.dependencies]
                named += [(one.path, one.content) for one in component.files]
                for label, content in named:
                    digest = str(content.digest)
                    before = found.setdefault(digest, (component.id, label))
                    if before[0] != component.id:
                        found[digest] = ("several components", before[1])
        return self._labels[reference]

    def file_name(self, file: File) -> str:
        """Name a file as an app that needs it does, or by its digest or path."""
        if file.digest is None:
            return file.path.rpartition("/")[2]
        for user in sorted(file.users & self.apps.keys())[:_MOST_ASKED]:
            if label := self.labels(user).get(file.digest, (None, ""))[1]:
                return label
        return short_digest(file.digest)

    def parts(self, place: Place) -> list[Place | int]:
        """What is directly in a place, largest first: places, and files by number."""
        if place.kind == "app":
            self.open(place.id)
        every: list[tuple[int, str, Place | int]]
        every = [(-child.size, child.id, child) for child in place.children.values()]
        every += [(-self.files[number].size, self.files[number].path, number) for number in place.files]
        return [line[2] for line in sorted(every, key=lambda line: line[:2])]

    def stands_for(self, ids: Iterable[str]) -> list[int]:
        """Give the files that a selection stands for: all that apps need, or what is in a place."""
        chosen: set[int] = set()
        for id in ids:
            place = self.find(id)
            if id in self.number:
                chosen.add(self.number[id])
            elif place is not None and place.kind in ("app", "repository", "registry"):
                users = {one.id for one in place if one.kind == "app"}
                chosen.update(n for n, file in enumerate(self.files) if not users.isdisjoint(file.users))
            elif place is not None:
                chosen.update(number for one in place for number in one.files)
        return sorted(chosen, key=lambda number: self.files[number].path)

    def frame(self, ids: Iterable[str]) -> pd.DataFrame:
        """Make a frame of the files that a selection stands for."""
        found = (self.files[number] for number in self.stands_for(ids))
        lines = [(one.path, one.digest, one.area, one.size, one.state, len(one.users)) for one in found]
        return build(FILES_SCHEMA, lines)

    def needs_text(self, part: Place | int) -> str:
        """Say who needs something and what its removal frees; `size` of it is said elsewhere."""
        if isinstance(part, Place):
            return _place_text(part)
        file = self.files[part]
        if not file.users:
            return "Nothing needs it." if file.state != "other" else ""
        short = sorted(short_references(file.users).values())
        goes = "goes with it" if len(short) == 1 else f"goes with the last of the {len(short)}"
        damaged = "Damaged. " if file.state == "damaged" else ""
        return f"{damaged}Needed by {some_of(short)}; {goes}."

    def sets(self, *, by_repository: bool) -> list[tuple[frozenset[str], int, int]]:
        """Give what exactly some apps (or repositories) share: who, bytes, files; largest first."""
        sizes: Counter[frozenset[str]] = Counter()
        counts: Counter[frozenset[str]] = Counter()
        for file in self.files:
            users = file.users
            if by_repository and len(users) > 1:
                users = frozenset(self.apps[user][1] if user in self.apps else user for user in users)
            if len(users) > 1:
                sizes[users] += file.size
                counts[users] += 1
        found = [(users, size, counts[users]) for users, size in sizes.items()]
        return sorted(found, key=lambda one: (-one[1], sorted(one[0])))


def _files(frames: Frames, damaged: frozenset[str]) -> list[File]:
    """Read the files on disk and their states; bytes of a file with several names count once."""
    bad = damaged | {path for (path,) in rows(frames.need("problems"), "path") if path}
    idle = {
        (area, name)
        for area, name, standing in rows(frames.need("blobs"), "area", "name", "standing")
        if standing != "referenced"
    }
    found = []
    for file, _, keepers in disk_users(frames):
        users = keepers - {""} if "" in keepers else keepers
        name = file.path.partition("/")[2]
        if file.path in bad:
            state = "damaged"
        elif users:
            state = "shared" if len(users) > 1 else "here"
        else:
            is_temporary = name.rpartition("/")[2].startswith(TEMPORARY_PREFIX)
            state = "idle" if is_temporary or (file.area, name) in idle else "other"
        found.append(File(file.path, file.digest, file.area, file.stored_bytes, users, state))
    return found


def _place_text(place: Place) -> str:
    if place.kind in ("repository", "registry"):
        apps = sum(one.kind == "app" for one in place)
        return f"{count_text(apps, 'app')}; removing all of them frees it."
    texts = {
        "app": "Removing this app frees it.",
        "component": "Only this app needs it.",
        SHARED: "Several need each of these; it goes with the last of them.",
        IDLE: "Nothing needs it: prune frees it.",
        PROJECTS: "Projects need it, and no app.",
        OTHER: "Neither Spin nor this toolkit put it here.",
    }
    return texts.get(place.name if place.kind == "group" else place.kind, "")
