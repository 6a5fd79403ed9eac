"""Write the recorded caches: one for each generation of Spin, as that generation leaves its cache.

::

    python data-fixtures/caches.py            # write caches/*.json again
    python data-fixtures/caches.py --check    # write nothing; exit status 1 if a byte differs

No Spin ran for this. The rules are those of Spin's own code (``crates/oci/src/client.rs``,
``crates/loader/src/cache.rs`` and ``http.rs``, ``crates/environments``), release by release. Only the
standard library is used, and nothing of the package: a fixture must not depend on the code that it tests.

A ``caches/NAME.json`` holds the files of one cache by path below ``registry``, as ``text`` or ``base64``,
with the time at which each was written. Names in it are those of Unix, or of Windows where it says so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

sys.dont_write_bytecode = True  # leave nothing beside the fixtures

from spin_writes import (  # noqa: E402
    APPLICATION,
    IMAGE_CONFIG,
    Artifact,
    Component,
    Recording,
    compact,
    component,
    created,
    image_config,
    module,
    new_app,
    old_app,
    package,
    rust,
    sha256,
    text,
)

ROOT = Path(__file__).resolve().parent
BOOK = "ghcr.io/example/guestbook"
STYLE = text("style", 90)
BOOK_WASM = {one: rust(f"guestbook {one}", 900 + 10 * one, f"1.{64 + one}.0") for one in range(9)}
INDEX = {one: text(f"Guestbook {one}", 500 + 20 * one) for one in range(9)}
MANUAL = {f"pages/{name}.html": text(name, 300 + 10 * len(name)) for name in ("home", "install", "questions")}
LICENCE = text("licence", 100)
ADDER = component(module("adder", 700, processed_by=[("wit-component", "0.220.0")]))


def guestbook(number: int, *, wasm: int | None = None) -> Component:
    """The guestbook in one of its versions: a page, and a style sheet small enough to be inlined."""
    source = BOOK_WASM[number if wasm is None else wasm]
    return Component("guestbook", source, {"index.html": INDEX[number], "style.css": STYLE})


def v0_8() -> Recording:
    cache = Recording(
        "v0.8 to v1.1",
        "The locked app is the manifest's config, and nothing is inlined.",
        "Layers are fetched one after the other: of `guestbook:0.2.0` the pull was killed after the first, "
        "and it shares the last with `guestbook:0.1.0`.",
        "HTTP statuses are not looked at: an error text is stored in place of the component of `redirect`, "
        "whose registry has a port.",
        eager=True,
    )
    for number, day in [(1, "2023-01-16"), (2, "2023-02-20")]:
        app = old_app("guestbook", f"0.{number}.0", [guestbook(number)], inline=False)
        cache.pull(day, f"{BOOK}:0.{number}.0", app)
    cache.lose("data", INDEX[2])
    wasm = module("redirect", 650)
    app = old_app("redirect", "1.0.0", [Component("redirect", wasm)], inline=False)
    cache.pull("2023-02-21", "registry.example.com:5000/team/redirect:1", app)
    cache.replace("wasm", wasm, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}\n')
    return cache


def v1_5() -> Recording:
    cache = Recording(
        "v1.2 to v1.5",
        "Content of at most 128 bytes is inlined into the locked app (v1.5), and a layer all the same; "
        "not so with `SPIN_OCI_SKIP_INLINED_FILES`, as for `guestbook:0.4.0`.",
        "Errors of writing a blob are ignored: the disk was full when `photos` was pulled, so one picture "
        "is empty, and one and the component are not there. Spin reported success.",
        "A source from the web is named by bare hex (v0.9 to v1.x); Spin v2.0 and later never finds it.",
        eager=True,
    )
    app = old_app("guestbook", "0.3.0", [guestbook(3)], inline=True)
    cache.pull("2023-09-01", f"{BOOK}:0.3.0", app)
    files = {"index.html": INDEX[4], "robots.txt": text("robots", 60)}
    skipping = Component("guestbook", BOOK_WASM[3], files)
    app = old_app("guestbook", "0.4.0", [skipping], inline=True, skip=True)
    cache.pull("2023-09-12", f"{BOOK}:0.4.0", app)
    pictures = [text(f"picture {number}", 400 + number) for number in range(3)]
    named = {f"picture-{number}.svg": data for number, data in enumerate(pictures)}
    photos = Component("photos", module("photos", 800), named)
    cache.pull(
        "2023-10-02", "ghcr.io/example/photos:1.0.0", old_app("photos", "1.0.0", [photos], inline=True)
    )
    cache.lose("wasm", photos.wasm)
    cache.lose("data", pictures[1])
    cache.replace("data", pictures[2], b"")
    fetched = module("from the web", 500)
    cache.write("wasm/" + sha256(fetched).removeprefix("sha256:"), fetched)
    return cache


def v2_0() -> Recording:
    cache = Recording(
        "v2.0 to v2.3",
        "The locked app is the last layer; the config is an image config without label, the same for "
        "all apps. Inlined content has no layer.",
        "Annotations are in no order in `manifest.json` (sorted since v2.5).",
        "`guestbook:1.1.0`: a crash cut the page off after 300 bytes, and Spin trusts its name forever.",
        "`guestbook:edge`: the manifest is of a new version, the locked app of the one before it.",
        "A package: its wasm is of a type that Spin knows since v3.6 only, so it is in `data/`.",
        "Sources from the web are `sha256:` files, readable by their owner only; one download was killed. "
        "The whole one is a project's.",
        eager=True,
    )
    said = {"org.opencontainers.image.version": "1.0.0", "org.opencontainers.image.authors": "The example"}
    app = new_app("guestbook", "1.0.0", [guestbook(5)], label=False, annotations=said)
    cache.pull("2023-11-20", f"{BOOK}:1.0.0", app)
    folder = cache.pull("2023-11-21", f"{BOOK}:edge", app)
    app = new_app("guestbook", "1.1.0", [guestbook(6, wasm=5)], label=False)
    cache.pull("2024-01-08", f"{BOOK}:1.1.0", app)
    cache.replace("data", INDEX[6], INDEX[6][:300])
    adder = package("example:adder", "0.1.0", ADDER)
    cache.pull("2024-01-16", "ghcr.io/example/adder:0.1.0", adder)
    app = new_app("guestbook", "1.2.0-edge", [guestbook(7, wasm=5)], label=False)
    cache.write(f"{folder}/manifest.json", compact(app.manifest))
    fetched, half = rust("from the web, again", 520, "1.74.0"), rust("half of it came", 900, "1.74.0")
    cache.blob("wasm", fetched, mode="600")
    cache.write(f"wasm/download-{sha256(half).replace(':', '-')}k3Vq8Z", half[:410], mode="600")
    cache.projects["shop/spin.toml"] = (
        'spin_manifest_version = 2\n\n[application]\nname = "shop"\n\n[[trigger.http]]\nroute = "/..."\n'
        'component = "shop"\n\n[component.shop]\n'
        f'source = {{ url = "https://example.com/shop.wasm", digest = "{sha256(fetched)}" }}\n'
    )
    return cache


def v2_4() -> Recording:
    cache = Recording(
        "v2.4 to v2.7",
        "The image config names the locked app by a label; annotations are sorted (v2.5), and made up by "
        "the push (v2.7).",
        "`guestbook:latest` was version 2.1.0. Then 2.0.0 was pulled by digest alone, which Spin files "
        "under `latest` too: what only 2.1.0 needs is unreferenced now.",
        "`feed`: pulled by an older Spin first, which put the locked app into `data/` as a layer of unknown "
        "type. This one skips what is stored, so the image config stays in `config.json`. The frames find "
        "the locked app by the label.",
        "The directory of `tools:cli` is also the repository `tools/cli`.",
        "`hello` is of Docker Hub.",
    )
    moment = "2024-06-03T08:00:00.123456789+00:00"
    for number, wasm, day in [(1, 8, "2024-06-10"), (0, 7, "2024-06-11")]:
        version = f"2.{number}.0"
        app = new_app(
            "guestbook", version, [guestbook(wasm)], annotations=created("guestbook", version, moment)
        )
        cache.pull(day, f"{BOOK}:latest", app)
    feed = new_app("feed", "1.0.0", [Component("feed", rust("feed", 700, "1.78.0"))])
    folder = cache.pull("2024-06-12", "ghcr.io/example/feed:1.0.0", feed)
    cache.write(f"{folder}/config.json", feed.config[1])
    cache.blob("data", feed.layers[-1][1])
    help_page = {"help.html": text("help", 350)}
    for name, reference in [("tools", "example/tools:cli"), ("cli", "example/tools/cli:latest")]:
        app = new_app(name, "1.0.0", [Component(name, module(name, 600), help_page)])
        cache.pull("2024-07-01", f"ghcr.io/{reference}", app)
    tiny_go = module("hello", 640, language=[("Go", "1.22")], processed_by=[("TinyGo", "0.31.2")])
    hello = new_app("hello", "1.0.0", [Component("hello", tiny_go)])
    cache.pull("2024-07-02", "docker.io/library/hello:1.0.0", hello)
    return cache


def shop(version: str, *, composed: bool) -> Artifact:
    """An app whose component has a dependency: a layer of its own, or composed into it."""
    tools = [("componentize-js", "0.16.0")]
    own = module(f"shop {version}", 800, language=[("JavaScript", "")], processed_by=tools)
    prices = rust("prices", 620, "1.82.0")
    if composed:
        return new_app("shop", version, [Component("shop", component(own, prices))])
    parts = {"example:prices/list@1.0.0": component(prices)}
    return new_app("shop", version, [Component("shop", component(own), dependencies=parts)])


def v3() -> Recording:
    cache = Recording(
        "v3.0 to v4.0",
        "`manual`: files in one archive layer, which is kept beside its members; the small one is inlined "
        "as well. Its registry has a port.",
        "`manual:windows` was pushed on Windows, so paths have back slashes; unpacking was interrupted, "
        "and Spin never unpacks again.",
        "`shop`: a dependency is a layer of its own (v3.0 and v3.1; composed since v3.2).",
        "`mirror` mounts its own wasm as a file: Spin stores it once, in `wasm/`, and then cannot mount it.",
        "A package, whose wasm type is known since v3.6.",
        "The interfaces of a target environment (v3.4): only a project's lock names them.",
    )
    cache.knows_packages = True
    server = rust("file server", 760, "1.80.0")
    pages = Component("manual", server, {**MANUAL, "licence.txt": LICENCE})
    app = new_app("manual", "1.0.0", [pages], archives=True)
    cache.pull("2025-01-13", "localhost:5000/example/manual:1.0.0", app)
    prices, terms = text("prices", 330), text("terms", 340)
    more = {"pages/prices.html": prices, "pages/terms.html": terms}
    windows = Component("manual", server, {**MANUAL, **more})
    app = new_app("manual", "1.1.0", [windows], archives=True, back_slashes=True)
    cache.pull("2025-02-03", "localhost:5000/example/manual:windows", app)
    cache.lose("data", terms)
    cache.pull("2025-03-03", "ghcr.io/example/shop:3.0.0", shop("3.0.0", composed=False))
    own = module("mirror", 610)
    mirror = new_app("mirror", "1.0.0", [Component("mirror", own, {"mirror.wasm": own})])
    cache.pull("2025-03-04", "ghcr.io/example/mirror:1.0.0", mirror)
    cache.pull("2025-11-10", "ghcr.io/example/adder:0.2.0", package("example:adder", "0.2.0", ADDER))
    world = component(module("spin-up world", 450))
    cache.blob("wasm", world)
    _lock(cache, "spinframework.dev", "spin:up@3.4.0", sha256(world))
    return cache


def v3_windows() -> Recording:
    cache = Recording(
        "v3.0 to v4.0, on Windows",
        "`_` stands for the colon in digests (v2.1) and in a registry with a port (v3.0); "
        "the frames say what is meant.",
        "An empty file `sha256`: before v2.1 the rest of such a name denoted a stream of that file.",
        "`shop`: its dependency is composed into it (v3.2).",
        "Directories are made when they are needed (v2.4): nothing was ever stored in `data/`.",
        windows=True,
    )
    cache.pull("2025-04-07", "localhost:5000/example/shop:3.2.0", shop("3.2.0", composed=True))
    cache.write("wasm/sha256", b"")
    return cache


def main_branch() -> Recording:
    cache = Recording(
        "main, after v4.0.2",
        "Digests are checked, those by sha384 and sha512 too: `long` has a page under a sha512 name.",
        "`gate`: a middleware made a second component of one source; the locked app says what it needs of "
        "its host (lock version 1).",
        "`gate:next`: the pull goes on, or was killed before the locked app came.",
        "Interfaces of a target environment, fetched by reference: named by the digest of the *manifest*, "
        "so their bytes hash to another. Only a project's lock names them.",
        "A package, as in v3.x.",
    )
    cache.knows_packages = True
    source = component(rust("gate", 780, "1.88.0"))
    parts = [Component("gate", source, needs=("middleware",)), Component("gate-http-0", source)]
    said = created("gate", "4.1.0", "2026-07-06T08:00:00.5+00:00")
    app = new_app("gate", "4.1.0", parts, annotations=said, os="Wasip1")
    cache.pull("2026-07-07", "ghcr.io/example/gate:4.1.0", app)
    next_one = new_app("gate", "4.2.0", [Component("gate", rust("gate 2", 790, "1.89.0"))], os="Wasip1")
    folder = cache.pull("2026-08-03", "ghcr.io/example/gate:next", next_one)
    cache.write(f"{folder}/config.json", next_one.config[1])
    cache.lose("wasm", next_one.layers[0][1])
    cache.pull("2026-08-04", "ghcr.io/example/long:1.0.0", _long())
    adder = package("example:adder", "0.3.0", component(module("adder", 720)))
    cache.pull("2026-08-05", "ghcr.io/example/adder:0.3.0", adder)
    world = package("spin:up", "4.1.0", component(module("spin-up world, next", 470)))
    cache.blob("wasm", world.layers[0][1], digest=world.digest)
    _lock(cache, "ghcr.io/example/environments/spin-up:4.1.0", "spin:up@4.1.0", world.digest)
    return cache


def _long() -> Artifact:
    """An app whose page is named by sha512; no Spin pushes such a layer, and main pulls it."""
    page = text("long", 420)
    app = new_app("long", "1.0.0", [Component("long", module("long", 560), {"long.html": page})])
    name = "sha512:" + hashlib.sha512(page).hexdigest()
    application = app.layers[-1][1].replace(sha256(page).encode(), name.encode())
    config = (IMAGE_CONFIG, image_config(application, os="Wasip1"))
    return Artifact(config, [*app.layers[:-1], (APPLICATION, application)], digests={page: name})


def _lock(cache: Recording, origin: str, name: str, digest: str) -> None:
    """A project that builds for a target environment."""
    cache.projects["gate/spin.toml"] = (
        'spin_manifest_version = 2\n\n[application]\nname = "gate"\ntargets = ["spin-up:3.4"]\n\n'
        '[[trigger.http]]\nroute = "/..."\ncomponent = "gate"\n\n[component.gate]\nsource = "gate.wasm"\n'
    )
    lock = {origin: {"package": {name: digest}}}
    cache.projects["gate/.spin/target-environments.lock"] = json.dumps(lock, indent=2) + "\n"


GENERATIONS = {
    "v0.8": v0_8,
    "v1.5": v1_5,
    "v2.0": v2_0,
    "v2.4": v2_4,
    "v3.x": v3,
    "v3.x-windows": v3_windows,
    "main": main_branch,
}


def faults(expected: Mapping[Path, bytes]) -> Iterable[str]:
    """Compare the recorded caches on disk with what they should be."""
    for path, data in sorted(expected.items()):
        name = path.relative_to(ROOT).as_posix()
        if not path.is_file():
            yield f"{name}: missing"
        elif path.read_bytes() != data:
            yield f"{name}: differs from what this script generates"
    for path in sorted(set((ROOT / "caches").glob("*")) - expected.keys()):
        yield f"{path.relative_to(ROOT).as_posix()}: not generated here"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; returns its exit status."""
    parser = argparse.ArgumentParser(description="Write the recorded caches in data-fixtures/caches/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a byte differs")
    check = parser.parse_args(arguments).check
    expected = {ROOT / "caches" / f"{name}.json": make().document() for name, make in GENERATIONS.items()}
    if not check:
        (ROOT / "caches").mkdir(exist_ok=True)
        for path, data in expected.items():
            path.write_bytes(data)
    found = list(faults(expected))
    for fault in found:
        sys.stderr.write(fault + "\n")
    verb = "compared" if check else "written"
    sys.stdout.write(f"{len(expected)} recorded caches {verb}, {len(found)} faults\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
