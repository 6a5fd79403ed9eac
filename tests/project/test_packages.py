"""Packages: which registry, which metadata, which version, which content; against loopback servers."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from spincache_nb.errors import (
    AccessDeniedError,
    ConnectionFailedError,
    FormatError,
    InvalidVersionError,
    NotFoundError,
    PackageConfigError,
    PackageError,
    PullCancelled,
    SizeMismatchError,
)
from spincache_nb.project.package_config import PackageConfig
from spincache_nb.project.packages import PackageClient, Release
from tests.core.clients import QUICK, SHORT
from tests.project.shapes import config, content, tools
from tests.support.artifact import OCI_MANIFEST, WKG_WASM, Artifact, canonical, descriptor, sha256
from tests.support.behaviours import Redirect, Reply, error, json_reply, later, wait_until
from tests.support.faults import Cut
from tests.support.hostile import HostileServer
from tests.support.push import basic

WELL_KNOWN = "/.well-known/wasm-pkg/registry.json"


@contextmanager
def client(config: PackageConfig | None = None, **options: Any) -> Iterator[PackageClient]:
    with closing(PackageClient(**({"config": config, "retries": QUICK, "timeouts": SHORT} | options))) as one:
        yield one


def changed(artifact: Artifact, **fields: Any) -> Artifact:
    """The same with other fields in its manifest."""
    document = artifact.document | fields
    manifest = canonical({key: value for key, value in document.items() if value is not None})
    return Artifact(artifact.repository, artifact.tag, manifest, OCI_MANIFEST, artifact.blobs)


def resolve(
    server: HostileServer, requirement: str = "*", name: str = "acme:tools", **options: Any
) -> Release:
    with client(config(""), **options) as one:
        release: Release = one.resolve(name, requirement, server.name)
        return release


# Finding a package ---------------------------------------------------------------------------------


def test_resolve_takes_the_newest_version_that_satisfies(hostile: HostileServer) -> None:
    versions = ["0.9.0", "1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1", "2.0.0"]
    hostile.serve(*(tools(version) for version in versions))
    found = {
        text: resolve(hostile, text).version for text in ("*", "1", "^1.0", "~1.2", "=1.0.0", ">=0.9, <1")
    }
    assert found == {
        "*": "2.0.0",
        "1": "1.10.0",
        "^1.0": "1.10.0",
        "~1.2": "1.2.0",
        "=1.0.0": "1.0.0",
        ">=0.9, <1": "0.9.0",
    }


@pytest.mark.parametrize(
    ("requirement", "version"),
    [
        ("=1.0.0+b1", "1.0.0+b1"),
        ("=1.0.0", "1.0.0+b2"),
        ("=1.0.0+b9", "1.0.0+b2"),
        ("^1.0, <1.0.1", "1.0.0+b2"),
    ],
)
def test_resolve_finds_build_metadata_under_a_tag_with_an_underscore(
    hostile: HostileServer, requirement: str, version: str
) -> None:
    """yoshuawuyts/wasm.directory#424: a tag holds no plus sign."""
    hostile.serve(*(tools(tag) for tag in ("1.0.0", "1.0.0_b1", "1.0.0_b2", "1.0.0__b3")))
    found = resolve(hostile, requirement)
    assert (found.version, found.origin) == (
        version,
        f"{hostile.name}/acme/tools:{version.replace('+', '_')}",
    )
    assert str(found.digest) == sha256(content(tools(version.replace("+", "_"))))


def test_resolve_says_where_what_and_how_large(hostile: HostileServer) -> None:
    one = tools("1.2.0")
    hostile.serve(one)
    with client(config("")) as own:
        release = own.resolve("acme:tools", "1", hostile.name)
        assert (release.package, release.version) == ("acme:tools", "1.2.0")
        assert release.origin == f"{hostile.name}/acme/tools:1.2.0"
        assert (str(release.digest), release.size) == (sha256(content(one)), len(content(one)))
        assert b"".join(release.open()) == content(one)
        assert len(hostile.requests) == 4
        wait_until(lambda: own.wire_bytes == hostile.body_bytes)
    assert hostile.lines == [
        f"GET {WELL_KNOWN}",
        "GET /v2/acme/tools/tags/list?n=1000",
        "GET /v2/acme/tools/manifests/1.2.0",
        f"GET /v2/acme/tools/blobs/{sha256(content(one))}",
    ]


def test_resolve_passes_over_tags_that_are_no_versions(hostile: HostileServer) -> None:
    hostile.serve(*(tools(tag) for tag in ("1.0.0", "latest", "v9.0.0", "2", "sha256-abc.sig", "01.0.0")))
    assert resolve(hostile).version == "1.0.0"


def test_resolve_reads_all_pages_of_tags(hostile: HostileServer) -> None:
    hostile.serve(tools("3.0.0"), tools("1.0.0"), tags=False)
    hostile.tag_pages("acme/tools", [["1.0.0", "latest"], ["nightly"], ["3.0.0"]])
    assert resolve(hostile).version == "3.0.0"


def test_resolve_without_a_fitting_version_says_what_there_is(hostile: HostileServer) -> None:
    hostile.serve(tools("1.0.0"), tools("1.9.0"), tools("latest"))
    with pytest.raises(PackageError) as caught:
        resolve(hostile, "^2")
    assert caught.value.where == "package acme:tools"
    assert caught.value.expected == "a version that satisfies ^2"
    assert "2 others, the newest 1.9.0" in caught.value.found
    assert f"{hostile.name}/acme/tools" in caught.value.found


def test_resolve_of_a_package_that_is_not_there(hostile: HostileServer) -> None:
    with pytest.raises(NotFoundError) as caught:
        resolve(hostile)
    assert (caught.value.status, caught.value.expected) == (404, "package acme:tools")


@pytest.mark.parametrize("name", ["tools", "Acme:tools", "acme:tools/x", "acme:1", "../x:y", ""])
def test_resolve_refuses_what_is_no_package_or_requirement_before_asking(
    hostile: HostileServer, name: str
) -> None:
    with pytest.raises(PackageError):
        resolve(hostile, name=name)
    with pytest.raises(InvalidVersionError):
        resolve(hostile, ">=1 <2")
    assert hostile.requests == []


@pytest.mark.parametrize("registry", ["me:secret@h", "http://h", "h/path", "h:port", "", "h h"])
def test_resolve_refuses_what_is_no_registry(registry: str) -> None:
    with client(config("")) as one, pytest.raises(PackageError, match="a registry as host") as caught:
        one.resolve("acme:tools", "*", registry)
    assert "secret" not in str(caught.value)


def test_resolve_without_a_registry_names_the_configuration() -> None:
    with client(config("")) as one, pytest.raises(PackageError) as caught:
        one.resolve("acme:tools", "*")
    assert caught.value.expected == "a registry for namespace 'acme'"
    assert "config.toml" in caught.value.found


# Metadata from the registry ------------------------------------------------------------------------


@pytest.mark.parametrize("flat", [True, False])
def test_resolve_goes_where_the_metadata_lead(hostile: HostileServer, start_hostile: Any, flat: bool) -> None:
    other = start_hostile(host="127.0.0.2")
    other.serve(tools("1.0.0", "web/assembly-acme/tools"))
    nested = {"preferredProtocol": "oci", "oci": {"registry": other.name, "namespacePrefix": "web/assembly-"}}
    document = {"ociRegistry": other.name, "ociNamespacePrefix": "web/assembly-"} if flat else nested
    hostile.always(WELL_KNOWN, json_reply(document))
    assert resolve(hostile).origin == f"{other.name}/web/assembly-acme/tools:1.0.0"
    assert hostile.lines == [f"GET {WELL_KNOWN}"]


@pytest.mark.parametrize(
    "behaviour",
    [
        error(404),
        error(403),
        error(500),
        later(503),
        Reply(200, b"not json"),
        Reply(200, b"[]"),
        Reply(204, b""),
        Reply(200, b"x" * 100, (("Content-Length", "1000"),), close=True),
        json_reply({"version": 1, "oci": {"registry": "elsewhere.invalid"}}),
        Redirect("ftp://127.0.0.1/"),
        Reply(200, b"{" + b" " * (2 << 20) + b"}"),
    ],
    ids=["404", "403", "500", "503", "text", "list", "204", "cut", "other type", "redirect", "large"],
)
def test_resolve_goes_on_with_defaults_where_metadata_cannot_be_had(
    hostile: HostileServer, behaviour: Any
) -> None:
    hostile.serve(tools("1.0.0"))
    hostile.always(WELL_KNOWN, behaviour)
    assert resolve(hostile).origin == f"{hostile.name}/acme/tools:1.0.0"


def test_metadata_that_could_not_be_had_are_named_when_the_package_is_not_found(
    hostile: HostileServer,
) -> None:
    hostile.always(WELL_KNOWN, error(500))
    with pytest.raises(NotFoundError, match="its metadata could not be had: 500"):
        resolve(hostile)
    assert len(hostile.requests_for(WELL_KNOWN)) == 3  # of six that others get


def test_metadata_are_tried_again_and_follow_redirects(hostile: HostileServer, start_hostile: Any) -> None:
    other = start_hostile()
    other.content("/moved.json", json.dumps({"ociNamespacePrefix": "pre/"}).encode())
    hostile.on(WELL_KNOWN, later(503), Redirect(f"{other.url}/moved.json"))
    hostile.serve(tools("1.0.0", "pre/acme/tools"))
    assert resolve(hostile).origin == f"{hostile.name}/pre/acme/tools:1.0.0"


def test_metadata_are_asked_once_per_registry(hostile: HostileServer) -> None:
    hostile.serve(tools("1.0.0"), tools("1.0.0", "acme/more"))
    with client(config("")) as one, ThreadPoolExecutor(8) as pool:
        names = ["acme:tools", "acme:more"] * 4
        found = list(pool.map(lambda name: one.resolve(name, "*", hostile.name).package, names))
    assert found == names
    assert len(hostile.requests_for(WELL_KNOWN)) == 1


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"preferredProtocol": "local"}, "'local' in its metadata"),
        ({"local": {"root": "/etc"}}, "'local' in its metadata"),
        ({"preferredProtocol": "warg"}, "'warg'"),
        ({"wargUrl": "warg.example"}, "'warg'"),
        ({"preferredProtocol": "gopher"}, "'gopher'"),
    ],
)
def test_resolve_refuses_other_protocols(
    hostile: HostileServer, document: dict[str, Any], found: str
) -> None:
    hostile.serve(tools("1.0.0"))
    hostile.always(WELL_KNOWN, json_reply(document))
    with pytest.raises(PackageError) as caught:
        resolve(hostile)
    assert caught.value.where == f"registry {hostile.name}"
    assert found in caught.value.found


def test_own_configuration_of_the_protocol_comes_before_the_metadata(hostile: HostileServer) -> None:
    hostile.serve(tools("1.0.0"))
    hostile.always(WELL_KNOWN, json_reply({"preferredProtocol": "warg"}))
    text = f'[registry."{hostile.name}"]\ntype = "oci"'
    with client(config(text)) as one:
        assert one.resolve("acme:tools", "*", hostile.name).version == "1.0.0"


@pytest.mark.parametrize("registry", ["https://h", "h/path", "me:secret@h", 1])
def test_resolve_refuses_metadata_that_lead_to_no_registry(hostile: HostileServer, registry: object) -> None:
    hostile.always(WELL_KNOWN, json_reply({"oci": {"registry": registry}}))
    with pytest.raises(PackageError) as caught:
        resolve(hostile)
    assert caught.value.where == f"metadata of {hostile.name}"


@pytest.mark.parametrize("prefix", ["Upper/", "../", "a b/", "x" * 300 + "/", "/", "a//"])
def test_resolve_refuses_metadata_that_make_no_repository(hostile: HostileServer, prefix: str) -> None:
    hostile.always(WELL_KNOWN, json_reply({"oci": {"namespacePrefix": prefix}}))
    with pytest.raises(PackageError, match="namespacePrefix"):
        resolve(hostile)
    assert hostile.lines == [f"GET {WELL_KNOWN}"]


def test_configured_metadata_are_not_asked_for_and_nothing_is_after_a_close(hostile: HostileServer) -> None:
    hostile.serve(tools("1.0.0", "pre/acme/tools"))
    text = (
        'namespace_registries.acme = { registry = "key.invalid", metadata = { preferredProtocol = "oci", '
        f'oci = {{ registry = "{hostile.name}", namespacePrefix = "pre/" }} }} }}'
    )
    with client(config(text)) as one:
        assert one.resolve("acme:tools", "*").origin == f"{hostile.name}/pre/acme/tools:1.0.0"
    assert hostile.requests_for(WELL_KNOWN) == []
    with client(config(text)) as closed:
        closed.close()
        with pytest.raises(PullCancelled):
            closed.resolve("acme:tools", "*")


# The content ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"layers": []}, "no layer"),
        ({"config": descriptor("application/vnd.oci.image.config.v1+json", b"{}")}, "a config of type"),
        ({"layers": [descriptor(WKG_WASM, b"x", digest="sha512:" + "0" * 128)]}, "a sha512 digest"),
    ],
)
def test_resolve_refuses_what_is_no_package(
    hostile: HostileServer, fields: dict[str, Any], found: str
) -> None:
    hostile.serve(changed(tools("1.0.0"), **fields))
    with pytest.raises(PackageError) as caught:
        resolve(hostile)
    assert found in caught.value.found
    assert caught.value.where == f"{hostile.name}/acme/tools:1.0.0"


def test_resolve_takes_the_first_of_several_layers_and_lowers_its_digest(
    hostile: HostileServer, caplog: pytest.LogCaptureFixture
) -> None:
    one = tools("1.0.0")
    digest = sha256(content(one))
    shouted = descriptor(WKG_WASM, content(one), digest="sha256:" + digest[7:].upper())
    two = [*one.layers, descriptor(WKG_WASM, b"second")]
    warned = []
    for layers, media_type in ((one.layers, OCI_MANIFEST), (two, OCI_MANIFEST), ([shouted], None)):
        hostile.serve(changed(one, layers=layers, mediaType=media_type))
        caplog.clear()
        assert str(resolve(hostile).digest) == digest
        warned.append("Spin takes packages of one layer" in caplog.text)
    assert warned == [False, True, True]


@pytest.mark.parametrize("data", [b"", b"{}", b"not json", b'{"schemaVersion": 2}'])
def test_resolve_refuses_what_is_no_manifest(hostile: HostileServer, data: bytes) -> None:
    hostile.serve(tools("1.0.0"))
    hostile.always("*/manifests/1.0.0", Reply(200, data))
    with pytest.raises(FormatError):
        resolve(hostile)


def test_open_takes_up_where_it_broke_and_checks_the_declared_size(hostile: HostileServer) -> None:
    one = tools("1.0.0")
    hostile.serve(one)
    hostile.on("*/blobs/*", Cut(1000))
    with client(config("")) as own:
        release = own.resolve("acme:tools", "*", hostile.name)
        assert b"".join(release.open()) == content(one)
        assert [r.header("Range") for r in hostile.requests_for("*/blobs/*")] == [None, "bytes=1000-"]
        hostile.always("*/blobs/*", Reply(200, content(one) + b"more"))
        with pytest.raises(SizeMismatchError):
            b"".join(release.open())


# Credentials ---------------------------------------------------------------------------------------


def private(server: HostileServer, user: str, password: str) -> None:
    server.serve(tools("1.0.0"))
    server.require(basic(user, password), 'Basic realm="test"')


def docker_login(folder: Path, monkeypatch: pytest.MonkeyPatch, host: str, pair: str) -> None:
    import base64

    auths = {f"https://{host}": {"auth": base64.b64encode(pair.encode()).decode()}}
    (folder / "config.json").write_text(json.dumps({"auths": auths}))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))


def test_resolve_uses_the_callers_then_the_configured_then_the_stored_credentials(
    hostile: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker_login(tmp_path, monkeypatch, hostile.name, "ann:stored")
    configured = config(f'[registry."{hostile.name}".oci]\nauth = {{ username = "ann", password = "file" }}')
    for password, found, options in (
        ("caller", configured, {"auth": ("ann", "caller")}),
        ("file", configured, {}),
        ("stored", config(""), {}),
    ):
        private(hostile, "ann", password)
        with client(found, **options) as one:
            assert one.resolve("acme:tools", "*", hostile.name).version == "1.0.0"


def test_resolve_asks_without_credentials_when_stored_ones_are_refused(
    hostile: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker_login(tmp_path, monkeypatch, hostile.name, "ann:old")
    hostile.serve(tools("1.0.0"))
    hostile.require(
        lambda request: request.authorization == "Bearer anonymous", f'Bearer realm="{hostile.url}/token"'
    )
    hostile.always("/token", json_reply({"token": "anonymous"}))
    hostile.on("/token", error(401))
    with client(config("")) as one:
        release = one.resolve("acme:tools", "*", hostile.name)
        assert b"".join(release.open()) == content(tools("1.0.0"))
    tokens = hostile.requests_for("/token")
    assert [request.authorization is not None for request in tokens] == [True, False]


def test_resolve_does_not_try_without_the_credentials_that_the_caller_gave(hostile: HostileServer) -> None:
    private(hostile, "ann", "right")
    with pytest.raises(AccessDeniedError) as caught:
        resolve(hostile, auth=("ann", "wrong"))
    assert "wrong" not in str(caught.value)
    assert [request.authorization is not None for request in hostile.requests_for("/v2/*")] == [False, True]


def test_metadata_are_asked_without_credentials(hostile: HostileServer) -> None:
    private(hostile, "ann", "right")
    assert resolve(hostile, auth=("ann", "right")).version == "1.0.0"
    assert [request.authorization for request in hostile.requests_for(WELL_KNOWN)] == [None]


# Transport -----------------------------------------------------------------------------------------


def test_resolve_speaks_tls_where_it_is_to(hostile_tls: HostileServer, ca_file: Path) -> None:
    hostile_tls.serve(tools("1.0.0"))
    assert resolve(hostile_tls, insecure=False, ca=ca_file).version == "1.0.0"
    assert len(hostile_tls.requests_for(WELL_KNOWN)) == 1


def test_configured_protocol_decides_for_the_registry(hostile_tls: HostileServer, ca_file: Path) -> None:
    hostile_tls.serve(tools("1.0.0"))
    text = f'[registry."{hostile_tls.name}".oci]\nprotocol = "https"'
    with client(config(text), ca=ca_file) as one:
        assert one.resolve("acme:tools", "*", hostile_tls.name).version == "1.0.0"
    assert hostile_tls.requests_for(WELL_KNOWN) == []  # asked in plain HTTP, as of all hosts on loopback


def test_resolve_with_nobody_there_is_one_error(closed_port: int) -> None:
    with client(config("")) as one, pytest.raises(ConnectionFailedError):
        one.resolve("acme:tools", "*", f"127.0.0.1:{closed_port}")


def test_client_reads_its_configuration_only_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostile: HostileServer
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "wasm-pkg").mkdir()
    (tmp_path / "wasm-pkg" / "config.toml").write_text("broken")
    hostile.content("/a.wasm", b"wasm")
    with client() as one:
        assert b"".join(one.stream_address(f"{hostile.url}/a.wasm", where="test")) == b"wasm"
        with pytest.raises(PackageConfigError):
            one.resolve("acme:tools", "*", hostile.name)


# A directory of packages ---------------------------------------------------------------------------


def local(root: Path) -> PackageConfig:
    folder = root / "acme" / "tools"
    folder.mkdir(parents=True)
    for name in ("1.0.0.wasm", "1.1.0.wasm", "latest.wasm", "2.0.0.txt"):
        (folder / name).write_bytes(name.encode())
    return config(f"namespace_registries.acme = 'here.local'\n[registry.'here.local'.local]\nroot = '{root}'")


def test_resolve_takes_packages_from_a_configured_directory(tmp_path: Path) -> None:
    with client(local(tmp_path)) as one:
        release = one.resolve("acme:tools", "1")
        assert (release.version, release.size) == ("1.1.0", len("1.1.0.wasm"))
        assert str(release.digest) == sha256(b"1.1.0.wasm")
        assert release.origin == str(tmp_path / "acme" / "tools" / "1.1.0.wasm")
        assert b"".join(release.open()) == b"1.1.0.wasm"
        with pytest.raises(PackageError, match="2 others, the newest 1"):
            one.resolve("acme:tools", "3")
        with pytest.raises(PackageError, match="No such file"):
            one.resolve("acme:none", "1")


def test_directory_without_a_root_is_a_fault() -> None:
    text = "default_registry = 'h.local'\n[registry.'h.local']\ntype = 'local'"
    with client(config(text)) as one, pytest.raises(PackageError, match=r"local\.root"):
        one.resolve("acme:tools", "1")


# A real registry -----------------------------------------------------------------------------------
