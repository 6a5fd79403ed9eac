"""The six demo apps, three versions each.

========== ============================================================== =======================
repository what it is                                                     versions
========== ============================================================== =======================
hello      a component app                                                1.0.0, 1.0.1, 1.1.0
site       a static site: file server, Bootstrap, one inlined file        1.0.0, 1.1.0, 1.2.0
docs       over 500 files, so pushed as an archive layer                  1.0.0, 1.1.0, 1.2.0
playground shares a wasm with ``hello``; two components that talk         0.1.0, 0.2.0, 0.3.0
greet      a package pushed by wkg: the component that ``hello`` runs     1.0.0, 1.0.1, 1.1.0
redact     an old-style app whose config is the locked app                0.1.0, 0.2.0, 0.2.1
========== ============================================================== =======================

They are there to be stored, moved and compared, not to be run: a grammar stands in for the file server.
Every secret in them starts with `CANARY`, so that a test can look for it where it must not be.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from functools import cache
from pathlib import Path

from spincache_nb.demo.model import App, Artifact, Component, Trigger, Variable
from spincache_nb.demo.publish import push_app, push_old_app, push_package
from spincache_nb.demo.shipped import data_fixtures
from spincache_nb.errors import SpinCacheError

CANARY = "spincache-demo-canary-not-a-secret"
"""How every made-up secret in the demo apps begins."""

_AUTHORS = ("The spincache-nb authors",)
_FILE_SERVER = "tree-sitter-json/0.24.8.wasm"


@cache
def artifacts() -> tuple[Artifact, ...]:
    """Build the demo artifacts, exactly as Spin and wkg would push them.

    The same bytes and digests on every machine. Built once per process, in memory (about 9 MB).

    Returns
    -------
    tuple of Artifact
        Repository by repository, each oldest version first.

    Raises
    ------
    SpinCacheError
        If ``data-fixtures`` cannot be found.

    Examples
    --------
    >>> from spincache_nb import demo
    >>> [artifact.tag for artifact in demo.artifacts() if artifact.repository == "demo/hello"]
    ['1.0.0', '1.0.1', '1.1.0']
    """
    builder = _Builder(data_fixtures())
    return (
        builder.hello("1.0.0", "1.0.0", "2026-03-02T09:14:27.318204611+00:00"),
        builder.hello("1.0.1", "1.0.0-rebuild", "2026-03-16T10:02:55.740918325+00:00"),
        builder.hello("1.1.0", "1.0.1", "2026-05-04T08:41:09.052667148+00:00"),
        builder.site("1.0.0", "5.3.6", "2026-02-09T13:30:00.518360274+00:00"),
        builder.site("1.1.0", "5.3.7", "2026-04-13T15:05:42.903117586+00:00"),
        builder.site("1.2.0", "5.3.8", "2026-06-01T07:58:31.267450893+00:00"),
        builder.docs("1.0.0", "5.3.6", "2026-02-10T16:20:18.834096127+00:00"),
        builder.docs("1.1.0", "5.3.7", "2026-04-14T09:47:03.115782460+00:00"),
        builder.docs("1.2.0", "5.3.8", "2026-06-02T11:33:56.690241378+00:00"),
        builder.playground("0.1.0", "1.0.0", "0.26.8", "2026-03-20T14:11:48.401573926+00:00"),
        builder.playground("0.2.0", "1.0.0", "0.26.9", "2026-04-27T12:26:37.958324061+00:00"),
        builder.playground("0.3.0", "1.0.1", "0.26.10", "2026-05-18T17:49:12.236018745+00:00"),
        builder.greet("1.0.0", "1.0.0", "2026-03-02T09:05:11.847230519Z"),
        builder.greet("1.0.1", "1.0.0-rebuild", "2026-03-16T09:51:24.309866172Z"),
        builder.greet("1.1.0", "1.0.1", "2026-05-04T08:33:40.571094836Z"),
        builder.redact("0.1.0", "1.11.0"),
        builder.redact("0.2.0", "1.12.0"),
        builder.redact("0.2.1", "1.12.0"),
    )


class _Builder:
    """Reads payloads and assets, each file once, and puts versions together."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._payloads: dict[str, bytes] = {}

    def _payload(self, name: str) -> bytes:
        if name not in self._payloads:
            self._payloads[name] = (self._root / "payloads" / name).read_bytes()
        return self._payloads[name]

    def _packed(self, tar: bytes) -> bytes:
        """The compressed form of an archive, as it was packed once: compressors differ."""
        name = f"archives/{hashlib.sha256(tar).hexdigest()}.tar.gz"
        packed = self._payload(name)
        if gzip.decompress(packed) != tar:
            raise SpinCacheError(
                f"data-fixtures/payloads/{name}", "the archive it is named after", "another", "install again"
            )
        return packed

    def _bootstrap(self, version: str, *names: str) -> dict[str, bytes]:
        """Files of one release of Bootstrap, by the path at which a site has them."""
        return {f"assets/{name}": self._payload(f"bootstrap/{version}/{name}") for name in names}

    def _assets(self, app: str, version: str) -> dict[str, bytes]:
        """The generated files of one version: the first is complete, later ones state changes."""
        text = (self._root / "assets" / f"{app}.json").read_text(encoding="utf-8")
        files: dict[str, bytes] = {}
        for stated, changes in json.loads(text).items():
            for path, content in changes.items():
                if content is None:
                    del files[path]
                else:
                    files[path] = content.encode()
            if stated == version:
                return files
        raise KeyError(f"{app}.json has no version {version}")

    def hello(self, version: str, build: str, created: str) -> Artifact:
        """A component app; the second version is the same source built again."""
        component = Component(
            id="hello",
            wasm=self._payload(f"hello-js/{build}.wasm"),
            files=self._assets("hello", version),
            description="Greets whoever calls",
            build_command="npm install && npm run build",
            allowed_outbound_hosts=("https://names.example.com",),
            key_value_stores=("default",),
            env={"LOG_LEVEL": "info", "SESSION_KEY": f"{CANARY}-env"},
            config={"api_token": "{{ api_token }}", "greeting": "{{ greeting }}"},
        )
        app = App(
            name="hello",
            version=version,
            description="Says hello – a component written in JavaScript",
            authors=_AUTHORS,
            variables={
                "api_token": Variable(
                    description="Token for the name service", default=f"{CANARY}-variable", secret=True
                ),
                "greeting": Variable(description="How to greet", default="Hello"),
                "region": Variable(description="Where it runs; must be given"),
            },
            triggers=(Trigger(type="http", component="hello", config={"route": "/..."}),),
            components=(component,),
        )
        return push_app(app, repository="demo/hello", created=created)

    def site(self, version: str, bootstrap: str, created: str) -> Artifact:
        """A static site: one layer per asset, ``robots.txt`` inlined."""
        names = ("bootstrap-reboot.min.css", "bootstrap.bundle.min.js", "bootstrap.min.css")
        files = self._assets("site", version) | self._bootstrap(bootstrap, *names)
        return self._static("site", version, "Café Zoë: coffee & cake", files, created)

    def docs(self, version: str, bootstrap: str, created: str) -> Artifact:
        """A handbook of over 500 pages, more than fit one layer each."""
        files = self._assets("docs", version) | self._bootstrap(bootstrap, "bootstrap.min.css")
        return self._static("docs", version, "A handbook of numbers, one page each", files, created)

    def _static(
        self, name: str, version: str, description: str, files: dict[str, bytes], created: str
    ) -> Artifact:
        """Files behind the file server that ``site`` and ``docs`` have in common."""
        component = Component(
            id=name,
            wasm=self._payload(_FILE_SERVER),
            files=files,
            description="Serves the files that are mounted",
            env={"FALLBACK_PATH": "404.html"} if "404.html" in files else {},
        )
        app = App(
            name=name,
            version=version,
            description=description,
            authors=_AUTHORS,
            triggers=(Trigger(type="http", component=name, config={"route": "/..."}),),
            components=(component,),
        )
        return push_app(app, repository=f"demo/{name}", created=created, pack=self._packed)

    def playground(self, version: str, hello: str, highlighter: str, created: str) -> Artifact:
        """Two components, one of them the same wasm as in ``hello``; HTTP and Redis triggers."""
        components = (
            Component(
                id="greeter",
                wasm=self._payload(f"hello-js/{hello}.wasm"),
                description="The greeter of the hello app",
                allowed_outbound_hosts=("redis://127.0.0.1:6379",),
                chained=("highlighter",),
            ),
            Component(
                id="highlighter",
                wasm=self._payload(f"web-tree-sitter/{highlighter}.wasm"),
                files=self._assets("playground", version),
                description="Colours source text",
            ),
        )
        app = App(
            name="playground",
            version=version,
            description="Try the greeter and the highlighter on one page",
            authors=(*_AUTHORS, "Zoë Example <zoe@example.com>"),
            trigger_settings={"redis": {"address": f"redis://demo:{CANARY}-address@127.0.0.1:6379"}},
            triggers=(
                Trigger(type="http", component="greeter", config={"route": "/greet/..."}),
                Trigger(type="http", component="highlighter", config={"route": "/highlight"}),
                Trigger(type="redis", component="highlighter", config={"channel": "snippets"}),
            ),
            components=components,
        )
        return push_app(app, repository="demo/playground", created=created)

    def greet(self, version: str, build: str, created: str) -> Artifact:
        """The package ``demo:greet``."""
        wasm = self._payload(f"hello-js/{build}.wasm")
        exports = ("init", "greet")
        return push_package("greet", version, wasm, exports=exports, repository="demo/greet", created=created)

    def redact(self, version: str, release: str) -> Artifact:
        """An app as Spin v0.8 pushed it; the third version differs from the second in its word lists."""
        component = Component(
            id="redact",
            wasm=self._payload(f"redact/{release}.wasm"),
            files=self._assets("redact", version),
            description="Blacks out what it is told to",
            env={"AUDIT_KEY": f"{CANARY}-old-env"},
            config={"marker": "{{ marker }}"},
        )
        app = App(
            name="redact",
            version=version,
            description="Takes names and places out of a text",
            variables={
                "license_key": Variable(default=f"{CANARY}-old-variable", secret=True),
                "marker": Variable(default="***"),
            },
            triggers=(Trigger(type="http", component="redact", config={"route": "/redact"}),),
            components=(component,),
        )
        return push_old_app(app, repository="demo/redact")
