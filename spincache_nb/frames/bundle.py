"""All frames of one moment, from one walk over the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from types import MappingProxyType

import pandas as pd

from spincache_nb.frames import making
from spincache_nb.frames.schemas import CACHE
from spincache_nb.frames.sources import Caches, Found, Projects, find

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
    made = {name: makers[name](found) for name in names or makers.keys() - _COSTLY}
    later = {} if names else {name: partial(makers[name], found) for name in _COSTLY}
    return Frames(**made, later=later)
