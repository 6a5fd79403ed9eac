"""Artifacts of the five kinds, built as ``spin registry push`` and ``wkg`` build them.

Sources: ``crates/oci/src/client.rs`` (assembly of layers, image config, annotations) and
``crates/locked-app/src/locked.rs`` (order and spelling of the locked app's fields) of Spin v4.0, and for
the old style of Spin v0.8 and v1.5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from tests.support import archives
from tests.support.artifact import (
    APPLICATION,
    ARCHIVE,
    DATA,
    IMAGE_CONFIG,
    INLINE_LIMIT,
    OCI_MANIFEST,
    WASM,
    WKG_CONFIG,
    WKG_WASM,
    Artifact,
    Json,
    canonical,
    compact,
    descriptor,
    inline_text,
    sha256,
    text_file,
    wasm_module,
)

CREATED = "2026-03-01T10:00:00.123456789+00:00"
Layer = tuple[str, bytes]
"""Media type and bytes of a layer to be pushed."""


@dataclass(frozen=True)
class Component:
    """What one component of an app is made of."""

    id: str
    wasm: bytes
    files: Mapping[str, bytes] = field(default_factory=dict)
    dependencies: Mapping[str, bytes] = field(default_factory=dict)


def default_components(seed: str = "one") -> tuple[Component, ...]:
    """Return two components that share an asset, one with a dependency; nothing is small enough to inline."""
    shared = text_file("shared.js", 4000)
    hello = Component(
        "hello",
        wasm_module(f"hello {seed}", 5000),
        {"static/index.html": text_file(f"index {seed}", 600), "static/js/shared.js": shared},
    )
    api = Component(
        "api",
        wasm_module("api", 7000),
        {"shared.js": shared, "ümläut/naïve.txt": text_file("naïve", 300)},
        {"test:dep/a@1.0.0": wasm_module("dependency", 900)},
    )
    return hello, api


def content_ref(data: bytes, *, inline: bool = True) -> Json:
    """Return the content ref of pushed bytes: ``inline`` for at most 128 bytes, and always ``digest``."""
    small = {"inline": inline_text(data)} if inline and len(data) <= INLINE_LIMIT else {}
    return {**small, "digest": sha256(data)}


def locked_component(component: Component, *, inline: bool = True) -> Json:
    """Return the locked form of a component, its fields in Spin's order, empty ones left out."""
    source = {"content_type": "application/wasm"}
    locked: Json = {
        "id": component.id,
        "metadata": {"allowed_outbound_hosts": []},
        "source": {**source, **content_ref(component.wasm, inline=inline)},
        "env": {"GREETING": "ciao"},
    }
    if component.files:
        files = component.files.items()
        locked["files"] = [{**content_ref(data, inline=inline), "path": path} for path, data in files]
    if component.dependencies:
        locked["dependencies"] = {
            name: {"source": {**source, **content_ref(data, inline=inline)}, "export": None}
            for name, data in sorted(component.dependencies.items())
        }
    return locked


def locked_app(components: Sequence[Component], metadata: Json, *, inline: bool = True) -> bytes:
    """Return the locked app's compact JSON (lock version 0: no host requirements)."""
    trigger = {
        "id": "trigger--hello",
        "trigger_type": "http",
        "trigger_config": {"component": components[0].id, "executor": None, "route": "/..."},
    }
    app: Json = {"spin_lock_version": 0, "metadata": metadata}
    app["variables"] = {"api_key": {"default": "s3cret-default", "secret": True}}
    app["triggers"] = [trigger]
    app["components"] = [locked_component(component, inline=inline) for component in components]
    return compact(app)


def assemble(config: Layer, layers: Sequence[Layer], **more: object) -> Json:
    """Return the manifest that a Spin push writes, which has no ``mediaType``; keywords add fields."""
    return {
        "schemaVersion": 2,
        "config": descriptor(*config),
        "layers": [descriptor(*layer) for layer in layers],
        **more,
    }


def published(repository: str, tag: str, config: Layer, layers: Sequence[Layer], **more: object) -> Artifact:
    """Build the artifact of a config and some layers; keywords add fields to its manifest."""
    blobs = {sha256(data): data for _, data in [config, *layers]}
    return Artifact(repository, tag, canonical(assemble(config, layers, **more)), blobs=blobs)


def app_layers(components: Sequence[Component], *, archive: bool = False) -> list[Layer]:
    """Return the layers of an app without the application layer, de-duplicated as Spin v2.5 and later do.

    Simple mode leaves out files that are inlined; archive mode pushes one archive per component. Wasm is
    always pushed, inlined or not.
    """
    layers: list[Layer] = []
    for component in components:
        layers.append((WASM, component.wasm))
        layers += [(WASM, wasm) for _, wasm in sorted(component.dependencies.items())]
        if archive and component.files:
            layers.append((ARCHIVE, archives.mount_archive(component.files)))
        elif not archive:
            layers += [(DATA, data) for data in component.files.values() if len(data) > INLINE_LIMIT]
    return list(dict.fromkeys(layers))


def image_config(application: bytes, *, label: bool = True) -> bytes:
    """Return the OCI image config of a Spin v2.0+ push; the label came with v2.4."""
    labels = {"config": {"Labels": {"com.fermyon.spin.lockedAppDigest": sha256(application)}}}
    rootfs = {"type": "layers", "diff_ids": []}
    return compact({"architecture": "wasm", "os": "wasip1", **(labels if label else {}), "rootfs": rootfs})


def new_style(
    repository: str = "demo/new",
    tag: str = "v1",
    *,
    components: Sequence[Component] | None = None,
    version: str = "1.0.0",
    archive: bool = False,
    label: bool = True,
    annotated: bool = True,
) -> Artifact:
    """Build an app as Spin v2.0 and later push it: image config, layers, the locked app as last layer."""
    name = repository.rsplit("/", 1)[-1]
    components = default_components(version) if components is None else components
    metadata = {"authors": ["Zoë <zoe@example.test>"], "description": f"A “test” app {name}", "name": name}
    application = locked_app(components, {**metadata, "trigger": {"type": "http"}, "version": version})
    config = (IMAGE_CONFIG, image_config(application, label=label))
    layers = [*app_layers(components, archive=archive), (APPLICATION, application)]
    annotations = {
        "org.opencontainers.image.authors": "Zoë <zoe@example.test>",
        "org.opencontainers.image.created": CREATED,
        "org.opencontainers.image.description": metadata["description"],
        "org.opencontainers.image.title": name,
        "org.opencontainers.image.version": version,
    }
    return published(repository, tag, config, layers, **({"annotations": annotations} if annotated else {}))


def inline_files(repository: str = "demo/inline", tag: str = "v1", *, version: str = "1.0.0") -> Artifact:
    """Build a new-style app with files of 0, 1, 127, 128 (inlined) and 129 bytes (a layer), and a wasm of
    eight bytes that is inlined and pushed as a layer as well."""
    sizes = {f"file-{size}.txt": text_file(f"size {size} {version}", size) for size in (0, 1, 127, 128, 129)}
    tiny = Component("tiny", b"\0asm\x01\0\0\0", sizes)
    large = Component("large", wasm_module("large", 2000), {".env": b"PASSWORD=hunter2\n"})
    return new_style(repository, tag, components=[tiny, large], version=version)


def archive_style(repository: str = "demo/archive", tag: str = "v1", *, version: str = "1.0.0") -> Artifact:
    """Build an app in archive mode: nested folders, a name over 100 bytes, inlined small files that are in
    the archive too, and twice the same content."""
    long_name = "deep/" * 22 + "er/a-file-whose-name-is-longer-than-one-hundred-bytes.txt"
    files = {f"pages/page-{n:02}.html": text_file(f"page {n}", 200 + 37 * n) for n in range(12)}
    files |= {
        "index.html": text_file(f"index {version}", 700),
        "copy-of-index.html": text_file(f"index {version}", 700),
        "robots.txt": b"User-agent: *\n",
        "empty": b"",
        long_name: text_file("long name", 333),
    }
    site = Component("site", wasm_module("fileserver", 4000), files)
    return new_style(repository, tag, components=[site], version=version, archive=True)


def old_style(
    repository: str = "demo/old", tag: str = "v1", *, version: str = "1.0.0", inline: bool = False
) -> Artifact:
    """Build an app as Spin v0.8 to v1.5 pushed it: the locked app is the manifest's config."""
    files = {"index.html": text_file(f"old {version}", 500), "tiny.txt": b"tiny"}
    components = [Component("old", wasm_module(f"old {version}", 2500), files)]
    metadata = {"description": "", "name": "old", "origin": "file:///home/zoe/old/spin.toml"}
    metadata |= {"version": version}
    application = locked_app(
        components, {**metadata, "trigger": {"base": "/", "type": "http"}}, inline=inline
    )
    layers = [(WASM, components[0].wasm), *((DATA, data) for data in files.values())]
    return published(repository, tag, (APPLICATION, application), layers)


def package(repository: str = "demo/package", tag: str = "1.0.0", *, seed: str = "package") -> Artifact:
    """Build a WebAssembly package as ``wkg`` pushes it: wasm config v0 and one ``application/wasm`` layer."""
    wasm = wasm_module(seed, 6000)
    config = compact(
        {
            "created": "2026-03-01T10:00:00Z",
            "author": None,
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [sha256(wasm)],
            "component": {"exports": ["wasi:http/incoming-handler@0.2.0"], "imports": [], "target": None},
        }
    )
    return published(repository, tag, (WKG_CONFIG, config), [(WKG_WASM, wasm)], mediaType=OCI_MANIFEST)


@cache
def five_kinds() -> dict[str, Artifact]:
    """Return one artifact of each kind by name: ``new``, ``inline``, ``archive``, ``old``, ``package``."""
    return {
        "new": new_style(),
        "inline": inline_files(),
        "archive": archive_style(),
        "old": old_style(),
        "package": package(),
    }
