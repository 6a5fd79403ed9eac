"""Sources of a spin.toml: what is fetched, from where, under which name; trees are written by hand."""

import base64
import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import spincache_nb as sc
from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History
from spincache_nb.core.progress import ProgressEvent
from spincache_nb.errors import (
    CacheWriteError,
    ConnectionFailedError,
    DigestMismatchError,
    InsecureTransportError,
    NoSpaceError,
    NotFoundError,
    PackageConfigError,
    PackageError,
    PullCancelled,
    SpinCacheError,
    SpinManifestError,
    StatusError,
)
from spincache_nb.project.package_config import PackageLog
from spincache_nb.project.sources import SourcesPlan, SourcesResult, plan_sources, pull_sources
from tests.project.shapes import content, tools
from tests.support.artifact import WKG_WASM, canonical, descriptor, sha256, wasm_module
from tests.support.behaviours import Call, Redirect, Reply, error, json_reply
from tests.support.faults import Cut, Drip, Hold, Stall, Truncated, WrongBytes
from tests.support.hostile import HostileServer
from tests.support.registry_server import RegistryServer
from tests.support.trees import assert_same_tree, read_tree, write_tree

A, B, C, D, E, F = (wasm_module(f"source {letter}", 3000) for letter in "abcdef")
WELL_KNOWN = "/.well-known/wasm-pkg/registry.json"


@dataclass(frozen=True)
class World:
    """A project, the cache that its sources go to, and the server that has them."""

    server: HostileServer
    cache: Cache
    project: Path

    def offer(self, data: bytes, path: str = "") -> str:
        """Serve some bytes; return the TOML of a source that names them."""
        path = path or f"/{sha256(data)[7:15]}.wasm"
        self.server.content(path, data, "application/wasm")
        return f'{{ url = "{self.server.url}{path}", digest = "{sha256(data)}" }}'

    def write(self, *lines: str) -> Path:
        """Write a spin.toml of version 2."""
        head = ("spin_manifest_version = 2", "[application]", 'name = "demo"')
        path = self.project / "spin.toml"
        path.write_text("\n".join([*head, *lines]), encoding="utf-8")
        return path

    def one_source(self, source: str = "") -> Path:
        """Write a project of one source, which is A on the server unless another is given."""
        return self.write("[component.web]", f"source = {source or self.offer(A)}")

    def many(self, count: int) -> Path:
        lines = []
        for number in range(count):
            lines += [f"[component.c{number}]", f"source = {self.offer(wasm_module(f'{number}', 2000))}"]
        return self.write(*lines)

    def everything(self) -> Path:
        """Write all that a spin.toml can name."""
        registry = f'registry = "{self.server.name}"'
        middleware = f"{{ package = 'acme:mid', version = '1', {registry} }}"
        return self.write(
            "[[trigger.http]]",
            'component = "web"',
            f"dependencies.middleware = [{self.offer(D)}, {middleware}]",
            "[[trigger.http]]",
            f"component = {{ source = {self.offer(E)} }}",
            "[component.web]",
            f"source = {self.offer(A)}",
            "[component.web.dependencies]",
            f"'web:dep' = {self.offer(B)}",
            f"'acme:tools' = {{ version = '^1.0', {registry} }}",
            f"'other:name/api' = {{ version = '*', package = 'acme:tools', {registry} }}",
            "'local:dep' = { path = 'x.wasm' }",
            "'by:id' = { component = 'packaged' }",
            "[component.web.profile.debug]",
            f"source = {self.offer(C)}",
            f"dependencies = {{ 'web:dep' = {self.offer(F)} }}",
            "[component.packaged]",
            f"source = {{ package = 'acme:tools', version = '1.0.0', {registry} }}",
            "[component.local]",
            "source = 'local.wasm'",
        )

    def pull(self, source: str = "", **options: Any) -> SourcesResult:
        """Pull the sources of a project of one source."""
        return pull_sources(self.cache, self.one_source(source), **options)

    @property
    def asked(self) -> int:
        """Number of requests for sources."""
        return len(self.server.requests_for("*.wasm"))


@pytest.fixture
def world(hostile: HostileServer, cache: Cache, project: Path) -> World:
    return World(hostile, cache, project)


def tools_of(server: HostileServer | RegistryServer) -> str:
    """The TOML of a source that is a package."""
    return f"{{ package = 'acme:tools', version = '1.0.0', registry = '{server.name}' }}"


def stored(*contents: bytes) -> dict[str, bytes]:
    """The tree that sources leave: each under its digest in ``wasm``."""
    return {f"wasm/{sha256(data)}": data for data in contents}


PACKAGES = [tools(version) for version in ("1.0.0", "1.2.0", "2.0.0")] + [tools("1.0.0", "acme/mid")]
ROWS = [
    ("web", None, None, None, "url", A, None),
    ("web", None, "web:dep", None, "url", B, None),
    ("web", None, "acme:tools", None, "package", content(PACKAGES[1]), "1.2.0"),
    ("web", None, "other:name/api", None, "package", content(PACKAGES[2]), "2.0.0"),
    ("web", None, None, "debug", "url", C, None),
    ("web", None, "web:dep", "debug", "url", F, None),
    ("packaged", None, None, None, "package", content(PACKAGES[0]), "1.0.0"),
    ("http-trigger1-component", "http-trigger1", None, None, "url", E, None),
    (None, "web-http-trigger", "middleware", None, "url", D, None),
    (None, "web-http-trigger", "middleware", None, "package", content(PACKAGES[3]), "1.0.0"),
    ("web", None, "by:id", None, "package", content(PACKAGES[1]), "1.2.0"),
]


def rows(plan: SourcesPlan) -> list[tuple[Any, ...]]:
    return [
        (s.component, s.trigger, s.dependency, s.profile, s.kind, s.digest, s.version) for s in plan.sources
    ]


def test_pull_sources_fetches_everything_that_is_named_and_nothing_of_it_twice(world: World) -> None:
    world.server.serve(*PACKAGES)
    path = world.everything()
    result = pull_sources(world.cache, path)
    assert_same_tree(stored(A, B, C, D, E, F, *map(content, PACKAGES)), world.cache.path)
    assert rows(result) == [(*row[:5], sha256(row[5]), row[6]) for row in ROWS]
    assert [source.size for source in result.sources] == [len(row[5]) for row in ROWS]
    assert result.total_bytes == result.fetch_bytes == sum(len(data) for data in {row[5] for row in ROWS})
    assert (result.reused_bytes, result.unknown_count, result.name) == (0, 0, "demo")
    assert result.wire_bytes == world.server.body_bytes
    assert History().read() == ()
    before = len(world.server.requests)
    again = pull_sources(world.cache, path)
    assert (again.fetch_bytes, again.reused_bytes) == (0, result.total_bytes)
    assert all(source.stored for source in again.sources)
    lines = world.server.lines[before:]
    assert [line for line in lines if "/blobs/" in line or line.endswith(".wasm")] == []


def test_plan_sources_agrees_with_the_pull_and_writes_nothing(world: World) -> None:
    world.server.serve(*PACKAGES)
    path = world.everything()
    plan = plan_sources(world.cache, path)
    assert not world.cache.path.exists()
    assert world.asked == 0
    assert rows(plan) == [(*row[:5], sha256(row[5]), row[6]) for row in ROWS]
    known = {source.digest: source.size for source in plan.sources if source.kind == "package"}
    assert (plan.total_bytes, plan.fetch_bytes) == (sum(map(int, known.values())),) * 2  # type: ignore[arg-type]
    assert plan.unknown_count == 6
    pull_sources(world.cache, path)
    after = plan_sources(world.cache, path)
    assert (after.fetch_bytes, after.unknown_count) == (0, 0)
    assert after.total_bytes == plan.total_bytes + sum(map(len, (A, B, C, D, E, F)))


def test_pull_sources_of_a_project_without_any_does_nothing(world: World) -> None:
    result = world.pull("'local.wasm'")
    assert (result.sources, result.total_bytes, result.wire_bytes) == ((), 0, 0)
    assert not world.cache.path.exists()


def test_pull_sources_spells_names_for_windows(world: World, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", windows_names=True)
    pull_sources(cache, world.one_source())
    assert_same_tree({f"wasm/{sha256(A).replace(':', '_')}": A}, cache.path)


# What is stored already ----------------------------------------------------------------------------


def test_good_file_is_neither_fetched_nor_replaced(world: World) -> None:
    write_tree(world.cache.path, stored(A))
    path = world.cache.path / f"wasm/{sha256(A)}"
    os.utime(path, (1, 1))
    inode = path.stat().st_ino
    result = world.pull()
    assert (world.asked, result.reused_bytes) == (0, len(A))
    assert path.stat().st_ino == inode
    assert path.stat().st_mtime > time.time() - 60  # young, so that a prune beside us leaves it alone


WASM_A, DATA_A = f"wasm/{sha256(A)}", f"data/{sha256(A)}"


@pytest.mark.parametrize(
    ("before", "requests", "after"),
    [
        *(({WASM_A: bad}, 1, {WASM_A: A}) for bad in (b"", A[:-1], A[:-1] + b"?", A + b"?")),
        ({DATA_A: A}, 0, {DATA_A: A}),
        ({DATA_A: A, WASM_A: b"damaged"}, 0, {DATA_A: A, WASM_A: A}),
        ({DATA_A: b"bad", WASM_A: b"damaged"}, 1, {DATA_A: b"bad", WASM_A: A}),
    ],
    ids=["empty", "cut", "bit", "long", "in data", "hides a good one", "both damaged"],
)
@pytest.mark.parametrize("kind", ["url", "package"])
def test_what_is_stored_is_hashed_and_only_what_is_not_good_is_fetched(
    world: World, before: dict[str, bytes], requests: int, after: dict[str, bytes], kind: str
) -> None:
    """Spin streams packages onto their final names, so that a good size proves nothing."""
    layer = descriptor(WKG_WASM, A)
    packed = tools("1.0.0")
    world.server.serve(
        replace(
            packed,
            manifest=canonical(packed.document | {"layers": [layer]}),
            blobs={**packed.blobs, sha256(A): A},
        )
    )
    path = world.one_source(world.offer(A) if kind == "url" else tools_of(world.server))
    write_tree(world.cache.path, before)
    assert plan_sources(world.cache, path).sources[0].stored == (before == after)
    pull_sources(world.cache, path)
    assert world.asked + len(world.server.requests_for("*/blobs/*")) == requests
    assert_same_tree(after, world.cache.path)


@pytest.mark.parametrize("data", [A, b"damaged"], ids=["good", "damaged"])
def test_who_comes_second_leaves_a_good_file(world: World, data: bytes) -> None:
    """Another Spin stores the content while it is being sent."""
    target = world.cache.path / WASM_A
    inodes: list[int] = []

    class StoredBeside:
        def answer(self, call: Call) -> bool:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            inodes.append(target.stat().st_ino)
            return call.honest().answer(call)

    world.server.on("*.wasm", StoredBeside())
    assert world.pull().sources[0].size == len(A)
    assert_same_tree(stored(A), world.cache.path)
    assert ([target.stat().st_ino] == inodes) == (data == A)


# Content that is not what it should be -------------------------------------------------------------


@pytest.mark.parametrize("fault", [WrongBytes(), Truncated(1), Truncated(-1), Reply(200, b"")])
def test_wrong_content_is_not_stored(world: World, fault: Any) -> None:
    path = world.one_source()
    world.server.always("*.wasm", fault)
    for before in ({}, {WASM_A: b"damaged"}):
        write_tree(world.cache.path, before)
        with pytest.raises(DigestMismatchError) as caught:
            pull_sources(world.cache, path)
        assert caught.value.where.startswith(f"{path}, component web, source: {world.server.url}/")
        assert caught.value.expected == sha256(A)
        assert read_tree(world.cache.path) == before


def test_content_that_breaks_off_is_taken_up(world: World) -> None:
    world.server.on("*.wasm", Cut(0), Cut(1000), Cut(100, reset=True))
    world.pull()
    assert_same_tree(stored(A), world.cache.path)
    assert len(world.server.requests_for("*.wasm")) == 4


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFoundError), (403, StatusError), (401, StatusError), (410, StatusError)]
)
def test_refusal_names_file_component_and_address(world: World, status: int, kind: type[StatusError]) -> None:
    path = world.one_source()
    world.server.always("*.wasm", error(status))
    with pytest.raises(kind) as caught:
        pull_sources(world.cache, path)
    assert caught.value.status == status
    assert caught.value.where == f"{path}, component web, source"
    assert world.server.url in caught.value.expected
    assert not world.cache.path.exists() or read_tree(world.cache.path) == {}


def test_of_several_addresses_the_first_that_delivers_counts(world: World) -> None:
    first, second = world.offer(A, "/first.wasm"), world.offer(A, "/second.wasm")
    path = world.write("[component.a]", f"source = {first}", "[component.b]", f"source = {second}")
    pull_sources(world.cache, path)
    assert [request.path for request in world.server.requests] == ["/first.wasm"]
    for file in world.cache.path.rglob("*sha256*"):
        file.unlink()
    world.server.always("/first.wasm", error(404))
    pull_sources(world.cache, path)
    assert_same_tree(stored(A), world.cache.path)
    world.server.always("/second.wasm", WrongBytes())
    next(world.cache.path.rglob("*sha256*")).unlink()
    with pytest.raises(NotFoundError, match="component a"):
        pull_sources(world.cache, path)


# Bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "key"),
    [
        (f'{{ url = "u", digest = "{sha256(A).upper()}" }}', "component web, source, digest"),
        (f'{{ url = "u", digest = "sha256:{sha256(A)[7:].upper()}" }}', "component web, source, digest"),
        (f'{{ url = "u", digest = "{sha256(A)[7:]}" }}', "component web, source, digest"),
        (f'{{ url = "u", sha256 = "{sha256(A)}" }}', "component web, source"),
        ('{ package = "a:b", version = "^1" }', "component web, source"),
        ('{ package = "A:b", version = "1.0.0" }', "component web, source, package"),
        ("1", "component web, source"),
    ],
)
def test_bad_input_names_file_component_and_key_before_anything_is_asked(
    world: World, source: str, key: str
) -> None:
    path = world.write(
        "[component.good]", f"source = {world.offer(A)}", "[component.web]", f"source = {source}"
    )
    for function in (plan_sources, pull_sources):
        with pytest.raises(SpinManifestError) as caught:
            function(world.cache, path)
        assert caught.value.where == f"{path}, {key}"
    assert world.server.requests == []
    assert not world.cache.path.exists()


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        *(
            (bad, PackageError)
            for bad in ("", "a.wasm", "ftp://127.0.0.1/a", "http:///a", "file:///etc/passwd")
        ),
        *(
            (f"http://{bad}/a", PackageError)
            for bad in ("xn--a-.test", "xn--zzzzzz99999.test", "\u3002", "a b")
        ),
        ("http://ann%3Aw:pw@127.0.0.1:1/a", PackageError),  # no server could tell the user from the password
        ("http://127.0.0.1:1/a", ConnectionFailedError),
    ],
)
def test_address_that_cannot_be_asked_is_one_error(
    world: World, address: str, kind: type[SpinCacheError]
) -> None:
    path = world.one_source(f'{{ url = "{address}", digest = "{sha256(A)}" }}')
    with pytest.raises(kind) as caught:
        pull_sources(world.cache, path)
    assert caught.value.where.startswith(f"{path}, component web, source")
    assert not world.cache.path.exists()


def test_no_project_is_one_error(world: World) -> None:
    for path in (world.project, world.project / "spin.toml", world.project / "none"):
        with pytest.raises(SpinManifestError, match=str(path)):
            pull_sources(world.cache, path)
    (world.project / ".spin").mkdir()
    (world.project / ".spin" / "target-environments.lock").write_text("{}")
    with pytest.raises(SpinManifestError, match="environment lock"):
        pull_sources(world.cache, world.project)


def test_package_without_a_registry_and_broken_configuration(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.one_source("{ package = 'acme:tools', version = '1.0.0' }")
    with pytest.raises(PackageError, match="a registry for namespace 'acme'"):
        pull_sources(world.cache, path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "wasm-pkg").mkdir()
    (tmp_path / "wasm-pkg" / "config.toml").write_text("unknown = 1")
    with pytest.raises(PackageConfigError, match="unknown"):
        pull_sources(world.cache, path)


def test_package_by_this_users_configuration(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.server.serve(tools("1.0.0", "pre/acme/tools"))
    world.server.always(WELL_KNOWN, json_reply({"ociNamespacePrefix": "pre/"}))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "wasm-pkg").mkdir()
    (tmp_path / "wasm-pkg" / "config.toml").write_text(f"namespace_registries.acme = '{world.server.name}'")
    result = world.pull("{ package = 'acme:tools', version = '1.0.0' }")
    assert result.sources[0].origin == f"{world.server.name}/pre/acme/tools:1.0.0"
    assert_same_tree(stored(content(tools("1.0.0", "pre/acme/tools"))), world.cache.path)


def test_full_disk_is_found_before_anything_is_fetched(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.server.serve(*PACKAGES)
    monkeypatch.setattr(Cache, "free_bytes", lambda self: 100)
    with pytest.raises(NoSpaceError):
        pull_sources(world.cache, world.everything())
    assert not world.cache.path.exists()


def test_link_in_the_place_of_wasm_is_not_followed(world: World, tmp_path: Path) -> None:
    world.cache.path.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (world.cache.path / "wasm").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheWriteError):
        world.pull()
    assert list((tmp_path / "elsewhere").iterdir()) == []


# Secrets and plain HTTP ----------------------------------------------------------------------------


def test_user_in_an_address_is_sent_to_it_alone_and_shown_nowhere(
    world: World, start_hostile: Any, caplog: pytest.LogCaptureFixture
) -> None:
    other = start_hostile(host="127.0.0.2")
    other.content("/there", A)
    url = f"http://me:s3cr%20et@{world.server.name}/a.wasm?key=s3cret"
    path = world.one_source(f'{{ url = "{url}", digest = "{sha256(A)}" }}')
    world.server.always("/a.wasm", Redirect(f"{other.url}/there"))
    caplog.set_level("DEBUG")
    result = pull_sources(world.cache, path)
    assert world.server.authorizations == ["Basic " + base64.b64encode(b"me:s3cr et").decode()]
    assert other.authorizations == []
    assert result.sources[0].origin == f"http://{world.server.name}/a.wasm"
    world.server.always("/a.wasm", error(404))
    other.always("/there", error(403))
    next(world.cache.path.rglob("*sha256*")).unlink()
    with pytest.raises(SpinCacheError) as caught:
        pull_sources(world.cache, path)
    told = (str(result), repr(result), result._repr_html_(), str(caught.value), caplog.text)
    assert not any("s3cr" in text for text in told)


def test_plain_http_is_asked_as_written_but_not_with_a_password(world: World) -> None:
    source = '{{ url = "http://{}/a.wasm", digest = "{}" }}'
    path = world.one_source(source.format("me:s3cret@registry.invalid", sha256(A)))
    with pytest.raises(InsecureTransportError) as caught:
        pull_sources(world.cache, path)
    assert "s3cret" not in str(caught.value)
    path = world.one_source(source.format("registry.invalid", sha256(A)))
    with pytest.raises(InsecureTransportError):
        pull_sources(world.cache, path, insecure=False)


def test_caller_credentials_go_to_package_registries_only(world: World, start_hostile: Any) -> None:
    registry = start_hostile()
    registry.serve(*PACKAGES)
    header = "Basic " + base64.b64encode(b"ann:right").decode()
    registry.require(header, 'Basic realm="test"')
    path = world.write(
        "[component.a]",
        f"source = {world.offer(A)}",
        "[component.b]",
        f"source = {tools_of(registry)}",
    )
    pull_sources(world.cache, path, auth=("ann", "right"))
    assert world.server.authorizations == []
    assert set(registry.authorizations) == {header}


def test_sources_over_tls(world: World, hostile_tls: HostileServer, ca_file: Path) -> None:
    replace(world, server=hostile_tls).pull(ca=ca_file)
    assert_same_tree(stored(A), world.cache.path)
    with pytest.raises(ConnectionFailedError, match="certificate"):
        pull_sources(Cache(world.cache.path.parent / "second"), world.project)


# Many at a time, stopping, telling -----------------------------------------------------------------


@pytest.mark.parametrize(("jobs", "most"), [(None, 16), (3, 3)])
def test_at_most_so_many_at_a_time(world: World, jobs: int | None, most: int) -> None:
    path = world.many(40)
    world.server.always("*.wasm", Drip(500, 0.02))
    pull_sources(world.cache, path, **({} if jobs is None else {"jobs": jobs}))  # type: ignore[arg-type]
    assert 1 < world.server.most_concurrent <= most
    assert len(read_tree(world.cache.path)) == 40


def test_cancel_stops_a_stalled_pull_and_leaves_nothing(world: World) -> None:
    path = world.one_source()
    world.server.always("*.wasm", Stall(after=100))
    cancel = threading.Event()
    threading.Timer(0.5, cancel.set).start()
    started = time.monotonic()
    with pytest.raises(PullCancelled):
        pull_sources(world.cache, path, cancel=cancel)
    assert time.monotonic() - started < 20
    assert read_tree(world.cache.path) == {}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("spincache")]


def test_cancel_while_packages_are_looked_up(world: World) -> None:
    hold, cancel = threading.Event(), threading.Event()
    world.server.serve(*PACKAGES)
    world.server.always(WELL_KNOWN, Hold(hold))
    threading.Timer(0.3, cancel.set).start()
    try:
        with pytest.raises(PullCancelled):
            pull_sources(world.cache, world.everything(), cancel=cancel)
    finally:
        hold.set()
    assert not world.cache.path.exists()


def test_progress_adds_up_to_the_result(world: World) -> None:
    world.server.serve(*PACKAGES)
    write_tree(world.cache.path, stored(A))
    events: list[ProgressEvent] = []
    result = pull_sources(world.cache, world.everything(), progress=events.append)
    assert events[0].kind == "plan"
    assert sum(event.count for event in events if event.kind == "bytes") == result.fetch_bytes
    reused = [event for event in events if event.kind == "reused"]
    assert [(event.digest, event.total) for event in reused] == [(sha256(A), len(A))]
    done = {event.digest: event.total for event in events if event.kind == "done"}
    assert done == {source.digest: source.size for source in result.distinct() if not source.stored}


def test_result_shows_itself_without_letting_html_in(world: World) -> None:
    path = world.many(15)
    plan = plan_sources(world.cache, path)
    assert str(plan) == f"{path}: 15 sources, 0 bytes stored, 0 bytes and 15 of unknown size to fetch"
    assert "and 3 more" in plan._repr_html_()
    assert repr(plan) == f"<SourcesPlan {plan}>"
    result = pull_sources(world.cache, path)
    assert str(result).startswith(
        f"{path}: 15 sources, fetched {result.total_bytes} of {result.total_bytes} bytes in"
    )
    assert repr(result) == f"<SourcesResult {result}>"
    evil = replace(plan.sources[0], component="<script>", origin="<script>", digest="sha256:<script>")
    assert "<script>" not in replace(plan, path="<script>", sources=(evil,))._repr_html_()


# Who needs what ------------------------------------------------------------------------------------


def test_frames_and_prune_know_what_a_project_keeps_alive(world: World) -> None:
    world.server.serve(*PACKAGES)
    path = world.everything()
    pull_sources(world.cache, path)
    for file in world.cache.path.rglob("*sha256*"):
        os.utime(file, (1, 1))
    before = read_tree(world.cache.path)
    assert sc.plan_prune(world.cache, projects=[path]).freed_bytes == 0
    assert sc.plan_prune(world.cache, even_if_unknown=True).freed_bytes == sum(map(len, before.values()))
    write_tree(world.cache.path, {"wasm/" + sha256(b"idle"): b"idle"})
    uses = sc.frames.uses(world.cache, projects=[path])
    needed = {sha256(data) for data in (A, B, C, D, E, F, *map(content, PACKAGES))}
    assert set(uses["digest"]) == needed
    assert set(uses["user"]) == {str(path)}
    assert set(uses["via"]) == {"spin.toml"}
    rows_of = sc.analysis.breakdown(sc.frames.load(world.cache, projects=[path])).set_index("kind")
    assert rows_of.loc["unreferenced", "stored_bytes"] == len(b"idle")
    assert rows_of.loc["projects", "stored_bytes"] == uses["stored_bytes"].sum()


def test_packages_are_unknown_until_they_were_looked_up_here(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.server.serve(*PACKAGES)
    path = world.one_source(tools_of(world.server))
    monkeypatch.setenv("SPINCACHE_HISTORY", "off")
    pull_sources(world.cache, path)
    assert sc.frames.uses(world.cache, projects=[path]).empty
    monkeypatch.delenv("SPINCACHE_HISTORY")
    pull_sources(world.cache, path)
    assert list(sc.frames.uses(world.cache, projects=[path])["digest"]) == [sha256(content(PACKAGES[0]))]
    assert len(PackageLog().known()) == 1


# Real registries -----------------------------------------------------------------------------------


@pytest.mark.registry
@pytest.mark.parametrize("kind", ["plain_registry", "basic_registry", "token_registry"])
def test_packages_from_docker_registry(world: World, request: pytest.FixtureRequest, kind: str) -> None:
    registry: RegistryServer = request.getfixturevalue(kind)
    registry.push(*PACKAGES)
    path = world.write(
        "[component.web]",
        f"source = {tools_of(registry)}",
        f"dependencies = {{ 'acme:tools' = {{ version = '>=1.1, <2', registry = '{registry.name}' }} }}",
    )
    auth = ("reader", "pass:word") if registry.users else None
    result = pull_sources(world.cache, path, auth=auth)
    assert [source.version for source in result.sources] == ["1.0.0", "1.2.0"]
    assert_same_tree(stored(content(PACKAGES[0]), content(PACKAGES[1])), world.cache.path)
