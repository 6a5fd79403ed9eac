"""What spin.toml and the environment lock name; samples follow Spin's own test manifests."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spincache_nb.core.digest import Digest
from spincache_nb.errors import SpinManifestError
from spincache_nb.project.spin_toml import (
    LockedEnvironment,
    PackageSource,
    Place,
    SpinManifest,
    WebSource,
    parse_environment_lock,
    parse_spin_manifest,
)
from tests.project.shapes import as_toml, values

A, B, C, D, E, F, G, H = (f"sha256:{letter * 64}" for letter in "abcdef01")
EVERYTHING = f"""
spin_manifest_version = 2

[application]
name = "everything"
targets = ["spin-up:3.3", {{ path = "env.toml" }}]

[variables]
password = {{ default = "s3cret", secret = true }}

[[trigger.http]]
id = "inline"
route = "/inline"
component = {{ source = {{ url = "https://example.test/b.wasm", digest = "{B}" }} }}

[[trigger.http]]
component = "main"
dependencies.middleware = [
    {{ url = "https://example.test/c.wasm", digest = "{C}" }},
    {{ package = "mid:ware", version = ">=1.0.0", registry = "mid.example" }},
    {{ path = "local.wasm" }},
    {{ component = "packaged" }},
]

[[trigger.example]]
components.one = "main"
components.many = ["main", {{ source = {{ url = "https://example.test/d.wasm", digest = "{D}" }} }}]

[component.main]
source = {{ url = "https://example.test/a.wasm", digest = "{A}" }}
environment = {{ TOKEN = "s3cret" }}

[component.main.dependencies]
"from:key/interface@1.0.0" = "^1.2"
"other:key" = {{ version = "=0.1.0" }}
"a:b/c" = {{ registry = "my-registry.com", version = "^1.2.3", package = "x:y", export = "foo" }}
"fib:fub/fob" = {{ path = "component.wasm", export = "my-export", inherit_configuration = true }}
"web:dep" = {{ url = "https://example.test/e.wasm", digest = "{E}" }}
plain-name = {{ package = "plain:package", version = "2" }}
by-component = {{ component = "packaged", export = "e" }}

[component.main.profile.debug]
source = {{ url = "https://example.test/f.wasm", digest = "{F}" }}
environment = {{ TOKEN = "s3cret" }}

[component.main.profile.debug.dependencies]
"web:dep" = {{ url = "https://example.test/g.wasm", digest = "{G}" }}

[component.main.profile.other.dependencies]
"only:here" = "1"

[component.packaged]
source = {{ registry = "ttl.sh", package = "user:registrytest", version = "1.0.0" }}

[component.local]
source = "bin/local.wasm"
"""
VERSION_1 = f"""
spin_manifest_version = "1"
name = "old"
trigger = {{ type = "http", base = "/" }}
[[component]]
id = "a"
source = {{ url = "https://example.test/a.wasm", digest = "{A}" }}
[component.trigger]
route = "/"
[[component]]
id = "b"
source = "b.wasm"
[component.trigger]
route = "/b"
[[component]]
id = "c"
source = {{ package = "user:pkg", version = "1.2.3-rc.1+build" }}
[component.trigger]
route = "/c"
"""


def parse(text: str) -> SpinManifest:
    return parse_spin_manifest(text.encode(), where="spin.toml")


def component(text: str) -> SpinManifest:
    return parse(f"spin_manifest_version = 2\n[component.a]\n{text}")


def test_parse_spin_manifest_finds_everything_that_reaches_the_cache() -> None:
    manifest = parse(EVERYTHING)
    assert manifest.faults == ()
    assert (manifest.version, manifest.name) == (2, "everything")
    assert [(str(source.place), str(source.digest)) for source in manifest.web_sources] == [
        ("component main, source", A),
        ("component main, dependency web:dep", E),
        ("component main, profile debug, source", F),
        ("component main, profile debug, dependency web:dep", G),
        ("component inline-component, in trigger inline, source", B),
        ("component inline-component1, in trigger example-trigger1, source", D),
        ("trigger main-http-trigger, dependency middleware", C),
    ]
    main, role = Place("main"), Place(None, "main-http-trigger", "middleware")
    assert manifest.packages == (
        PackageSource(main.at(dependency="from:key/interface@1.0.0"), "from:key", "^1.2"),
        PackageSource(main.at(dependency="other:key"), "other:key", "=0.1.0"),
        PackageSource(main.at(dependency="a:b/c"), "x:y", "^1.2.3", "my-registry.com"),
        PackageSource(main.at(dependency="plain-name"), "plain:package", "2"),
        PackageSource(main.at(dependency="only:here", profile="other"), "only:here", "1"),
        PackageSource(Place("packaged"), "user:registrytest", "=1.0.0", "ttl.sh"),
        PackageSource(role, "mid:ware", ">=1.0.0", "mid.example"),
        PackageSource(main.at(dependency="by-component"), "user:registrytest", "1.0.0", "ttl.sh"),
        PackageSource(role, "user:registrytest", "1.0.0", "ttl.sh"),
    )


@pytest.mark.parametrize("key", ["spin_manifest_version", "spin_version"])
def test_parse_spin_manifest_reads_version_1(key: str) -> None:
    manifest = parse(VERSION_1.replace("spin_manifest_version", key))
    assert (manifest.version, manifest.name, manifest.faults) == (1, "old", ())
    assert [(str(source.place), str(source.digest)) for source in manifest.web_sources] == [
        ("component a, source", A)
    ]
    assert manifest.packages == (PackageSource(Place("c"), "user:pkg", "=1.2.3-rc.1+build"),)


def test_parse_spin_manifest_keeps_no_secret() -> None:
    text = EVERYTHING.replace(
        "https://example.test/a.wasm", "https://me:s3cret@example.test/a.wasm?key=s3cret"
    )
    manifest = parse(text)
    assert "s3cret" not in repr(manifest)
    assert manifest.web_sources[0].url == "https://me:s3cret@example.test/a.wasm?key=s3cret"
    assert manifest.web_sources[0].address == "https://example.test/a.wasm"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:s3cret@h.test:8443/a?k=s3cret#s3cret", "https://h.test:8443/a"),
        ("HTTPS://s3cret@h.test/a", "HTTPS://h.test/a"),
        ("http://me%3As3cret/@h.test/a", "http://..."),
        ("http://me:s3cret%40h.test/a", "http://..."),
        ("http:///me:s3cret@h.test/a", "http://..."),
        ("http:me:s3cret@h.test/a", "an address without http:// or https://"),
        (" http://me:s3cret@h.test/a", "an address without http:// or https://"),
        ("ftp://me:s3cret@h.test/a", "an address without http:// or https://"),
        ("https://cdn.test/@scope/a.wasm?x=@y", "https://cdn.test/@scope/a.wasm"),
        ("https://[::1]:80/a\n", "https://[::1]:80/a\\n"),
    ],
)
def test_address_of_a_source_shows_no_password_however_it_is_spelled(url: str, shown: str) -> None:
    assert WebSource(Place("a"), Digest.parse(A), url).address == shown


@pytest.mark.parametrize(
    "text",
    [
        "source = { package = 'http://me:s3cret@h', version = '1.0.0' }",
        "source = { package = 'a:b', version = 'http://me:s3cret@h' }",
        "source = 'x'\ndependencies = { 'a:b' = 'http://me:s3cret@h' }",
        "source = 'x'\ndependencies = { 'a:b' = { component = 'http://me:s3cret@h' } }",
        "source = { url = 1, digest = 'http://me:s3cret@h' }",
        "source = { url = 'u', digest = 'http://me:s3cret@h' }",
    ],
)
def test_address_in_another_place_is_repeated_in_no_fault(text: str) -> None:
    (fault,) = component(text).faults
    assert "s3cret" not in str(fault)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"name = 1",
        b"spin_manifest_version = 1",
        b'spin_manifest_version = "2"',
        b"spin_manifest_version = true",
        b"spin_manifest_version = 2.0",
        b"spin_manifest_version = 3",
        b"= x",
        b"\xff",
        b"a = " + b"[" * 100_000,
        b"a = " + b"9" * 5000,
        b"spin_manifest_version = 0x" + b"9" * 5000,
        b"a = 1\na = 2",
    ],
)
def test_parse_spin_manifest_refuses_other_documents(data: bytes) -> None:
    with pytest.raises(SpinManifestError) as caught:
        parse_spin_manifest(data, where="app/spin.toml")
    assert caught.value.where == "app/spin.toml"


@pytest.mark.parametrize(
    "text",
    [
        "source = 1",
        "description = 'no source'",
        "source = { url = 'u' }",
        f"source = {{ url = 'u', sha256 = '{A}' }}",
        f"source = {{ url = 'u', digest = '{A}', extra = 1 }}",
        f"source = {{ url = 1, digest = '{A}' }}",
        f"source = {{ url = 'u', digest = '{A[7:]}' }}",
        f"source = {{ url = 'u', digest = '{A.upper()}' }}",
        f"source = {{ url = 'u', digest = 'sha512:{'a' * 128}' }}",
        "source = { url = 'u', digest = 'sha256:../../etc/passwd' }",
        "source = { package = 'a:b', version = '^1.0.0' }",
        "source = { package = 'a:b', version = '1.0' }",
        "source = { package = 'nocolon', version = '1.0.0' }",
        "source = { package = 1, version = '1.0.0' }",
        "source = { package = 'a:b', version = '1.0.0', registry = 1 }",
        "source = { package = 'A:b', version = '1.0.0' }",
        "source = { package = 'a:b-1', version = '1.0.0' }",
        "source = { package = 'a:b', version = '1.0.0', export = 'x' }",
    ],
)
def test_source_that_spin_refuses_is_one_fault(text: str) -> None:
    manifest = component(text)
    assert len(manifest.faults) == 1
    assert (manifest.web_sources, manifest.packages) == ((), ())


@pytest.mark.parametrize(
    "dependency",
    [
        "plain = '1'",
        "plain = { version = '1' }",
        "'a:b' = {}",
        "'a:b' = 1",
        "'a:b' = { version = 1 }",
        "'a:b' = { version = '1', path = 'x' }",
        "'a:b' = { component = 'nobody' }",
        "'a:b' = { component = ['a'] }",
        "'a:b' = { url = 'u', sha256 = 'x' }",
        f"'a:b' = {{ url = 'u', digest = '{A}', sha256 = '{A}' }}",
        f"'a:b/c' = {{ url = 'u', digest = '{A.upper()}' }}",
        "'a:b' = '1.2.3 - 2'",
        "'a:b' = { version = '>=1 <2' }",
        "'a:b' = { version = '1', package = 'a' }",
        "'a:b' = { version = '1', export = 'x' }",
        "'a:b' = { path = 'x', export = 'y' }",
        "'not a name!' = { path = 'x' }",
        "'a:b@1.0' = { path = 'x' }",
        "'a:b/Mixed' = { path = 'x' }",
        "'a-1' = { path = 'x' }",
        "'a:b/c' = { path = 'x' }\n'a:b' = { path = 'y' }",
        "'a:b/c@1.0.0' = { path = 'x' }\n'a:b/c@1.5.0' = { path = 'y' }",
        "'a:b/c@0.1.0' = { path = 'x' }\n'a:b/c@0.1.9' = { path = 'y' }",
        "'a:b@1.0.0' = { path = 'x' }\n'a:b' = { path = 'y' }",
    ],
)
def test_dependency_that_spin_refuses_is_one_fault(dependency: str) -> None:
    manifest = component(f"source = 'a.wasm'\n[component.a.dependencies]\n{dependency}")
    assert len(manifest.faults) == 1
    assert (manifest.web_sources, manifest.packages) == ((), ())


@pytest.mark.parametrize(
    "dependencies",
    [
        ["a:b/c", "a:b/d"],
        ["a:b@1.0.0", "a:b@2.0.0"],
        ["a:b/c@0.1.0", "a:b/c@0.2.0"],
        ["a:b/c@0.0.1", "a:b/c@0.0.2"],
        ["a:b/c@1.0.0-rc.1", "a:b/c@1.0.0"],
        ["a:b", "a:c", "b:a", "a"],
    ],
)
def test_dependencies_apart_from_each_other_are_no_fault(dependencies: list[str]) -> None:
    lines = "\n".join(f"'{name}' = {{ path = 'x' }}" for name in dependencies)
    assert component(f"source = 'a.wasm'\n[component.a.dependencies]\n{lines}").faults == ()


@pytest.mark.parametrize(
    "text",
    [
        "component = 1",
        "[component]\na = 1",
        "[trigger]\nhttp = 1",
        "[trigger.http]\nroute = '/'",
        "[[trigger.http]]\ncomponents = 1",
        "[[trigger.http]]\ncomponent = 1",
        "[[trigger.http]]\ndependencies = 1",
        "[[trigger.http]]\ndependencies.role = 1",
        "[[trigger.http]]\ndependencies.role = ['1.0.0']",
        "[[trigger.http]]\ndependencies.role = [{ version = '1' }]",
        "[component.a]\nsource = 'x'\nprofile = 1",
        "[component.a]\nsource = 'x'\nprofile.debug = 1",
        "[component.a]\nsource = 'x'\ndependencies = 1",
    ],
)
def test_parts_of_another_shape_are_one_fault(text: str) -> None:
    assert len(parse(f"spin_manifest_version = 2\n{text}").faults) == 1


def test_fault_names_the_part_of_the_manifest() -> None:
    text = "source = { url = 'u', digest = 'SHA' }\nprofile.fast.dependencies = { 'a:b' = 'one' }"
    assert [str(fault) for fault in component(text).faults] == [
        "component a, source, digest: it must be sha256: and 64 lower-case hex digits",
        "component a, profile fast, dependency a:b, version: expected a version requirement such as 1.2, "
        "=1.2.3 or >=1, <2, got 'one'",
    ]


@pytest.mark.parametrize(
    ("needing", "needed"),
    [
        (
            "dependencies = { 'x:y' = { component = 'b' } }\n"
            "profile.own.dependencies = { 'x:y' = { path = 'own.wasm' } }",
            "source = 'b.wasm'\nprofile.own.source = { package = 'p:q', version = '1.0.0' }",
        ),
        (
            "profile.fast.dependencies = { 'x:y' = { component = 'b' } }",
            "source = { package = 'p:q', version = '1.0.0' }",
        ),
    ],
    ids=["of all profiles", "of one profile"],
)
def test_dependency_on_a_component_takes_its_source_in_that_profile(needing: str, needed: str) -> None:
    manifest = parse(
        f"spin_manifest_version = 2\n[component.a]\nsource = 'a.wasm'\n{needing}\n[component.b]\n{needed}\n"
        "profile.fast.source = { package = 'p:q', version = '2.0.0' }"
    )
    assert manifest.faults == ()
    assert [(str(one.place), one.requirement) for one in manifest.packages[2:]] == [
        ("component a, profile fast, dependency x:y", "2.0.0")
    ]


def test_dependency_on_a_component_takes_its_only_source_in_a_profile() -> None:
    text = "source = 'a.wasm'\nprofile.fast.dependencies = { 'x:y' = { component = 'b' } }\n[component.b]\n"
    manifest = component(text + "source = { package = 'p:q', version = '1.0.0' }")
    assert [one.place.profile for one in manifest.packages] == [None, "fast"]


def test_dependency_on_a_component_written_out_in_a_trigger_finds_it() -> None:
    manifest = parse(
        "spin_manifest_version = 2\n[[trigger.http]]\n"
        "component.source = { package = 'p:q', version = '1.0.0' }\n"
        "[component.a]\nsource = 'a.wasm'\n"
        "dependencies = { 'x:y' = { component = 'http-trigger1-component' } }"
    )
    assert manifest.faults == ()
    assert [one.requirement for one in manifest.packages] == ["=1.0.0", "1.0.0"]


@pytest.mark.parametrize("own", ["environment = { a = 'b' }", "files = ['a']", "ai_models = ['m']"])
def test_dependency_on_a_component_with_resources_is_a_fault(own: str) -> None:
    manifest = parse(
        "spin_manifest_version = 2\n[component.a]\nsource = 'a.wasm'\n"
        f"dependencies = {{ 'x:y' = {{ component = 'b' }} }}\n[component.b]\nsource = 'b.wasm'\n{own}"
    )
    (fault,) = manifest.faults
    assert (fault.key, own.partition(" ")[0] in fault.reason) == ("component a, dependency x:y", True)


def test_profile_may_replace_a_dependency_but_not_clash_with_one() -> None:
    text = "source = 'a.wasm'\ndependencies = { 'x:y/z' = { path = 'a' } }\nprofile.p.dependencies = "
    assert component(text + "{ 'x:y/z' = { path = 'b' } }").faults == ()
    (fault,) = component(text + "{ 'x:y' = { path = 'b' } }").faults
    assert fault.key == "component a, profile p, dependencies"
    (fault,) = component("source = 'a'\ndependencies = { 'x:y/z' = '1', 'x:y' = '1' }").faults
    assert fault.key == "component a, dependencies"


@pytest.mark.parametrize("name", ["Mixed", "under_score", "1a", "a-"])
def test_component_of_a_name_that_spin_refuses_is_a_fault(name: str) -> None:
    manifest = parse(f"spin_manifest_version = 2\n[component.'{name}']\nsource = 'a.wasm'")
    assert [fault.key for fault in manifest.faults] == [f"component {name}"]


def test_inline_components_and_triggers_get_the_ids_that_spin_gives_them() -> None:
    inline = f"{{ source = {{ url = 'u', digest = '{A}' }} }}"
    manifest = parse(
        "spin_manifest_version = 2\n[component.inline-component1]\nsource = 'x.wasm'\n"
        f"[[trigger.http]]\ncomponent = {inline}\n"
        "[[trigger.http]]\nid = 'http-trigger2'\n"
        f"components.role = [{inline}, 'inline-component1', {inline}]\n"
        f"[[trigger.http]]\ncomponent = {inline}\n"
        f"[[trigger.redis]]\nid = 'not kebab!'\ncomponent = {inline}\n"
    )
    assert [(one.place.component, one.place.trigger) for one in manifest.web_sources] == [
        ("http-trigger1-component", "http-trigger1"),
        ("inline-component2", "http-trigger2"),
        ("inline-component3", "http-trigger2"),
        ("http-trigger3-component", "http-trigger3"),
        ("inline-component4", "not kebab!"),
    ]


def test_parse_environment_lock_reads_hosts_and_references() -> None:
    text = (
        f'{{"spinframework.dev": {{"package": {{"fermyon:spin@3.0.0": "{A}"}}}},'
        f' "ghcr.io/org/env:v1": {{"package": {{"a:b@1.0.0": "{B}"}}}}}}'
    )
    lock = parse_environment_lock(text.encode(), where="lock")
    assert lock.faults == ()
    assert lock.environments == (
        LockedEnvironment("spinframework.dev", "fermyon:spin@3.0.0", Digest.parse(A)),
        LockedEnvironment("ghcr.io/org/env:v1", "a:b@1.0.0", Digest.parse(B)),
    )
    assert [one.named_by_manifest for one in lock.environments] == [False, True]


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1}',
        '{"a":{}}',
        '{"a":{"package":[]}}',
        '{"a":{"package":{"b":"x"}}}',
        '{"a":{"package":{"b":1}}}',
    ],
)
def test_environments_of_another_shape_are_one_fault(text: str) -> None:
    lock = parse_environment_lock(text.encode(), where="lock")
    assert (len(lock.faults), lock.environments) == (1, ())


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"null"])
def test_parse_environment_lock_refuses_other_documents(data: bytes) -> None:
    with pytest.raises(SpinManifestError):
        parse_environment_lock(data, where="lock")


_WORDS = ["source", "url", "digest", "package", "version", "component", "dependencies", "profile", "a:b", "x"]
VALUES = values(["a", "a:b", "1.0.0", A, "../x", ""], _WORDS)


@settings(deadline=None)
@given(value=VALUES, key=st.sampled_from(["component", "trigger", "application", "variables"]))
def test_parse_spin_manifest_raises_nothing_for_any_shape(value: object, key: str) -> None:
    manifest = parse(f"spin_manifest_version = 2\n{key} = {as_toml(value)}")
    assert all(source.digest.algorithm == "sha256" for source in manifest.web_sources)
    parse(f'spin_manifest_version = "1"\n{key} = {as_toml(value)}')
