"""The OCI distribution API, as far as reading needs it."""

from spincache_nb.core.registry.client import RegistryClient, ServedDocument
from spincache_nb.core.settings import Limits, RetryPolicy, Timeouts

__all__ = ["Limits", "RegistryClient", "RetryPolicy", "ServedDocument", "Timeouts"]
