"""Sequences whose items are made when somebody looks at them: of most of very many, nobody ever does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar, overload

_Item = TypeVar("_Item")


class _Items(Sequence[_Item]):
    """Equal to any sequence of equal items, and hashed and shown as a tuple of them."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


class Later(_Items[_Item]):
    """A sequence that is made as a whole when somebody looks at it."""

    __slots__ = ("_items", "_make")

    def __init__(self, make: Callable[[], Iterable[_Item]]) -> None:
        self._make = make
        self._items: tuple[_Item, ...] | None = None

    def _made(self) -> tuple[_Item, ...]:
        if self._items is None:
            self._items = tuple(self._make())
        return self._items

    def __len__(self) -> int:
        return len(self._made())

    @overload
    def __getitem__(self, place: int) -> _Item: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[_Item, ...]: ...
    def __getitem__(self, place: int | slice) -> _Item | tuple[_Item, ...]:
        return self._made()[place]

    def __iter__(self) -> Iterator[_Item]:
        return iter(self._made())


class Rows(_Items[_Item]):
    """A sequence of which each item is made when it is looked at, and not kept."""

    __slots__ = ()

    def row(self, place: int) -> _Item:
        """Make one item; `place` may be negative."""
        raise NotImplementedError

    @overload
    def __getitem__(self, place: int) -> _Item: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[_Item, ...]: ...
    def __getitem__(self, place: int | slice) -> _Item | tuple[_Item, ...]:
        if isinstance(place, slice):
            return tuple(self)[place]
        return self.row(place)

    def __iter__(self) -> Iterator[_Item]:
        return map(self.row, range(len(self)))
