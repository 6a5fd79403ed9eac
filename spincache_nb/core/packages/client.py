"""A client for registries of WebAssembly packages."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx

from spincache_nb.core.credentials import Credentials, as_credentials
from spincache_nb.core.digest import Digest
from spincache_nb.core.manifest import PACKAGE_CONFIG, Descriptor
from spincache_nb.core.packages.config import PackageConfig, is_host, read_package_config
from spincache_nb.core.packages.local import LocalPackages, hash_file, read_file
from spincache_nb.core.packages.metadata import RegistryMetadata
from spincache_nb.core.packages.oci import OciPackages, OciRelease
from spincache_nb.core.packages.web import fetch_metadata, stream_address
from spincache_nb.core.semver import Requirement, Version
from spincache_nb.core.spin_manifest.names import is_package
from spincache_nb.core.transport.settings import Limits, RetryPolicy, Timeouts
from spincache_nb.core.transport.web import Web
from spincache_nb.errors import PackageError
