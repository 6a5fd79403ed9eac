"""OCI references by Spin's own grammar (oci-spec-rs ``distribution/reference.rs``, Spin main)."""

from __future__ import annotations

import re

import msgspec

from spincache_nb.core.digest import Digest
from spincache_nb.errors import SCHEME, InvalidDigestError, InvalidReferenceError, quoted, without_user

DOCKER_HUB = "docker.io"
DEFAULT_TAG = "latest"
MAX_REPOSITORY_LENGTH = 255

_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[^\x00-/:-@\[-^`{-\x7f][^\x00-,/:-@\[-^`{-\x7f]{0,127}"
# ASCII letters, digits, _ (then also . and -) and all beyond ASCII; said the other way round, since a set
# that reaches beyond the Basic Multilingual Plane takes `re` 7 ms to compile.
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    rf"(?::(?P<tag>{_TAG}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?"
)
# What Rust's regex crate calls a word character, beyond ASCII: letters, marks, digits, connectors, the
# two joiners and the circled and squared letters (Unicode UTS #18, Annex C).
_WORD_CATEGORIES = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "Pc"})
_OTHER_WORD = re.compile(
    "[\u200c\u200d\u24b6-\u24e9\U0001f130-\U0001f149\U0001f150-\U0001f169\U0001f170-\U0001f189]"
)
_LONGEST_SHOWN = 1000
_EXAMPLE = "a reference such as ghcr.io/org/app:v1"


class Reference(msgspec.Struct, frozen=True, order=True):
    """Where an app or package is found: ``registry/repository[:tag][@digest]``.

    Parameters
    ----------
    registry
        Host and port; Docker Hub is ``docker.io``, as in Spin's cache.
    repository
        Name inside the registry; may contain ``/``.
    tag
        Mutable name, or None where only a digest was given.
    digest
        Digest of the manifest, or None.

    Examples
    --------
    >>> str(Reference.parse("ghcr.io/org/app"))
    'ghcr.io/org/app:latest'
    >>> Reference.parse("busybox").repository
    'library/busybox'
    >>> Reference.parse("busybox").host
    'index.docker.io'
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @classmethod
    def parse(cls, text: str | Reference) -> Reference:
        """Read a reference as Spin does, with Docker Hub's short names filled in.

        Upper-case hex in a digest, which Spin takes and which then matches nothing, is refused.
        """
        if isinstance(text, Reference):
            return text
        match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
        if match is None or not _is_spelled_in_words(match["tag"] or ""):
            raise _refusal(text)
        try:
            digest = Digest.parse(match["digest"]) if match["digest"] else None
        except InvalidDigestError as exc:
            raise InvalidReferenceError(text, exc.expected, exc.found, exc.remedy) from exc
        registry, repository = _split_name(match["name"])
        if len(repository) > MAX_REPOSITORY_LENGTH:
            raise InvalidReferenceError(
                "reference",
                f"a repository of at most {MAX_REPOSITORY_LENGTH} characters",
                f"{len(repository)}",
                "use a shorter name",
            )
        if not _is_a_host(registry):
            raise InvalidReferenceError(
                "reference", "a host name", f"{quoted(registry)}, malformed punycode", "check its spelling"
            )
        tag = match["tag"] or (None if digest else DEFAULT_TAG)
        return cls(registry, repository, tag, digest)

    @property
    def host(self) -> str:
        """Network name of the registry: ``index.docker.io`` for Docker Hub, else the registry."""
        return "index.docker.io" if self.registry == DOCKER_HUB else self.registry

    @property
    def filed_under(self) -> str:
        """Last directory of its cached tag: the tag, or the digest where no tag was given.

        Spin's code files a pull by digest alone under ``latest``; Spin's documentation says it is
        the digest. This toolkit does as the documentation says, so that a real ``latest`` is never
        overwritten.
        """
        return self.tag if self.tag is not None else str(self.digest)

    @property
    def cached_name(self) -> str:
        """How the app is named once it is in the cache: ``...:tag``, or ``...@digest``."""
        mark = ":" if self.tag is not None else "@"
        return f"{self.registry}/{self.repository}{mark}{self.filed_under}"

    @property
    def wanted(self) -> str:
        """What to ask the registry for: the digest where there is one, else the tag."""
        return str(self.digest) if self.digest is not None else str(self.tag)


def _split_name(name: str) -> tuple[str, str]:
    left, slash, rest = name.partition("/")
    if slash and ("." in left or ":" in left or left == "localhost"):
        registry, repository = left, rest
    else:
        registry, repository = DOCKER_HUB, name
    if registry == "index.docker.io":
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository


def _is_spelled_in_words(tag: str) -> bool:
    if tag.isascii():  # as nearly all are
        return True
    import unicodedata

    return all(
        char.isascii() or unicodedata.category(char) in _WORD_CATEGORIES or _OTHER_WORD.match(char)
        for char in tag
    )


def _is_a_host(registry: str) -> bool:
    """Whether labels in punycode are; no client could ask such a host otherwise."""
    for label in registry.lower().partition(":")[0].split("."):
        if label.startswith("xn--"):
            try:
                if not label[4:].encode("ascii").decode("punycode"):
                    return False
            except ValueError:
                return False
    return True


def _refusal(text: object) -> InvalidReferenceError:
    if not isinstance(text, str):
        return InvalidReferenceError("reference", _EXAMPLE, f"a {type(text).__name__}", "give a string")
    if len(text) > _LONGEST_SHOWN:
        return InvalidReferenceError("reference", _EXAMPLE, f"{len(text)} characters", "give its name only")
    shown = without_user(text)
    meant = _meant(shown)
    write = f"write {meant}" if meant else "write [registry/]repository[:tag][@digest]"
    if scheme := SCHEME.match(text):
        plain = " and insecure=True" if meant and scheme[0].strip().lower() == "http://" else ""
        remedy = f"leave out the scheme ({scheme[0].strip()}): {write}{plain}"
    elif shown != text:
        remedy = f"{write}; pass auth=(user, password), or log in"
    elif text != text.strip():
        remedy = f"remove the white space around it: {write}"
    elif meant:
        remedy = f"repository names are lower case: {write}"
    else:
        remedy = write
    return InvalidReferenceError("reference", _EXAMPLE, quoted(shown), remedy)


def _meant(shown: str) -> str | None:
    """The reference that was probably meant by a URL or by upper case."""
    bare = SCHEME.sub("", shown.strip(), count=1).removeprefix("...@")
    bare = re.split(r"[?#]", bare, maxsplit=1)[0].rstrip("/")
    name, at, digest = bare.partition("@")
    above, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    mark = f"{colon}{tag}{at}{digest}"
    host, inner, path = f"{above}{slash}{last}".partition("/")
    for text in (bare, f"{host}{inner}{path.lower()}{mark}", f"{host}{inner}{path}".lower() + mark):
        found = _REFERENCE.fullmatch(text)
        if found and _is_spelled_in_words(found["tag"] or "") and _is_a_host(_split_name(found["name"])[0]):
            return text
    return None
