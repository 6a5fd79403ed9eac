"""What a pull of sources would do, and what one did: frozen values with a text and an HTML form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Literal

_ROWS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """A source that a ``spin.toml`` names, and the blob that it is.

    Parameters
    ----------
    component
        Id of the component (of one written out in a trigger: the id that Spin gives it); None for a
        dependency of a trigger.
    trigger
        Id of the trigger, where one names it.
    dependency
        Name of the dependency, or its role in a trigger; None for a component's own source.
    profile
        Build profile that it is for; None for the default one.
    kind
        ``url`` or ``package``.
    origin
        Where it comes from: an address without what may be secret in it, or the reference of a
        package's version.
    package, version
        Of a package: its name, and the version that was chosen.
    digest
        As text, ``sha256:...``: its name in ``wasm/``.
    size
        Bytes, or None if nobody says so before it is fetched: an address that is not stored yet.
    stored
        Whether the cache has it: a regular file where Spin looks for it, whose bytes hash to the
        digest. Nothing declares the size of an address, and Spin leaves the bytes of a package that
        broke off under its name, so that only hashing tells.
    """

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
        """Who needs it, in a few words.

        Examples
        --------
        >>> PlannedSource("web", None, "a:b", None, "url", "", None, None, "", None, False).what
        'web, a:b'
        """
        names = [self.component or f"trigger {self.trigger}", self.dependency]
        text = ", ".join(name for name in names if name is not None)
        return f"{text} ({self.profile})" if self.profile is not None else text


@dataclass(frozen=True, slots=True)
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
            f"{self.path}: {_count(self.sources)}, {self.reused_bytes} bytes stored, "
            f"{self.fetch_bytes} bytes{unknown} to fetch"
        )

    def _repr_html_(self) -> str:
        unknown = f" and {self.unknown_count} of unknown size" if self.unknown_count else ""
        return _page(self, f"to fetch {_size(self.fetch_bytes)}{unknown} of {_size(self.total_bytes)}")


@dataclass(frozen=True, slots=True)
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
            f"{self.path}: {_count(self.sources)}, fetched {self.fetch_bytes} of {self.total_bytes} bytes "
            f"in {self.seconds:.2f} s, {self.reused_bytes} reused"
        )

    def _repr_html_(self) -> str:
        return _page(
            self,
            f"fetched {_size(self.fetch_bytes)} of {_size(self.total_bytes)} in {self.seconds:.2f} s",
        )


def _count(sources: tuple[PlannedSource, ...]) -> str:
    return f"{len(sources)} source{'' if len(sources) == 1 else 's'}"


def _page(plan: SourcesPlan, summary: str) -> str:
    body = "".join(map(_row, plan.sources[:_ROWS_SHOWN]))
    more = len(plan.sources) - _ROWS_SHOWN
    rest = f"<tr><td colspan='5'>and {more} more</td></tr>" if more > 0 else ""
    return (
        f"<div><b>{escape(plan.path)}</b> &middot; {escape(summary)}"
        "<table><thead><tr><th>what</th><th>from</th><th>digest</th><th>size</th><th></th></tr></thead>"
        f"<tbody>{body}{rest}</tbody></table></div>"
    )


def _row(source: PlannedSource) -> str:
    short = source.digest.partition(":")[2][:12]
    return (
        f"<tr><td>{escape(source.what)}</td><td>{escape(source.origin)}</td>"
        f"<td><code title='{escape(source.digest)}'>{escape(short)}</code></td>"
        f"<td style='text-align:right'>{_size(source.size)}</td>"
        f"<td>{'stored' if source.stored else 'to fetch'}</td></tr>"
    )


def _size(count: int | None) -> str:
    if count is None:
        return "?"
    if count < 1024:
        return f"{count} B"
    if count < 1 << 20:
        return f"{count / 1024:.1f} KiB"
    return f"{count / (1 << 20):.1f} MiB"
