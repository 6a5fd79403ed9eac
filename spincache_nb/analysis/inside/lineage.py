"""Which blob took the place of which, from one version of an app to the next."""

from __future__ import annotations

from itertools import pairwise

from spincache_nb.analysis.inputs import rows
from spincache_nb.analysis.versions import in_order
from spincache_nb.frames import Frames


def predecessors(frames: Frames) -> dict[str, str]:
    """Say for each blob which one an older version of the same app had in its place."""
    held = _held(frames)
    seen: set[str] = set()
    found: dict[str, str] = {}
    for references in _versions(frames):
        places: dict[tuple[str, str], list[str]] = {}
        for reference in references:
            for place, digest in held.get(reference, []):
                places.setdefault(place, []).append(digest)
        for digests in places.values():
            seen.add(digests[0])
            for before, after in pairwise(digests):
                if after not in seen:
                    seen.add(after)
                    found[after] = before
    return found


def _versions(frames: Frames) -> list[list[str]]:
    """List the references of each repository, in order."""
    columns = ("registry", "repository", "reference", "tag", "created_at")
    groups: dict[tuple[str, str], list[tuple[str, str | None, None]]] = {}
    for registry, repository, reference, tag, created_at in rows(frames.need("apps"), *columns):
        groups.setdefault((registry, repository), []).append((reference, tag, created_at))
    return [in_order(versions) for versions in groups.values()]


def _held(frames: Frames) -> dict[str, list[tuple[tuple[str, str], str]]]:
    """List what each app has: place (component, path) and digest."""
    held: dict[str, list[tuple[tuple[str, str], str]]] = {}
    for reference, component, digest in rows(
        frames.need("components"), "reference", "component", "source_digest"
    ):
        if digest is not None:
            held.setdefault(reference, []).append(((component, ""), digest))
    for reference, component, path, digest in rows(
        frames.need("files"), "reference", "component", "path", "digest"
    ):
        if digest is not None:
            held.setdefault(reference, []).append(((component, path), digest))
    return held
