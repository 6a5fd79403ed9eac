"""Content addressing, step by step, on a real cache.

`chain` shows how an app hangs together: its manifest names layers, its archive layers hold members.
`ripple` changes one byte of a copy and shows which names change with it. `exercises` asks questions
about a cache, with answers that are hidden until somebody wants them and checks that know a wrong one.
`example` picks an app to show.
Nothing here writes into the cache it is given.
"""

from __future__ import annotations

from spincache_nb.lessons.questions import (
    Exercise,
    HiddenAnswer,
    WrongAnswerError,
    exercises,
    what_spin_checks,
)
from spincache_nb.lessons.trees import Chain, Link, chain, example, ripple

__all__ = [
    "Chain",
    "Exercise",
    "HiddenAnswer",
    "Link",
    "WrongAnswerError",
    "chain",
    "example",
    "exercises",
    "ripple",
    "what_spin_checks",
]
