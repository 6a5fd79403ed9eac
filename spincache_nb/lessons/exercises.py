"""Questions about a cache, with hidden answers and checks that know a wrong one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from spincache_nb.analysis import freed_by, sharing
from spincache_nb.core.cache import Cache
from spincache_nb.frames import apps
from spincache_nb.lessons.slips import (
    Answer,
    Slip,
    WrongAnswerError,
    is_blank,
    one_of,
    same,
    wrong_name,
    wrong_number,
    wrong_words,
)


@dataclass(frozen=True, slots=True, repr=False)
class Exercise:
    """A question, its answer and why.

    Parameters
    ----------
    name
        One word to call it by.
    question
        In plain words.
    hint
        How to start; shown as long as there is no right answer.
    why
        The reason, shown with the answer.
    solve
        Works the answer out from the cache as it is now.
    slip
        Says what is wrong with a wrong answer.
    """

    name: str
    question: str
    hint: str
    why: str
    solve: Callable[[], Answer]
    slip: Slip

    @property
    def answer(self) -> Answer:
        """The right answer for this cache, worked out now."""
        return self.solve()

    def check(self, given: object) -> str:
        """Say whether an answer is right."""
        if is_blank(given):
            return f"No answer yet.\nTo start: {self.hint}"
        right = self.answer
        if not same(given, right):
            raise WrongAnswerError(f"Not yet. {self.slip(given, right)}\nHint: {self.hint}")
        return f"Right. {self.why}"

    def hidden_answer(self) -> HiddenAnswer:
        """The answer and why, behind a small triangle, for the end of an exercise."""
        return HiddenAnswer(self.name, self.answer, self.why)

    def __repr__(self) -> str:
        return self.question

    def _repr_html_(self) -> str:
        return f"<p><b>{escape(self.question)}</b></p>"


@dataclass(frozen=True, slots=True, repr=False)
class HiddenAnswer:
    """An answer that shows itself in a notebook only to who opens it.

    Parameters
    ----------
    name
        Of the exercise.
    answer
        The right one.
    why
        The reason.
    """

    name: str
    answer: Answer
    why: str

    def __repr__(self) -> str:
        return f"The answer is hidden; to see it: exercises[{self.name!r}].answer"

    def _repr_html_(self) -> str:
        text = ", ".join(sorted(self.answer)) if isinstance(self.answer, set) else str(self.answer)
        return (
            "<details><summary>Show the answer</summary>"
            f"<p><b>{escape(text)}</b></p><p>{escape(self.why)}</p></details>"
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
    made = (*_ON_NAMES, _copies(cache), *_ON_APPS, _removal(cache, str(first["reference"].iloc[-1])))
    return {exercise.name: exercise for exercise in made}


_ON_NAMES = (
    Exercise(
        "name",
        "Which file name does Spin give to a blob that holds the four bytes of the word wasm?",
        'hash b"wasm" as you hashed a blob above, and put "sha256:" in front.',
        "The name is the algorithm, a colon and the hash of the bytes; nothing else goes into it.",
        lambda: f"sha256:{hashlib.sha256(b'wasm').hexdigest()}",
        wrong_name,
    ),
    Exercise(
        "ripple",
        "One byte of a layer changes. Of layer, locked app, manifest and tag: whose names change?",
        'write {"one", "another"}. Ask of each: is its name computed, and from bytes that changed?',
        "Each names the one below by digest, so a change goes all the way up; a tag is no digest.",
        lambda: {"layer", "locked app", "manifest"},
        wrong_words,
    ),
    Exercise(
        "moves",
        "Of a tag and a digest: which one can mean other bytes tomorrow?",
        "which of the two is computed from bytes, and which did a person choose?",
        "A tag is a label that the publisher can move; a digest follows from the bytes.",
        lambda: "tag",
        one_of("tag", "digest"),
    ),
)
_ON_APPS = (
    Exercise(
        "again",
        "An app is pulled a second time and nothing changed. How many requests does that take?",
        "what has to be asked for, before it is known whether anything is missing?",
        "The manifest says which digests the app needs, and all of them are there.",
        lambda: 1,
        wrong_number,
    ),
    Exercise(
        "trust",
        "A full disk cost half of a blob. Does Spin notice when it loads the app? (yes or no)",
        'look at the row "an app is loaded" of the table above.',
        "Spin asks whether a file of that name exists, and no more; verify() hashes it.",
        lambda: "no",
        one_of("yes", "no"),
    ),
)


def _copies(cache: Cache) -> Exercise:
    return Exercise(
        "copies",
        "The blob that most apps of this cache share: how many copies of it are stored?",
        "can one folder hold two files of the same name?",
        "Equal bytes have equal names, and a folder holds one file of a name.",
        lambda: _copies_of_most_shared(cache),
        wrong_number,
    )


def _removal(cache: Cache, reference: str) -> Exercise:
    return Exercise(
        "freed",
        f"How many bytes would removing {reference} free?",
        'as above, with that app in place of the other: sc.analysis.freed_by(cache, "...").',
        "Only what no other app needs goes; freed_by() tells.",
        lambda: int(freed_by(cache, reference)["stored_bytes"].sum()),
        wrong_number,
    )


def _copies_of_most_shared(cache: Cache) -> int:
    """How many of the cache's folders for blobs hold the most shared one: Spin has one for each use."""
    table = sharing(cache)
    return len(re.findall(r"\w+", str(table["areas"].iloc[0]))) if len(table) else 0
