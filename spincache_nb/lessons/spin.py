"""What Spin verifies, and what it takes on trust."""

from __future__ import annotations

from types import MappingProxyType

import pandas as pd

from spincache_nb.frames.schemas import Schema, build

CHECKS_SCHEMA: Schema = MappingProxyType({"when": "string", "spin": "string", "this_toolkit": "string"})

_CHECKS = (
    (
        "a blob arrives",
        "v0.8 to v4.0 keep it unseen; main compares it with its digest",
        "hashed while it is written; a wrong one never gets the name",
    ),
    (
        "a manifest arrives",
        "v0.8 to v4.0 keep it unseen; main compares it with the registry's header",
        "compared with the digest asked for, and with the registry's header",
    ),
    (
        "a blob is there already",
        "skipped, whatever is in it",
        "skipped if its size is right; verify() hashes it",
    ),
    (
        "an app is loaded",
        "nothing is hashed: a damaged file is run or served",
        "nothing is run; problems() and verify() look",
    ),
    (
        "a write is cut off",
        "half a file keeps the full name, for ever",
        "the file has another name until it is whole",
    ),
)


def what_spin_checks() -> pd.DataFrame:
    """Say when Spin looks at bytes, and when this toolkit does.

    Returns
    -------
    pandas.DataFrame
        One row per moment (crates/oci/src/client.rs and crates/loader/src/cache.rs, Spin v0.8 to
        main).

        ============  ======  =============================
        column        dtype   meaning
        ============  ======  =============================
        when          string  the moment
        spin          string  what Spin does then
        this_toolkit  string  what this toolkit does then
        ============  ======  =============================
    """
    return build(CHECKS_SCHEMA, _CHECKS)
