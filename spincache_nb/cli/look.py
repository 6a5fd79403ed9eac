"""Commands that list: what is in the cache, what it shares, what its versions cost."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spincache_nb import show
from spincache_nb.cli import command as cli
from spincache_nb.show import Column

if TYPE_CHECKING:
    import pandas as pd

    from spincache_nb.analysis.versions import Rules
    from spincache_nb.frames import Frames

_MOST_SHARED = 20


def _listed(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    args: argparse.Namespace,
    output: cli.Output,
    *,
    empty: str,
    noun: str,
    total: Mapping[str, str],
) -> int:
    """Print a frame in the order asked for, and what columns add up to, in the words of `total`."""
    found = _in_order(frame, columns, args)
    output.frame(found, columns, empty=empty)
    if len(found) and not output.as_json:
        sums = [f"{show.size_text(int(found[name].sum()))} {words}" for name, words in total.items()]
        output.line("\n" + ", ".join([show.count_text(len(found), noun), *sums]))
    return cli.DONE


def _in_order(frame: pd.DataFrame, columns: Sequence[Column], args: argparse.Namespace) -> pd.DataFrame:
    """Sort by a column, named as in the table or in JSON: numbers and times fall, text rises."""
    if args.sort is None:
        return frame
    named = {column.heading.lower().replace(" ", "-"): column for column in columns}
    named |= {column.name: column for column in columns}
    column = named.get(args.sort.lower())
    if column is None:
        near = difflib.get_close_matches(args.sort, named, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        names = ", ".join(name for name in named if name not in frame.columns)
        raise cli.UsageError(f"--sort: expected one of {names}, got {args.sort!r}{meant}")
    rising = not (column.style == "number" or column.kind == "time")
    return frame.sort_values(column.name, ascending=rising != args.reverse, kind="stable", na_position="last")


def _sorting(parser: argparse.ArgumentParser) -> None:
    """Let the user choose the order of rows."""
    parser.add_argument("--sort", metavar="COLUMN", help="order by a column of the table, such as reference")
    parser.add_argument("--reverse", action="store_true", help="with --sort, the other way round")


APPS = (
    cli.REFERENCE,
    Column("kind", "Kind", rank=2),
    Column("name", "Name", shortest=12, rank=4),
    Column("version", "Version", shortest=7, rank=6),
    Column("component_count", "Components", "count", rank=7),
    Column("layer_count", "Layers", "count", rank=3),
    Column("declared_bytes", "Declared", "size", rank=5),
    Column("stored_bytes", "Stored", "size"),
    Column("pulled_at", "Pulled", "time", rank=1),
    Column("manifest_digest", "Manifest", shortest=16, cut="end", rank=8),
)


@cli.command(
    """\
List the apps and packages in the cache.

An app is one cached tag. STORED are the bytes of its blobs on disk, shared ones
included, so that the column adds up to more than the cache takes.""",
    _sorting,
    *cli.CACHE,
    examples=("apps", "apps --sort stored", "apps --json"),
)
def apps(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb import frames

    cache = cli.cache_of(args)
    empty = f"no apps in {cache.path}; fetch one with `spincache-nb pull REFERENCE`"
    total = {"stored_bytes": "stored, shared ones counted for each"}
    return _listed(frames.apps(cache), APPS, args, output, empty=empty, noun="app", total=total)


_LAYERS = (
    cli.REFERENCE,
    Column("position", "#", "count", rank=4),
    Column("role", "Role", shortest=8),
    cli.DIGEST,
    Column("declared_bytes", "Size", "size"),
    Column("stored", "Stored", "flag", rank=3),
    Column("media_type", "Media type", shortest=24, rank=5),
)


@cli.command(
    "List the layers that the manifests of cached apps name, and whether each is stored.",
    cli.references("*", "only the layers of these apps"),
    _sorting,
    *cli.CACHE,
    examples=("layers", "layers ghcr.io/org/app:v1"),
)
def layers(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb import frames
    from spincache_nb.analysis.inputs import resolve_references

    cache = cli.cache_of(args)
    found = frames.layers(cache)
    if args.references:
        found = found[found["reference"].isin(resolve_references(frames.apps(cache), args.references))]
    empty, total = f"no layers in {cache.path}", {"declared_bytes": "declared"}
    return _listed(found, _LAYERS, args, output, empty=empty, noun="layer", total=total)


_BLOBS = (
    Column("area", "Area"),
    Column("name", "Name", shortest=20, cut="end"),
    Column("stored_bytes", "Size", "size"),
    Column("standing", "Standing"),
    Column("modified_at", "Modified", "time", rank=1),
)


@cli.command(
    """\
List the files in wasm/ and data/ and how each stands: referenced by an app or a
project, unreferenced, temporary (a download that was not finished) or misnamed.

A blob that no cached app needs may still be the source of a component in a
spin.toml: name such projects with --project before calling it unneeded.""",
    cli.option(
        "--standing",
        choices=("referenced", "unreferenced", "temporary", "misnamed"),
        metavar="STANDING",
        help="only files that stand so: referenced, unreferenced, temporary or misnamed",
    ),
    _sorting,
    cli.PROJECTS,
    *cli.CACHE,
    examples=("blobs", "blobs --sort size", "blobs --standing unreferenced --project ~/src/my-app"),
)
def blobs(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb import frames

    cache = cli.cache_of(args)
    found = frames.blobs(cache, projects=args.projects)
    if args.standing is not None:
        found = found[found["standing"] == args.standing]
    empty, total = f"no such files in {cache.path}", {"stored_bytes": "on disk"}
    return _listed(found, _BLOBS, args, output, empty=empty, noun="file", total=total)


@cli.command(
    """\
List what is wrong with the cache: missing, truncated and misplaced files,
documents that cannot be read. Blobs are not hashed for this.

The exit status is 1 if there is any problem.""",
    *cli.CACHE,
    examples=("problems", "problems --json"),
)
def problems(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb import frames

    cache = cli.cache_of(args)
    found = show.records(frames.problems(cache))
    if output.as_json:
        output.document(found)
    elif not found:
        output.note(f"no problems in {cache.path}")
    else:
        cli.show_problems(found, output)
        output.line(show.count_text(len(found), "problem"))
    return cli.FINDING if found else cli.DONE


_HISTORY = (
    Column("at", "At", "time"),
    cli.REFERENCE,
    Column("manifest_digest", "Manifest", shortest=16, cut="end", rank=2),
    Column("fetch_bytes", "Fetched", "size"),
    Column("reused_bytes", "Reused", "size", rank=1),
    Column("wire_bytes", "Received", "size", rank=4),
    Column("seconds", "Time", "seconds", rank=3),
    Column("cache", "Cache", shortest=20, cut="start", rank=5),
)


@cli.command(
    """\
List the pulls that this toolkit made on this machine, oldest first: which digest
a tag meant when, and what it cost. Spin keeps no such record, and its own pulls
are not in it.

With --cache-dir only pulls into that cache are listed.""",
    _sorting,
    *cli.CACHE,
    examples=("history", "history --sort received"),
)
def history(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb import frames

    cache = cli.cache_of(args) if args.cache_dir is not None else None
    found, total = frames.history(cache), {"fetch_bytes": "fetched", "reused_bytes": "reused"}
    return _listed(found, _HISTORY, args, output, empty="no pulls are recorded", noun="pull", total=total)


SHARED = (
    cli.DIGEST,
    Column("stored_bytes", "Size", "size"),
    Column("user_count", "Users", "count"),
    Column("manifest_count", "Manifests", "count", rank=1),
    Column("saved_bytes", "Saved", "size"),
    Column("names", "Names", shortest=12, cut="end"),
)


@cli.command(
    """\
List the blobs that several apps need, most bytes saved first, and what storing
each of them once saves in all.

USERS are apps and projects; MANIFESTS counts tags of one manifest once.""",
    cli.option("--all", action="store_true", help="blobs with one user, too"),
    cli.option(
        "--top",
        type=cli.whole_number,
        metavar="N",
        help=f"how many blobs to list, 0 for all of them (default: {_MOST_SHARED}; with --json all)",
    ),
    _sorting,
    cli.PROJECTS,
    *cli.CACHE,
    examples=("sharing", "sharing --all", "sharing --sort users"),
)
def sharing(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb import analysis

    cache = cli.cache_of(args)
    source = analysis.load(cache, projects=args.projects, toolchains=False)
    shared = analysis.sharing(source)
    if not args.all:
        shared = shared[shared["user_count"] > 1]
    shared = _in_order(shared, SHARED, args)
    most = args.top if args.top is not None else 0 if output.as_json else _MOST_SHARED
    listed = shared.head(most) if most else shared
    output.frame(listed, SHARED, empty=f"nothing in {cache.path} is shared")
    if not output.as_json:
        if len(listed) < len(shared):
            output.line(f"{show.more_text(len(shared), len(listed))}; `--top 0` lists all")
        _show_summary(show.records(analysis.summary(source))[0], output)
    return cli.DONE


def _show_summary(summary: dict[str, Any], output: cli.Output) -> None:
    names = ("logical_bytes", "stored_bytes", "saved_bytes")
    logical, stored, saved = (show.size_text(int(summary[name] or 0)) for name in names)
    ratio = summary["dedup_ratio"]
    times = f", {ratio:.2f} to 1" if ratio is not None else ""
    output.line()
    output.line(f"needed {logical}, stored {stored}, saved {saved}{times}")


_SAVINGS = (
    Column("tag", "Version", show=lambda tag: tag or "(digest)", shortest=12),
    *cli.COST,
    Column("saved_share", "Saved", "share"),
    Column("cumulative_fetch_bytes", "Fetched so far", "size", rank=2),
    Column("cumulative_saved_bytes", "Saved so far", "size", rank=1),
    Column("created_at", "Created", "time", rank=3),
)


@cli.command(
    """\
Replay the cached versions of a repository in order, as if each were pulled after
the one before into an empty cache: what it fetches, and what was there already.

Without a REPOSITORY, every repository with more than one cached version.

With --remote, the versions that the registry has: their manifests are fetched, no layer
is, and the cache does not matter.""",
    cli.option("repositories", nargs="*", metavar="REPOSITORY", help="such as ghcr.io/org/app"),
    cli.option(
        "--rules",
        choices=("spin", "spincache"),
        default="spin",
        help="what to count: what Spin fetches, or what this toolkit does, which fetches an unchanged "
        "config no second time (default: spin)",
    ),
    cli.option(
        "--remote", action="store_true", help="of all tags in the registry, whether they are cached or not"
    ),
    cli.QUIET,
    *cli.CACHE,
    cli.JOBS,
    cli.registry,
    examples=("savings", "savings ghcr.io/org/app --rules spincache", "savings ghcr.io/org/app --remote"),
)
def savings(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb import analysis

    cache = cli.cache_of(args)
    if args.remote:
        found = _remote(args, output)
    else:
        frames = analysis.load(cache, "apps", "layers", "uses", "files")
        found = savings_of(frames, args.repositories, rules=args.rules)
    if output.as_json:
        output.document([{"repository": name, **row} for name, rows in found.items() for row in rows])
    elif found:
        show_savings(found, output)
    else:
        output.note(f"no repository in {cache.path} has more than one version")
    return cli.DONE


def savings_of(
    frames: Frames, repositories: Sequence[str] = (), *, rules: Rules = "spin"
) -> dict[str, list[dict[str, Any]]]:
    """Replay what is in a cache: the repositories named, or all with several versions."""
    from spincache_nb import analysis
    from spincache_nb.analysis.versions import versioned_repositories

    return {
        repository: show.records(analysis.version_savings(frames, repository, rules=rules))
        for repository in repositories or sorted(versioned_repositories(frames))
    }


def _remote(args: argparse.Namespace, output: cli.Output) -> dict[str, list[dict[str, Any]]]:
    """Replay what the registries have."""
    from spincache_nb import analysis
    from spincache_nb.core.reference import Reference

    if not args.repositories:
        raise cli.UsageError("--remote needs a REPOSITORY")
    options = cli.registry_options(args)
    found = {}
    for place in [Reference.parse(text) for text in args.repositories]:
        versions = analysis.remote_versions(place, progress=not args.quiet, **options)
        found[versions.repository] = show.records(analysis.remote_savings(versions, rules=args.rules))
        if len(versions.problems):
            kinds = ", ".join(sorted(set(versions.problems["kind"])))
            output.note(f"{versions.repository}: {len(versions.problems)} other tags ({kinds})")
    return found


def show_savings(found: dict[str, list[dict[str, Any]]], output: cli.Output, *, indent: str = "") -> None:
    """Print the versions of each repository."""
    for place, (repository, rows) in enumerate(found.items()):
        if place:
            output.line()
        output.line(f"{indent}{show.plain(repository)}")
        output.table(rows, _SAVINGS, indent=f"{indent}  ")
        fetched, total = (sum(row[name] or 0 for row in rows) for name in ("fetch_bytes", "total_bytes"))
        saved = show.share_text((total - fetched) / total if total else 0)
        output.line(
            f"{indent}  in all: {show.size_text(fetched)} of {show.size_text(total)} fetched, {saved} saved"
        )
