"""Trees of digests: how an app hangs together, and what one changed byte does to every name above it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from spincache_nb.analysis.inputs import some_of
from spincache_nb.core.archive import list_members
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Descriptor, Manifest, parse_manifest
from spincache_nb.core.locked_app import LockedApp, parse_locked_app
from spincache_nb.core.reference import Reference
from spincache_nb.core.scan import CachedTag
from spincache_nb.errors import ManifestError, NotInCacheError, SpinCacheError
from spincache_nb.frames import apps
from spincache_nb.frames.schemas import TableSchema, build
from spincache_nb.show import size_text

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
    digest, size
        Name and number of its bytes.
    names, parts
        What people call it (components and paths); what it names, or holds.
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
            (depth, link.what, _short(link.digest), some_of(link.names, shown=2), link.size)
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
    content, manifest = _manifest_of(tag)
    names = _names_in(_locked_app(tag, manifest))
    config = Link(_config_words(manifest), str(manifest.config.digest), manifest.config.size)
    layers = (_layer(cache, layer, names) for layer in manifest.layers)
    digest = Digest.of(content, tag.digest.algorithm if tag.digest else "sha256")
    return Chain(tag.reference, Link("manifest", str(digest), len(content), parts=(config, *layers)))


def _manifest_of(tag: CachedTag) -> tuple[bytes, Manifest]:
    content = tag.read_manifest()
    manifest = parse_manifest(content, where=tag.reference)
    if not isinstance(manifest, Manifest):
        raise ManifestError(tag.reference, "a manifest", "an index", "pull the app again")
    return content, manifest


def _layer(cache: Cache, layer: Descriptor, names: Mapping[str, tuple[str, ...]]) -> Link:
    words = {"application": "locked app", "archive": "archive layer", "other": "layer of another type"}
    what, digest = words.get(layer.role, f"{layer.role} layer"), str(layer.digest)
    parts = tuple(_members(cache, layer, names)) if layer.role == "archive" else ()
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
    names: dict[str, dict[str, None]] = {}
    for component, what, content in app.content() if app is not None else ():
        if content.digest is not None:
            text = f"component {component}" if what == "source" else what
            names.setdefault(str(content.digest), {})[text] = None
    return {digest: tuple(texts) for digest, texts in names.items()}


def _config_words(manifest: Manifest) -> str:
    if manifest.config.role == "application":
        return "config: the locked app"
    return "config of a package" if manifest.kind == "package" else "image config"


def _lines(link: Link, indent: str, *, last: bool) -> Iterator[str]:
    mark, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
    names = f"  {some_of(link.names, shown=2)}" if link.names else ""
    yield f"{indent}{mark}{link.what}  {_short(link.digest)}  {size_text(link.size)}{names}"
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
        places = [place for place, part in enumerate(parts) if part.what == what]
        if len(places) > _SHOWN_ALIKE + 1:
            rest = places[_SHOWN_ALIKE:]
            parts[rest[0]] = Link(f"and {len(rest)} more {what}s", "", sum(parts[n].size for n in rest))
            parts = [part for place, part in enumerate(parts) if place not in rest[1:]]
    return replace(link, parts=tuple(parts))


def _short(digest: str) -> str:
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm}:{encoded[:12]}" if encoded else ""


RIPPLE_SCHEMA = TableSchema(
    what=("string", "the layer, the locked app, the manifest, the tag"),
    before=("string", "its digest (of the tag: the tag)"),
    after=("string", "the same once the byte is changed"),
    changed=("boolean", "whether they differ"),
)


@RIPPLE_SCHEMA.describes
def ripple(cache: Cache, reference: str | Reference, *, position: int = 0, offset: int = -1) -> pd.DataFrame:
    """Change one byte of one layer in a copy in memory, and say what it does to every name above.

    Parameters
    ----------
    cache
        Where the app is; nothing in it is touched.
    reference
        The app, as in ``frames.apps``.
    position
        Which layer, from 0.
    offset
        Which byte of it; the last one unless given.

    Returns
    -------
    pandas.DataFrame
        One row per name, from the layer up.

        {columns}

    Raises
    ------
    NotInCacheError
        If the cache has no such app or layer, or the layer has no bytes.
    ManifestError
        If its manifest cannot be read.
    """
    tag = cache.cached_tag(reference)
    content, manifest = _manifest_of(tag)
    layers = manifest.content_layers
    if not -len(layers) <= position < len(layers):
        raise NotInCacheError(tag.reference, f"a layer {position}", f"{len(layers)} layers", "count from 0")
    layer = layers[position]
    changed = _changed(cache, layer, offset)
    names = {str(layer.digest): str(Digest.of(changed, layer.digest.algorithm))}
    rows = [(f"layer {position}", str(layer.digest), names[str(layer.digest)])]
    document = manifest.tag_document
    if manifest.kind == "app":
        locked = _renamed(tag.read_locked_app(), names)
        names[str(document.digest)] = str(Digest.of(locked, document.digest.algorithm))
        rows.append(("locked app", str(document.digest), names[str(document.digest)]))
    rows.append(("manifest", str(Digest.of(content)), str(Digest.of(_renamed(content, names)))))
    rows.append(("tag", tag.tag or str(tag.digest), tag.tag or str(tag.digest)))
    return build(RIPPLE_SCHEMA, [(*row, row[1] != row[2]) for row in rows])


def _renamed(document: bytes, names: Mapping[str, str]) -> bytes:
    """The document with old digests replaced by new ones; everything else stays, byte for byte."""
    for old, new in names.items():
        document = document.replace(old.encode(), new.encode())
    return document


def _changed(cache: Cache, layer: Descriptor, offset: int) -> bytes:
    with cache.open_blob(layer.digest) as stream:
        content = bytearray(stream.read())
    if not content:
        raise NotInCacheError(str(layer.digest), "a byte to change", "an empty layer", "take another layer")
    content[offset] ^= 1
    return bytes(content)


_MOST_LOOKED_AT = 50


def example(cache: Cache) -> str:
    """Pick an app whose tree can be shown and whose first component is there to be changed in a copy.

    Parameters
    ----------
    cache
        The reader's own, or the demo's.

    Returns
    -------
    str
        Its reference: of the first 50 apps the one with the most layers.

    Raises
    ------
    ValueError
        If the cache holds no such app.
    """
    table = apps(cache)
    references = table.loc[table["kind"] == "app", "reference"].head(_MOST_LOOKED_AT).astype(str)
    found = {reference: _shown_layers(cache, reference) for reference in references}
    if not any(found.values()):
        raise ValueError("there is no app in this cache that can be shown; pull one first")
    return max(found, key=found.__getitem__)


def _shown_layers(cache: Cache, reference: str) -> int:
    """How many content layers an app has; 0 if it cannot be shown."""
    try:
        tag = cache.cached_tag(reference)
        layers = _manifest_of(tag)[1].content_layers
        tag.read_locked_app()
        if not layers or layers[0].role != "wasm":
            return 0
        with cache.open_blob(layers[0].digest) as stream:
            return len(layers) if stream.read(1) else 0
    except SpinCacheError:
        return 0
