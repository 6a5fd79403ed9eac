"""Push without a registry: apps as Spin writes them, packages as wkg does.

A second implementation of the writing side, independent of the package's readers. The sources are
Spin v4.0.2 (crates/oci/src/client.rs: push, assemble_layers, all_annotations; crates/loader/src/local.rs;
crates/locked-app/src/locked.rs), Spin v0.8.0 (crates/publish/src/oci/client.rs) and the crates
wasm-pkg-client and oci-wasm. One thing is left out: nothing here composes dependencies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from spincache_nb.demo.encode import (
    base64_unpadded,
    canonical_json,
    serde_json,
    stored_gzip,
    tar_archive,
)
from spincache_nb.demo.model import App, Artifact, Blob, Component, Trigger, Variable

_Json = dict[str, object]

_APPLICATION = "application/vnd.fermyon.spin.application.v1+config"
_WASM = "application/vnd.wasm.content.layer.v1+wasm"
_DATA = "application/vnd.wasm.content.layer.v1+data"
_ARCHIVE = "application/vnd.wasm.content.bundle.v1.tar+gzip"
_IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
_PACKAGE_CONFIG = "application/vnd.wasm.config.v0+json"
_PACKAGE_WASM = "application/wasm"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_LABEL = "com.fermyon.spin.lockedAppDigest"
_ANNOTATION = "org.opencontainers.image."

_INLINE_MAX_BYTES = 128
_MAX_LAYERS = 500


def push_app(
    app: App, *, repository: str, created: str, pack: Callable[[bytes], bytes] = stored_gzip
) -> Artifact:
    """Build what ``spin registry push`` of Spin v2.7 to v4.0 leaves in a registry."""
    layers, components = _assemble(app.components)
    if len(layers) > _MAX_LAYERS - 1:
        layers, components = _assemble(app.components, pack)
    locked_app = Blob(_APPLICATION, serde_json(_locked_app(app, components)))
    image_config: _Json = {
        "architecture": "wasm",
        "os": "wasip1",
        "config": {"Labels": {_LABEL: locked_app.digest}},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    config = Blob(_IMAGE_CONFIG, serde_json(image_config))
    manifest = _manifest(config, [*layers, locked_app], annotations=_inferred_annotations(app, created))
    return Artifact(repository, app.version, manifest, config, (*layers, locked_app))


def push_old_app(app: App, *, repository: str) -> Artifact:
    """Build what ``spin oci push`` of Spin v0.8 leaves in a registry."""
    layers: list[Blob] = []
    components = []
    for component in app.components:
        wasm = Blob(_WASM, component.wasm)
        mounted = {path: Blob(_DATA, data) for path, data in sorted(component.files.items())}
        layers += [wasm, *mounted.values()]
        locked: _Json = {"id": component.id}
        if component.description:
            locked["metadata"] = {"description": component.description}
        locked["source"] = {"content_type": "application/wasm", "digest": wasm.digest}
        _put_maps(locked, env=component.env)
        if mounted:
            locked["files"] = [{"digest": blob.digest, "path": path} for path, blob in mounted.items()]
        _put_maps(locked, config=component.config)
        components.append(locked)
    config = Blob(_APPLICATION, serde_json(_old_locked_app(app, components)))
    return Artifact(repository, app.version, _manifest(config, layers), config, tuple(layers))


def push_package(
    name: str, version: str, wasm: bytes, *, exports: Sequence[str], repository: str, created: str
) -> Artifact:
    """Build what ``wkg publish`` leaves in a registry for a component without imports."""
    layer = Blob(_PACKAGE_WASM, wasm, ((f"{_ANNOTATION}title", f"{name}.wasm"),))
    wasm_config: _Json = {
        "created": created,
        "author": None,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer.digest],
        "component": {"exports": list(exports), "imports": [], "target": None},
    }
    config = Blob(_PACKAGE_CONFIG, serde_json(wasm_config))
    annotations = {f"{_ANNOTATION}version": version}
    manifest = _manifest(config, [layer], annotations=annotations, media_type=_MANIFEST)
    return Artifact(repository, version, manifest, config, (layer,))


# Layers ----------------------------------------------------------------------------------------------


def _assemble(
    components: Iterable[Component], pack: Callable[[bytes], bytes] | None = None
) -> tuple[list[Blob], list[_Json]]:
    """Layers, each once, and the locked components that name them; as archives if there is a packer."""
    layers: list[Blob] = []
    locked = []
    for component in components:
        wasm = Blob(_WASM, component.wasm)
        layers.append(wasm)
        assets = {path: Blob(_DATA, data) for path, data in sorted(component.files.items())}
        if pack and assets:
            layers.append(Blob(_ARCHIVE, pack(tar_archive(component.files))))
        elif not pack:
            layers += [blob for blob in assets.values() if blob.size > _INLINE_MAX_BYTES]
        files: list[_Json] = [{**_content_ref(blob), "path": path} for path, blob in assets.items()]
        locked.append(_locked_component(component, wasm, files))
    return list(dict.fromkeys(layers)), locked


def _content_ref(blob: Blob) -> _Json:
    """Point at content: by digest, and if it is small with the bytes themselves."""
    inline = {"inline": base64_unpadded(blob.data)} if blob.size <= _INLINE_MAX_BYTES else {}
    return {**inline, "digest": blob.digest}


def _descriptor(blob: Blob) -> _Json:
    descriptor: _Json = {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}
    if blob.annotations:
        descriptor["annotations"] = dict(blob.annotations)
    return descriptor


def _manifest(
    config: Blob,
    layers: Iterable[Blob],
    *,
    annotations: Mapping[str, str] | None = None,
    media_type: str | None = None,
) -> bytes:
    """An OCI image manifest; Spin, unlike wkg, leaves ``mediaType`` out of it."""
    manifest: _Json = {
        "schemaVersion": 2,
        "config": _descriptor(config),
        "layers": [_descriptor(layer) for layer in layers],
    }
    if media_type is not None:
        manifest["mediaType"] = media_type
    if annotations is not None:
        manifest["annotations"] = annotations
    return canonical_json(manifest)


def _inferred_annotations(app: App, created: str) -> dict[str, str]:
    """The annotations Spin adds by itself since v2.7."""
    inferred = {
        "authors": ", ".join(app.authors),
        "title": app.name,
        "description": app.description,
        "version": app.version,
        "created": created,
    }
    return {_ANNOTATION + key: value for key, value in inferred.items() if value}


# Locked apps -----------------------------------------------------------------------------------------


def _locked_app(app: App, components: list[_Json]) -> _Json:
    """The locked app in the order in which Spin v2.4 and later write it."""
    must_understand = any("host_requirements" in component for component in components)
    locked: _Json = {"spin_lock_version": 1 if must_understand else 0}
    if must_understand:
        locked["must_understand"] = ["component_host_requirements"]
    types = sorted({trigger.type for trigger in app.triggers})
    metadata: _Json = {
        "authors": list(app.authors),
        "description": app.description,
        "name": app.name,
        "version": app.version,
    }
    metadata = {key: value for key, value in metadata.items() if value}
    metadata["triggers"] = {kind: _by_key(said) for kind, said in sorted(app.trigger_settings.items())}
    if len(types) == 1:  # for readers of before v2.0, which know one type per app
        metadata["trigger"] = _by_key({**app.trigger_settings.get(types[0], {}), "type": types[0]})
    locked["metadata"] = _by_key(metadata)
    _put_maps(locked, variables={name: _variable(v) for name, v in app.variables.items()})
    locked["triggers"] = [_locked_trigger(t, f"{t.component}-{t.type}-trigger") for t in app.triggers]
    locked["components"] = components
    return locked


def _old_locked_app(app: App, components: list[_Json]) -> _Json:
    """The locked app as Spin v0.8 writes it: HTTP only, variables without descriptions."""
    locked: _Json = {
        "spin_lock_version": 0,
        "metadata": {
            "description": app.description,
            "name": app.name,
            "trigger": {"base": "/", "type": "http"},
            "version": app.version,
        },
    }
    variables = {name: Variable(default=v.default, secret=v.secret) for name, v in app.variables.items()}
    _put_maps(locked, variables={name: _variable(v) for name, v in variables.items()})
    locked["triggers"] = [_locked_trigger(t, f"trigger--{t.component}") for t in app.triggers]
    locked["components"] = components
    return locked


def _locked_trigger(trigger: Trigger, identifier: str) -> _Json:
    config = _by_key({**trigger.config, "component": trigger.component})
    return {"id": identifier, "trigger_type": trigger.type, "trigger_config": config}


def _variable(variable: Variable) -> _Json:
    locked: _Json = {}
    if variable.description is not None:
        locked["description"] = variable.description
    if variable.default is not None:
        locked["default"] = variable.default
    if variable.secret:
        locked["secret"] = True
    return locked


def _locked_component(component: Component, wasm: Blob, files: list[_Json]) -> _Json:
    """One component, its wasm and files given as content refs."""
    chained = tuple(f"http://{name}.spin.internal" for name in component.chained)
    metadata: _Json = {
        "allowed_outbound_hosts": [*component.allowed_outbound_hosts, *chained],
        "build": {"command": component.build_command} if component.build_command else None,
        "description": component.description,
        "key_value_stores": list(component.key_value_stores),
    }
    locked: _Json = {"id": component.id}
    _put_maps(locked, metadata={key: value for key, value in metadata.items() if value})
    locked["source"] = {"content_type": "application/wasm", **_content_ref(wasm)}
    _put_maps(locked, env=component.env)
    if files:
        locked["files"] = files
    _put_maps(locked, config=component.config)
    if chained:
        locked["host_requirements"] = {"local_service_chaining": "required"}
    return locked


def _put_maps(locked: _Json, **maps: Mapping[str, object]) -> None:
    """Add maps that are not empty, sorted by key as Rust's BTreeMap is."""
    locked.update({name: _by_key(entries) for name, entries in maps.items() if entries})


def _by_key(entries: Mapping[str, object]) -> _Json:
    return dict(sorted(entries.items()))
