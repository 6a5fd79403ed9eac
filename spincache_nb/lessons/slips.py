"""What is wrong with a wrong answer, in plain words and without giving the right one away."""

from __future__ import annotations

from collections.abc import Callable

Answer = str | int | bool | set[str]
Slip = Callable[[object, Answer], str]
"""From a wrong answer and the right one to a sentence on what is wrong with the first."""


class WrongAnswerError(AssertionError):
    """An answer that is not right; a notebook shows its words alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """Lines that IPython shows in place of a traceback, which would tell a learner nothing."""
        return [str(self)]


def wrong_name(given: object, right: Answer) -> str:
    """Say what is wrong with the name of a blob."""
    del right
    if not isinstance(given, str):
        return "A name is text; this is not."
    if not plain(given).startswith("sha256:"):
        return "A name starts with the hash function, sha256, and a colon; this one does not."
    return "It starts well, but the part after the colon is the hash of other bytes."


def wrong_number(given: object, right: Answer) -> str:
    """Say what is wrong with a number."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not isinstance(right, int):
        return "The answer is a number, written without quotation marks."
    return "That is too many." if given > right else "That is too few."


def wrong_words(given: object, right: Answer) -> str:
    """Say what is wrong with a set of words."""
    if not isinstance(given, set | frozenset | list | tuple) or not isinstance(right, set):
        return "The answer is several words: in quotation marks, with commas between, all in { }."
    words, wanted = {plain(word) for word in given}, {plain(word) for word in right}
    if words - wanted:
        return "At least one word too many is in it."
    return "At least one word is missing."


def one_of(*words: str) -> Slip:
    """Make a slip for a question that has a few answers to choose from."""
    choice = " or ".join(f'"{word}"' for word in words)

    def slip(given: object, right: Answer) -> str:
        del right
        if plain(given) in words:
            return "It is the other way round."
        return f"The answer is {choice}, in quotation marks."

    return slip


def plain(value: object) -> str:
    """Text as it is compared: without case and outer white space."""
    return value.strip().lower() if isinstance(value, str) else repr(value)


def is_blank(given: object) -> bool:
    """Whether nothing has been answered: None, ``...`` or empty text."""
    return given is None or given is ... or (isinstance(given, str) and not given.strip())


def same(given: object, right: Answer) -> bool:
    """Whether an answer is the right one; case, outer white space and order do not matter."""
    if isinstance(right, set):
        if not isinstance(given, set | frozenset | list | tuple):
            return False
        return {plain(word) for word in given} == {plain(word) for word in right}
    if isinstance(right, str):
        return isinstance(given, str) and plain(given) == plain(right)
    return isinstance(given, bool) is isinstance(right, bool) and given == right
