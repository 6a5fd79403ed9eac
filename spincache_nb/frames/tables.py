"""The public functions: one for each frame, several frames of one moment, and the check by hashing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from types import MappingProxyType

import pandas as pd

from spincache_nb.core.journal import History
from spincache_nb.core.layout import shown
from spincache_nb.core.progress import Progress
from spincache_nb.frames import making
from spincache_nb.frames.making import problem_rows
from spincache_nb.frames.schemas import (
    APPS_SCHEMA,
    BLOBS_SCHEMA,
    CACHE,
    COMPONENTS_SCHEMA,
    DISK_SCHEMA,
    FILES_SCHEMA,
    HISTORY_SCHEMA,
    LAYERS_SCHEMA,
    PROBLEMS_SCHEMA,
    USES_SCHEMA,
    from_columns,
)
from spincache_nb.frames.sources import Caches, Found, Projects, cache_name, caches_of, find, made
from spincache_nb.inventory.columns import no_collections
from spincache_nb.upkeep.verify import examine


@APPS_SCHEMA.describes
def apps(cache: Caches = None) -> pd.DataFrame:
    """List the cached tags.

    Parameters
    ----------
    cache
        A `Cache` or its path, or several: then ``cache``, the path of the ``registry`` directory, is
        the first column. This user's own cache unless given.

    Returns
    -------
    pandas.DataFrame
        One row per cached tag, sorted by reference.

        {columns}
    """
    return made(making.apps_of, cache)


@LAYERS_SCHEMA.describes
def layers(cache: Caches = None) -> pd.DataFrame:
    """List the layers of the cached tags.

    Parameters
    ----------
    cache
        As for `apps`.

    Returns
    -------
    pandas.DataFrame
        One row per layer of a manifest, sorted by reference and position.

        {columns}
    """
    return made(making.layers_of, cache)


@COMPONENTS_SCHEMA.describes
def components(cache: Caches = None, *, toolchains: bool = True) -> pd.DataFrame:
    """List the components of the cached apps.

    Parameters
    ----------
    cache
        As for `apps`.
    toolchains
        Whether to look into the WebAssembly binaries for what made them; each is read once, a few
        pages of it. If not, the last two columns are missing values.

    Returns
    -------
    pandas.DataFrame
        One row per component of a locked app, sorted by reference and component.

        {columns}

    Notes
    -----
    `languages` and `toolchains` are what the stored binary says of itself, and missing where it says
    nothing, is not stored, or is not a whole WebAssembly binary. Tools can leave the sections out, and
    strip them.
    """
    return made(partial(making.components_of, toolchains=toolchains), cache)


@FILES_SCHEMA.describes
def files(cache: Caches = None) -> pd.DataFrame:
    """List the files that the cached apps mount; their content is never shown.

    Parameters
    ----------
    cache
        As for `apps`.

    Returns
    -------
    pandas.DataFrame
        One row per mounted file of a component, sorted by reference, component and path.

        {columns}
    """
    return made(making.files_of, cache)


@USES_SCHEMA.describes
def uses(cache: Caches = None, *, projects: Projects = ()) -> pd.DataFrame:
    """Say who needs which stored blob.

    Parameters
    ----------
    cache
        As for `apps`.
    projects
        ``spin.toml`` files, or folders that hold one, of projects that use the cache too. All their
        build profiles count, and ``.spin/target-environments.lock`` beside them. Packages that they
        name by version count with the content that they had when `pull_sources` last looked them up
        on this machine; else only their registry knows which content they are.

    Returns
    -------
    pandas.DataFrame
        One row per user, digest and area, sorted by these. Only what is stored is listed; what is
        missing is in `problems`.

        {columns}

    Raises
    ------
    SpinManifestError
        If there is no project at one of the paths given.

    Notes
    -----
    Blobs are looked up as Spin looks them up: an app's wasm in ``wasm``, else in ``data``; a package
    in ``wasm`` only; mounted files in ``data`` only. What the locked app mounts from an archive
    layer is an archive member. Archives are opened only if blobs in ``data`` remain that nobody names.
    """
    return made(making.uses_of, cache, projects)


@BLOBS_SCHEMA.describes
def blobs(cache: Caches = None, *, projects: Projects = ()) -> pd.DataFrame:
    """List the files in ``wasm/`` and ``data/``.

    Parameters
    ----------
    cache
        As for `apps`.
    projects
        As for `uses`; what they name is referenced.

    Returns
    -------
    pandas.DataFrame
        One row per file, sorted by area and name.

        {columns}

    Raises
    ------
    SpinManifestError
        If there is no project at one of the paths given.

    Notes
    -----
    Bytes are not compared with names here; ``verify`` does that. So a blob that Spin stored on
    purpose under the digest of a manifest (definitions of target environments, Spin main) is
    ``referenced`` if its project is given, else ``unreferenced``.
    """
    return made(making.blobs_of, cache, projects)


@PROBLEMS_SCHEMA.describes
def problems(cache: Caches = None, *, projects: Projects = ()) -> pd.DataFrame:
    """List everything that is wrong with a cache, as far as it shows without hashing.

    Parameters
    ----------
    cache
        As for `apps`.
    projects
        As for `uses`; what cannot be read of them is listed too.

    Returns
    -------
    pandas.DataFrame
        One row per fault, sorted by path and kind.

        {columns}

    Raises
    ------
    SpinManifestError
        If there is no project at one of the paths given.

    Notes
    -----
    Of blobs: ``missing blob``, ``missing archive member``, ``file not pushed``, ``damaged blob``,
    ``damaged archive``, ``cut archive``, ``blob in the wrong area``, ``second copy``.

    Of a tag's documents: ``missing manifest``, ``damaged manifest``, ``missing locked app``,
    ``damaged locked app``, ``stale locked app``, ``missing config``, ``damaged config``,
    ``stale config`` (of a package), ``config in the locked app's place``,
    ``locked app of an unknown version``, ``fault in the locked app``, ``neither app nor package``,
    ``package without exactly one layer``, ``impossible sizes``.

    Of names and places: ``temporary file``, ``name of an old Spin``, ``misnamed file``, ``foreign``,
    ``empty tag folder``, ``misplaced manifest``, ``link``, ``not a file``, ``file in a folder's place``,
    ``folder in a file's place``, ``system file``, ``unreadable file``, ``unreadable folder``. Of projects:
    ``project not understood``.

    A blob counts as damaged if its size is not the declared one, or if it is empty and should not
    be. No faults are: content that is inline in the locked app and has no blob, the config of a
    package, a tag directory named by a digest, blobs that nobody needs.
    """
    return made(making.problems_of, cache, projects)


@DISK_SCHEMA.describes
def disk(cache: Caches = None) -> pd.DataFrame:
    """List every regular file under ``registry``.

    Parameters
    ----------
    cache
        As for `apps`.

    Returns
    -------
    pandas.DataFrame
        One row per file, sorted by path.

        {columns}
    """
    return made(making.disk_of, cache)


@HISTORY_SCHEMA.describes
def history(cache: Caches = None, *, record: History | None = None) -> pd.DataFrame:
    """List the pulls that this toolkit recorded; Spin records none.

    Parameters
    ----------
    cache
        A `Cache` or its path, or several, if only their pulls are of interest.
    record
        The history; this user's unless given.

    Returns
    -------
    pandas.DataFrame
        One row per pull, oldest first.

        {columns}

    Warns
    -----
    HistoryWarning
        If there is a history that cannot be read.
    """
    rows = [*(record if record is not None else History()).read()]
    if cache is not None:
        each, _ = caches_of(cache)
        wanted = {place for one in each for place in (os.fspath(one.path), os.fspath(one.path.absolute()))}
        rows = [row for row in rows if row.cache in wanted]
    rows.sort(key=lambda row: row.at)
    columns = {name: [getattr(row, name) for row in rows] for name in HISTORY_SCHEMA}
    return from_columns(HISTORY_SCHEMA, {**columns, "cache": map(shown, columns["cache"])})


@PROBLEMS_SCHEMA.describes
def verify(
    cache: Caches = None,
    *,
    jobs: int | None = None,
    progress: Progress = None,
    cancel: threading.Event | None = None,
    projects: Projects = (),
) -> pd.DataFrame:
    """Hash everything that is stored, and list what is wrong with a cache.

    Parameters
    ----------
    cache
        A `Cache` or its path, or several: then ``cache`` is the first column. They are only read. This
        user's own cache unless given.
    jobs
        Files hashed at a time; one for each processor unless given.
    progress
        None for silence, True for a bar over all bytes, or a callable that takes each `ProgressEvent`.
    cancel
        Set it from another thread to stop.
    projects
        ``spin.toml`` files or folders of projects that use the cache too.

    Returns
    -------
    pandas.DataFrame
        The rows of `frames.problems`, and those that only hashing tells: ``damaged blob``, ``content of
        another digest``, ``file being written``, ``unreadable file``.

        {columns}

    Raises
    ------
    PullCancelled
        If `cancel` was set.
    SpinManifestError
        If there is no project at one of the paths given.

    Notes
    -----
    What seems damaged is read again before it is reported, since others may be writing it. No faults
    are: what `frames.problems` says; a name without algorithm (Spin v0.9 to v1.x) whose bytes hash to
    it. A file in ``wasm/`` that no app names and whose bytes are a whole WebAssembly binary of another
    digest is listed, but not called damaged: Spin main stores the WIT of target environments so.
    """
    each, several = caches_of(cache)
    health = [examine(one, jobs=jobs, progress=progress, cancel=cancel, projects=projects) for one in each]
    found = Found(tuple(one.inventory for one in health), tuple(map(cache_name, each)), several)
    return problem_rows(found, [one.problems for one in health])


_MAKERS: Mapping[str, Callable[[Found], pd.DataFrame]] = MappingProxyType(
    {
        "apps": making.apps_of,
        "layers": making.layers_of,
        "uses": making.uses_of,
        "components": making.components_of,
        "files": making.files_of,
        "blobs": making.blobs_of,
        "problems": making.problems_of,
        "disk": making.disk_of,
        "dependencies": making.dependencies_of,
        "unnamed": making.unnamed_of,
    }
)
_COSTLY = frozenset({"unnamed"})
"""Frames that are not made before somebody asks for them, where all are loaded: they open archives."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of a cache, loaded at one moment.

    Parameters
    ----------
    apps, layers, uses, components, files, blobs, problems, disk
        The frames of those names in `spincache_nb.frames`; None for one that was not asked for.
    dependencies
        What components and triggers depend on: ``reference``, ``component`` or ``trigger``, ``name``
        and ``digest``.
    unnamed
        Blobs in ``data/`` that an archive of an app holds and nothing in the app names: ``reference``
        and ``digest``. Removals leave them, as Spin unpacks an archive once only.

    Examples
    --------
    >>> from spincache_nb.frames.schemas import APPS_SCHEMA, empty
    >>> len(Frames(apps=empty(APPS_SCHEMA)).need("apps"))
    0
    """

    apps: pd.DataFrame | None = None
    layers: pd.DataFrame | None = None
    uses: pd.DataFrame | None = None
    components: pd.DataFrame | None = None
    files: pd.DataFrame | None = None
    blobs: pd.DataFrame | None = None
    problems: pd.DataFrame | None = None
    disk: pd.DataFrame | None = None
    dependencies: pd.DataFrame | None = None
    unnamed: pd.DataFrame | None = None
    later: Mapping[str, Callable[[], pd.DataFrame]] = field(
        default_factory=lambda: MappingProxyType({}), repr=False
    )

    def holds(self, name: str) -> bool:
        """Whether `need` can give a frame."""
        return getattr(self, name) is not None or name in self.later

    def need(self, name: str) -> pd.DataFrame:
        """Give one frame of the bundle.

        Parameters
        ----------
        name
            For example ``apps``.

        Raises
        ------
        ValueError
            If the bundle does not hold that frame, or it holds rows of several caches.
        """
        frame: pd.DataFrame | None = getattr(self, name)
        if frame is None and name in self.later:
            frame = self.later[name]()
            object.__setattr__(self, name, frame)
        if frame is None:
            raise ValueError(f"this analysis needs the frame `{name}`, which the bundle does not hold")
        if CACHE in frame.columns and frame[CACHE].nunique() > 1:
            raise ValueError(f"the frame `{name}` is of several caches; analyse one cache at a time")
        return frame

    def __repr__(self) -> str:
        held = ((one.name, getattr(self, one.name)) for one in fields(self) if one.name != "later")
        return (
            f"Frames({', '.join(f'{name}: {len(frame)} rows' for name, frame in held if frame is not None)})"
        )


@no_collections()
def load(cache: Caches = None, *names: str, projects: Projects = (), toolchains: bool = True) -> Frames:
    """Load several frames from one walk over the cache, so that they agree with each other.

    Parameters
    ----------
    cache
        A `Cache` or its path, or several: then ``cache`` is the first column of each frame. This user's
        own cache unless given.
    names
        Which frames; all of them if none is named (``unnamed`` then when it is asked for).
    projects
        ``spin.toml`` files, or folders that hold one, of projects that use the cache too.
    toolchains
        As for `frames.components`: whether to look into the WebAssembly binaries.

    Returns
    -------
    Frames
        With the named frames.

    Raises
    ------
    SpinManifestError
        If there is no project at one of the paths given.
    ValueError
        If there is no frame of a name.
    """
    unknown = sorted(set(names) - set(_MAKERS))
    if unknown:
        raise ValueError(f"there is no frame {unknown[0]!r}; there are {', '.join(_MAKERS)}")
    found = find(cache, projects)
    makers = dict(_MAKERS)
    makers["components"] = partial(making.components_of, toolchains=toolchains)
    frames = {name: makers[name](found) for name in names or makers.keys() - _COSTLY}
    later = {} if names else {name: partial(makers[name], found) for name in _COSTLY}
    return Frames(**frames, later=later)
