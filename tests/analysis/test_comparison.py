from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given

from spincache_nb import analysis
from spincache_nb.errors import NotInCacheError
from tests.analysis.worlds import SOME, App, World, digest_of, two_versions, worlds

OLD, NEW = "ghcr.io/org/web:1.0.0", "ghcr.io/org/web:1.1.0"


def test_compare_shows_layers_and_files_side_by_side():
    table = analysis.compare(two_versions().frames(), OLD, NEW)
    columns = ["what", "component", "name", "status", "bytes_a", "bytes_b"]
    lines = table[columns].astype(object).where(table[columns].notna(), None)
    assert list(lines.itertuples(index=False, name=None)) == [
        ("layer", None, "application layer", "changed", 50, 51),
        ("layer", None, "page.html", "changed", 7, 9),
        ("layer", None, "component ui", "same", 1000, 1000),
        ("layer", None, "kept.css", "same", 40, 40),
        ("file", "ui", "page.html", "changed", 7, 9),
        ("file", "ui", "kept.css", "same", 40, 40),
    ]


def test_compare_shows_what_was_added_and_what_is_gone():
    table = analysis.compare(two_versions().frames(), OLD, "ghcr.io/org/api:1.0.0")
    got = set(zip(table["what"], table["name"], table["status"], strict=True))
    assert {("file", "page.html", "gone"), ("file", "kept.css", "gone")} <= got
    assert ("layer", "kept.css", "gone") in got
    back = analysis.compare(two_versions().frames(), "ghcr.io/org/api:1.0.0", OLD)
    assert set(back.loc[back["what"] == "file", "status"]) == {"added"}


def test_compare_pairs_layers_only_if_their_name_is_the_only_one():
    sizes = {digest_of(number): number for number in range(1, 5)}
    one, two, three, four = sizes
    old = App("r.io", "a", "1", [(one, "data"), (two, "data")])
    new = App("r.io", "a", "2", [(three, "data"), (four, "data")])
    table = analysis.compare(World([old, new], sizes, set()).frames(), "r.io/a:1", "r.io/a:2")
    found = zip(table["status"], table["bytes_a"].fillna(0), table["bytes_b"].fillna(0), strict=True)
    assert sorted(found) == [("added", 0, 3), ("added", 0, 4), ("gone", 1, 0), ("gone", 2, 0)]


def test_compare_refuses_an_app_that_is_not_cached():
    with pytest.raises(NotInCacheError):
        analysis.compare(two_versions().frames(), OLD, "ghcr.io/org/web:9")


@SOME
@given(world=worlds())
def test_compare_accounts_for_every_layer_and_file_of_both(world):
    if not world.apps:
        return
    a, b = world.apps[0], world.apps[-1]
    frames = world.frames("apps", "layers", "components", "files")
    table = analysis.compare(frames, a.reference, b.reference)
    layers = table[table["what"] == "layer"]
    files = table[table["what"] == "file"]
    for side, app in (("a", a), ("b", b)):
        distinct = {digest for digest, _ in app.layers}
        assert sorted(layers[f"digest_{side}"].dropna()) == sorted(distinct)
        assert layers[f"bytes_{side}"].sum() == sum(world.sizes[digest] for digest in distinct)
        assert files[f"digest_{side}"].notna().sum() == len(app.mounts)
    same = {d for d, _ in a.layers} & {d for d, _ in b.layers}
    assert set(layers.loc[layers["status"] == "same", "digest_a"]) == same
    for line in table.itertuples():
        present = (line.digest_a is not pd.NA, line.digest_b is not pd.NA)
        assert present == {"added": (False, True), "gone": (True, False)}.get(line.status, (True, True))
        if line.status in ("same", "changed"):
            assert (line.digest_a == line.digest_b) == (line.status == "same")
