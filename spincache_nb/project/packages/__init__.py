"""Packages of WebAssembly registries: from a name and a version requirement to content.

What Spin does through wasm-pkg-client 0.11 (crates/loader/src/local.rs, load_registry_source): the
package tools' configuration says which registry serves a package, the registry's own metadata say
where its content is, and the newest version that satisfies the requirement is taken.
"""

from spincache_nb.project.packages.client import PackageClient, Release
from spincache_nb.project.packages.config import PackageConfig, parse_package_config, read_package_config
from spincache_nb.project.packages.metadata import RegistryMetadata, parse_metadata

__all__ = [
    "PackageClient",
    "PackageConfig",
    "RegistryMetadata",
    "Release",
    "parse_metadata",
    "parse_package_config",
    "read_package_config",
]
