"""What a project's ``spin.toml`` and its environment lock name (Spin main, crates/manifest).

Only sources that reach the cache are kept: web sources with their digest, and packages of a
registry. Local paths, variables, environment and settings are passed over, so that nothing secret
gets into a value here. All build profiles are read, since each of them keeps its content alive.
"""

from spincache_nb.project.spin_manifest.lock import parse_environment_lock
from spincache_nb.project.spin_manifest.toml import parse_spin_manifest
from spincache_nb.project.spin_manifest.values import (
    EnvironmentLock,
    LockedEnvironment,
    ManifestFault,
    PackageSource,
    Place,
    SpinManifest,
    WebSource,
)

__all__ = [
    "EnvironmentLock",
    "LockedEnvironment",
    "ManifestFault",
    "PackageSource",
    "Place",
    "SpinManifest",
    "WebSource",
    "parse_environment_lock",
    "parse_spin_manifest",
]
