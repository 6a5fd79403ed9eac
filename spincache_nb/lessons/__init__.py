"""Content addressing, step by step, on a real cache.

`chain` shows how an app hangs together: its manifest names layers, its archive layers hold members.
`ripple` changes one byte of a copy and shows which names change with it. `exercises` asks questions
about a cache, with answers that are hidden until somebody wants them and checks that know a wrong one.
`example` picks an app to show.
Nothing here writes into the cache it is given.
"""

from __future__ import annotations

from spincache_nb.lessons.chains import Chain, Link, chain
from spincache_nb.lessons.examples import example
from spincache_nb.lessons.exercises import Exercise, HiddenAnswer, exercises
from spincache_nb.lessons.ripples import ripple
from spincache_nb.lessons.slips import WrongAnswerError
from spincache_nb.lessons.spin import what_spin_checks

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
