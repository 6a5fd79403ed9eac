"""Which manifest a reference means, what of it is stored, and frozen plans and results that say so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import (
    Area,
    Descriptor,
    Index,
    Kind,
    Manifest,
    Role,
    choose_manifest,
    parse_manifest,
)
from spincache_nb.core.files import read_bounded
from spincache_nb.core.layout import LOCKED_APP_FILE
from spincache_nb.core.reference import Reference
from spincache_nb.core.settings import LOCKED_APP_BYTES
from spincache_nb.errors import ManifestError, SpinCacheError

if TYPE_CHECKING:
    from spincache_nb.show import Cell

ROWS_SHOWN = 12
"""Rows of a plan's table, unless told otherwise."""


_Planned = TypeVar("_Planned", bound=Any)  # with a digest, a size or None, and whether it is stored
Form = tuple[str, str, tuple[str, ...], list[tuple[Any, ...]]]


class Plan(Generic[_Planned]):
    """The sums of a plan or result, and its forms for people."""

    __slots__ = ()
    _lacking: ClassVar[str] = "to fetch"

    def _each(self) -> Iterable[_Planned]:
        raise NotImplementedError

    def _form(self) -> Form:
        """Title, summary, headings and rows of its HTML."""
        raise NotImplementedError

    def _counted(self) -> str:
        """What it is a plan of, and of how many parts."""
        raise NotImplementedError

    def _unknown(self) -> str:
        """What cannot be counted in bytes."""
        return ""

    def _share(self) -> str:
        """How much of all bytes is to be fetched."""
        from spincache_nb.show import size_text

        return (
            f"{self._lacking} {size_text(self.fetch_bytes)}{self._unknown()} of {size_text(self.total_bytes)}"
        )

    def _state(self, stored: bool) -> Cell:
        from spincache_nb.show import Cell

        return Cell("stored" if stored else self._lacking)

    @property
    def total_bytes(self) -> int:
        """Bytes of all blobs whose size is known, each digest once; no manifest is counted."""
        return sum(blob.size or 0 for blob in self.distinct())

    @property
    def reused_bytes(self) -> int:
        """Bytes of these that are stored already."""
        return sum(blob.size or 0 for blob in self.distinct() if blob.stored)

    @property
    def fetch_bytes(self) -> int:
        """Bytes of these that are to be fetched: ``total_bytes - reused_bytes``."""
        return self.total_bytes - self.reused_bytes

    def distinct(self) -> Iterator[_Planned]:
        """Each digest once: the entry that is not stored, or knows its size, where they differ."""
        chosen: dict[str, _Planned] = {}
        for blob in self._each():
            known = chosen.setdefault(blob.digest, blob)
            if (known.stored and not blob.stored) or (known.size is None and blob.size is not None):
                chosen[blob.digest] = blob
        yield from chosen.values()

    def html(self, *, most: int = ROWS_SHOWN) -> str:
        """The plan or result as HTML, escaped."""
        from spincache_nb.show import block, share_bar, table

        title, summary, headings, rows = self._form()
        bar = share_bar(self.reused_bytes, self.total_bytes)
        return block(title, summary, bar, table(headings, rows, most=most))

    def _repr_html_(self) -> str:
        return self.html()

    def __str__(self) -> str:
        fetch = f"{self.fetch_bytes} bytes{self._unknown()} to fetch"
        return f"{self._counted()}, {self.reused_bytes} bytes stored, {fetch}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class Result(Plan[_Planned]):
    """What a plan came to: its sums and forms once it was carried out."""

    __slots__ = ()
    _lacking = "fetched"
    if TYPE_CHECKING:
        seconds: float

    def _form(self) -> Form:
        title, summary, headings, rows = super()._form()
        return title, f"{summary} in {self.seconds:.2f} s", headings, rows

    def __str__(self) -> str:
        fetched = f"fetched {self.fetch_bytes} of {self.total_bytes} bytes in {self.seconds:.2f} s"
        return f"{self._counted()}, {fetched}, {self.reused_bytes} reused"


class PlannedBlob(msgspec.Struct, frozen=True):
    """A config or layer in a plan."""

    digest: str
    media_type: str
    role: Role
    size: int
    stored: bool


class PullPlan(Plan[PlannedBlob], msgspec.Struct, frozen=True):
    """What a pull would fetch and what it would reuse.

    Parameters
    ----------
    reference
        ``registry/repository:tag``, or ``registry/repository@digest``, as in ``frames.apps``.
    kind
        ``app``, ``package`` or ``unknown``.
    manifest_digest
        Digest of the manifest as served; of the chosen one if the registry served an index.
    index_digest
        Digest of that index, or None.
    config
        The config.
    layers
        All layers in the manifest's order, duplicates included.
    """

    reference: str
    kind: Kind
    manifest_digest: str
    index_digest: str | None
    config: PlannedBlob
    layers: tuple[PlannedBlob, ...]

    def _each(self) -> Iterable[PlannedBlob]:
        return (self.config, *self.layers)

    def _form(self) -> Form:
        from spincache_nb.show import Cell, digest_cell, size_cell

        rows = [
            (Cell(what), digest_cell(blob.digest), size_cell(blob.size), self._state(blob.stored))
            for what, blob in (("config", self.config), *((layer.role, layer) for layer in self.layers))
        ]
        return self.reference, f"{self.kind}, {self._share()}", ("what", "digest", "size", ""), rows

    def _counted(self) -> str:
        from spincache_nb.show import count_text

        return f"{self.reference}: {count_text(len(self.layers), 'layer')}"


class PullResult(Result[PlannedBlob], PullPlan, frozen=True):
    """What a pull fetched and what it reused: the plan it carried out, and its cost.

    Parameters
    ----------
    wire_bytes
        All bytes received: manifests, tokens, retries and error pages included. Of several references
        pulled together each has what came in since the one before was finished; they add up.
    seconds
        Wall-clock time from the call to the finished tag.
    """

    wire_bytes: int
    seconds: float


class PullFailure(msgspec.Struct, frozen=True):
    """A reference of several that could not be planned or pulled, and what would be raised for it alone."""

    reference: str
    error: SpinCacheError

    def __str__(self) -> str:
        return f"{self.reference}: failed: {self.error}"


_Outcome = TypeVar("_Outcome", bound=PullPlan | PullFailure)


class PullPlans(list[_Outcome]):
    """Plans of several references: a list that shows itself as one table."""

    __slots__ = ()
    _verb: ClassVar[str] = "to fetch"

    def _sums(self) -> tuple[int, int, int]:
        plans = [one for one in self if isinstance(one, PullPlan)]
        total, reused = sum(plan.total_bytes for plan in plans), sum(plan.reused_bytes for plan in plans)
        return total, reused, total - reused

    def __str__(self) -> str:
        from spincache_nb.show import count_text, more_text

        total, reused, fetch = self._sums()
        first = f"{count_text(len(self), 'reference')}: {total} bytes, {reused} stored, {fetch} {self._verb}"
        lines = [f"  {plan}" for plan in self[:ROWS_SHOWN]]
        more = more_text(len(self), ROWS_SHOWN)
        return "\n".join([first, *lines, *([f"  {more}"] if more else [])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from spincache_nb.show import block, count_text, share_bar, size_text, table

        total, reused, fetch = self._sums()
        headings = ("reference", "layers", "size", "stored", self._verb)
        return block(
            "",
            f"{count_text(len(self), 'reference')}: {self._verb} {size_text(fetch)} of {size_text(total)}",
            share_bar(reused, total),
            table(headings, [_row(one) for one in self], most=ROWS_SHOWN),
            notes=[str(one) for one in self if isinstance(one, PullFailure)][:ROWS_SHOWN],
        )


class PullResults(PullPlans[_Outcome]):
    """Results of several references."""

    __slots__ = ()
    _verb = "fetched"


def _row(one: PullPlan | PullFailure) -> tuple[Any, ...]:
    from spincache_nb.show import Cell, count_text, size_cell

    if isinstance(one, PullFailure):
        return Cell(one.reference, "code"), Cell("failed", "number"), *[Cell("", "number")] * 3
    sizes = map(size_cell, (one.total_bytes, one.reused_bytes, one.fetch_bytes))
    return Cell(one.reference, "code"), Cell(count_text(len(one.layers), "layer"), "number"), *sizes


def result_of(plan: PullPlan, *, wire_bytes: int, seconds: float) -> PullResult:
    """Make a result from the plan that was carried out."""
    return PullResult(**msgspec.structs.asdict(plan), wire_bytes=wire_bytes, seconds=seconds)


class Served(NamedTuple):
    """A manifest or index as somebody served it."""

    content: bytes
    digest: Digest


FetchManifest = Callable[[Reference, Digest | None], Served]
"""Gives the manifest or index of a reference, or of a digest in the same repository."""


class Resolved(NamedTuple):
    """A reference and the manifest it means now."""

    reference: Reference
    manifest: Manifest
    content: bytes
    digest: Digest
    index_digest: Digest | None
    wire_bytes: int


def resolve(fetch_manifest: FetchManifest, reference: Reference) -> Resolved:
    """Fetch the manifest a reference means, through an index if there is one (Spin, crates/oci)."""
    served = fetch_manifest(reference, None)
    document = parse_manifest(served.content, where=str(reference))
    if isinstance(document, Manifest):
        return Resolved(reference, document, served.content, served.digest, None, len(served.content))
    chosen = choose_manifest(document, where=str(reference))
    child = fetch_manifest(reference, chosen.digest)
    manifest = parse_manifest(child.content, where=f"{reference}, {chosen.digest}")
    if isinstance(manifest, Index):
        raise ManifestError(
            str(reference), "a manifest behind the index", "another index", "pull a manifest by its digest"
        )
    wire_bytes = len(served.content) + len(child.content)
    return Resolved(reference, manifest, child.content, child.digest, served.digest, wire_bytes)


def decide(cache: Cache, resolved: Sequence[Resolved]) -> list[PullPlan]:
    """Compare manifests with the cache, as if they were pulled one after the other."""
    coming: set[Digest] = set()
    plans = []
    for one in resolved:
        content = {layer.digest for layer in one.manifest.content_layers}
        plans.append(_plan_of(one, _stored_digests(cache, one) | (coming & content)))
        coming |= content
    return plans


def _stored_digests(cache: Cache, one: Resolved) -> set[Digest]:
    """Digests of a manifest's config and layers that count as stored (see the README)."""
    stored = {
        layer.digest
        for layer in one.manifest.content_layers
        if layer.size in (cache.blob_size("wasm", layer.digest), cache.blob_size("data", layer.digest))
    }
    document = one.manifest.tag_document
    documents = {document.digest, one.manifest.config.digest}
    is_there = stored_document(cache, one.reference, document) is not None
    return stored | documents if is_there else stored - documents


def stored_document(cache: Cache, reference: Reference, document: Descriptor) -> bytes | None:
    """Bytes of the cached ``config.json``, if they are the document a manifest names."""
    try:
        content = read_bounded(cache.tag_path(reference) / LOCKED_APP_FILE, limit=LOCKED_APP_BYTES)
    except SpinCacheError:
        return None
    return content if document.digest.matches(content) else None


def is_satisfied(cache: Cache, layer: Descriptor, area: Area, *, own_area_only: bool) -> bool:
    """Whether Spin would find a layer's bytes where it looks for them."""
    own = cache.blob_size(area, layer.digest)
    if own == layer.size:
        return True
    falls_back = area == "wasm" and own is None and not own_area_only
    return falls_back and cache.blob_size("data", layer.digest) == layer.size


def _plan_of(one: Resolved, stored: set[Digest]) -> PullPlan:
    def planned(blob: Descriptor) -> PlannedBlob:
        return PlannedBlob(str(blob.digest), blob.media_type, blob.role, blob.size, blob.digest in stored)

    return PullPlan(
        reference=one.reference.cached_name,
        kind=one.manifest.kind,
        manifest_digest=str(one.digest),
        index_digest=str(one.index_digest) if one.index_digest is not None else None,
        config=planned(one.manifest.config),
        layers=tuple(map(planned, one.manifest.layers)),
    )
