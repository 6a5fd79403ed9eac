"""A user and password before a host are in no error, whichever function is given the text."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import spincache_nb as sc
from spincache_nb import analysis, lessons
from spincache_nb.errors import SpinCacheError

TEXTS = [
    "https://ann:hunter2@ghcr.io/o/app",
    "ann:hun/ter2@ghcr.io/o/app:v1",
    "https://ann:hun ter2#?@ghcr.io/o/app@sha256:" + "a" * 64,
    "https://ann:hunter2@",
    "ann:hunter2%40ghcr.io/o/app",
]
GIVEN: dict[str, Callable[[sc.Cache, str, Path], Any]] = {
    "pull": lambda cache, text, _: sc.pull(cache, text),
    "pull of several": lambda cache, text, _: sc.pull(cache, [text]),
    "plan_pull": lambda cache, text, _: sc.plan_pull(cache, text),
    "plan_remove": lambda cache, text, _: sc.plan_remove(cache, [text]),
    "export": lambda cache, text, folder: sc.export(cache, text, folder / "x.tar"),
    "cached_tag": lambda cache, text, _: cache.cached_tag(text),
    "freed_by": lambda cache, text, _: analysis.freed_by(cache, [text]),
    "compare": lambda cache, text, _: analysis.compare(cache, text, text),
    "why": lambda cache, text, _: analysis.why(cache, text),
    "version_savings": lambda cache, text, _: analysis.version_savings(cache, text),
    "upgrade_matrix": lambda cache, text, _: analysis.upgrade_matrix(cache, text),
    "remote_versions": lambda _cache, text, _: analysis.remote_versions(text),
    "chain": lambda cache, text, _: lessons.chain(cache, text),
}


@pytest.fixture(scope="module")
def workspace() -> Any:
    with sc.demo.Workspace() as made:
        made.pull("demo/redact:0.1.0")
        yield made


@pytest.mark.parametrize("name", GIVEN)
def test_no_error_shows_a_password(workspace: Any, tmp_path: Path, name: str) -> None:
    for text in TEXTS:
        with pytest.raises(SpinCacheError) as caught:
            GIVEN[name](workspace.cache, text, tmp_path)
        chain: BaseException | None = caught.value
        while chain is not None:
            said = repr(chain) + str(chain) + "".join(traceback.format_exception_only(chain))
            assert not any(part in said for part in ("hunter2", "hun/", "hun ", "ter2")), said
            chain = chain.__cause__ or chain.__context__
