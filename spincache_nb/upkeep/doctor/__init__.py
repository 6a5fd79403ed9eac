"""What a pull depends on, looked at one by one: the cache, credentials, the network, packages.

Nothing is changed, nothing is created, no secret is repeated. `examine` uses no network;
`ask_registry` does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from spincache_nb.core.cache import Cache
from spincache_nb.core.reference import Reference
from spincache_nb.errors import SpinCacheError
from spincache_nb.upkeep.doctor.finding import Finding, State
from spincache_nb.upkeep.doctor.network import look_at_network
from spincache_nb.upkeep.doctor.packages import EXTRAS, REQUIRED, look_at_packages
from spincache_nb.upkeep.doctor.places import look_at_cache
from spincache_nb.upkeep.doctor.stores import look_at_credentials, look_at_history

if TYPE_CHECKING:
    from spincache_nb.core.pull import Auth

__all__ = ["EXTRAS", "REQUIRED", "Finding", "State", "ask_registry", "examine"]


def examine(cache: Cache) -> tuple[Finding, ...]:
    """Look at everything a pull depends on, on this machine."""
    return tuple(_look(cache))


def _look(cache: Cache) -> Iterator[Finding]:
    yield from look_at_cache(cache)
    yield from look_at_credentials()
    yield from look_at_history()
    yield from look_at_network()
    yield from look_at_packages()


def ask_registry(
    cache: Cache,
    reference: str | Reference,
    *,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Auth = None,
) -> Finding:
    """Ask a registry for one manifest, as a pull would."""
    from spincache_nb.core.pull import plan_pull

    wanted = Reference.parse(reference)
    try:
        plan = plan_pull(cache, wanted, insecure=insecure, ca=ca, auth=auth)
    except SpinCacheError as exc:
        return Finding("registry", wanted.host, str(exc), "attention")
    return Finding("registry", wanted.host, f"answers; {wanted} is {plan.manifest_digest}")
