"""The explorer: a treemap of a cache to point at, to go into and to select from, linked with Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anywidget
import pandas as pd
import traitlets

from spincache_nb import analysis
from spincache_nb import frames as frames_of
from spincache_nb.analysis.inputs import Needs
from spincache_nb.analysis.tree import IDLE, MORE, ROOT, SEPARATOR, STATES, Place, Tree
from spincache_nb.analysis.versions import repository_totals
from spincache_nb.core.cache import Cache
from spincache_nb.core.locked_app import LockedApp, parse_locked_app
from spincache_nb.errors import SpinCacheError
from spincache_nb.frames.schemas import FILES_SCHEMA, empty
from spincache_nb.frames.tables import Frames
from spincache_nb.plots.style import names_for
from spincache_nb.show import count_text, rows, share_text, size_text
from spincache_nb.widgets import parts as parts_of

FRAMES = ("disk", "blobs", "uses", "layers", "apps", "problems")

MOST_PARTS = 120
MOST_ROOMS = 40
MOST_INNER = 480
"""Rectangles of a place that are drawn, how many of these show what is in them, and all within these."""

MOST_COLUMNS = 16
MANY_APPS = 30
"""Above so many apps, what they share is grouped by repository."""

Figure = dict[str, Any]


class Explorer(anywidget.AnyWidget):
    """A treemap of a cache; made by `explore`.

    Parameters
    ----------
    frames
        Loaded frames of one cache (disk, blobs, uses, layers, apps, problems), or None if they come later.
    cache
        Where the names of components and files are read when somebody looks at an app.

    Attributes
    ----------
    selection : list of str
        What is selected: references, repositories, registries, paths of files below ``registry``, or parts
        such as ``ghcr.io/org/app:v1 > component``. It can be read, observed and set.
    at : str
        The place that is drawn; the whole cache if empty.
    """

    _esm = Path(__file__).with_name("explorer.js")
    _css = Path(__file__).with_name("explorer.css")

    view = traitlets.Dict().tag(sync=True)
    at = traitlets.Unicode(ROOT).tag(sync=True)
    tab = traitlets.Unicode("map").tag(sync=True)
    selection = traitlets.List(traitlets.Unicode()).tag(sync=True)
    marked = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, frames: Frames | None = None, *, cache: Cache | None = None) -> None:
        super().__init__()
        self._cache = cache
        self._frames: Frames | None = None
        self._tree: Tree | None = None
        self._figures: list[Figure] = []
        self._savings: pd.DataFrame | None = None
        self._damaged: tuple[str, ...] = ()
        self.on_figure: list[Callable[[str], object]] = []
        self.on_msg(self._heard)
        if frames is not None:
            self.load(frames)

    def __repr__(self) -> str:
        size = "" if self._tree is None else f", {size_text(self._tree.root.size)} on disk"
        return f"Explorer of a Spin cache{size}. No widgets here? sc.analysis.breakdown() says the same."

    def load(self, frames: Frames, *, damaged: Iterable[str] = ()) -> None:
        """Draw another state of the cache, with files that were found damaged; what is gone is deselected."""
        tree = Tree(frames, contents=self._contents, damaged=damaged)
        with self.hold_sync():
            self._frames, self._tree = frames, tree
            self._figures = _figures(frames, tree)
            self._columns: dict[str, tuple[str, list[Figure]]] = {}
            self._savings = None
            self.selection = [id for id in self.selection if tree.find(id) is not None]
            if tree.find(self.at) is None:
                self.at = ROOT
            self._draw()

    def frame(self) -> pd.DataFrame:
        """Give the files that the selection stands for: of apps all that they need, else what is there.

        Returns
        -------
        pandas.DataFrame
            One row per file on disk: ``path`` below ``registry``, ``digest``, ``area``, ``stored_bytes``,
            ``state`` (``here``, ``shared``, ``idle``, ``damaged``, ``other``) and ``user_count``. All files
            if nothing is selected.
        """
        return self._known.frame(self.selection or [ROOT])

    def _contents(self, reference: str) -> LockedApp | None:
        """Read the locked app of a reference; None where it cannot be read."""
        if self._cache is None:
            return None
        try:
            return parse_locked_app(self._cache.cached_tag(reference).read_locked_app(), where=reference)
        except (SpinCacheError, OSError):
            return None

    @property
    def apps(self) -> list[str]:
        """References of the apps that are selected, those in a repository or registry included."""
        places = [self._known.find(id) for id in self.selection] if self._tree is not None else []
        return sorted({one.id for place in places if place is not None for one in place if one.kind == "app"})

    @property
    def _known(self) -> Tree:
        if self._tree is None:
            raise ValueError("the cache is not read yet; wait for it")
        return self._tree

    @traitlets.validate("selection")
    def _check_selection(self, proposal: Any) -> list[str]:
        wanted = list(dict.fromkeys(proposal["value"]))
        unknown = [id for id in wanted if self._tree is not None and self._tree.find(id) is None]
        if unknown:
            raise traitlets.TraitError(f"nothing in this cache is called {unknown[0]!r}; see frames.apps")
        return wanted

    @traitlets.observe("at", "tab")
    def _moved(self, _change: Any) -> None:
        if self._tree is not None:
            if self._tree.find(self.at) is None:
                self.at = ROOT
            self._draw()

    @traitlets.observe("selection")
    def _selected(self, _change: Any) -> None:
        self._mark()

    def _heard(self, _widget: object, content: Any, _buffers: object) -> None:
        name = str(content.get("figure", "")) if isinstance(content, dict) else ""
        if name == "freed":
            self.at, self.tab = f"{SEPARATOR}{IDLE}", "map"
        elif name in ("apps", "saved"):
            self.at, self.tab = ROOT, "map" if name == "apps" else "sharing"
        elif name == "problems" and self._tree is not None:
            self.selection = [file.path for file in self._tree.files if file.state == "damaged"][:MOST_PARTS]
        for listener in self.on_figure if name else ():
            listener(name)

    def _draw(self) -> None:
        tree = self._known
        place = tree.find(self.at) or tree.root
        start = int(self.at.partition(MORE)[2] or 0)
        while len(place.children) == 1 and not place.files and place.kind in ("cache", "registry"):
            (place,) = place.children.values()
        parts = self._parts(place, MOST_PARTS, start)
        rooms = [part for part in parts[:MOST_ROOMS] if part["in"] and part["id"] in tree.places]
        for part in rooms:
            part["parts"] = self._parts(tree.places[part["id"]], MOST_INNER // len(rooms))
        view = {
            "path": [{"id": one.id, "name": one.name} for one in place.path()],
            "name": place.name,
            "size": place.size if not start else sum(part["size"] for part in parts),
            "text": f"{size_text(place.size)} on disk. {tree.needs_text(place)}",
            "parts": parts,
            "states": [state for state in STATES if place.sizes[state]],
            "figures": self._figures,
            "tab": self.tab,
        }
        if self.tab != "map":
            view["finding"], view["columns"] = self._columns_of(place)
        with self.hold_sync():
            self.view = view
            self._mark()

    def _parts(self, place: Place, most: int, start: int = 0) -> list[Figure]:
        """Describe what is in a place; what is beyond the largest is one part, which can be gone into."""
        tree = self._known
        every = tree.parts(place)
        shown = every[start:] if len(every) - start <= most + 1 else every[start : start + most]
        parts = [self._part(part) for part in shown]
        rest = every[start + len(shown) :]
        if rest:
            sizes = [self._sizes(part) for part in rest]
            sums = [sum(column) for column in zip(*sizes, strict=True)]
            id = f"{place.id}{MORE}{start + len(shown)}"
            parts.append(_described(id, f"+{len(rest):,} more", "more", sums, "Go in to see them.", True))
        return parts

    def _sizes(self, part: Place | int) -> list[int]:
        if isinstance(part, Place):
            return list(part.sizes.values())
        file = self._known.files[part]
        return [file.size if state == file.state else 0 for state in STATES]

    def _part(self, part: Place | int) -> Figure:
        tree, sizes = self._known, self._sizes(part)
        text = tree.needs_text(part)
        if isinstance(part, Place):
            return _described(part.id, part.name, part.kind, sizes, text, bool(part.children or part.files))
        file = tree.files[part]
        return _described(file.path, tree.file_name(file), "file", sizes, text, False)

    def _mark(self) -> None:
        """Say which parts in sight are selected, or have something selected in them."""
        tree = self._tree
        if tree is None:
            return
        marked: set[str] = set(self.selection)
        for id in self.selection:
            place = tree.find(id)
            marked.update(one.id for one in (place.path()[1:] if place is not None else ()))
        for id in self.selection:
            if id in tree.apps:
                marked.update(self._used_groups(id))
        self.marked = sorted(marked)

    def _used_groups(self, reference: str) -> Iterable[str]:
        """Give the groups of shared files in sight that an app needs something of."""
        tree = self._known
        drawn = self.view.get("parts", ())
        inner = [one for part in drawn for one in part.get("parts", ())]
        for part in [*drawn, *inner]:
            place = tree.places.get(part["id"])
            files = place.files if place is not None and place.kind == "group" else ()
            if any(reference in tree.files[number].users for number in files):
                yield part["id"]

    def _columns_of(self, place: Place) -> tuple[str, list[Figure]]:
        """The finding and the columns of the tab in sight, each computed once for a state of the cache."""
        if self.tab == "sharing":
            if "sharing" not in self._columns:
                self._columns["sharing"] = _sharing(self._known)
            return self._columns["sharing"]
        repository = next((one.id for one in place.path() if one.kind == "repository"), "")
        key = f"versions {repository}"
        if key not in self._columns:
            if self._savings is None:
                frames = _with_files(self._frames, self._cache) if self._frames is not None else None
                self._savings = analysis.version_savings(frames) if frames is not None else None
            self._columns[key] = _versions(self._savings, repository)
        return self._columns[key]

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return parts_of.with_picture(super()._repr_mimebundle_(**options), self.png)

    def png(self) -> bytes | None:
        """Draw what is in sight as a static picture; None before the cache is read."""
        if self._tree is None:
            return None
        from spincache_nb.plots.squares import png

        return png(self.view["parts"], f"{self.view['name']}: {size_text(self.view['size'])}")


def _with_files(frames: Frames, cache: Cache | None) -> Frames:
    """Add the frame of files, which the cost of versions depends on only where there are archives."""
    if frames.holds("files"):
        return frames
    if cache is None or not frames.need("layers")["role"].eq("archive").any():
        return replace(frames, files=empty(FILES_SCHEMA))
    return frames_of.load(cache, "apps", "layers", "uses", "files", toolchains=False)


def _described(id: str, name: str, kind: str, sizes: Sequence[int], text: str, opens: bool) -> Figure:
    size = sum(sizes)
    return {
        "id": id,
        "name": name,
        "kind": kind,
        "size": size,
        "said": size_text(size),
        "sizes": list(sizes),
        "text": text,
        "in": opens,
    }


def _figures(frames: Frames, tree: Tree) -> list[Figure]:
    """The four figures above the map: what each is called, its value, and what it says."""
    needs = Needs(frames)  # as `analysis.summary`, which reads the disk once more
    saved = int(needs.sizes[needs.blob].sum() - needs.sizes.sum())
    idle = tree.root.sizes["idle"]
    problems = len(frames.need("problems"))
    counted = ((len(tree.apps), "app"), (problems, "problem"))
    apps, wrong = (f"{noun}{'' if count == 1 else 's'}" for count, noun in counted)
    shown = (
        ("apps", f"{len(tree.apps):,}", apps, "Show all of them"),
        ("saved", size_text(saved), "saved by sharing", "Show what is shared"),
        ("freed", size_text(idle), "needed by nothing", "Show what could be freed"),
        ("problems", f"{problems:,}", wrong, "Select the files that have one"),
    )
    return [dict(zip(("id", "value", "name", "hint"), one, strict=True)) for one in shown]


def _sharing(tree: Tree) -> tuple[str, list[Figure]]:
    """What is shared: a column for each set of apps, or of repositories where there are many apps."""
    by_repository = len(tree.apps) > MANY_APPS
    nouns = "repositories" if by_repository else "apps"
    sets = tree.sets(by_repository=by_repository)
    table = pd.DataFrame(
        [(n, user, len(users), size, count) for n, (users, size, count) in enumerate(sets) for user in users],
        columns=["set", "user", "user_count", "stored_bytes", "blob_count"],
    )
    short = names_for(table["user"].drop_duplicates())
    found = []
    for users, size, count in sets[:MOST_COLUMNS]:
        names = sorted(users)
        more = f" +{len(names) - 4}" if len(names) > 4 else ""
        files = f"{count_text(count, 'file')}, {size_text(size)}"
        text = f"{files}, that exactly these share: {', '.join(names[:4])}{more}"
        known = [user for user in names if user in tree.places]
        few = (
            ", ".join(short[user] for user in names[:2])
            if len(names) < 3
            else f"{short[names[0]]} +{len(names) - 1}"
        )
        found.append(_column(known, few if len(names) < 10 else f"{len(users)} {nouns}", size, text))
    if rest := sets[MOST_COLUMNS:]:
        found.append(_column([], f"+{len(rest):,} more", sum(one[1] for one in rest), f"sets of {nouns}"))
    return analysis.headline(table, nouns=(nouns, nouns)) if found else "", found


def _versions(savings: pd.DataFrame | None, repository: str) -> tuple[str, list[Figure]]:
    """What versions cost, pulled one after the other: those of one repository, or one column for each."""
    if savings is None or not len(savings):
        return "", []
    table = savings[savings["repository"] == repository] if repository else savings
    lines = list(rows(table, "reference", "tag", "total_bytes", "reused_bytes", "fetch_bytes"))
    if not repository:
        totals = sorted(repository_totals(savings), key=lambda line: -line[3])
        short = names_for(line[0] for line in totals)
        lines = [(name, f"{short[name]} ({count})", *sizes) for name, count, *sizes, _ in totals]
    shown = lines if repository else lines[:MOST_COLUMNS]
    found = []
    for reference, tag, total, reused, fetched in shown:
        share = f", {share_text((reused or 0) / total)} reused" if total else ""
        text = f"fetches {size_text(fetched)} of {size_text(total)}{share}"
        name, opens = tag or reference.rpartition("@")[2], not repository
        found.append(_column([reference], name, fetched or 0, text, reused or 0, opens=opens))
    if rest := lines[len(shown) :]:
        cost = sum(line[4] for line in rest)
        found.append(_column([], f"+{len(rest):,} more", cost, "repositories that reuse less"))
    return analysis.headline(table), found


def _column(ids: list[str], name: str, size: int, text: str, more: int = 0, *, opens: bool = False) -> Figure:
    said = size_text(size)
    return {"ids": ids, "name": name, "size": size, "more": more, "said": said, "text": text, "opens": opens}


def explore(cache: Cache | str | os.PathLike[str] | None = None, projects: Sequence[str] = ()) -> Explorer:
    """Show a cache as a treemap: registry, repository, version, component, file.

    Parameters
    ----------
    cache
        The cache, or its path; this user's own unless given.
    projects
        ``spin.toml`` files or folders of projects that use the cache too.

    Returns
    -------
    Explorer
        A widget; the last line of a cell shows it. Where no widget can live, its place is taken by a
        picture.

    Raises
    ------
    TypeError
        If what is given is neither a cache nor a path.

    Notes
    -----
    Areas are bytes on disk and sum to the disk. What several apps share stands once, beside them. Click or
    Enter goes into a rectangle, Escape leads back, Space selects.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     explorer = explore(folder)
    >>> explorer.frame().columns.tolist()
    ['path', 'digest', 'area', 'stored_bytes', 'state', 'user_count']
    """
    from spincache_nb.widgets.session import cache_of

    chosen = cache_of(cache)
    frames = frames_of.load(chosen, *FRAMES, projects=projects)
    return Explorer(frames, cache=chosen)
