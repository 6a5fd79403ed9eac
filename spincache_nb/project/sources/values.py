"""What a pull of sources would do, and what one did: frozen values with a text and an HTML form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from spincache_nb.show import (
    Cell,
    block,
    count_text,
    digest_cell,
    share_bar,
    size_cell,
    size_text,
    table,
)

_ROWS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """A source that a ``spin.toml`` names, and the blob that it is."""

    component: str | None
    trigger: str | None
    dependency: str | None
    profile: str | None
    kind: Literal["url", "package"]
    origin: str
    package: str | None
    version: str | None
    digest: str
    size: int | None
    stored: bool

    @property
    def what(self) -> str:
        """Who needs it, in a few words."""
        names = [self.component or f"trigger {self.trigger}", self.dependency]
        text = ", ".join(name for name in names if name is not None)
        return f"{text} ({self.profile})" if self.profile is not None else text


@dataclass(frozen=True, slots=True, repr=False)
class SourcesPlan:
    """What a pull of a project's sources would fetch and what it would reuse.

    Parameters
    ----------
    path
        The project, as it was named.
    name
        The application's name, or None.
    sources
        In the order of the file; the same digest may be there several times. Local paths are not.
    """

    path: str
    name: str | None
    sources: tuple[PlannedSource, ...]

    @property
    def total_bytes(self) -> int:
        """Bytes of all sources whose size is known, each digest once."""
        return sum(source.size or 0 for source in self.distinct())

    @property
    def reused_bytes(self) -> int:
        """Bytes of these that are stored already."""
        return sum(source.size or 0 for source in self.distinct() if source.stored)

    @property
    def fetch_bytes(self) -> int:
        """Bytes of these that are to be fetched: ``total_bytes - reused_bytes``."""
        return self.total_bytes - self.reused_bytes

    @property
    def unknown_count(self) -> int:
        """Number of sources to be fetched whose size is not known before, each digest once."""
        return sum(source.size is None for source in self.distinct())

    def distinct(self) -> Iterator[PlannedSource]:
        """Sources, each digest once; where several name it, one that knows its size."""
        chosen: dict[str, PlannedSource] = {}
        for source in self.sources:
            known = chosen.setdefault(source.digest, source)
            if known.size is None and source.size is not None:
                chosen[source.digest] = source
        yield from chosen.values()

    def __str__(self) -> str:
        unknown = f" and {self.unknown_count} of unknown size" if self.unknown_count else ""
        return (
            f"{self.path}: {count_text(len(self.sources), 'source')}, {self.reused_bytes} bytes stored, "
            f"{self.fetch_bytes} bytes{unknown} to fetch"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def html(self, *, most: int = _ROWS_SHOWN) -> str:
        """The plan or result as HTML, escaped."""
        return _html(self, self._summary(), most)

    def _repr_html_(self) -> str:
        return self.html()

    def _summary(self) -> str:
        unknown = f" and {self.unknown_count} of unknown size" if self.unknown_count else ""
        return f"to fetch {size_text(self.fetch_bytes)}{unknown} of {size_text(self.total_bytes)}"


@dataclass(frozen=True, slots=True, repr=False)
class SourcesResult(SourcesPlan):
    """What a pull of sources fetched and what it reused: the plan it carried out, and its cost.

    Parameters
    ----------
    wire_bytes
        All bytes received: metadata, lists of tags, manifests, retries and error pages included.
    seconds
        Wall-clock time.
    """

    wire_bytes: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.path}: {count_text(len(self.sources), 'source')}, "
            f"fetched {self.fetch_bytes} of {self.total_bytes} bytes "
            f"in {self.seconds:.2f} s, {self.reused_bytes} reused"
        )

    def _summary(self) -> str:
        return (
            f"fetched {size_text(self.fetch_bytes)} of {size_text(self.total_bytes)} in {self.seconds:.2f} s"
        )


def _html(plan: SourcesPlan, summary: str, most: int) -> str:
    lacking = "fetched" if isinstance(plan, SourcesResult) else "to fetch"
    rows = [
        (
            Cell(source.what),
            Cell(source.origin),
            digest_cell(source.digest),
            size_cell(source.size),
            Cell("stored" if source.stored else lacking),
        )
        for source in plan.sources
    ]
    return block(
        plan.path,
        summary,
        share_bar(plan.reused_bytes, plan.total_bytes),
        table(("what", "from", "digest", "size", ""), rows, most=most),
    )
