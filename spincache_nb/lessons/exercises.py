"""Questions about a cache, with hidden answers and checks that know a wrong one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from spincache_nb.analysis import freed_by, sharing
from spincache_nb.core.cache import Cache
from spincache_nb.frames import apps

Answer = str | int | bool | set[str]


@dataclass(frozen=True, slots=True)
class Exercise:
    """A question, its answer and why.

    Parameters
    ----------
    name
        One word to call it by.
    question
        In plain words.
    why
        The reason, shown with the answer.
    solve
        Works the answer out from the cache as it is now.
    """

    name: str
    question: str
    why: str
    solve: Callable[[], Answer]

    @property
    def answer(self) -> Answer:
        """The right answer for this cache, worked out now."""
        return self.solve()

    def check(self, given: object) -> str:
        """Say whether an answer is right.

        Parameters
        ----------
        given
            The reader's answer; case and white space around text do not matter, nor does the order of
            several words.

        Returns
        -------
        str
            ``Right.`` and the reason.

        Raises
        ------
        AssertionError
            If the answer is wrong, so that a cell with a wrong answer does not pass; the right one is
            not given away.
        """
        if _plain(given) != _plain(self.answer):
            raise AssertionError(f"not yet: {given!r} is not the answer to: {self.question}")
        return f"Right. {self.why}"

    def __str__(self) -> str:
        return self.question

    def _repr_html_(self) -> str:
        shown = self.answer
        text = ", ".join(sorted(shown)) if isinstance(shown, set) else str(shown)
        return (
            f"<p><b>{escape(self.question)}</b></p>"
            f"<details><summary>Show the answer</summary><p>{escape(text)}. {escape(self.why)}</p></details>"
        )


def exercises(cache: Cache) -> dict[str, Exercise]:
    """Make the exercises for a cache that holds at least one app.

    Parameters
    ----------
    cache
        The reader's own, or the demo's.

    Returns
    -------
    dict of str to Exercise
        By name: ``name``, ``copies``, ``ripple``, ``again``, ``moves``, ``freed``, ``trust``.

    Raises
    ------
    ValueError
        If the cache holds no app.
    """
    first = apps(cache)
    if first.empty:
        raise ValueError("there is no app in this cache; pull one first")
    chosen = str(first["reference"].iloc[0])
    made = (
        Exercise(
            "name",
            "Which file name does Spin give to a blob that holds the four bytes of the word wasm?",
            "The name is the algorithm, a colon and the hash of the bytes; nothing else goes into it.",
            lambda: f"sha256:{hashlib.sha256(b'wasm').hexdigest()}",
        ),
        Exercise(
            "copies",
            "The blob that most apps of this cache share: how many copies of it are stored?",
            "Equal bytes have equal names, and a folder holds one file of a name.",
            lambda: 1 if len(sharing(cache)) else 0,
        ),
        Exercise(
            "ripple",
            "One byte of a layer changes. Of layer, locked app, manifest and tag: whose names change?",
            "Each names the one below by digest, so a change goes all the way up; a tag is no digest.",
            lambda: {"layer", "locked app", "manifest"},
        ),
        Exercise(
            "again",
            "An app is pulled a second time and nothing changed. How many requests does that take?",
            "The manifest says which digests the app needs, and all of them are there.",
            lambda: 1,
        ),
        Exercise(
            "moves",
            "Of a tag and a digest: which one can mean other bytes tomorrow?",
            "A tag is a label that the publisher can move; a digest follows from the bytes.",
            lambda: "tag",
        ),
        Exercise(
            "freed",
            f"How many bytes would removing {chosen} free?",
            "Only what no other app needs goes; freed_by() tells.",
            lambda: _freed(cache, chosen),
        ),
        Exercise(
            "trust",
            "A full disk cost half of a blob. Does Spin notice when it loads the app? (yes or no)",
            "Spin asks whether a file of that name exists, and no more; verify() hashes it.",
            lambda: "no",
        ),
    )
    return {exercise.name: exercise for exercise in made}


def _freed(cache: Cache, reference: str) -> int:
    return int(freed_by(cache, reference)["stored_bytes"].sum())


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value.strip().lower()
    if isinstance(value, set | frozenset | list | tuple):
        return frozenset(_plain(item) for item in value)
    return value
