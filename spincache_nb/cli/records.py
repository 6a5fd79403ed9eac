"""Frames and values as records: what ``--json`` writes and tables are made of."""

from __future__ import annotations

from typing import Any

from spincache_nb.show import records as records
from spincache_nb.show import to_json as to_json

Record = dict[str, Any]
