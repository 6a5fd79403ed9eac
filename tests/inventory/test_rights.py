"""Taking an inventory of what this user may not read."""

from __future__ import annotations

import os

import pytest

from tests.inventory.reading import WEB_CONFIG, WEB_V1
from tests.support.caches import WEB, blob, folder, pulled, web
from tests.support.procs import call, open_folder
from tests.support.trees import write_tree


def found_by_nobody(root: str) -> list[list[str | None]]:
    from spincache_nb.core.cache import Cache
    from spincache_nb.inventory import take_inventory

    inventory = take_inventory(Cache(root))
    return [[problem.path, problem.kind, problem.reference] for problem in inventory.problems]


@pytest.mark.parametrize(
    ("path", "kind", "reference"),
    [
        (blob("wasm", WEB), "unreadable file", WEB_V1),
        (f"{folder(web())}/manifest.json", "unreadable file", WEB_V1),
        (WEB_CONFIG, "unreadable file", WEB_V1),
        ("wasm", "unreadable folder", WEB_V1),
        ("data", "unreadable folder", WEB_V1),
        ("manifests", "unreadable folder", None),
        (folder(web()), "unreadable folder", None),
    ],
)
def test_what_may_not_be_read_is_one_problem(path: str, kind: str, reference: str | None) -> None:
    with open_folder(owner=0) as root:
        write_tree(root / "registry", pulled(web()))
        (root / "registry" / path).chmod(0)
        outcome = call(found_by_nobody, str(root), unprivileged=True)
        assert outcome.error is None
        assert outcome.value == [[path, kind, reference]]


def test_cache_that_may_not_be_read_at_all_is_one_problem() -> None:
    with open_folder(owner=0) as root:
        write_tree(root / "registry", pulled(web()))
        (root / "registry").chmod(0)
        assert call(found_by_nobody, str(root), unprivileged=True).value == [[".", "unreadable folder", None]]


def test_download_with_mode_0600_of_the_same_user_is_readable() -> None:
    """Web sources keep the mode of the temporary file they were downloaded to (crates/loader/src/http.rs)."""
    with open_folder() as root:
        write_tree(root / "registry", pulled(web()))
        path = root / "registry" / blob("wasm", WEB)
        path.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
        assert call(found_by_nobody, str(root), unprivileged=True).value == []
