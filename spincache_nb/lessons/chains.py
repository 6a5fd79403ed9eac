"""The Merkle tree of an app: manifest, layers, members, each named by the digest of its bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from spincache_nb.core.archive import list_members
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Descriptor, Manifest, parse_manifest
from spincache_nb.core.locked_app import LockedApp, parse_locked_app
from spincache_nb.core.reference import Reference
from spincache_nb.core.scan import CachedTag
from spincache_nb.errors import ManifestError, SpinCacheError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN_ALIKE = 6


@dataclass(frozen=True, slots=True)
class Link:
    """One thing in the tree.

    Parameters
    ----------
    what
        In words: ``manifest``, ``config``, ``locked app``, ``wasm layer``, ``member`` ...
    digest
        Name of its bytes.
    size
        Its size in bytes.
    names
        What people call it: components and paths.
    parts
        What it names, or holds.
    """

    what: str
    digest: str
    size: int
    names: tuple[str, ...] = ()
    parts: tuple[Link, ...] = ()

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Link]]:
        """The link and all below it, with their depth, top down."""
        yield depth, self
        for part in self.parts:
            yield from part.walk(depth + 1)


@dataclass(frozen=True, slots=True)
class Chain:
    """The tree of one app, with the name that people use for it at the top.

    Parameters
    ----------
    reference
        The name: it can move to another manifest, while no digest below can.
    root
        The manifest.
    """

    reference: str
    root: Link

    def __str__(self) -> str:
        lines = [f"{self.reference}  (a name: it can move)"]
        lines += _lines(self.root, "", last=True)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def draw(self, *, ax: Axes | None = None) -> Axes:
        """Draw the tree, top down."""
        from spincache_nb.plots.inside import tree

        nodes = [
            (depth, link.what, _short(link.digest), _names(link), link.size)
            for depth, link in _elided(self.root).walk()
        ]
        return tree(self.reference, nodes, ax=ax)


def chain(cache: Cache, reference: str | Reference) -> Chain:
    """Show how a cached app hangs together.

    Parameters
    ----------
    cache
        Where it is.
    reference
        The app, as in ``frames.apps``.

    Returns
    -------
    Chain
        With a text form, an HTML form and ``draw()``.

    Raises
    ------
    NotInCacheError
        If the cache has no such app.
    ManifestError
        If its manifest cannot be read.
    """
    tag = cache.cached_tag(reference)
    content = tag.read_manifest()
    manifest = parse_manifest(content, where=tag.reference)
    if not isinstance(manifest, Manifest):
        raise ManifestError(tag.reference, "a manifest", "an index", "pull the app again")
    names = _names_in(_locked_app(tag, manifest))
    config = Link(_config_words(manifest), str(manifest.config.digest), manifest.config.size)
    layers = tuple(_layer(cache, layer, names) for layer in manifest.layers)
    digest = Digest.of(content, tag.digest.algorithm if tag.digest else "sha256")
    return Chain(tag.reference, Link("manifest", str(digest), len(content), parts=(config, *layers)))


def _layer(cache: Cache, layer: Descriptor, names: Mapping[str, tuple[str, ...]]) -> Link:
    words = {"application": "locked app", "archive": "archive layer", "other": "layer of another type"}
    what = words.get(layer.role, f"{layer.role} layer")
    parts: tuple[Link, ...] = ()
    if layer.role == "archive":
        parts = tuple(_members(cache, layer, names))
    digest = str(layer.digest)
    return Link(what, digest, layer.size, names.get(digest, ()), parts)


def _members(cache: Cache, layer: Descriptor, names: Mapping[str, tuple[str, ...]]) -> Iterator[Link]:
    try:
        with cache.open_blob(layer.digest) as stream:
            found = list_members(stream, where=str(layer.digest))
    except SpinCacheError:
        return  # a damaged archive is a matter of verify(), not of this picture
    for member in found.members:
        digest = str(member.digest)
        yield Link("member", digest, member.size, names.get(digest, (member.path.removeprefix("./"),)))


def _locked_app(tag: CachedTag, manifest: Manifest) -> LockedApp | None:
    if manifest.kind != "app":
        return None
    try:
        return parse_locked_app(tag.read_locked_app(), where=tag.reference)
    except SpinCacheError:
        return None


def _names_in(app: LockedApp | None) -> dict[str, tuple[str, ...]]:
    names: dict[str, list[str]] = {}
    for component, what, content in app.content() if app is not None else ():
        if content.digest is not None:
            text = f"component {component}" if what == "source" else what
            known = names.setdefault(str(content.digest), [])
            if text not in known:
                known.append(text)
    return {digest: tuple(texts) for digest, texts in names.items()}


def _config_words(manifest: Manifest) -> str:
    if manifest.config.role == "application":
        return "config: the locked app"
    return "config of a package" if manifest.kind == "package" else "image config"


def _lines(link: Link, indent: str, *, last: bool) -> Iterator[str]:
    mark, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
    yield f"{indent}{mark}{link.what}  {_short(link.digest)}  {link.size} bytes{_suffix(_names(link))}"
    parts = _elided(link).parts
    for position, part in enumerate(parts):
        if part.digest:
            yield from _lines(part, indent + below, last=position == len(parts) - 1)
        else:
            mark = "└─" if position == len(parts) - 1 else "├─"
            yield f"{indent}{below}{mark} {part.what}"


def _elided(link: Link) -> Link:
    """The same with many members or data layers cut down to a few and a line that counts the rest."""
    parts = [_elided(part) for part in link.parts]
    for what in ("member", "data layer"):
        alike = [part for part in parts if part.what == what]
        if len(alike) > _SHOWN_ALIKE + 1:
            rest = alike[_SHOWN_ALIKE:]
            place = parts.index(rest[0])
            kept = [part for part in parts[place:] if part.what != what]
            more = Link(f"and {len(rest)} more {what}s", "", sum(part.size for part in rest))
            parts = [*parts[:place], more, *kept]
    return Link(link.what, link.digest, link.size, link.names, tuple(parts))


def _short(digest: str) -> str:
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm}:{encoded[:12]}" if encoded else ""


def _names(link: Link) -> str:
    shown = ", ".join(link.names[:2])
    return f"{shown} +{len(link.names) - 2}" if len(link.names) > 2 else shown


def _suffix(names: str) -> str:
    return f"  {names}" if names else ""
