"""The lock of target environments (Spin main, crates/environments/src/environment/lockfile.rs)."""

from __future__ import annotations

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import parse_object
from spincache_nb.errors import InvalidDigestError, SpinManifestError
from spincache_nb.project.spin_manifest.values import EnvironmentLock, LockedEnvironment


def parse_environment_lock(data: bytes, *, where: str) -> EnvironmentLock:
    """Read a ``target-environments.lock``."""
    document = parse_object(data, where=where, error=SpinManifestError, what="an environment lock")
    found: list[LockedEnvironment] = []
    faults: list[str] = []
    for origin, digests in document.items():
        packages = digests.get("package") if isinstance(digests, dict) else None
        if not isinstance(packages, dict):
            faults.append(f"{origin!r} lists no packages")
            continue
        for package, text in packages.items():
            try:
                found.append(LockedEnvironment(origin, package, Digest.parse(text)))
            except InvalidDigestError:
                faults.append(f"{origin!r}, package {package!r} has a malformed digest")
    return EnvironmentLock(tuple(found), tuple(faults))
