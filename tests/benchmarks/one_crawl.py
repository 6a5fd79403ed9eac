"""One crawl of everything that a registry lists: ``python one_crawl.py REGISTRY FOLDER JOBS``.

A file of its own: where ``__main__`` has none, DuckDB takes somebody for looking and shows a bar.
"""

from __future__ import annotations

import json
import resource
import sys
import time


def main(registry: str, target: str, jobs: int) -> None:
    """Crawl, and print what it took."""
    from spincache_nb import fleet

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    taken = fleet.crawl(registry, None, target, jobs=jobs)
    found = {
        "seconds": time.monotonic() - started,
        "cpu": time.process_time(),
        "before_mib": before / 1024,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "rows": taken.row_count - 1,  # less the snapshot's own, which no other client writes
        "size_mib": taken.size_bytes / 2**20,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
