from __future__ import annotations

import matplotlib as mpl
import pytest

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _nothing_global_changes():
    """Every plot leaves rcParams as they were, and pyplot without a figure unless a test closes its own."""
    before = dict(mpl.rcParams)
    yield
    from matplotlib import pyplot as plt

    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before
