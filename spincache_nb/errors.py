"""Every exception of the package.

::

    SpinCacheError                  where, expected, found, remedy
    ├── FormatError                 text or bytes that are not what they should be
    │   ├── InvalidDigestError
    │   ├── InvalidReferenceError
    │   ├── ManifestError           an OCI manifest or index
    │   ├── LockedAppError          Spin's locked application
    │   ├── SpinManifestError       spin.toml
    │   ├── PackageConfigError      the configuration of the wasm package tools
    │   ├── InvalidVersionError     a semantic version, or a requirement on one
    │   ├── ArchiveError            an archive layer
    │   └── WasmFormatError         a WebAssembly binary; has .offset
    ├── ContentError                bytes that are not the bytes asked for
    │   ├── DigestMismatchError
    │   └── SizeMismatchError
    ├── LimitError                  more than a stated limit allows
    ├── RegistryError               a registry, token service or web server
    │   ├── ConnectionFailedError   no answer, or one cut off
    │   ├── StatusError             an answer that says no; has .status
    │   │   ├── NotFoundError
    │   │   └── AccessDeniedError
    │   ├── ProtocolError           an answer that breaks the protocol
    │   └── InsecureTransportError  would send a secret in the clear, or to a stranger
    ├── PackageError                a package whose content cannot be found out
    ├── CredentialsError            a credential store or helper
    ├── CacheError                  the cache directory
    │   ├── NotACacheError
    │   ├── NotInCacheError
    │   └── CacheWriteError         the system refused a write
    │       └── NoSpaceError        the disk is full
    ├── MissingExtraError           an optional package is not installed
    └── PullCancelled               stopped by the caller; not a fault

Each says where it happened, what was expected, what was found and what to do. The parts are plain
strings, kept as attributes and handed to ``Exception``, so that every error pickles.
"""

from __future__ import annotations

import re

_LONGEST_PART = 500
SCHEME = re.compile(r"\s*[A-Za-z][\w+.-]*://")
_AT = re.compile("[@\ufe6b\uff20]|%40")
_DIGEST_AT_END = re.compile(r"@(?:sha\d+|md5):[0-9a-fA-F]*\s*\Z")


def printable(text: str) -> str:
    """Make text from outside fit for one line of an error or a log."""
    cut = text if len(text) <= _LONGEST_PART else text[:_LONGEST_PART] + "..."
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def quoted(value: object) -> str:
    """Say what was found in a document from outside, in few words."""
    if isinstance(value, dict):
        return f"an object of {len(value)} keys"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, int) and value.bit_length() > _LONGEST_PART:  # Python refuses to print the longest
        return "a number of more than 150 digits"
    text = repr(value[: _LONGEST_PART + 1] if isinstance(value, str) else value)
    return text if len(text) <= _LONGEST_PART else text[:_LONGEST_PART] + "..."


def without_user(text: str) -> str:
    """A reference or URL as it may be shown: without the user and password before its host."""
    scheme = match[0] if (match := SCHEME.match(text)) else ""
    rest = text[len(scheme) :]
    digest = _DIGEST_AT_END.search(rest)
    if digest is not None and scheme and "/" not in rest[: digest.start()]:
        digest = None  # nothing before the @ is a repository
    end = digest.start() if digest is not None else len(rest)
    marks = [match.span() for match in _AT.finditer(rest, 0, end)]
    if not marks:
        return text
    start, after = marks[-1]
    if after == len(rest) and not scheme and ":" not in rest[:start]:
        return text  # no user and password: a reference whose digest is missing
    return f"{scheme}...@{rest[after:]}"


class SpinCacheError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    where
        The file, reference or URL at fault (without credentials).
    expected
        What should have been there.
    found
        What was there instead.
    remedy
        What to do about it.
    """

    def __init__(self, where: str, expected: str = "", found: str = "", remedy: str = "") -> None:
        super().__init__(where, expected, found, remedy)
        self.where = where
        self.expected = expected
        self.found = found
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [self.expected and f"expected {self.expected}", self.found and f"got {self.found}"]
        middle = ", ".join(part for part in parts if part)
        text = f"{self.where}: {middle}" if middle else self.where
        return printable(text) + (f"; {printable(self.remedy)}" if self.remedy else "")


class FormatError(SpinCacheError):
    """Text or bytes are not of the form they should have."""


class InvalidDigestError(FormatError):
    """A string is not a digest that an OCI client accepts."""


class InvalidReferenceError(FormatError):
    """A string is not an OCI reference by Spin's grammar."""


class ManifestError(FormatError):
    """A document is not an OCI manifest or index that Spin would pull."""


class LockedAppError(FormatError):
    """A document is not a locked Spin application."""


class SpinManifestError(FormatError):
    """A file is not a spin.toml that Spin would load."""


class PackageConfigError(FormatError):
    """A file is not a configuration that the wasm package tools would take."""


class InvalidVersionError(FormatError):
    """Text is neither a semantic version nor a requirement on one."""


class ArchiveError(FormatError):
    """An archive layer is not a gzip-compressed tar."""


class WasmFormatError(FormatError):
    """A WebAssembly binary is malformed.

    Parameters
    ----------
    offset
        Byte offset of the fault from the start of the binary.
    """

    def __init__(
        self, where: str, expected: str = "", found: str = "", remedy: str = "", offset: int = 0
    ) -> None:
        super().__init__(where, expected, found, remedy)
        self.args = (where, expected, found, remedy, offset)
        self.offset = offset


class ContentError(SpinCacheError):
    """Bytes are not the bytes that were asked for."""


class DigestMismatchError(ContentError):
    """Bytes hash to another digest than the one that names them."""


class SizeMismatchError(ContentError):
    """There are more or fewer bytes than the descriptor says."""


class LimitError(SpinCacheError):
    """Something is larger than a limit allows; the limits are parameters."""


class RegistryError(SpinCacheError):
    """A registry, token service or web server did not do what was asked."""


class ConnectionFailedError(RegistryError):
    """No connection, no answer in time, or an answer that broke off."""


class StatusError(RegistryError):
    """A server answered with a status that means no.

    Parameters
    ----------
    status
        The HTTP status.
    """

    def __init__(
        self, where: str, expected: str = "", found: str = "", remedy: str = "", status: int = 0
    ) -> None:
        super().__init__(where, expected, found, remedy)
        self.args = (where, expected, found, remedy, status)
        self.status = status


class NotFoundError(StatusError):
    """The registry has no such repository, tag or blob (or hides it)."""


class AccessDeniedError(StatusError):
    """The registry wants other credentials, or refuses the ones it got."""


class ProtocolError(RegistryError):
    """A server's answer breaks the protocol it claims to speak."""


class InsecureTransportError(RegistryError):
    """Going on would send credentials in the clear or to another host."""


class PackageError(SpinCacheError):
    """It cannot be found out which content a package of a WebAssembly registry is."""


class CredentialsError(SpinCacheError):
    """A credential store cannot be read, or its helper failed."""


class CacheError(SpinCacheError):
    """Something is wrong with the cache directory itself."""


class NotACacheError(CacheError):
    """A directory is not a Spin registry cache, so nothing in it is touched."""


class NotInCacheError(CacheError):
    """The cache holds no such app or blob."""


class CacheWriteError(CacheError):
    """The system refused a write in the cache."""


class NoSpaceError(CacheWriteError):
    """The disk has no room for what is to be stored."""


class MissingExtraError(SpinCacheError):
    """A function needs a package that only an extra installs."""


class PullCancelled(SpinCacheError):  # noqa: N818 - a decision of the caller, not a fault
    """A pull was stopped by the caller; nothing half-written is left."""
