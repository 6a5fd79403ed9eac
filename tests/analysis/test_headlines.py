"""Findings and headlines: true for nothing, one app and many."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given

from spincache_nb import analysis
from spincache_nb.analysis import schemas
from spincache_nb.cli.entry import build_parser
from spincache_nb.core.cache import Cache
from spincache_nb.frames.schemas import build, empty
from tests.analysis.worlds import MIB, SOME, App, World, digest_of, two_versions, worlds

NOTHING = World([], {}, set())
ONE = World([App("r.io", "a", "1", [(digest_of(1), "wasm")])], {digest_of(1): 5}, {(digest_of(1), "wasm")})


def made(count: int) -> World:
    """Repositories of two versions; all share one blob, and each app has one of its own."""
    shared = digest_of(0)
    sizes = {shared: 1000} | {digest_of(n + 1): 10 for n in range(count)}
    apps = [
        App("r.io", f"org/app{n // 2}", f"{n % 2}", [(shared, "wasm"), (digest_of(n + 1), "data")])
        for n in range(count)
    ]
    return World(apps, sizes, {(shared, "wasm"), *((digest_of(n + 1), "data") for n in range(count))})


def sentences(world: World) -> list[str]:
    return analysis.findings(world.frames(), top=9)["sentence"].tolist()


def test_findings_of_nothing_of_one_app_and_of_two_versions():
    table = analysis.findings(NOTHING.frames())
    assert table["kind"].tolist() == ["damage", "empty"]  # a made-up world always has one problem
    assert table["command"].fillna("-").tolist() == ["spincache-nb problems", "-"]
    assert sentences(ONE)[1:] == ["r.io/a:1 alone holds 205 B, 100 % of all bytes."]
    assert sentences(two_versions()) == [
        "The cache has 1 problem; each is listed with its remedy.",
        "One blob of 1000 B brings 98 % of the 2.0 KiB that sharing saves.",
        "300 B is needed by nothing.",
        "ghcr.io/org/web:1.1.0 alone holds 209 B, 11 % of all bytes.",
        "Without 1 old version of ghcr.io/org/web, 207 B would be free.",
        "New versions of ghcr.io/org/web fetch 7.1 % of what they need, 80 B so far.",
    ]


def test_findings_of_many_apps_are_few_and_short():
    table = analysis.findings(made(1000).frames())
    assert len(table) == 5
    assert table["sentence"].str.len().max() < 120
    assert table["command"].str.len().max() < 300
    assert "Without 500 old versions of 500 repositories" in " ".join(table["sentence"])


@SOME
@given(world=worlds())
def test_findings_hold_for_any_cache_and_their_commands_are_commands(world):
    frames = world.frames()
    table = analysis.findings(frames, top=9)
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == dict(schemas.FINDINGS_SCHEMA)
    by_kind = dict(zip(table["kind"], table["figure_bytes"], strict=True))
    summary = analysis.summary(frames).iloc[0]
    assert by_kind.get("sharing", 0) == summary["saved_bytes"]
    assert by_kind.get("idle", 0) == summary["unreferenced_bytes"] or not summary["disk_bytes"]
    for command in table["command"].dropna():
        name, *arguments = shlex.split(command)
        assert name == "spincache-nb"
        build_parser().parse_args(arguments)


def test_findings_name_the_cache_that_they_are_of(tmp_path):
    (tmp_path / "registry" / "data").mkdir(parents=True)
    (tmp_path / "registry" / "data" / ("sha256:" + "0" * 64)).write_bytes(b"x")
    for cache in (Cache(tmp_path), tmp_path):
        (command,) = set(analysis.findings(cache)["command"].dropna()) - {None}
        assert shlex.split(command)[-2:] == ["--cache-dir", str(tmp_path)]
    with pytest.raises(ValueError, match="negative"):
        analysis.findings(top=-1)


@pytest.mark.parametrize("world", [NOTHING, ONE, two_versions(), made(100)], ids=["0", "1", "3", "100"])
def test_headlines_hold_for_every_table(world):
    frames = world.frames()
    for table in (
        analysis.breakdown(frames),
        analysis.breakdown(frames, by="repository"),
        analysis.sharing(frames),
        analysis.sharing_sets(frames),
        analysis.shared_bytes(frames),
        analysis.version_savings(frames),
    ):
        assert 10 < len(analysis.headline(table)) < 90
        assert not analysis.headline(table).endswith(".")


def test_headlines_say_what_the_tables_hold():
    frames = two_versions().frames()
    assert analysis.headline(analysis.sharing(frames)).startswith("One blob of 1000 B brings 98 %")
    assert analysis.headline(analysis.shared_bytes(frames)) == "web:1.0.0 and web:1.1.0 share most: 1.0 KiB"
    matrix = analysis.upgrade_matrix(frames, "org/web")
    assert analysis.headline(matrix) == "Going to another version fetches 77 B to 80 B, 78 B in the middle"
    assert analysis.headline(matrix.head(1)) == "There is one version only"
    savings = analysis.version_savings(frames)
    both = "Pulling version after version of 2 repositories saves "
    assert analysis.headline(savings).startswith(both)
    web = analysis.version_savings(frames, "org/web")
    assert analysis.headline(web).startswith("2 versions of ghcr.io/org/web: ")
    assert analysis.headline(web.head(1)).startswith("1 version of ghcr.io/org/web: ")
    flat = web.assign(fetch_bytes=web["total_bytes"])
    assert "2 versions of ghcr.io/org/web reuse next to nothing: " in analysis.headline(flat)
    assert analysis.headline(analysis.section_map(b"text")) == "100 % of 4 B is in other sections"
    assert analysis.headline(empty(schemas.TIMELINE_SCHEMA)) == "Nothing was pulled yet"
    with pytest.raises(ValueError, match="no analysis with a headline"):
        analysis.headline(analysis.summary(frames))


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"shared": 3 * MIB, "exclusive": MIB}, "Several apps share 75 % of 4.0 MiB on disk: 3.0 MiB"),
        ({"shared": MIB, "exclusive": 3 * MIB}, "75 % of 4.0 MiB on disk is needed by one app only"),
        (
            {"exclusive": 8 * MIB, "unreferenced": MIB, "temporary": MIB},
            "Nothing needs 20 % of 10.0 MiB on disk: 2.0 MiB",
        ),
        ({"shared": 1, "manifests": 99}, "99 % of 100 B on disk is manifests and locked apps"),
        ({"projects": MIB}, "100 % of 1.0 MiB on disk is needed by projects only"),
        ({"other": 0}, "Nothing is stored yet"),
    ],
)
def test_headline_of_a_breakdown(sizes, text):
    lines = [(n, kind, kind, 1, 1, size, None) for n, (kind, size) in enumerate(sizes.items())]
    assert analysis.headline(build(schemas.BREAKDOWN_SCHEMA, lines)) == text


def test_headline_of_sets_of_none_one_and_ten_thousand():
    def said(lines):
        return analysis.headline(build(schemas.SHARING_SETS_SCHEMA, lines))

    assert said([]) == "Nothing is shared yet"
    one = [(0, user, "app", 2, 1, MIB) for user in "ab"]
    assert said(one) == "One file of 1.0 MiB is all that 2 apps share"
    assert (
        said([(*line[:2], "project", *line[3:]) for line in one]) == "One file of 1.0 MiB is all that 2 share"
    )
    many = [(n, f"{user}{n}", "app", 2, 3, MIB) for n in range(10_000) for user in "ab"]
    assert said(many) == "15,000 files of 4.9 GiB are most of the 9.8 GiB that 20,000 apps share"


def test_headline_of_grains_names_the_one_that_pays():
    lines = [
        ("blob", 100, 0, 1, 32, 0.0),
        ("function", 100, 60, 2, 10, 0.6),
        ("chunk 4 KiB", 100, 70, 9, 40, 0.7),
    ]
    said = "By function, 50 % would be reused, index paid, whole files 0 %"
    assert analysis.headline(build(schemas.GRAINS_SCHEMA, lines)) == said
    for rows in (lines[:1], []):
        table = build(schemas.GRAINS_SCHEMA, rows)
        assert analysis.headline(table) == "No finer grain pays for its index"


@SOME
@given(world=worlds())
def test_tables_by_repository_hold_the_same_bytes(world):
    frames = world.frames()
    for by in ("repository", "registry"):
        table = analysis.breakdown(frames, by=by)
        assert table["stored_bytes"].sum() == analysis.breakdown(frames)["stored_bytes"].sum()
        assert set(analysis.breakdown_members(frames, by=by)["row"]) <= set(table["row"])
        sets = analysis.sharing_sets(frames, by=by).drop_duplicates("set")
        assert sets["stored_bytes"].sum() == analysis.summary(frames)["stored_bytes"].item()
    pairs = analysis.shared_bytes(frames, by="repository")
    assert set(pairs["reference_a"]) | set(pairs["reference_b"]) <= {
        f"{app.registry}/{app.repository}" for app in world.apps
    }
