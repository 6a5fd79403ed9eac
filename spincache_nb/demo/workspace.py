"""A cache, a registry and a history to try things on, all of them away from the user's own."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History
from spincache_nb.demo.server import registry

if TYPE_CHECKING:
    from spincache_nb.core.plans import PullResult


class Workspace:
    """The demo registry, running, beside an empty cache in a temporary folder.

    Attributes
    ----------
    registry : DemoRegistry
        Serves the demo apps on loopback.
    cache : Cache
        Empty until something is pulled. Its history is in the temporary folder too.
    folder : pathlib.Path
        The temporary folder, for whatever else is written; it goes with `close`.

    Examples
    --------
    >>> with Workspace() as demo:
    ...     result = demo.pull("demo/greet:1.0.0")
    >>> result.kind, result.fetch_bytes
    ('package', 1070816)
    """

    def __init__(self) -> None:
        with contextlib.ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spincache-demo-")))
            self.registry = stack.enter_context(registry())
            self._stack = stack.pop_all()
        history = History(self.folder / "history.jsonl", enabled=True)
        self.cache = Cache(self.folder / "cache", history=history)

    def reference(self, name: str) -> str:
        """Full reference of a demo app, such as ``demo/hello:1.0.0``."""
        return f"{self.registry.host}/{name}"

    def pull(self, name: str) -> PullResult:
        """Pull one demo app by its short name into the demo cache."""
        from spincache_nb.core.pull import pull

        return pull(self.cache, self.reference(name))

    def pull_all(self) -> list[PullResult]:
        """Pull every version of every demo app, one after the other, oldest first."""
        return [self.pull(reference.partition("/")[2]) for reference in self.registry.references]

    def close(self) -> None:
        """Stop the registry and remove the folder."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
