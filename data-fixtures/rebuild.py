"""Rebuild the demo's registry in data-fixtures/registry/, byte for byte.

::

    python data-fixtures/rebuild.py            # write what differs
    python data-fixtures/rebuild.py --check    # write nothing; exit status 1 if a byte differs

``registry/`` is an OCI image layout: ``index.json`` names a manifest for every app and version, and the
blobs are files under their SHA-256. Apps are pushed as Spin v4.0.2 and v0.8.0 push them
(crates/oci/src/client.rs, crates/publish/src/oci/client.rs), packages as wkg does. Only the standard
library is used, and nothing of the package: a fixture must not depend on the code that it tests.

Blobs that were built elsewhere and cannot be rebuilt here, wasm, Bootstrap's files and what a compressor
made, are listed in ``payloads/SHA256SUMS``, which this script reads and never writes.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

sys.dont_write_bytecode = True  # leave nothing beside the fixtures

import texts  # noqa: E402
from texts import CANARY  # noqa: E402

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parent
LAYOUT = ROOT / "registry"
APPLICATION = "application/vnd.fermyon.spin.application.v1+config"
WASM = "application/vnd.wasm.content.layer.v1+wasm"
DATA = "application/vnd.wasm.content.layer.v1+data"
ARCHIVE = "application/vnd.wasm.content.bundle.v1.tar+gzip"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INLINE_MAX_BYTES = 128
MAX_LAYERS = 500
AUTHORS = ["The spincache-nb authors"]


# Payloads --------------------------------------------------------------------------------------------


def _sums() -> dict[str, str]:
    """Hex digest of every payload by name."""
    lines = (ROOT / "payloads" / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    return {name: encoded for encoded, name in (line.split("  ", 1) for line in lines)}


SUMS = _sums()


def payload(name: str) -> bytes:
    """Bytes of a payload; small sources lie in ``payloads/``, all others are blobs of the layout."""
    source = ROOT / "payloads" / name
    path = source if source.is_file() else LAYOUT / "blobs" / "sha256" / SUMS[name]
    return path.read_bytes()


def payload_faults() -> Iterator[str]:
    """Compare the payloads with their sums."""
    for name, encoded in sorted(SUMS.items()):
        try:
            if hashlib.sha256(payload(name)).hexdigest() != encoded:
                yield f"payloads/{name}: not the bytes that SHA256SUMS names"
        except FileNotFoundError:
            yield f"payloads/{name}: missing"
    folder = ROOT / "payloads"
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    yield from (
        f"payloads/{name}: not in SHA256SUMS" for name in sorted(there - SUMS.keys() - {"SHA256SUMS"})
    )


# Encodings -------------------------------------------------------------------------------------------


def digest_of(data: bytes) -> str:
    """Name bytes by their SHA-256, as OCI writes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def serde_json(value: object) -> bytes:
    """JSON as Rust's ``serde_json::to_vec`` writes it: compact, keys in the order given, raw UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def canonical_json(value: object) -> bytes:
    """Canonical JSON, as OCI clients in Rust push manifests; nothing here needs its special escapes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def tar_archive(files: Mapping[str, bytes]) -> bytes:
    """Pack files as Spin's archive layers are packed, with every header field fixed."""
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
    parts = [_tar_header("./", size=0, folder=True)]
    for name in sorted(folders | files.keys()):
        data = files.get(name, b"")
        parts += [_tar_header(name, size=len(data), folder=name in folders), data, b"\0" * (-len(data) % 512)]
    return b"".join([*parts, bytes(1024)])


def _tar_header(name: str, *, size: int, folder: bool) -> bytes:
    """One GNU tar header; numbers are octal, padded with zeros, ended by NUL."""
    mode, kind = (0o40755, b"5") if folder else (0o100644, b"0")
    before = name.encode("ascii").ljust(100, b"\0")
    before += b"%07o\0" % mode + b"%07o\0" % 0 * 2 + b"%011o\0" % size + b"%011o\0" % 0
    after = kind + bytes(100) + b"ustar  \0" + bytes(247)
    checksum = sum(before) + sum(after) + 8 * ord(" ")
    return before + b"%07o\0" % checksum + after


def packed(files: Mapping[str, bytes]) -> bytes:
    """A mount as an archive layer, compressed as it was once: compressors differ."""
    tar = tar_archive(files)
    name = f"archives/{hashlib.sha256(tar).hexdigest()}.tar.gz"
    if name not in SUMS:
        raise SystemExit(f"payloads/{name}: compress this archive once and add it to SHA256SUMS")
    content = payload(name)
    if gzip.decompress(content) != tar:
        raise SystemExit(f"payloads/{name}: holds another archive than the one it is named after")
    return content


# What a registry holds -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Blob:
    """Bytes with the media type and annotations that their descriptor gives them."""

    media_type: str
    data: bytes
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def descriptor(self) -> Json:
        made: Json = {"mediaType": self.media_type, "digest": digest_of(self.data), "size": len(self.data)}
        return {**made, "annotations": dict(self.annotations)} if self.annotations else made


@dataclass(frozen=True)
class Artifact:
    """One tag of a repository: its manifest, config and layers."""

    repository: str
    tag: str
    config: Blob
    layers: Sequence[Blob]
    extra: Json = field(default_factory=dict)

    @property
    def manifest(self) -> bytes:
        """As it is pushed; Spin, unlike wkg, leaves ``mediaType`` out of it."""
        layers = [layer.descriptor for layer in self.layers]
        return canonical_json(
            {"schemaVersion": 2, "config": self.config.descriptor, "layers": layers, **self.extra}
        )

    @property
    def blobs(self) -> Iterator[bytes]:
        yield from (self.manifest, self.config.data, *(layer.data for layer in self.layers))


def source(wasm: bytes) -> Json:
    """The source of a component in a locked app."""
    return {"content_type": "application/wasm", "digest": digest_of(wasm)}


def mounted(files: Mapping[str, bytes], *, inline: bool = True) -> list[Json]:
    """The files of a component in a locked app; small ones are inlined since v1.5."""
    found = []
    for path, data in sorted(files.items()):
        small = inline and len(data) <= INLINE_MAX_BYTES
        text = {"inline": base64.b64encode(data).decode().rstrip("=")} if small else {}
        found.append({**text, "digest": digest_of(data), "path": path})
    return found


def push_app(locked: Json, parts: Sequence[tuple[bytes, Mapping[str, bytes]]], *, created: str) -> Artifact:
    """What ``spin registry push`` of Spin v2.7 to v4.0 leaves in a registry.

    `parts` are the wasm and the mounted files of each component. From 500 layers on, counting the locked
    app's, each mount is one archive layer.
    """
    layers: list[Blob] = []
    for wasm, files in parts:
        large = [data for _, data in sorted(files.items()) if len(data) > INLINE_MAX_BYTES]
        layers += [Blob(WASM, wasm), *(Blob(DATA, data) for data in large)]
    layers = list(dict.fromkeys(layers))
    if len(layers) > MAX_LAYERS - 1:
        layers = [
            blob
            for wasm, files in parts
            for blob in (Blob(WASM, wasm), *([Blob(ARCHIVE, packed(files))] if files else []))
        ]
    application = Blob(APPLICATION, serde_json(locked))
    image_config = {
        "architecture": "wasm",
        "os": "wasip1",
        "config": {"Labels": {"com.fermyon.spin.lockedAppDigest": digest_of(application.data)}},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    said = locked["metadata"]
    annotations = {
        "authors": ", ".join(said["authors"]),
        "title": said["name"],
        "description": said["description"],
        "version": said["version"],
        "created": created,
    }
    return Artifact(
        f"demo/{said['name']}",
        said["version"],
        Blob(IMAGE_CONFIG, serde_json(image_config)),
        [*layers, application],
        {"annotations": {f"org.opencontainers.image.{key}": value for key, value in annotations.items()}},
    )


# The apps --------------------------------------------------------------------------------------------


def bootstrap(release: str, *names: str) -> dict[str, bytes]:
    """Files of one release of Bootstrap, by the path at which a site has them."""
    return {f"assets/{name}": payload(f"bootstrap/{release}/{name}") for name in names}


def generated(app: str, version: str) -> dict[str, bytes]:
    """The text files that one version of an app mounts."""
    made: dict[str, texts.Files] = getattr(texts, app)()[version]
    return {path: text.encode() for path, text in made.items()}


def trigger(component: str, kind: str, **config: str) -> Json:
    return {
        "id": f"{component}-{kind}-trigger",
        "trigger_type": kind,
        "trigger_config": dict(sorted({**config, "component": component}.items())),
    }


def hello(version: str, build: str, created: str) -> Artifact:
    """A component app; the second version is the same source built again."""
    wasm, files = payload(f"hello-js/{build}.wasm"), generated("hello", version)
    locked: Json = {
        "spin_lock_version": 0,
        "metadata": {
            "authors": AUTHORS,
            "description": "Says hello – a component written in JavaScript",
            "name": "hello",
            "trigger": {"type": "http"},
            "triggers": {},
            "version": version,
        },
        "variables": {
            "api_token": {
                "description": "Token for the name service",
                "default": f"{CANARY}-variable",
                "secret": True,
            },
            "greeting": {"description": "How to greet", "default": "Hello"},
            "region": {"description": "Where it runs; must be given"},
        },
        "triggers": [trigger("hello", "http", route="/...")],
        "components": [
            {
                "id": "hello",
                "metadata": {
                    "allowed_outbound_hosts": ["https://names.example.com"],
                    "build": {"command": "npm install && npm run build"},
                    "description": "Greets whoever calls",
                    "key_value_stores": ["default"],
                },
                "source": source(wasm),
                "env": {"LOG_LEVEL": "info", "SESSION_KEY": f"{CANARY}-env"},
                "files": mounted(files),
                "config": {"api_token": "{{ api_token }}", "greeting": "{{ greeting }}"},
            }
        ],
    }
    return push_app(locked, [(wasm, files)], created=created)


def static(name: str, version: str, description: str, files: dict[str, bytes], created: str) -> Artifact:
    """Files behind a file server, for which a grammar of 5 kB stands in."""
    wasm = payload("tree-sitter-json/0.24.8.wasm")
    fallback = {"env": {"FALLBACK_PATH": "404.html"}} if "404.html" in files else {}
    locked: Json = {
        "spin_lock_version": 0,
        "metadata": {
            "authors": AUTHORS,
            "description": description,
            "name": name,
            "trigger": {"type": "http"},
            "triggers": {},
            "version": version,
        },
        "triggers": [trigger(name, "http", route="/...")],
        "components": [
            {
                "id": name,
                "metadata": {"description": "Serves the files that are mounted"},
                "source": source(wasm),
                **fallback,
                "files": mounted(files),
            }
        ],
    }
    return push_app(locked, [(wasm, files)], created=created)


def site(version: str, release: str, created: str) -> Artifact:
    """A static site: one layer per asset, ``robots.txt`` inlined."""
    names = ("bootstrap-reboot.min.css", "bootstrap.bundle.min.js", "bootstrap.min.css")
    files = generated("site", version) | bootstrap(release, *names)
    return static("site", version, "Café Zoë: coffee & cake", files, created)


def docs(version: str, release: str, created: str) -> Artifact:
    """A handbook of over 500 pages, more than fit one layer each."""
    files = generated("docs", version) | bootstrap(release, "bootstrap.min.css")
    return static("docs", version, "A handbook of numbers, one page each", files, created)


def playground(version: str, build: str, highlighter: str, created: str) -> Artifact:
    """Two components that talk, one of them the same wasm as in ``hello``; HTTP and Redis triggers."""
    greeter = payload(f"hello-js/{build}.wasm")
    colours, files = payload(f"web-tree-sitter/{highlighter}.wasm"), generated("playground", version)
    locked: Json = {
        "spin_lock_version": 1,
        "must_understand": ["component_host_requirements"],
        "metadata": {
            "authors": [*AUTHORS, "Zoë Example <zoe@example.com>"],
            "description": "Try the greeter and the highlighter on one page",
            "name": "playground",
            "triggers": {"redis": {"address": f"redis://demo:{CANARY}-address@127.0.0.1:6379"}},
            "version": version,
        },
        "triggers": [
            trigger("greeter", "http", route="/greet/..."),
            trigger("highlighter", "http", route="/highlight"),
            trigger("highlighter", "redis", channel="snippets"),
        ],
        "components": [
            {
                "id": "greeter",
                "metadata": {
                    "allowed_outbound_hosts": ["redis://127.0.0.1:6379", "http://highlighter.spin.internal"],
                    "description": "The greeter of the hello app",
                },
                "source": source(greeter),
                "host_requirements": {"local_service_chaining": "required"},
            },
            {
                "id": "highlighter",
                "metadata": {"description": "Colours source text"},
                "source": source(colours),
                "files": mounted(files),
            },
        ],
    }
    return push_app(locked, [(greeter, {}), (colours, files)], created=created)


def greet(version: str, build: str, created: str) -> Artifact:
    """The package ``demo:greet``, as ``wkg publish`` leaves it: the component that ``hello`` runs."""
    wasm = payload(f"hello-js/{build}.wasm")
    config = {
        "created": created,
        "author": None,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [digest_of(wasm)],
        "component": {"exports": ["init", "greet"], "imports": [], "target": None},
    }
    said = "org.opencontainers.image."
    return Artifact(
        "demo/greet",
        version,
        Blob("application/vnd.wasm.config.v0+json", serde_json(config)),
        [Blob("application/wasm", wasm, ((f"{said}title", "greet.wasm"),))],
        {"mediaType": MANIFEST, "annotations": {f"{said}version": version}},
    )


def redact(version: str, release: str) -> Artifact:
    """An app as Spin v0.8 pushed it; the third version differs from the second in its word lists."""
    wasm, files = payload(f"redact/{release}.wasm"), generated("redact", version)
    locked: Json = {
        "spin_lock_version": 0,
        "metadata": {
            "description": "Takes names and places out of a text",
            "name": "redact",
            "trigger": {"base": "/", "type": "http"},
            "version": version,
        },
        "variables": {
            "license_key": {"default": f"{CANARY}-old-variable", "secret": True},
            "marker": {"default": "***"},
        },
        "triggers": [{**trigger("redact", "http", route="/redact"), "id": "trigger--redact"}],
        "components": [
            {
                "id": "redact",
                "metadata": {"description": "Blacks out what it is told to"},
                "source": source(wasm),
                "env": {"AUDIT_KEY": f"{CANARY}-old-env"},
                "files": mounted(files, inline=False),
                "config": {"marker": "{{ marker }}"},
            }
        ],
    }
    layers = [Blob(WASM, wasm), *(Blob(DATA, data) for _, data in sorted(files.items()))]
    return Artifact("demo/redact", version, Blob(APPLICATION, serde_json(locked)), layers)


def artifacts() -> tuple[Artifact, ...]:
    """Everything that the demo's registry holds, repository by repository, oldest version first."""
    return (
        hello("1.0.0", "1.0.0", "2026-03-02T09:14:27.318204611+00:00"),
        hello("1.0.1", "1.0.0-rebuild", "2026-03-16T10:02:55.740918325+00:00"),
        hello("1.1.0", "1.0.1", "2026-05-04T08:41:09.052667148+00:00"),
        site("1.0.0", "5.3.6", "2026-02-09T13:30:00.518360274+00:00"),
        site("1.1.0", "5.3.6", "2026-04-13T15:05:42.903117586+00:00"),
        site("1.2.0", "5.3.8", "2026-06-01T07:58:31.267450893+00:00"),
        docs("1.0.0", "5.3.6", "2026-02-10T16:20:18.834096127+00:00"),
        docs("1.1.0", "5.3.6", "2026-04-14T09:47:03.115782460+00:00"),
        docs("1.2.0", "5.3.8", "2026-06-02T11:33:56.690241378+00:00"),
        playground("0.1.0", "1.0.0", "0.26.8", "2026-03-20T14:11:48.401573926+00:00"),
        playground("0.2.0", "1.0.0", "0.26.9", "2026-04-27T12:26:37.958324061+00:00"),
        playground("0.3.0", "1.0.1", "0.26.10", "2026-05-18T17:49:12.236018745+00:00"),
        greet("1.0.0", "1.0.0", "2026-03-02T09:05:11.847230519Z"),
        greet("1.0.1", "1.0.0-rebuild", "2026-03-16T09:51:24.309866172Z"),
        greet("1.1.0", "1.0.1", "2026-05-04T08:33:40.571094836Z"),
        redact("0.1.0", "1.11.0"),
        redact("0.2.0", "1.12.0"),
        redact("0.2.1", "1.12.0"),
    )


# The layout ------------------------------------------------------------------------------------------


def layout(held: Iterable[Artifact]) -> dict[Path, bytes]:
    """Every file of an OCI image layout: path -> bytes."""
    files = {LAYOUT / "oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    entries = []
    for artifact in held:
        for data in artifact.blobs:
            files[LAYOUT / "blobs" / "sha256" / digest_of(data).removeprefix("sha256:")] = data
        name = {"org.opencontainers.image.ref.name": f"{artifact.repository}:{artifact.tag}"}
        entries.append({**Blob(MANIFEST, artifact.manifest).descriptor, "annotations": name})
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
    return {**files, LAYOUT / "index.json": (json.dumps(index, indent=1) + "\n").encode()}


def layout_faults(expected: Mapping[Path, bytes]) -> Iterator[str]:
    """Compare the layout on disk with what it should be."""
    for path, data in sorted(expected.items()):
        if not path.is_file():
            yield f"{path.relative_to(ROOT).as_posix()}: missing"
        elif path.read_bytes() != data:
            yield f"{path.relative_to(ROOT).as_posix()}: differs from what this script makes"
    strangers = {path for path in LAYOUT.rglob("*") if path.is_file()} - expected.keys()
    yield from (f"{path.relative_to(ROOT).as_posix()}: not made here" for path in sorted(strangers))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; returns its exit status."""
    parser = argparse.ArgumentParser(description="Rebuild the demo's registry in data-fixtures/registry/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a byte differs")
    check = parser.parse_args(arguments).check
    faults = list(payload_faults())
    if not faults:
        expected = layout(artifacts())
        for path, data in expected.items() if not check else ():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        faults += layout_faults(expected)
        sys.stdout.write(f"{len(expected)} files {'compared' if check else 'written'}\n")
    for fault in faults:
        sys.stderr.write(fault + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
