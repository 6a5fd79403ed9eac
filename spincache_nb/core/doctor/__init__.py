"""What a pull depends on, looked at one by one: the cache, credentials, the network, packages.

Nothing is changed, nothing is created, no secret is repeated, and no network is asked unless a
reference is given.
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

__all__ = ["EXTRAS", "REQUIRED", "Finding", "State", "examine"]


def examine(
    cache: Cache,
    reference: str | Reference | None = None,
    *,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Auth = None,
) -> tuple[Finding, ...]:
    """Look at everything a pull depends on.

    Parameters
    ----------
    cache
        The cache to look at.
    reference
        An app to ask its registry for; without one no network is used.
    insecure, ca, auth
        As for `pull`, for that question.

    Returns
    -------
    tuple of Finding
        In topics: ``cache``, ``credentials``, ``history``, ``network``, ``packages``, ``registry``.

    Raises
    ------
    InvalidReferenceError
        If `reference` is not one.

    Examples
    --------
    >>> [finding.value for finding in examine(Cache("/nonexistent")) if finding.name == "exists"]
    [False]
    """
    wanted = Reference.parse(reference) if reference is not None else None
    return tuple(_look(cache, wanted, insecure, ca, auth))


def _look(
    cache: Cache,
    reference: Reference | None,
    insecure: bool | None,
    ca: str | os.PathLike[str] | None,
    auth: Auth,
) -> Iterator[Finding]:
    yield from look_at_cache(cache)
    yield from look_at_credentials()
    yield from look_at_history()
    yield from look_at_network()
    yield from look_at_packages()
    if reference is not None:
        yield _ask(cache, reference, insecure, ca, auth)


def _ask(
    cache: Cache,
    reference: Reference,
    insecure: bool | None,
    ca: str | os.PathLike[str] | None,
    auth: Auth,
) -> Finding:
    """Ask the registry for one manifest."""
    from spincache_nb.core.pull import plan_pull

    try:
        plan = plan_pull(cache, reference, insecure=insecure, ca=ca, auth=auth)
    except SpinCacheError as exc:
        return Finding("registry", reference.host, str(exc), "attention")
    return Finding("registry", reference.host, f"answers; {reference} is {plan.manifest_digest}")
