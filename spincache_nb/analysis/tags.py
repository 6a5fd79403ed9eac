"""The one order of tags, and of references by it."""

from __future__ import annotations

import re

_VERSION = re.compile(
    r"[vV]?(?P<numbers>[0-9]+(?:\.[0-9]+)*)"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)|(?P<word>(?:a|alpha|b|beta|c|rc|pre|dev)\.?[0-9]*))?"
    r"(?:[+_][0-9A-Za-z.-]+)?"
)
_CALENDAR = re.compile(r"(?:19|20)[0-9]{2}(?:-[0-9]{1,2}){1,2}(?:[-.][0-9]+)*")
_COMMIT = re.compile(r"(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{7,64}")
_PARTS = re.compile(r"[0-9]+|[^0-9]+")

_VERSIONS, _NUMBERED, _OTHERS, _LATEST = (bytes([place]) for place in range(4))
_END, _NUMBER, _WORD = b"\x00", b"\x01", b"\x02"  # a list that ends is first, and numbers before words


def tag_key(tag: str | None, created_ns: int | None = None) -> bytes:
    """Make the bytes by which a tag is sorted among those of its repository.

    Semantic versions are ordered by their precedence (Semantic Versioning 2.0.0, 10 and 11); a leading
    ``v``, fewer or more numbers than three and dates are taken too, and ``_`` for the ``+`` that no tag may
    hold. Numbers in other tags count as numbers. Words and commit hashes say nothing about their order:
    these, and None for an app filed under a digest, go by the time of creation. Ties go by it too, those
    without one last, and then by the tag.

    >>> tags = ["latest", "main", "build-10", "build-9", "v10", "v2", "1.2.3.10", "1.2.3.4", "2.0.0-rc.1"]
    >>> " ".join(sorted(tags, key=tag_key))
    '1.2.3.4 1.2.3.10 2.0.0-rc.1 v2 v10 build-9 build-10 main latest'
    """
    time = b"\x01" if created_ns is None else b"\x00" + (created_ns + (1 << 63)).to_bytes(8, "big")
    return _named_key(tag) + time + (tag or "").encode("utf-8", "backslashreplace")


def _named_key(tag: str | None) -> bytes:
    """Give the part of the key that a tag's name decides."""
    if tag == "latest":
        return _LATEST
    if tag is None or _COMMIT.fullmatch(tag):
        return _OTHERS
    if _CALENDAR.fullmatch(tag):
        return _VERSIONS + _numbers(re.findall("[0-9]+", tag)) + b"\x01"
    if match := _VERSION.fullmatch(tag):
        pre = match["pre"].split(".") if match["pre"] else _PARTS.findall(match["word"] or "")
        identifiers = b"".join(map(_identifier, pre)) + _END
        return _VERSIONS + _numbers(match["numbers"].split(".")) + (b"\x00" + identifiers if pre else b"\x01")
    if not re.search("[0-9]", tag):
        return _OTHERS
    return _NUMBERED + b"".join(map(_identifier, _PARTS.findall(tag))) + _END


def _numbers(numbers: list[str]) -> bytes:
    """Encode a list of numbers; zeros at its end do not count, so that 1.2 is 1.2.0."""
    texts = [number.lstrip("0") for number in numbers]
    while texts and not texts[-1]:
        texts.pop()
    return b"".join(_NUMBER + _sized(text) for text in texts) + _END


def _identifier(part: str) -> bytes:
    if part[0] in "0123456789" and part.isdigit():
        return _NUMBER + _sized(part.lstrip("0"))
    return _WORD + part.encode("utf-8", "backslashreplace") + _END


def _sized(digits: str) -> bytes:
    """Encode a number of any size, never as an int: longer ones are larger."""
    return len(digits).to_bytes(4, "big") + digits.encode()


def reference_key(reference: str) -> tuple[str, bytes, str]:
    """Make the key by which references of apps (and paths of projects) are sorted: repository, then tag."""
    repository, mark, tag = reference.rpartition(":")
    if not mark or "/" in tag or "@" in repository:
        repository, tag = reference.partition("@")[0], ""
    return repository, tag_key(tag or None), reference
