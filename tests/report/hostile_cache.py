"""A cache in which every name and text is somebody's attack, as far as a registry can bring them in."""

import json

from spincache_nb.core.cache import Cache
from tests.support.artifact import (
    APPLICATION,
    DATA,
    IMAGE_CONFIG,
    WASM,
    compact,
    sha256,
    wasm_module,
)
from tests.support.artifacts import assemble

SCRIPT = "<script>alert(1)</script>"
NAMES = {
    "script": SCRIPT,
    "attribute": '"onmouseover="alert(1)" x="',
    "closing": "</title></svg></style></table><img src=x onerror=alert(1)>",
    "comment": "--><img src=x onerror=alert(1)><!--",
    "dollar": "$\\frac{a}{0}$ and $",
    "template": "{{ 7 * 7 }}{% raw %}",
    "right-to-left": "\u202egnp.exe\u2066 שלום عربى",
    "control": "a\x00b\x1b[2J\x07c\u2028d\ne\tf\x9b",
    "markdown": "[x](javascript:alert(1)) | `code` **b** ![i](http://e.example/i.png) <b>http://e.example</b>",
    "formula": "=cmd|' /C calc'!A0",
    "combining": "Z\u0351\u036b\u0343" * 60,
    "surrogate": "\ud800x",
    "emoji": "👩‍👩‍👧‍👦 日本語 ﷽",
    "long": "x" * 100_000,
    "empty": "",
}
"""What an app, a component, a file is called."""

DESCRIPTION = "d" * (1 << 20)


def manifest_of(name, number):
    """Manifest, locked app and blobs of an app in which everything is called the same."""
    shared, own = wasm_module("shared", 3000), f"own {number}".encode() * 300
    locked = {
        "spin_lock_version": 0,
        "metadata": {"name": name, "version": name, "description": DESCRIPTION, "authors": [name]},
        "triggers": [],
        "components": [
            {
                "id": name,
                "source": {"content_type": "application/wasm", "digest": sha256(shared)},
                "files": [{"path": name, "digest": sha256(own)}],
            }
        ],
    }
    application = json.dumps(locked).encode()
    config = compact({"architecture": "wasm", "os": "wasip1"})
    annotations = {f"org.opencontainers.image.{key}": name for key in ("title", "created")}
    annotations["org.opencontainers.image.description"] = DESCRIPTION
    layers = [(WASM, shared), (DATA, own), (APPLICATION, application)]
    document = assemble((IMAGE_CONFIG, config), layers, annotations=annotations)
    document["layers"].append({"mediaType": name, "digest": sha256(b"gone"), "size": 2**63 - 1 - number})
    return (
        json.dumps(document).encode(),
        application,
        {f"wasm/{sha256(shared)}": shared, f"data/{sha256(own)}": own},
    )


def hostile_cache(folder):
    """Lay such a cache out: one app per name, all in one repository, and odd folders and files."""
    root = folder / "registry"
    for number, name in enumerate(NAMES.values()):
        manifest, locked, blobs = manifest_of(name, number)
        tag = root / "manifests" / "ghcr.io" / "org" / "app" / f"{number}.0.0"
        tag.mkdir(parents=True)
        (tag / "manifest.json").write_bytes(manifest)
        (tag / "config.json").write_bytes(locked)
        for path, data in blobs.items():
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_bytes(data)
    for name in ("<b>bold</b>".replace("/", "\u2215"), "\u202eevil", "a\nb", "$x$"):
        odd = root / "manifests" / "ghcr.io" / "org" / name / "v1"
        odd.mkdir(parents=True)
        manifest, locked, _ = manifest_of(SCRIPT, 0)
        (odd / "manifest.json").write_bytes(manifest)
        (odd / "config.json").write_bytes(locked)
        (root / "data" / name).write_text("x")
    return Cache(folder)
