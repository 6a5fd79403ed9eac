"""A crawl as somebody would write it for one day: what `fleet.crawl` is measured against.

``python minimal_crawl.py http.client|httpx REGISTRY FOLDER JOBS`` sends the same requests from as many
threads, decodes with json and writes the same rows with pyarrow into one sorted Parquet file. It has no
credentials, TLS, limits, retries, pace, checks, problems, progress or second start.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

ACCEPT = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
Row = dict[str, Any]
Get = Callable[[str], tuple[Mapping[str, str], bytes]]


def by_http_client(registry: str) -> Get:
    """A connection per thread."""
    own = threading.local()

    def get(path: str) -> tuple[Mapping[str, str], bytes]:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(registry)
        own.connection.request("GET", path, headers=ACCEPT)
        answer = own.connection.getresponse()
        return answer.headers, answer.read()

    return get


def by_httpx(registry: str) -> Get:
    """One client for all threads."""
    import httpx

    client = httpx.Client(base_url=f"http://{registry}", headers=ACCEPT, trust_env=False)

    def get(path: str) -> tuple[Mapping[str, str], bytes]:
        answer = client.get(path)
        return answer.headers, answer.content

    return get


def listed(get: Get, path: str, key: str) -> list[str]:
    """Names of a list of several pages."""
    found, following = [], path
    while following:
        headers, content = get(following)
        found += json.loads(content)[key]
        following = headers["Link"].partition(">")[0][1:] if "Link" in headers else ""
    return found


def rows_of(get: Get, registry: str, repository: str, tag: str) -> tuple[Row, list[Row]]:
    """The row of an app, and those of what it needs."""
    content = get(f"/v2/{repository}/manifests/{tag}")[1]
    told, name = json.loads(content), f"{registry}/{repository}:{tag}"
    parts = [told["config"], *told["layers"]]
    layers = "\n".join(f"{at} {one['digest']}" for at, one in enumerate(told["layers"]))
    app = {
        "record": "app", "reference": name, "registry": registry, "repository": repository, "tag": tag,
        "kind": "unknown", "manifest_digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "layers_digest": f"sha256:{hashlib.sha256(layers.encode()).hexdigest()}",
        "layer_count": len(told["layers"]), "declared_bytes": sum(one["size"] for one in parts),
        "stored_bytes": sum(one["size"] for one in parts),
    }  # fmt: skip
    needs = [
        {
            "record": "need", "reference": name, "kind": "app", "digest": one["digest"],
            "position": at - 1 if at else None, "role": "other" if at else "config",
            "media_type": one["mediaType"], "declared_bytes": one["size"], "stored_bytes": one["size"],
            "area": "registry", "via": "layer" if at else "config",
        }
        for at, one in enumerate(parts)
    ]  # fmt: skip
    return app, needs


def write(apps: list[Row], needs: list[Row], target: str) -> int:
    """Write all rows, and a row for each blob; and count them."""
    import pyarrow
    import pyarrow.parquet

    blobs: dict[str, Row] = {}
    for need in needs:
        first = {name: need[name] for name in ("digest", "area", "stored_bytes")}
        blob = blobs.setdefault(need["digest"], {"record": "blob", **first, "use_count": 0})
        blob["use_count"] += 1
    tables = [pyarrow.Table.from_pylist(rows) for rows in (apps, needs, [*blobs.values()])]
    table = pyarrow.concat_tables(tables, promote_options="default")
    order = [(name, "ascending") for name in ("record", "digest", "reference", "position")]
    pyarrow.parquet.write_table(table.sort_by(order), f"{target}/all.parquet", compression="zstd")
    count: int = table.num_rows
    return count


def main(by: str, registry: str, target: str, jobs: int) -> None:
    """Crawl, and print the CPU of this process."""
    get = by_httpx(registry) if by == "httpx" else by_http_client(registry)
    apps, needs = [], []
    with ThreadPoolExecutor(jobs) as pool:
        for repository in listed(get, "/v2/_catalog?n=1000", "repositories"):
            tags = listed(get, f"/v2/{repository}/tags/list?n=1000", "tags")
            for app, some in pool.map(lambda tag, name=repository: rows_of(get, registry, name, tag), tags):
                apps.append(app)
                needs += some
    rows = write(apps, needs, target)
    print(json.dumps({"cpu": time.process_time(), "rows": rows}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
