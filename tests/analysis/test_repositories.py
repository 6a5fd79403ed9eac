"""Repositories with versions to compare."""

import pandas as pd

from spincache_nb.analysis.versions import versioned_repositories
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import APPS_SCHEMA
from tests.analysis.worlds import frame_of


def apps(*lines: tuple[str, str, str, int | None, int | None]) -> pd.DataFrame:
    """Apps by registry, repository, tag, layer count and declared bytes."""
    columns = "reference", "registry", "repository", "tag", "layer_count", "declared_bytes"
    named = [(f"{line[0]}/{line[1]}:{line[2]}", *line) for line in lines]
    return frame_of(APPS_SCHEMA, *columns, lines=named)


def test_versioned_repositories_have_two_readable_versions_and_the_largest_come_first():
    frame = apps(
        ("ghcr.io", "a/small", "1", 2, 10),
        ("ghcr.io", "a/small", "2", 2, 10),
        ("ghcr.io", "a/large", "1", 2, 500),
        ("ghcr.io", "a/large", "2", 2, None),
        ("ghcr.io", "a/equal", "1", 2, 10),
        ("ghcr.io", "a/equal", "2", 2, 10),
        ("ghcr.io", "a/single", "1", 2, 900),
        ("docker.io", "a/single", "1", 2, 900),
        ("ghcr.io", "a/damaged", "1", 2, 900),
        ("ghcr.io", "a/damaged", "2", None, None),
    )
    assert versioned_repositories(Frames(apps=frame)) == [
        "ghcr.io/a/large",
        "ghcr.io/a/equal",
        "ghcr.io/a/small",
    ]


def test_versioned_repositories_of_an_empty_cache_are_none():
    assert versioned_repositories(Frames(apps=apps())) == []
