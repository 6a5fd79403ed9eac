"""What components and triggers depend on: a companion of the frame of components."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from spincache_nb.core.locked_app import Dependency, LockedApp
from spincache_nb.frames.found import Found
from spincache_nb.frames.schemas import DEPENDENCIES_SCHEMA


def dependencies_of(found: Found) -> pd.DataFrame:
    """Make the frame of dependencies from inventories."""
    rows = [
        (name, app.reference, *row)
        for name, app in found.apps()
        if app.locked_app is not None
        for row in _dependencies(app.locked_app)
    ]
    return found.frame(
        DEPENDENCIES_SCHEMA,
        (row[0] for row in rows),
        {
            "reference": (row[1] for row in rows),
            "component": (row[2] for row in rows),
            "trigger": (row[3] for row in rows),
            "name": (row[4].name for row in rows),
            "digest": (_digest(row[4]) for row in rows),
        },
    )


def _dependencies(app: LockedApp) -> Iterator[tuple[str | None, str | None, Dependency]]:
    """Each with the id of the component or of the trigger whose dependency it is."""
    for component in sorted(app.components, key=lambda one: one.id):
        for dependency in component.dependencies:
            yield component.id, None, dependency
    for trigger, dependency in app.trigger_dependencies:
        yield None, trigger, dependency


def _digest(dependency: Dependency) -> str | None:
    return str(dependency.source.digest) if dependency.source.digest is not None else None
