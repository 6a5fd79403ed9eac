"""A crawl of many manifests from a registry on loopback: seconds, CPU and memory, beside minimal clients.

``python -m tests.benchmarks.crawling [--manifests 100000] [--runs 1]``. The registry makes its answers up, a
repository of a thousand tags at a time; it and each crawl are processes of their own, so that the peak
of memory is the crawl's alone.

Beside it run two minimal clients (`minimal_crawl`), over http.client and over httpx. CPU is that of the whole
process, imports included, and the least of the runs.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.benchmarks import minimal_crawl, one_crawl

TAGS = 1_000
LAYERS = 10
_PAGE = 100
CLIENTS = {
    "spincache-nb": [one_crawl.__file__],
    "http.client + json + pyarrow": [minimal_crawl.__file__, "http.client"],
    "httpx + json + pyarrow": [minimal_crawl.__file__, "httpx"],
}


@functools.lru_cache(maxsize=64)
def manifest(repository: str, number: int) -> bytes:
    """A version that has most layers of the one before it."""
    layers = [
        {
            "mediaType": "application/vnd.wasm.content.layer.v1+data",
            "digest": _digest(f"{repository} {place} {(number + place) // LAYERS}"),
            "size": 10_000 + place,
        }
        for place in range(LAYERS)
    ]
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2}
    config["digest"] = _digest(f"{repository} {number}")
    return json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode()


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


class Registry(BaseHTTPRequestHandler):
    """Lists and manifests; it has no blobs, since nobody is to ask for any."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet
    disable_nagle_algorithm = True
    repositories = 0
    requests = 0

    def do_GET(self) -> None:
        """Answer one request."""
        type(self).requests += 1
        parts = urlsplit(self.path)
        words = parts.path.removeprefix("/v2/").split("/")
        after = parse_qs(parts.query).get("last", [""])[0]
        if words[0] == "_catalog":
            names = [f"org/app{number:05d}" for number in range(self.repositories)]
            self._list("repositories", names, after, "/v2/_catalog")
        elif words[-1] == "list":
            self._list("tags", [f"v{number:05d}" for number in range(TAGS)], after, parts.path)
        elif words[-2] == "manifests":
            body = manifest("/".join(words[:-2]), int(words[-1][1:]))
            self._send(body, {"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
        else:
            self.send_error(404)

    def _list(self, what: str, names: list[str], after: str, path: str) -> None:
        left = [name for name in names if name > after]
        page = left[:_PAGE]
        more = {"Link": f'<{path}?n={_PAGE}&last={page[-1]}>; rel="next"'} if len(left) > _PAGE else {}
        self._send(json.dumps({what: page}).encode(), more)

    def _send(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(repositories: int) -> None:
    """Serve until standard input ends; then say how many requests there were."""
    Registry.repositories = repositories
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    print(Registry.requests, flush=True)


def main() -> None:
    """Crawl a tenth, then all, and print what each took."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.crawling", description=__doc__)
    parser.add_argument("--manifests", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.serve)
        return
    for count in (arguments.manifests // 10, arguments.manifests):
        command = [sys.executable, "-m", "tests.benchmarks.crawling", "--serve", str(max(1, count // TAGS))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            address = f"127.0.0.1:{server.stdout.readline().strip()}"
            best: dict[str, dict[str, float]] = {}
            for _ in range(arguments.runs):
                for name, start in CLIENTS.items():
                    found = crawled(start, address, arguments.jobs)
                    best[name] = min(best.get(name, found), found, key=lambda one: one["cpu"])
            server.stdin.close()
            print(f"{max(1, count // TAGS) * TAGS} manifests, {server.stdout.read().strip()} requests in all")
        ours = best["spincache-nb"]
        assert {one["rows"] for one in best.values()} == {ours["rows"]}
        for name, found in best.items():
            print(f"  {name}: {found}; ours takes {ours['cpu'] / found['cpu']:.2f} of its CPU", flush=True)


def crawled(start: Sequence[str], address: str, jobs: int) -> dict[str, float]:
    """Crawl in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *start, address, folder, str(jobs)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(told)
    return found


if __name__ == "__main__":
    main()
