"""A secret in a locked app stays where Spin put it: in the two documents of the cached tag, and nowhere else.

Each demo app that can have secrets has some (variables, environment, inline files, trigger addresses); all
of them contain `demo.CANARY`.
"""

import base64
import contextlib
import inspect
import io
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

import spincache_nb as sc
from spincache_nb import analysis, cli, demo, frames, report
from spincache_nb.core.locked_app import parse_locked_app
from spincache_nb.errors import SpinCacheError
from spincache_nb.inventory import take_inventory
from tests.inventory.reading import blobs, missing
from tests.support.artifact import places

CANARY = demo.CANARY
FORMS = (
    CANARY,
    base64.b64encode(CANARY.encode()).decode()[:-4],
    base64.b64encode(b"=" + CANARY.encode()).decode()[4:-4],
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.Cache]:
    """A cache with all demo apps, one of them damaged."""
    cache = sc.Cache(tmp_path_factory.mktemp("canary"))
    with demo.registry(port=0) as registry:
        sc.pull(cache, list(registry.references), history=sc.History(enabled=False))
    blob = max((cache.path / "wasm").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(blob.read_bytes()[:-1])
    return cache


def assert_silent(*texts: str) -> None:
    for text in texts:
        assert not [form for form in FORMS if form in text]


def everything_about(value: Any) -> str:
    """All forms in which a value shows itself."""
    texts = [repr(value), str(value)]
    if isinstance(value, pd.DataFrame):
        texts += [
            value.to_csv(),
            value.to_json(date_format="iso", default_handler=str) or "",
            value.to_html(max_rows=None),
        ]
    for name in ("_repr_html_", "_repr_markdown_"):
        with contextlib.suppress(AttributeError, TypeError):
            texts.append(getattr(value, name)())
    return "\n".join(texts)


def test_canary_is_in_the_cache(cache: sc.Cache) -> None:
    """Else this page would prove nothing."""
    holders = [
        path.name for path in cache.path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()
    ]
    assert holders.count("config.json") >= 6


@pytest.mark.parametrize(
    "name", ["apps", "blobs", "components", "disk", "files", "layers", "problems", "uses"]
)
def test_no_frame_holds_it(cache: sc.Cache, name: str) -> None:
    frame = getattr(frames, name)(cache)
    assert len(frame)
    assert_silent(everything_about(frame))


def public(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """Public functions of a module that need a cache and nothing else."""
    found = {}
    for name in module.__all__:
        function = getattr(module, name)
        if inspect.isfunction(function):
            needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
            if len([p for p in needed if p.kind is not p.VAR_KEYWORD]) == 1:
                found[name] = function
    return found


@pytest.mark.parametrize("name", sorted(public(analysis)))
def test_no_analysis_holds_it(cache: sc.Cache, name: str) -> None:
    try:
        assert_silent(everything_about(public(analysis)[name](cache)))
    except (
        TypeError,
        ValueError,
        AttributeError,
        SpinCacheError,
    ) as exc:  # takes something else than a cache
        assert_silent("".join(traceback.format_exception(exc)))


def test_verify_and_plans_hold_none(cache: sc.Cache) -> None:
    assert_silent(everything_about(sc.verify(cache)))
    for plan in (sc.plan_prune(cache, keep_bytes=0), sc.plan_clear(cache)):
        assert_silent(everything_about(plan), repr(plan.items), repr(plan.kept))


def test_no_report_holds_it(cache: sc.Cache, tmp_path: Path) -> None:
    for suffix in ("html", "md", "json"):
        text = report.write(cache, tmp_path / f"report.{suffix}").read_text(encoding="utf-8")
        assert len(text) > 1000
        assert_silent(text)


def test_inventory_holds_none(cache: sc.Cache) -> None:
    inventory = take_inventory(cache)
    parts = [inventory, *inventory.apps, *blobs(inventory), *inventory.problems, *missing(inventory)]
    assert_silent("\n".join(map(repr, parts)))


def spoil(document: Any) -> Iterator[bytes]:
    """The document cut at many places, and with every value in turn of another kind."""
    text = json.dumps(document).encode()
    yield from (text[:end] for end in range(1, len(text), max(1, len(text) // 60)))
    for parent, key in list(places(document)):
        kept = parent[key]
        for other in (7, None, "", [], {}, [[]]):
            parent[key] = other
            yield json.dumps(document).encode()
        parent[key] = kept


def test_errors_about_a_spoilt_locked_app_hold_none(cache: sc.Cache) -> None:
    """What may be secret is not repeated, whatever is wrong with the document around it."""
    documents = [json.loads(path.read_bytes()) for path in sorted(cache.path.rglob("config.json"))]
    document = next(d for d in documents if CANARY in json.dumps(d))
    for spoilt in spoil(document):
        try:
            shown = repr(parse_locked_app(spoilt, where="test"))
        except SpinCacheError as exc:
            shown = "".join(traceback.format_exception(exc)) + repr(exc.args)
        assert_silent(shown)


def test_command_line_and_logs_hold_none(cache: sc.Cache, caplog: pytest.LogCaptureFixture) -> None:
    folder = str(cache.path.parent)
    commands = (["apps"], ["layers"], ["blobs"], ["problems"], ["sharing"], ["savings"], ["verify"])
    logger = logging.getLogger("spincache_nb")
    before = logger.level
    with caplog.at_level(logging.DEBUG):
        logger.setLevel(logging.DEBUG)
        for command in commands:
            for more in ([], ["--json"]):
                out, err = io.StringIO(), io.StringIO()
                with (
                    contextlib.redirect_stdout(out),
                    contextlib.redirect_stderr(err),
                    contextlib.suppress(SystemExit),
                ):
                    cli.main([*command, "--cache-dir", folder, *more])
                assert_silent(out.getvalue(), err.getvalue())
    logger.setLevel(before)
    assert_silent(caplog.text)


def test_pull_says_and_records_nothing_of_it(
    isolated_home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = sc.Cache(tmp_path)
    events: list[str] = []
    with demo.registry(port=0) as registry, caplog.at_level(logging.DEBUG):
        plans = sc.plan_pull(cache, list(registry.references))
        results = sc.pull(cache, list(registry.references), progress=lambda event: events.append(repr(event)))
    state = [path.read_text() for path in (isolated_home / ".local").rglob("*") if path.is_file()]
    assert len(events) > 18
    assert any("manifest_digest" in text for text in state)
    assert_silent(everything_about(plans), everything_about(results), caplog.text, *events, *state)
    assert_silent(*map(everything_about, [*plans, *results]), everything_about(frames.history()))
