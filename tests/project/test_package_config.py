"""The package tools' configuration and a registry's metadata, as wasm-pkg-common reads both."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.errors import FormatError, PackageConfigError, PackageError
from spincache_nb.project.package_config import (
    check_protocol,
    parse_metadata,
    parse_package_config,
    read_package_config,
)
from tests.project.shapes import as_toml, config, values

# The configuration ---------------------------------------------------------------------------------

EVERYTHING = """
default_registry = "default.example"
[namespace_registries]
acme = "acme.example:8443"
[namespace_registries.mapped]
registry = "key.example"
metadata = { preferredProtocol = "oci", oci = { registry = "ghcr.io" } }
[package_registry_overrides]
"acme:special" = "Special.example"
"mapped:own" = "own.example"
[registry."default.example"]
type = "oci"
[registry."default.example".oci]
auth = { username = "open", password = "sesame" }
protocol = "http"
[registry."acme.example:8443".oci]
auth = "cGluZzpwb25n"
"""


@pytest.mark.parametrize(
    ("package_name", "registry"),
    [
        ("acme:special", "special.example"),
        ("acme:other", "acme.example:8443"),
        ("mapped:any", "key.example"),
        ("mapped:own", "own.example"),
        ("wasi:http", "default.example"),
        ("else:where", "default.example"),
    ],
)
def test_registry_of_prefers_package_then_namespace_then_default(package_name: str, registry: str) -> None:
    assert config(EVERYTHING).find(package_name)[0] == registry


@pytest.mark.parametrize(
    ("package_name", "registry"),
    [("wasi:http", "wasi.dev"), ("ba:x", "bytecodealliance.org"), ("acme:tools", None)],
)
def test_registry_of_falls_back_to_two_well_known_namespaces(package_name: str, registry: str | None) -> None:
    assert config("").find(package_name)[0] == registry


def test_registry_of_a_spin_toml_comes_before_everything() -> None:
    assert config(EVERYTHING).find("acme:special", "x.example")[0] == "x.example"


def test_metadata_of_a_namespace_holds_for_a_package_with_a_registry_of_its_own() -> None:
    found = config(EVERYTHING)
    for name in ("mapped:any", "mapped:own"):
        metadata = found.find(name)[1]
        assert metadata is not None
        assert metadata.oci(where="test") == ("ghcr.io", "")
    assert found.find("acme:tools")[1] is None


def test_settings_of_a_registry_are_read_and_hide_secrets() -> None:
    found = config(EVERYTHING)
    default, acme = found.settings_of("default.example"), found.settings_of("acme.example:8443")
    assert (default.backend, default.plain) == ("oci", True)
    assert (acme.backend, acme.plain) == ("oci", None)
    assert default.credentials is not None
    assert acme.credentials is not None
    assert (default.credentials.username, default.credentials.password) == ("open", "sesame")
    assert (acme.credentials.username, acme.credentials.password) == ("ping", "pong")
    assert "sesame" not in repr(found)
    assert "pong" not in repr(found)
    assert found.settings_of("none.example").backend is None


@pytest.mark.parametrize(
    ("text", "backend"),
    [
        ('default = "oci"', "oci"),
        ('type = "warg"\n[registry."h".oci]', "warg"),
        ('[registry."h".local]\nroot = "/x"', "local"),
        ("[registry.h.oci]\n[registry.h.local]\nroot = '/x'", None),
        ("", None),
    ],
)
def test_backend_is_the_named_one_or_the_only_one(text: str, backend: str | None) -> None:
    assert config(f"[registry.h]\n{text}").settings_of("h").backend == backend


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("registries = {}", "registries"),
        ("default_registry = 1", "default_registry"),
        ('default_registry = "me:pass@h"', "default_registry"),
        ('default_registry = "https://h"', "default_registry"),
        ("namespace_registries = 1", "namespace_registries"),
        ("namespace_registries.Acme = 'h'", "namespace_registries"),
        ("namespace_registries.acme = { registry = 'h' }", "namespace_registries.acme"),
        ("namespace_registries.acme = { metadata = {} }", "namespace_registries.acme.registry"),
        (
            "namespace_registries.acme = { registry = 'h', metadata = { x = 1 } }",
            "namespace_registries.acme.metadata, x",
        ),
        ("package_registry_overrides.acme = 'h'", "package_registry_overrides"),
        ("[registry.h]\ntype = 1", "registry.h"),
        ("[registry.h]\ntype = 'oci'\ndefault = 'oci'", "registry.h"),
        ("[registry.h]\noci = 1", "registry.h"),
        ("[registry.h.oci]\nprotocol = 'ftp'", "registry.h.oci.protocol"),
        ("[registry.h.oci]\nauth = 's3cret'", "registry.h.oci.auth"),
        ("[registry.h.oci]\nauth = { username = 's3cret' }", "registry.h.oci.auth"),
        ("[registry.h.oci]\nauth = { username = 1, password = 's3cret' }", "registry.h.oci.auth"),
        ("[registry.h.local]\nroot = 1", "registry.h.local.root"),
        ("password = s3cret", ""),
        ("= s3cret", ""),
    ],
)
def test_parse_package_config_names_file_and_key_and_no_value(text: str, key: str) -> None:
    with pytest.raises(PackageConfigError) as caught:
        config(text).settings_of("h")  # those of a protocol count when the registry is used
    assert caught.value.where == ("config.toml, " + key if key else "config.toml")
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value.__cause__)


def test_fault_in_the_settings_of_a_registry_is_none_of_another() -> None:
    found = config("default_registry = 'g'\n[registry.h.oci]\nprotocol = 'ftp'")
    assert found.find("acme:tools")[0] == "g"
    assert found.settings_of("g").plain is None


def test_read_package_config_finds_this_users_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert read_package_config().default_registry is None
    (tmp_path / "wasm-pkg").mkdir()
    (tmp_path / "wasm-pkg" / "config.toml").write_text('default_registry = "h.example"')
    assert read_package_config().default_registry == "h.example"


def test_read_package_config_of_a_user_without_a_home_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("spincache_nb.core.paths._home_of_this_user", lambda: None)
    assert read_package_config().default_registry is None


def test_read_package_config_refuses_what_is_too_large_or_no_file(tmp_path: Path) -> None:
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * ((1 << 20) + 1))
    for path in (large, tmp_path):
        with pytest.raises(PackageConfigError) as caught:
            read_package_config(path)
        assert caught.value.where == str(path)


# The metadata --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "protocol"),
    [
        ({}, None),
        ({"preferredProtocol": "oci", "warg": {}}, "oci"),
        ({"preferredProtocol": None, "oci": {}}, "oci"),
        ({"warg": {"url": "x"}}, "warg"),
        ({"oci": {}, "warg": {}}, None),
        ({"ociRegistry": "h"}, "oci"),
        ({"wargUrl": "h"}, "warg"),
        ({"ociRegistry": "h", "wargUrl": "h"}, None),
        ({"ociNamespacePrefix": "p/"}, None),
        ({"ociRegistry": "h", "other": {}}, "other"),
    ],
)
def test_preferred_protocol_follows_the_client(document: dict[str, Any], protocol: str | None) -> None:
    assert parse_metadata(document, where="test", error=FormatError).preferred_protocol == protocol


def test_metadata_in_the_flat_spelling_win() -> None:
    document = {"oci": {"registry": "a", "namespacePrefix": "b/"}, "ociRegistry": "c"}
    assert parse_metadata(document, where="test", error=FormatError).oci(where="test") == ("c", "b/")


@pytest.mark.parametrize(
    "document", [{"version": 1}, {"oci": None}, {"preferredProtocol": 1}, {"ociRegistry": {}}]
)
def test_parse_metadata_refuses_a_value_of_another_type(document: dict[str, Any]) -> None:
    with pytest.raises(FormatError) as caught:
        parse_metadata(document, where="test", error=FormatError)
    assert caught.value.where == f"test, {next(iter(document))}"


_WORDS = ["registry", "metadata", "oci", "local", "root", "auth", "type", "namespacePrefix", "acme", "x"]
JSON = values([None, "", "oci", "h.example", "me:pass@h"], _WORDS)


@given(
    st.dictionaries(
        st.sampled_from(["preferredProtocol", "oci", "ociRegistry", "wargUrl", "local", "x"]),
        JSON,
        max_size=4,
    )
)
def test_metadata_of_any_shape_are_read_or_refused(document: dict[str, Any]) -> None:
    with contextlib.suppress(FormatError, PackageError):
        found = parse_metadata(document, where="test", error=FormatError)
        check_protocol("h.example", None, found)
        found.oci(where="test")


@given(
    st.sampled_from(
        ["default_registry", "namespace_registries", "package_registry_overrides", "registry", "x"]
    ),
    JSON,
)
def test_configuration_of_any_shape_is_read_or_refused(key: str, value: Any) -> None:
    with contextlib.suppress(PackageConfigError):
        config(f"{key} = {as_toml(value)}").find("acme:tools")[0]


@given(st.binary(max_size=100))
def test_configuration_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(PackageConfigError):
        parse_package_config(data, where="test")
