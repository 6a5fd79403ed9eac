"""What a pull depends on, looked at one by one: the cache, credentials, the network, packages.

Nothing is changed, nothing is created, no secret is repeated. `examine` uses no network;
`ask_registry` does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from spincache_nb.core.cache import Cache
from spincache_nb.core.doctor.finding import Finding, State
from spincache_nb.core.doctor.network import look_at_network
from spincache_nb.core.doctor.packages import EXTRAS, REQUIRED, look_at_packages
from spincache_nb.core.doctor.places import look_at_cache
from spincache_nb.core.doctor.stores import look_at_credentials, look_at_history
from spincache_nb.core.reference import Reference
from spincache_nb.errors import SpinCacheError

if TYPE_CHECKING:
    from spincache_nb.core.pull.decide import Auth

__all__ = ["EXTRAS", "REQUIRED", "Finding", "State", "ask_registry", "examine"]


def examine(cache: Cache) -> tuple[Finding, ...]:
    """Look at everything a pull depends on, on this machine.

    Parameters
    ----------
    cache
        The cache to look at.

    Returns
    -------
    tuple of Finding
        In topics: ``cache``, ``credentials``, ``history``, ``network``, ``packages``. The network is
        not used; see `ask_registry`.

    Examples
    --------
    >>> [finding.value for finding in examine(Cache("/nonexistent")) if finding.name == "exists"]
    [False]
    """
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
    """Ask a registry for one manifest, as a pull would.

    Parameters
    ----------
    cache
        The cache that would be pulled into; nothing is written.
    reference
        The app to ask for.
    insecure, ca, auth
        As for `pull`.

    Returns
    -------
    Finding
        Of topic ``registry``; it wants attention if the manifest does not come.

    Raises
    ------
    InvalidReferenceError
        If `reference` is not one.
    """
    from spincache_nb.core.pull import plan_pull

    wanted = Reference.parse(reference)
    try:
        plan = plan_pull(cache, wanted, insecure=insecure, ca=ca, auth=auth)
    except SpinCacheError as exc:
        return Finding("registry", wanted.host, str(exc), "attention")
    return Finding("registry", wanted.host, f"answers; {wanted} is {plan.manifest_digest}")
