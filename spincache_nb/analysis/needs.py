"""Who needs which bytes, and under which name: app > component > path, and what else there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd

from spincache_nb.analysis.inputs import Source, app_references, bundle, rows
from spincache_nb.analysis.schemas import NEEDS_SCHEMA
from spincache_nb.core.digest import Digest
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import build

NEEDED = ("apps", "layers", "uses", "components", "files", "dependencies")


class Need(NamedTuple):
    """One reason why a user needs a digest."""

    digest: str
    user: str
    need: str
    component: str | None
    name: str

    @property
    def chain(self) -> str:
        """The reason in one line, from the user inwards."""
        return " > ".join(part for part in (self.user, self.component, self.name) if part is not None)


def why(source: Source, digest: str | Digest) -> pd.DataFrame:
    """List every chain that needs a digest: app > component > path, layer, archive member, project.

    Parameters
    ----------
    source
        A cache, or loaded frames: apps, layers, uses, components, files, dependencies.
    digest
        For example ``sha256:...``.

    Returns
    -------
    pandas.DataFrame
        One row per reason; none if nothing needs the digest. What is needed but not stored is
        listed too. Files that are inline in the locked app are not: they need no blob.

        =========  ========  ==========================================================
        column     dtype     meaning
        =========  ========  ==========================================================
        digest     category  the digest asked for
        user       category  reference of an app, or path of a project
        user_kind  category  ``app`` or ``project``
        need       category  ``component``, ``dependency``, ``file``, ``layer``, ``archive member``,
                             ``content ref``, ``spin.toml`` or ``environment lock``
        component  string    id of the component, for ``component``, ``dependency`` and ``file``
        name       string    path of the file, name of the dependency, position and role of the layer,
                             or what the need is
        chain      string    all of it in one line
        =========  ========  ==========================================================

    Raises
    ------
    InvalidDigestError
        If the text is no digest.
    """
    wanted = str(digest if isinstance(digest, Digest) else Digest.parse(digest))
    frames = bundle(source, *NEEDED)
    return _frame(frames, all_needs(frames, only=wanted))


def sharing_names(source: Source) -> pd.DataFrame:
    """Give every name that every referenced digest goes by: the companion of `sharing`.

    Parameters
    ----------
    source
        A cache, or loaded frames: apps, layers, uses, components, files, dependencies.

    Returns
    -------
    pandas.DataFrame
        The columns of `why`, for every digest that is stored and used, one row per reason.

        =========  ========  ==========================================================
        column     dtype     meaning
        =========  ========  ==========================================================
        digest     category  a stored digest
        user       category  reference of an app, or path of a project
        user_kind  category  ``app`` or ``project``
        need       category  as in `why`
        component  string    as in `why`
        name       string    as in `why`
        chain      string    all of it in one line
        =========  ========  ==========================================================
    """
    frames = bundle(source, *NEEDED)
    stored = {(user, digest) for user, digest in rows(frames.need("uses"), "user", "digest")}
    needs = [need for need in all_needs(frames) if (need.user, need.digest) in stored]
    return _frame(frames, needs)


def all_needs(frames: Frames, *, only: str | None = None) -> list[Need]:
    """Collect the reasons for every digest, or for one."""
    needs = set(each_need(frames, only=only))
    return sorted(needs, key=lambda need: (need.digest, need.user, need.need, need.chain))


def each_need(frames: Frames, *, only: str | None = None) -> Iterator[Need]:
    """Give the reasons for every digest, or for one, in no order, some perhaps twice; see `all_needs`."""
    explained: set[tuple[str, str]] = set()
    for need in _named(frames):
        if only in (None, need.digest):
            if need.need != "layer":
                explained.add((need.user, need.digest))
            yield need
    for need in _from_uses(frames, explained):
        if only in (None, need.digest):
            yield need


def _named(frames: Frames) -> Iterator[Need]:
    for reference, component, digest in rows(
        frames.need("components"), "reference", "component", "source_digest"
    ):
        if digest is not None:
            yield Need(digest, reference, "component", component, "source")
    yield from _of_dependencies(frames) if frames.holds("dependencies") else ()
    files = rows(frames.need("files"), "reference", "component", "path", "digest", "inline")
    for reference, component, path, digest, inline in files:
        if digest is not None and not inline:
            yield Need(digest, reference, "file", component, path)
    for reference, position, digest, role in rows(
        frames.need("layers"), "reference", "position", "digest", "role"
    ):
        yield Need(digest, reference, "layer", None, f"layer {position} ({role})")


def _of_dependencies(frames: Frames) -> Iterator[Need]:
    columns = ("reference", "component", "trigger", "name", "digest")
    for reference, component, trigger, name, digest in rows(frames.need("dependencies"), *columns):
        if digest is not None:
            of = f"trigger {trigger}, " if component is None else ""
            yield Need(digest, reference, "dependency", component, f"{of}dependency {name}")


def _from_uses(frames: Frames, explained: set[tuple[str, str]]) -> Iterator[Need]:
    """Give the uses that no component, file or layer of the app explains, and archive members."""
    archives = _archive_layers(frames)
    for user, digest, via in rows(frames.need("uses"), "user", "digest", "via"):
        if via == "archive member":
            yield Need(digest, user, via, None, f"member of {archives.get(user, 'an archive')}")
        elif via == "content ref" and (user, digest) not in explained:
            yield Need(digest, user, via, None, "named by the locked app")
        elif via not in ("layer", "content ref"):
            yield Need(digest, user, via, None, via)


def _archive_layers(frames: Frames) -> dict[str, str]:
    positions: dict[str, list[int]] = {}
    for reference, position, role in rows(frames.need("layers"), "reference", "position", "role"):
        if role == "archive":
            positions.setdefault(reference, []).append(position)
    return {
        reference: f"layer {found[0]} (archive)" if len(found) == 1 else f"one of {len(found)} archives"
        for reference, found in positions.items()
    }


def _frame(frames: Frames, needs: Iterable[Need]) -> pd.DataFrame:
    apps = app_references(frames.need("apps"))
    return build(
        NEEDS_SCHEMA,
        (
            (
                need.digest,
                need.user,
                "app" if need.user in apps else "project",
                need.need,
                need.component,
                need.name,
                need.chain,
            )
            for need in needs
        ),
    )
