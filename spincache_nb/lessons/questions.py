"""Questions about a cache, with hidden answers and checks that know a wrong one; and what Spin checks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from numbers import Real

import pandas as pd

from spincache_nb.analysis import freed_by, sharing
from spincache_nb.core.cache import Cache
from spincache_nb.frames import apps
from spincache_nb.frames.schemas import TableSchema, build

Answer = str | int | bool | set[str]
Slip = Callable[[object, Answer], str]
"""From a wrong answer and the right one to a sentence on what is wrong with the first."""


class WrongAnswerError(AssertionError):
    """An answer that is not right; a notebook shows its words alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """Lines that IPython shows in place of a traceback, which would tell a learner nothing."""
        return [str(self)]


def _wrong_name(given: object, _: Answer) -> str:
    if not isinstance(given, str):
        return "A name is text; this is not."
    if not _plain(given).startswith("sha256:"):
        return "A name starts with the hash function, sha256, and a colon; this one does not."
    return "It starts well, but the part after the colon is the hash of other bytes."


def _wrong_number(given: object, right: Answer) -> str:
    if isinstance(given, bool) or not isinstance(given, Real) or not isinstance(right, int):
        return "The answer is a number, written without quotation marks."
    return "That is too many." if float(given) > right else "That is too few."


def _wrong_words(given: object, right: Answer) -> str:
    if not isinstance(given, set | frozenset | list | tuple) or not isinstance(right, set):
        return "The answer is several words: in quotation marks, with commas between, all in { }."
    more = {_plain(word) for word in given} - {_plain(word) for word in right}
    return "At least one word too many is in it." if more else "At least one word is missing."


def _one_of(*words: str) -> Slip:
    """Make a slip for a question that has a few answers to choose from."""
    choice = " or ".join(f'"{word}"' for word in words)

    other, no_word = "It is the other way round.", f"The answer is {choice}, in quotation marks."
    return lambda given, _: other if _plain(given) in words else no_word


def _plain(value: object) -> str:
    """Text as it is compared: without case and outer white space."""
    return value.strip().lower() if isinstance(value, str) else repr(value)


def _same(given: object, right: Answer) -> bool:
    """Whether an answer is the right one; case, outer white space and order do not matter."""
    if isinstance(right, set):
        if not isinstance(given, set | frozenset | list | tuple):
            return False
        return {_plain(word) for word in given} == {_plain(word) for word in right}
    if isinstance(right, str):
        return isinstance(given, str) and _plain(given) == _plain(right)
    return isinstance(given, bool) is isinstance(right, bool) and given == right


@dataclass(frozen=True, slots=True, repr=False)
class Exercise:
    """A question, its answer and why.

    Parameters
    ----------
    name, question
        One word to call it by, and the question in plain words.
    hint, why
        How to start, shown until there is a right answer; the reason, shown with the answer.
    answer, slip
        The right one, worked out when the exercise was made; what says what is wrong with another.
    """

    name: str
    question: str
    hint: str
    why: str
    answer: Answer
    slip: Slip

    def check(self, given: object) -> str:
        """Say whether an answer is right."""
        if given is None or given is ... or (isinstance(given, str) and not given.strip()):
            return f"No answer yet.\nTo start: {self.hint}"
        if not _same(given, self.answer):
            raise WrongAnswerError(f"Not yet. {self.slip(given, self.answer)}\nHint: {self.hint}")
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
    name, answer, why
        Those of the exercise.
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
    table, app = sharing(cache), str(first["reference"].iloc[-1])
    copies = Exercise(
        "copies",
        "The blob whose sharing saves most in this cache: how many copies of it are stored?",
        "can one folder hold two files of the same name?",
        "Equal bytes have equal names, and a folder holds one file of a name.",
        len(str(table["areas"].iloc[0]).split("+")) if len(table) else 0,  # Spin has a folder for each use
        _wrong_number,
    )
    freed = Exercise(
        "freed",
        f"How many bytes would removing {app} free?",
        'as above, with that app: sc.analysis.freed_by(cache, "...")["stored_bytes"].sum()',
        "Only what no other app needs goes; freed_by() tells.",
        int(freed_by(cache, app)["stored_bytes"].sum()),
        _wrong_number,
    )
    return {exercise.name: exercise for exercise in (*_ON_NAMES, copies, *_ON_APPS, freed)}


_ON_NAMES = (
    Exercise(
        "name",
        "Which file name does Spin give to a blob that holds the four bytes of the word wasm?",
        'hash b"wasm" as you hashed a blob above, and put "sha256:" in front.',
        "The name is the algorithm, a colon and the hash of the bytes; nothing else goes into it.",
        f"sha256:{hashlib.sha256(b'wasm').hexdigest()}",
        _wrong_name,
    ),
    Exercise(
        "ripple",
        "One byte of a layer changes. Of layer, locked app, manifest and tag: whose names change?",
        'write {"one", "another"}. Ask of each: is its name computed, and from bytes that changed?',
        "Each names the one below by digest, so a change goes all the way up; a tag is no digest.",
        {"layer", "locked app", "manifest"},
        _wrong_words,
    ),
    Exercise(
        "moves",
        "Of a tag and a digest: which one can mean other bytes tomorrow?",
        "which of the two is computed from bytes, and which did a person choose?",
        "A tag is a label that the publisher can move; a digest follows from the bytes.",
        "tag",
        _one_of("tag", "digest"),
    ),
)
_ON_APPS = (
    Exercise(
        "again",
        "An app is pulled a second time and nothing changed. How many requests does that take?",
        "what has to be asked for, before it is known whether anything is missing?",
        "The manifest says which digests the app needs, and all of them are there.",
        1,
        _wrong_number,
    ),
    Exercise(
        "trust",
        "A full disk cost half of a blob. Does Spin notice when it loads the app? (yes or no)",
        'look at the row "an app is loaded" of the table above.',
        "Spin asks whether a file of that name exists, and no more; verify() hashes it.",
        "no",
        _one_of("yes", "no"),
    ),
)


CHECKS_SCHEMA = TableSchema(
    when=("string", "the moment"),
    spin=("string", "what Spin does then"),
    this_toolkit=("string", "what this toolkit does then"),
)

_CHECKS = (
    (
        "a blob arrives",
        "v0.8 to v4.0 keep it unseen; main compares it with its digest",
        "hashed while it is written; a wrong one never gets the name",
    ),
    (
        "a manifest arrives",
        "v0.8 to v4.0 keep it unseen; main compares it with the registry's header",
        "compared with the digest asked for, and with the registry's header",
    ),
    (
        "a blob is there already",
        "skipped, whatever is in it",
        "skipped if its size is right; verify() hashes it",
    ),
    (
        "an app is loaded",
        "nothing is hashed: a damaged file is run or served",
        "nothing is run; problems() and verify() look",
    ),
    (
        "a write is cut off",
        "half a file keeps the full name, for ever",
        "the file has another name until it is whole",
    ),
)


@CHECKS_SCHEMA.describes
def what_spin_checks() -> pd.DataFrame:
    """Say when Spin looks at bytes, and when this toolkit does.

    Returns
    -------
    pandas.DataFrame
        One row per moment (crates/oci/src/client.rs and crates/loader/src/cache.rs, Spin v0.8 to
        main).

        {columns}
    """
    return build(CHECKS_SCHEMA, _CHECKS)
