"""What the frames report of the recorded caches: rows by hand, from what the script writes.

Apps, problems and blobs that no app needs stand in the tables of ``data-fixtures/README.md``.

Digests are found in the raw recordings, by the names of sections and the text of pages.
"""

import base64
import hashlib
import json
from typing import Any

from spincache_nb.demo import data_fixtures

BOOK = "ghcr.io/example/guestbook"
PHOTOS = "ghcr.io/example/photos:1.0.0"
REDIRECT = "registry.example.com:5000/team/redirect:1"
MANUAL = "localhost:5000/example/manual"
LONG = "ghcr.io/example/long:1.0.0"
NAMES = ["v0.8", "v1.5", "v2.0", "v2.4", "v3.x", "v3.x-windows", "main"]
Rows = list[tuple[Any, ...]]


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def page(title: str, size: int) -> str:
    """Digest of a text file of the recordings, written here a second time."""
    line = f"<p>{title}: content that stands for more content.</p>\n"
    return sha256((f"<h1>{title}</h1>\n" + line * 99).encode()[:size])


STYLE = page("style", 90)


def raw(name: str) -> dict[str, bytes]:
    """Files of a recording, read without the code under test."""
    document = json.loads((data_fixtures() / "caches" / f"{name}.json").read_text(encoding="utf-8"))
    return {
        path: base64.b64decode(said["base64"]) if "base64" in said else said["text"].encode()
        for path, said in document["files"].items()
    }


def wasm(name: str, *seeds: str) -> str:
    """Digest of the one stored binary that holds sections of these names, and no others of ours."""
    marks = [bytes([len(seed)]) + seed.encode() for seed in seeds]
    found = [
        data
        for path, data in raw(name).items()
        if data.startswith(b"\0asm") and "download" not in path and all(mark in data for mark in marks)
    ]
    (only,) = {sha256(data) for data in found}
    return only


def layer(name: str, folder: str, position: int) -> str:
    """Digest of a layer by a raw manifest, for what is not stored."""
    manifest = json.loads(raw(name)[f"manifests/{folder}/manifest.json"])
    digest: str = manifest["layers"][position]["digest"]
    return digest


def environment() -> str:
    """The name in `main` whose bytes hash to another: it is the manifest's digest."""
    (odd,) = [
        path
        for path, data in raw("main").items()
        if path.startswith("wasm/sha256:") and path != f"wasm/{sha256(data)}"
    ]
    return odd.removeprefix("wasm/")


LAYERS: dict[str, Rows] = {
    name: [
        (app, role.lstrip("!"), int(size) if size else None, not role.startswith("!"))
        for app, layers in apps.items()
        for role, _, size in (layer.partition(" ") for layer in layers.split(", "))
    ]
    for name, apps in {
        "v0.8": {
            f"{BOOK}:0.1.0": "wasm 989, data 520, data 90",
            f"{BOOK}:0.2.0": "wasm 999, !data 540, data 90",
            REDIRECT: "!wasm 670",
        },
        "v1.5": {
            f"{BOOK}:0.3.0": "wasm 1009, data 560, data 90",
            f"{BOOK}:0.4.0": "wasm 1009, data 580",
            PHOTOS: "!wasm 818, data 400, !data 401, !data 402",
        },
        "v2.0": {
            "ghcr.io/example/adder:0.1.0": "wasm 777",
            f"{BOOK}:1.0.0": "wasm 1029, data 600, application",
            f"{BOOK}:1.1.0": "wasm 1029, !data 620, application",
            f"{BOOK}:edge": "wasm 1029, !data 640, !application",
        },
        "v2.4": {
            "docker.io/library/hello:1.0.0": "wasm 716, application",
            "ghcr.io/example/feed:1.0.0": "wasm 772, !application",
            f"{BOOK}:latest": "wasm 1049, data 640, application",
            "ghcr.io/example/tools/cli:latest": "wasm 615, data 350, application",
            "ghcr.io/example/tools:cli": "wasm 617, data 350, application",
        },
        "v3.x": {
            "ghcr.io/example/adder:0.2.0": "wasm 777",
            "ghcr.io/example/mirror:1.0.0": "wasm 628, data 628, application",  # in the other area
            "ghcr.io/example/shop:3.0.0": "wasm 905, wasm 705, application",
            f"{MANUAL}:1.0.0": "wasm 839, archive 10263, application",
            f"{MANUAL}:windows": "wasm 839, archive 10263, application",
        },
        "v3.x-windows": {
            "localhost:5000/example/shop:3.2.0": "wasm 1602, application",
        },
        "main": {
            "ghcr.io/example/adder:0.3.0": "wasm 748",
            "ghcr.io/example/gate:4.1.0": "wasm 863, application",
            "ghcr.io/example/gate:next": "!wasm 864, !application",
            LONG: "wasm 576, data 420, application",
        },
    }.items()
}
"""Role and size of each layer; `!` marks those that are not stored."""

COMPONENTS: dict[str, Rows] = {
    "v0.8": [
        (f"{BOOK}:0.1.0", "guestbook", 989, 2, 610, 0, "Rust", "rustc 1.65.0"),
        (f"{BOOK}:0.2.0", "guestbook", 999, 2, None, 0, "Rust", "rustc 1.66.0"),
        (REDIRECT, "redirect", 62, 0, 0, 0, None, None),
    ],
    "v1.5": [
        (f"{BOOK}:0.3.0", "guestbook", 1009, 2, 650, 0, "Rust", "rustc 1.67.0"),
        (f"{BOOK}:0.4.0", "guestbook", 1009, 2, 640, 0, "Rust", "rustc 1.67.0"),
        (PHOTOS, "photos", None, 3, None, 0, None, None),
    ],
    "v2.0": [
        (f"{BOOK}:1.0.0", "guestbook", 1029, 2, 690, 0, "Rust", "rustc 1.69.0"),
        (f"{BOOK}:1.1.0", "guestbook", 1029, 2, 390, 0, "Rust", "rustc 1.69.0"),
        (f"{BOOK}:edge", "guestbook", 1029, 2, 690, 0, "Rust", "rustc 1.69.0"),
    ],
    "v2.4": [
        ("docker.io/library/hello:1.0.0", "hello", 716, 0, 0, 0, "Go 1.22", "TinyGo 0.31.2"),
        ("ghcr.io/example/feed:1.0.0", "feed", 772, 0, 0, 0, "Rust", "rustc 1.78.0"),
        (f"{BOOK}:latest", "guestbook", 1049, 2, 730, 0, "Rust", "rustc 1.71.0"),
        ("ghcr.io/example/tools/cli:latest", "cli", 615, 1, 350, 0, None, None),
        ("ghcr.io/example/tools:cli", "tools", 617, 1, 350, 0, None, None),
    ],
    "v3.x": [
        ("ghcr.io/example/mirror:1.0.0", "mirror", 628, 1, None, 0, None, None),
        ("ghcr.io/example/shop:3.0.0", "shop", 905, 0, 0, 1, "JavaScript", "componentize-js 0.16.0"),
        (f"{MANUAL}:1.0.0", "manual", 839, 4, 1200, 0, "Rust", "rustc 1.80.0"),
        (f"{MANUAL}:windows", "manual", 839, 5, None, 0, "Rust", "rustc 1.80.0"),
    ],
    "v3.x-windows": [
        (
            "localhost:5000/example/shop:3.2.0",
            *("shop", 1602, 0, 0, 0, "JavaScript, Rust", "componentize-js 0.16.0, rustc 1.82.0"),
        )
    ],
    "main": [
        ("ghcr.io/example/gate:4.1.0", "gate", 863, 0, 0, 0, "Rust", "rustc 1.88.0"),
        ("ghcr.io/example/gate:4.1.0", "gate-http-0", 863, 0, 0, 0, "Rust", "rustc 1.88.0"),
        (LONG, "long", 576, 1, 420, 0, None, None),
    ],
}

FILES: dict[str, Rows] = {
    "v0.8": [
        (f"{BOOK}:0.1.0", "index.html", page("Guestbook 1", 520), False, 520),
        (f"{BOOK}:0.1.0", "style.css", STYLE, False, 90),
        (f"{BOOK}:0.2.0", "index.html", page("Guestbook 2", 540), False, None),
        (f"{BOOK}:0.2.0", "style.css", STYLE, False, 90),
    ],
    "v1.5": [
        (f"{BOOK}:0.3.0", "index.html", page("Guestbook 3", 560), False, 560),
        (f"{BOOK}:0.3.0", "style.css", STYLE, True, 90),
        (f"{BOOK}:0.4.0", "index.html", page("Guestbook 4", 580), False, 580),
        (f"{BOOK}:0.4.0", "robots.txt", page("robots", 60), True, 60),
        (PHOTOS, "picture-0.svg", page("picture 0", 400), False, 400),
        (PHOTOS, "picture-1.svg", page("picture 1", 401), False, None),
        (PHOTOS, "picture-2.svg", page("picture 2", 402), False, 0),
    ],
    "v2.0": [
        (f"{BOOK}:1.0.0", "index.html", page("Guestbook 5", 600), False, 600),
        (f"{BOOK}:1.0.0", "style.css", STYLE, True, 90),
        (f"{BOOK}:1.1.0", "index.html", page("Guestbook 6", 620), False, 300),
        (f"{BOOK}:1.1.0", "style.css", STYLE, True, 90),
        (f"{BOOK}:edge", "index.html", page("Guestbook 5", 600), False, 600),
        (f"{BOOK}:edge", "style.css", STYLE, True, 90),
    ],
    "v2.4": [
        (f"{BOOK}:latest", "index.html", page("Guestbook 7", 640), False, 640),
        (f"{BOOK}:latest", "style.css", STYLE, True, 90),
        ("ghcr.io/example/tools/cli:latest", "help.html", page("help", 350), False, 350),
        ("ghcr.io/example/tools:cli", "help.html", page("help", 350), False, 350),
    ],
    "v3.x": [
        ("ghcr.io/example/mirror:1.0.0", "mirror.wasm", wasm("v3.x", "mirror"), False, None),
        (f"{MANUAL}:1.0.0", "licence.txt", page("licence", 100), True, 100),
        (f"{MANUAL}:1.0.0", "pages/home.html", page("home", 340), False, 340),
        (f"{MANUAL}:1.0.0", "pages/install.html", page("install", 370), False, 370),
        (f"{MANUAL}:1.0.0", "pages/questions.html", page("questions", 390), False, 390),
        (f"{MANUAL}:windows", "pages\\home.html", page("home", 340), False, 340),
        (f"{MANUAL}:windows", "pages\\install.html", page("install", 370), False, 370),
        (f"{MANUAL}:windows", "pages\\prices.html", page("prices", 330), False, 330),
        (f"{MANUAL}:windows", "pages\\questions.html", page("questions", 390), False, 390),
        (f"{MANUAL}:windows", "pages\\terms.html", page("terms", 340), False, None),
    ],
    "v3.x-windows": [],
    "main": [
        (LONG, "long.html", layer("main", "ghcr.io/example/long/1.0.0", 1), False, 420),
    ],
}

USES: dict[str, Rows] = {
    "v1.5": [
        (f"{BOOK}:0.3.0", page("Guestbook 3", 560), "data", "layer"),
        (f"{BOOK}:0.3.0", STYLE, "data", "layer"),  # inlined, and a layer all the same
        (f"{BOOK}:0.3.0", wasm("v1.5", "guestbook 3"), "wasm", "layer"),
        (f"{BOOK}:0.4.0", page("Guestbook 4", 580), "data", "layer"),
        (f"{BOOK}:0.4.0", wasm("v1.5", "guestbook 3"), "wasm", "layer"),
        (PHOTOS, page("picture 0", 400), "data", "layer"),
        (PHOTOS, page("picture 2", 402), "data", "layer"),
    ],
    "v2.0": [
        ("ghcr.io/example/adder:0.1.0", wasm("v2.0", "adder"), "data", "layer"),
        (f"{BOOK}:1.0.0", page("Guestbook 5", 600), "data", "layer"),
        (f"{BOOK}:1.0.0", wasm("v2.0", "guestbook 5"), "wasm", "layer"),
        (f"{BOOK}:1.1.0", page("Guestbook 6", 620), "data", "layer"),
        (f"{BOOK}:1.1.0", wasm("v2.0", "guestbook 5"), "wasm", "layer"),
        (f"{BOOK}:edge", page("Guestbook 5", 600), "data", "content ref"),  # only the old locked app names it
        (f"{BOOK}:edge", wasm("v2.0", "guestbook 5"), "wasm", "layer"),
    ],
    "v3.x": [
        ("ghcr.io/example/adder:0.2.0", wasm("v3.x", "adder"), "wasm", "layer"),
        ("ghcr.io/example/mirror:1.0.0", wasm("v3.x", "mirror"), "wasm", "layer"),
        ("ghcr.io/example/shop:3.0.0", wasm("v3.x", "shop 3.0.0"), "wasm", "layer"),
        ("ghcr.io/example/shop:3.0.0", wasm("v3.x", "prices"), "wasm", "layer"),
        (f"{MANUAL}:1.0.0", wasm("v3.x", "file server"), "wasm", "layer"),
        (f"{MANUAL}:1.0.0", layer("v3.x", "localhost:5000/example/manual/1.0.0", 1), "data", "layer"),
        (f"{MANUAL}:1.0.0", page("home", 340), "data", "archive member"),
        (f"{MANUAL}:1.0.0", page("install", 370), "data", "archive member"),
        (f"{MANUAL}:1.0.0", page("questions", 390), "data", "archive member"),
        (f"{MANUAL}:1.0.0", page("licence", 100), "data", "archive member"),
        (f"{MANUAL}:windows", wasm("v3.x", "file server"), "wasm", "layer"),
        (f"{MANUAL}:windows", layer("v3.x", "localhost:5000/example/manual/windows", 1), "data", "layer"),
        (f"{MANUAL}:windows", page("home", 340), "data", "archive member"),
        (f"{MANUAL}:windows", page("install", 370), "data", "archive member"),
        (f"{MANUAL}:windows", page("questions", 390), "data", "archive member"),
        (f"{MANUAL}:windows", page("prices", 330), "data", "archive member"),
    ],
    "main": [
        ("ghcr.io/example/adder:0.3.0", wasm("main", "adder"), "wasm", "layer"),
        ("ghcr.io/example/gate:4.1.0", wasm("main", "gate"), "wasm", "layer"),
        (LONG, wasm("main", "long"), "wasm", "layer"),
        (LONG, layer("main", "ghcr.io/example/long/1.0.0", 1), "data", "layer"),
    ],
}
