"""Locked applications: what a Spin app names by digest (Spin main, crates/locked-app).

Only what says *which content* an app uses is kept. Variables, environment, component config,
trigger config and inline content may hold secrets: they are never read into a value here, so they
cannot appear in a frame, a repr, a report or an error.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import msgspec

from spincache_nb.core.digest import Digest, joined_digests
from spincache_nb.core.documents import JsonObject, parse_object
from spincache_nb.errors import InvalidDigestError, LockedAppError, quoted

KNOWN_VERSIONS = (0, 1)
"""Values of ``spin_lock_version`` that Spin reads; a larger one is an error there."""

_DIGITS = len("sha256:")
_REMEDY = "pull the app again, or read it with a newer version of this toolkit"


class ContentRef(msgspec.Struct, frozen=True, gc=False):
    """Content by digest, inline, or both."""

    digest: Digest | None
    inline_bytes: int | None = None

    @property
    def inline(self) -> bool:
        """Whether the locked app carries the content itself, so that no blob is needed."""
        return self.inline_bytes is not None


class MountedFile(msgspec.Struct, frozen=True, gc=False):
    """A file of a component: where it is mounted and what is in it."""

    path: str
    content: ContentRef


class Dependency(NamedTuple):
    """A component that another is composed with: under which name, and its binary."""

    name: str
    source: ContentRef


class Component(NamedTuple):
    """A component of an app, by ``id``."""

    id: str
    source: ContentRef
    files: tuple[MountedFile, ...] = ()
    dependencies: tuple[Dependency, ...] = ()


class LockedApp(NamedTuple):
    """A fully resolved Spin application, without whatever may be secret."""

    lock_version: int
    name: str | None
    version: str | None
    description: str | None
    components: tuple[Component, ...]
    trigger_types: tuple[str, ...] = ()
    trigger_dependencies: tuple[tuple[str, Dependency], ...] = ()
    faults: tuple[str, ...] = ()

    def binaries(self) -> Iterator[ContentRef]:
        """Every WebAssembly binary that the app names, as often as it names it."""
        for component in self.components:
            yield component.source
            for dependency in component.dependencies:
                yield dependency.source
        for _, dependency in self.trigger_dependencies:
            yield dependency.source

    def content(self) -> Iterator[tuple[str, str, ContentRef]]:
        """Everything the app names: id of a component or trigger, what it is to that, content ref."""
        for component in self.components:
            yield component.id, "source", component.source
            for dependency in component.dependencies:
                yield component.id, f"dependency {dependency.name}", dependency.source
            for file in component.files:
                yield component.id, file.path, file.content
        for trigger, dependency in self.trigger_dependencies:
            yield trigger, f"dependency {dependency.name}", dependency.source


def is_locked_app(document: JsonObject) -> bool:
    """Tell a locked app from other configs as Spin's loader does: by ``spin_lock_version``."""
    return "spin_lock_version" in document


def parse_locked_app(data: bytes, *, where: str) -> LockedApp:
    """Read a locked app; what is malformed inside becomes a fault, not an error."""
    if (usual := usual_locked_app(data)) is not None:
        return usual
    document = parse_object(data, where=where, error=LockedAppError, what="a locked Spin app")
    return read_locked_app(document, where=where)


def read_locked_app(document: JsonObject, *, where: str) -> LockedApp:
    """Like `parse_locked_app`, from JSON that is already parsed."""
    version = document.get("spin_lock_version")
    if type(version) is not int or version not in KNOWN_VERSIONS:
        found = "no spin_lock_version" if version is None else f"version {quoted(version)}"
        raise LockedAppError(where, "a locked Spin app of version 0 or 1", found, _REMEDY)
    reader = _Reader(where)
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    reader.check_must_understand(document.get("must_understand"))
    reader.faults += [f"it has no {key}" for key in ("triggers", "components") if key not in document]
    triggers = list(reader.objects(document, "triggers", "triggers"))
    types = (trigger.get("trigger_type") for trigger in triggers)
    return LockedApp(
        lock_version=version,
        name=_text(metadata.get("name")),
        version=_text(metadata.get("version")),
        description=_text(metadata.get("description")),
        components=tuple(reader.components(document)),
        trigger_types=tuple(kind for kind in types if isinstance(kind, str)),
        trigger_dependencies=tuple(reader.of_triggers(triggers)),
        faults=tuple(reader.faults),
    )


_NO_INLINE = msgspec.Raw(b"null")


class _WrittenRef(msgspec.Struct, gc=False):
    digest: str
    inline: None = None


class _WrittenDependency(msgspec.Struct, gc=False):
    source: _WrittenRef


class _WrittenFile(msgspec.Struct, gc=False):
    path: str
    digest: str
    inline: msgspec.Raw = _NO_INLINE


class _WrittenComponent(msgspec.Struct, gc=False):
    id: str
    source: _WrittenRef
    files: list[_WrittenFile] = []
    dependencies: dict[str, _WrittenDependency] = {}
    trigger_dependencies: dict[str, list[_WrittenDependency]] = {}


class _WrittenTrigger(msgspec.Struct, gc=False):
    id: str = ""
    trigger_type: str | None = None
    trigger_dependencies: dict[str, list[_WrittenDependency]] = {}


class _WrittenMetadata(msgspec.Struct, frozen=True):
    name: str | None = None
    version: str | None = None
    description: str | None = None


class _WrittenApp(msgspec.Struct, gc=False):
    spin_lock_version: Literal[0, 1]
    triggers: list[_WrittenTrigger]
    components: list[_WrittenComponent]
    metadata: _WrittenMetadata = _WrittenMetadata()
    must_understand: list[Literal["host_requirements", "component_host_requirements"]] = []


_APP = msgspec.json.Decoder(_WrittenApp)
_ODD_IN_PATHS = ("\\", "..", "\n./", "\n.\n", "\n/", "/\n", "\n\n")
_NUMBERS = bytes.maketrans(b"123456789]} \t\r\n", b"000000000,,,,,,")


def usual_locked_app(data: bytes) -> LockedApp | None:
    """Read a locked app as Spin writes it, and only what is kept of it; None for any other."""
    try:
        if not data.isascii():
            data.decode("utf-8")
        written = _APP.decode(data)
        numbers = data.translate(_NUMBERS)
        if b"000," in numbers or b"0" * 100 in numbers:  # too large a one is an error, and not if skipped
            parse_object(data, where="", error=LockedAppError, what="")
    except (UnicodeDecodeError, RecursionError, msgspec.DecodeError, LockedAppError):
        return None
    try:
        components = tuple(map(_component, written.components))
        of_triggers = [(one.id, _dependencies({}, one.trigger_dependencies)) for one in written.triggers]
    except ValueError:
        return None
    return LockedApp(
        written.spin_lock_version,
        written.metadata.name or None,
        written.metadata.version or None,
        written.metadata.description or None,
        components,
        tuple(one.trigger_type for one in written.triggers if one.trigger_type is not None),
        tuple((trigger, dependency) for trigger, some in of_triggers for dependency in some),
    )


def _component(written: _WrittenComponent) -> Component:
    paths = "\n".join(["", *[file.path for file in written.files], ""])
    if written.files and any(map(paths.__contains__, _ODD_IN_PATHS)):
        raise ValueError
    digests = _digests([written.source.digest, *[file.digest for file in written.files]])
    return Component(
        written.id,
        ContentRef(digests[0]),
        tuple(
            [
                MountedFile(file.path, ContentRef(digest, _inline_bytes(file.inline)))
                for file, digest in zip(written.files, digests[1:], strict=True)
            ]
        ),
        _dependencies(written.dependencies, written.trigger_dependencies),
    )


def _dependencies(
    own: dict[str, _WrittenDependency], of_trigger: dict[str, list[_WrittenDependency]]
) -> tuple[Dependency, ...]:
    if not own and not of_trigger:
        return ()
    named = [*own.items(), *((role, one) for role, some in of_trigger.items() for one in some)]
    digests = _digests([one.source.digest for _, one in named])
    return tuple(
        Dependency(name, ContentRef(digest)) for (name, _), digest in zip(named, digests, strict=True)
    )


def _digests(texts: list[str]) -> list[Digest]:
    if joined_digests(texts) is None:
        raise ValueError
    return [Digest("sha256", text[_DIGITS:]) for text in texts]


def _inline_bytes(written: msgspec.Raw) -> int | None:
    """Size of inline content, which ends with its quote; base64 has no escapes."""
    if written is _NO_INLINE:
        return None
    text = bytes(written)
    if text == b"null":
        return None
    if text[:1] != b'"' or b"=" in text:
        raise ValueError
    encoded = text[1:-1]
    return len(base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


class _Reader:
    """Walks the document; collects faults and never repeats a value that may be secret."""

    KNOWN = ("host_requirements", "component_host_requirements")

    def __init__(self, where: str) -> None:
        self.where = where
        self.faults: list[str] = []

    def check_must_understand(self, value: Any) -> None:
        names = value if isinstance(value, list) else []
        for name in names:
            if name not in self.KNOWN:
                self.faults.append(f"must_understand names {quoted(name)}, which no known Spin knows")

    def objects(self, parent: JsonObject, key: str, path: str) -> Iterator[JsonObject]:
        value = parent.get(key, [])
        if not isinstance(value, list):
            self.faults.append(f"{path} is not a list")
            return
        for position, item in enumerate(value):
            if isinstance(item, dict):
                yield item
            else:
                self.faults.append(f"{path}[{position}] is not an object")

    def components(self, document: JsonObject) -> Iterator[Component]:
        for item in self.objects(document, "components", "components"):
            name = item.get("id")
            if not isinstance(name, str):
                self.faults.append("a component has no id")
                name = ""
            path = f"component {name!r}"
            yield Component(
                id=name,
                source=self.wasm(item.get("source"), f"{path}, source"),
                files=tuple(self.files(item, path)),
                dependencies=(
                    *self.dependencies(item.get("dependencies"), path),
                    *self.trigger_dependencies(item.get("trigger_dependencies"), path),
                ),
            )

    def files(self, component: JsonObject, where: str) -> Iterator[MountedFile]:
        for item in self.objects(component, "files", f"{where}, files"):
            path = item.get("path")
            if not isinstance(path, str):
                self.faults.append(f"{where}: a file has no path")
                continue
            parts = (path.replace("\\", "/") if os.name == "nt" else path).split("/")
            if parts[0] in ("", ".") or ".." in parts:
                self.faults.append(f"{where}: file path {path!r} leaves the mount; Spin refuses it")
            elif not parts[-1]:
                self.faults.append(f"{where}: file path {path!r} names a folder; Spin refuses it")
            yield MountedFile(path, self.content(item, f"{where}, file {path!r}"))

    def dependencies(self, value: Any, where: str) -> Iterator[Dependency]:
        for name, item in value.items() if isinstance(value, dict) else ():
            yield self.dependency(str(name), item, where)

    def trigger_dependencies(self, value: Any, where: str) -> Iterator[Dependency]:
        for role, items in value.items() if isinstance(value, dict) else ():
            for item in items if isinstance(items, list) else [items]:
                yield self.dependency(str(role), item, where)

    def of_triggers(self, triggers: Iterable[JsonObject]) -> Iterator[tuple[str, Dependency]]:
        for trigger in triggers:
            name = trigger.get("id")
            name = name if isinstance(name, str) else ""
            for found in self.trigger_dependencies(trigger.get("trigger_dependencies"), f"trigger {name!r}"):
                yield name, found

    def dependency(self, name: str, item: Any, where: str) -> Dependency:
        source = item.get("source") if isinstance(item, dict) else None
        return Dependency(name, self.wasm(source, f"{where}, dependency {name!r}"))

    def wasm(self, value: Any, where: str) -> ContentRef:
        """Read what must have a digest: Spin looks past inline content of WebAssembly binaries."""
        ref = self.content(value, where)
        if ref.inline and isinstance(value, dict) and value.get("digest") is None:
            self.faults.append(f"{where} has no digest; Spin needs one, even beside inline content")
        return ref

    def content(self, value: Any, where: str) -> ContentRef:
        if not isinstance(value, dict):
            self.faults.append(f"{where} names no content")
            return ContentRef(None)
        inline = self.inline_size(value.get("inline"), where)
        text = value.get("digest")
        if text is None:
            if inline is None:
                self.faults.append(f"{where} has neither a digest nor inline content")
            return ContentRef(None, inline)
        try:
            return ContentRef(Digest.parse(text), inline)
        except InvalidDigestError:
            self.faults.append(f"{where} has a malformed digest")
            return ContentRef(None, inline)

    def inline_size(self, value: Any, where: str) -> int | None:
        """Size of inline content; Spin reads base64 without padding only."""
        if value is None:
            return None
        try:
            text = value.rstrip("=")
            size = len(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
        except (AttributeError, ValueError, binascii.Error):
            self.faults.append(f"{where}: inline content is not base64")
            return None
        if text != value:
            self.faults.append(f"{where}: inline content is padded base64; Spin refuses it")
        return size
