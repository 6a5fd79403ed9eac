"""What a pull would do, and what one did: frozen values; `shown` has how they look, for whoever looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Descriptor, Kind, Manifest, Role
from spincache_nb.core.reference import Reference


@dataclass(frozen=True, slots=True)
class PlannedBlob:
    """A config or layer in a plan."""

    digest: str
    media_type: str
    role: Role
    size: int
    stored: bool


@dataclass(frozen=True, slots=True, repr=False)
class PullPlan:
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

    @property
    def total_bytes(self) -> int:
        """Bytes of config and layers, each digest once; the manifest is not counted."""
        return sum(blob.size for blob in self.distinct())

    @property
    def reused_bytes(self) -> int:
        """Bytes of these that are stored already."""
        return sum(blob.size for blob in self.distinct() if blob.stored)

    @property
    def fetch_bytes(self) -> int:
        """Bytes of these that are to be fetched: ``total_bytes - reused_bytes``."""
        return self.total_bytes - self.reused_bytes

    def distinct(self) -> Iterator[PlannedBlob]:
        """Config and layers, each digest once."""
        chosen: dict[str, PlannedBlob] = {}
        for blob in (self.config, *self.layers):
            known = chosen.setdefault(blob.digest, blob)
            if known.stored and not blob.stored:
                chosen[blob.digest] = blob
        yield from chosen.values()

    def __str__(self) -> str:
        return (
            f"{self.reference}: {self.total_bytes} bytes in {len(self.layers)} layers, "
            f"{self.reused_bytes} stored, {self.fetch_bytes} to fetch"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def html(self, *, most: int = 12) -> str:
        """The plan or result as HTML, escaped."""
        from spincache_nb.core.pull import shown

        return shown.html(self, most)

    def _repr_html_(self) -> str:
        return self.html()


@dataclass(frozen=True, slots=True, repr=False)
class PullResult(PullPlan):
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

    def __str__(self) -> str:
        return (
            f"{self.reference}: fetched {self.fetch_bytes} of {self.total_bytes} bytes "
            f"in {self.seconds:.2f} s, {self.reused_bytes} reused"
        )


_Plan = TypeVar("_Plan", bound=PullPlan)


class _Together(list[_Plan]):
    """Several plans: a list that shows itself as one table."""

    __slots__ = ()
    _verb: ClassVar[str]

    def __str__(self) -> str:
        from spincache_nb.core.pull import shown

        return shown.together_text(self, self._verb)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from spincache_nb.core.pull import shown

        return shown.together_html(self, self._verb)


class PullPlans(_Together[PullPlan]):
    """Plans of several references."""

    __slots__ = ()
    _verb = "to fetch"


class PullResults(_Together[PullResult]):
    """Results of several references."""

    __slots__ = ()
    _verb = "fetched"


def plan_of(
    reference: Reference,
    manifest: Manifest,
    manifest_digest: Digest,
    index_digest: Digest | None,
    stored: Iterable[Digest],
) -> PullPlan:
    """Make a plan from a manifest and the digests that are stored."""
    have = set(stored)

    def planned(descriptor: Descriptor) -> PlannedBlob:
        return PlannedBlob(
            str(descriptor.digest),
            descriptor.media_type,
            descriptor.role,
            descriptor.size,
            descriptor.digest in have,
        )

    return PullPlan(
        reference=reference.cached_name,
        kind=manifest.kind,
        manifest_digest=str(manifest_digest),
        index_digest=str(index_digest) if index_digest is not None else None,
        config=planned(manifest.config),
        layers=tuple(planned(layer) for layer in manifest.layers),
    )


def result_of(plan: PullPlan, *, wire_bytes: int, seconds: float) -> PullResult:
    """Make a result from the plan that was carried out."""
    return PullResult(
        plan.reference,
        plan.kind,
        plan.manifest_digest,
        plan.index_digest,
        plan.config,
        plan.layers,
        wire_bytes,
        seconds,
    )
