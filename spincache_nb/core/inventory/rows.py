"""What an inventory holds very many of: layers of apps, and uses of blobs.

They are named tuples, which are made several times faster than frozen data classes, and where nearly all
of an app's are alike they are not made before somebody looks at them.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from typing import Literal, NamedTuple, TypeVar, overload

from spincache_nb.core.cache import StoredBlob
from spincache_nb.core.digest import Digest
from spincache_nb.core.manifest import Area, Descriptor

Via = Literal["layer", "archive member", "content ref", "spin.toml", "environment lock"]
_Row = TypeVar("_Row")


class Use(NamedTuple):
    """A stored blob that somebody needs.

    Parameters
    ----------
    user
        An app's reference, or the path of a project.
    blob
        The file.
    digest
        Its digest.
    via
        The first that holds of ``layer``, ``archive member``, ``content ref``, ``spin.toml`` and
        ``environment lock``.
    """

    user: str
    blob: StoredBlob
    digest: Digest
    via: Via

    @property
    def area(self) -> Area:
        """``wasm`` or ``data``."""
        return self.blob.area

    @property
    def stored_bytes(self) -> int:
        """Size of the file."""
        return self.blob.stored_bytes


def by_name(use: Use) -> tuple[str, str, str]:
    """Sort key of uses: digest, then area."""
    return use.digest.algorithm, use.digest.encoded, use.blob.area


class CachedLayer(NamedTuple):
    """A layer of a cached app's manifest.

    Parameters
    ----------
    position
        Place in the manifest, from 0.
    descriptor
        As the manifest gives it.
    stored
        Whether a regular file of just the declared size is there, in either area; for the locked
        app, whether ``config.json`` hashes to its digest.
    """

    position: int
    descriptor: Descriptor
    stored: bool


class _Rows(Sequence[_Row]):
    """A sequence whose items are made when they are looked at; equal to any of equal items."""

    __slots__ = ()

    def row(self, place: int) -> _Row:
        """Make one item; `place` may be negative."""
        raise NotImplementedError

    @overload
    def __getitem__(self, place: int) -> _Row: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[_Row, ...]: ...
    def __getitem__(self, place: int | slice) -> _Row | tuple[_Row, ...]:
        if isinstance(place, slice):
            return tuple(self)[place]
        return self.row(place)

    def __iter__(self) -> Iterator[_Row]:
        return map(self.row, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


class ManifestLayers(_Rows[CachedLayer]):
    """The layers of a manifest.

    Parameters
    ----------
    descriptors
        As the manifest has them.
    lacking
        Identities of the descriptors that are not stored.
    numbers
        Of each, its place in `known`; None if they have none.
    known
        Descriptors of many manifests.
    """

    __slots__ = ("descriptors", "known", "lacking", "numbers")

    def __init__(
        self,
        descriptors: Sequence[Descriptor],
        lacking: Collection[int],
        numbers: array[int] | None = None,
        known: Sequence[Descriptor] = (),
    ) -> None:
        self.descriptors = descriptors
        self.lacking = lacking
        self.numbers = numbers
        self.known = known

    def __len__(self) -> int:
        return len(self.descriptors)

    def row(self, place: int) -> CachedLayer:
        """Make one item."""
        descriptor = self.descriptors[place]
        return CachedLayer(range(len(self))[place], descriptor, id(descriptor) not in self.lacking)


class BlobTable:
    """Stored blobs in a fixed order, and their sizes in little memory, which is quicker to go through.

    Parameters
    ----------
    blobs
        What look-ups find, sorted by digest and area.
    """

    __slots__ = ("blobs", "sizes")

    def __init__(self, blobs: Sequence[StoredBlob]) -> None:
        self.blobs = blobs
        self.sizes = array("q", [blob.stored_bytes for blob in blobs])


class LayerUses(_Rows[Use]):
    """Uses of an app that are layers and nothing else.

    Parameters
    ----------
    user
        The app's reference.
    table
        All stored blobs.
    numbers
        Places in `table`, in ascending order.
    """

    __slots__ = ("numbers", "table", "user")

    def __init__(self, user: str, table: BlobTable, numbers: array[int]) -> None:
        self.user = user
        self.table = table
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def row(self, place: int) -> Use:
        """Make one item."""
        blob = self.table.blobs[self.numbers[place]]
        assert blob.digest is not None, "a look-up finds it"
        return Use(self.user, blob, blob.digest, "layer")

    def blobs(self) -> Iterator[StoredBlob]:
        """What is used."""
        return map(self.table.blobs.__getitem__, self.numbers)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all of them."""
        return sum(map(self.table.sizes.__getitem__, self.numbers))
