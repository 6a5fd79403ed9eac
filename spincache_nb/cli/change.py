"""Commands that look after a cache: verify, repair, remove, prune, clear, export, import."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spincache_nb import show
from spincache_nb.cli import command as cli
from spincache_nb.show import Column

if TYPE_CHECKING:
    from spincache_nb.upkeep import RemovalPlan, RemovalResult, Skipped

_ROWS_IN_A_TERMINAL = 40
_PROBLEM = ("path", "reference", "kind", "detail", "remedy")  # as the columns of frames.problems


@cli.command(
    """\
Hash every stored blob and list what is wrong with the cache: damaged, truncated and
missing blobs, missing members of archives, stale documents, leftovers. Nothing is changed.

What seems damaged is read again before it is reported. The exit status is 1 if something
is damaged or missing; leftovers and foreign files alone are no damage.""",
    cli.threads("files hashed at a time (default: one for each processor)"),
    cli.QUIET,
    cli.PROJECTS,
    *cli.CACHE,
    examples=("verify", "verify --json --quiet"),
)
def verify(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb.upkeep import check_cache, is_damage  # and not frames.verify: hashing needs no pandas

    cache = cli.cache_of(args)
    problems = check_cache(cache, jobs=args.jobs, progress=cli.progress(args), projects=args.projects)
    damaged = sum(is_damage(problem.kind, problem.reference) for problem in problems)
    found = [cli.fields(problem, *_PROBLEM) for problem in problems]
    if output.as_json:
        output.document(found)
    elif not found:
        output.note(f"everything stored in {cache.path} is whole")
    else:
        cli.show_problems(found, output)
        output.line(f"{show.count_text(len(found), 'problem')}, {damaged} of them damage")
    return cli.FINDING if damaged else cli.DONE


@cli.command(
    """\
Hash every stored blob, then fetch exactly what is damaged or missing from the registry
that its app came from, by digest, and unpack archives again whose members are missing.
Damaged sources that a --project names come from where its spin.toml says.

A damaged file stays until its good copy is there. This writes to the cache, which goes
beyond what Spin promises; so does every pull with this toolkit. The exit status is 3 if
something could not be fetched, and 1 if damage remains for which there is no source.""",
    cli.DURABLE,
    cli.QUIET,
    cli.PROJECTS,
    *cli.CACHE,
    cli.JOBS,
    cli.registry,
    examples=("repair", "repair --ca company.pem", "repair --json --quiet"),
)
def repair(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb.upkeep import repair

    result = repair(cli.cache_of(args), projects=args.projects, **cli.transfer_options(args))
    repaired = [asdict(row) for row in result.repaired]
    remaining = [asdict(row) for row in result.remaining]
    if output.as_json:
        cost = cli.fields(result, "failed", "wire_bytes", "seconds")
        output.document({"repaired": repaired, "remaining": remaining, **cost})
    else:
        for row in result.repaired:
            output.paragraph(f"repaired: {row.path} ({row.kind})", hang="  ")
        if repaired and remaining:
            output.line()
        cli.show_problems(remaining, output)
        output.line(show.plain(result.summary()))
    return cli.FAILED if result.failed else cli.FINDING if result.damaged else cli.DONE


@cli.command(
    """\
Remove apps from the cache, with every blob that nobody else needs. The plan says what
goes, what stays, and which app it stays for; then you are asked.

This goes beyond what Spin promises: it documents only the deletion of the whole registry
directory (`spincache-nb clear`). An app that is removed is simply pulled again.""",
    cli.references("*", "an app in the cache, as `spincache-nb apps` names it"),
    cli.option(
        "--keep",
        type=cli.at_least_one,
        metavar="N",
        help="instead of REFERENCEs: all but the N newest versions of each repository",
    ),
    *cli.REMOVING,
    examples=(
        "remove ghcr.io/org/app:v1",
        "remove ghcr.io/org/app:v1 --dry-run",
        "remove ghcr.io/org/app:v1 --yes",
        "remove --keep 2 --dry-run",
    ),
)
def remove(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb.upkeep import plan_remove

    if bool(args.references) == bool(args.keep):
        raise cli.UsageError("expected either REFERENCEs or --keep N, got both or neither")
    cache = cli.cache_of(args)
    chosen = args.references
    if args.keep:
        from spincache_nb.analysis import superseded_references

        chosen = superseded_references(cache, keep=args.keep)
    plan = plan_remove(cache, chosen, projects=args.projects, even_if_unknown=args.even_if_unknown)
    return _carry_out(plan, args, output, nothing=f"nothing to remove from {cache.path}")


@cli.command(
    """\
Remove blobs that no cached app and no given project needs, and leftovers of downloads
that were killed. The plan says why each is thought unneeded; then you are asked. What is
younger than the grace period stays: a pull that goes on may need it.

With a budget, apps go too, the least recently pulled first.

This goes beyond what Spin promises: it documents only the deletion of the whole registry
directory (`spincache-nb clear`). Spin downloads again what it needs.""",
    cli.option(
        "--grace",
        type=cli.whole_number,
        metavar="SECONDS",
        help="keep what was written or touched within so many seconds (default: 3600)",
    ),
    cli.option(
        "--keep-bytes",
        type=cli.size_in_bytes,
        metavar="SIZE",
        help="remove apps, the least recently pulled first, until the cache is no larger, such as 2GiB",
    ),
    cli.option(
        "--keep-newest",
        type=cli.whole_number,
        metavar="N",
        help="keep the N most recently pulled apps in any case; without --keep-bytes remove all others",
    ),
    *cli.REMOVING,
    examples=(
        "prune --dry-run",
        "prune --project ~/src/my-app",
        "prune --keep-bytes 2GiB --keep-newest 5 --yes",
    ),
)
def prune(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb.upkeep import GRACE_SECONDS, plan_prune

    cache = cli.cache_of(args)
    plan = plan_prune(
        cache,
        projects=args.projects,
        grace_seconds=GRACE_SECONDS if args.grace is None else float(args.grace),
        keep_bytes=args.keep_bytes,
        keep_newest=args.keep_newest,
        even_if_unknown=args.even_if_unknown,
    )
    nothing = f"nothing to prune in {cache.path}"
    if plan.kept:
        files = "file is" if len(plan.kept) == 1 else "files are"
        nothing += f"; {len(plan.kept)} unneeded {files} younger than the grace period"
    return _carry_out(plan, args, output, nothing=nothing)


@cli.command(
    """\
Remove the whole `registry` directory, the one operation on the cache that Spin documents.
It is renamed first, so that a Spin starting at that moment sees either the old cache or
none. Spin downloads again what it needs.

A directory that is no Spin registry cache is refused: a home directory, a link, a folder
with other files in it.""",
    cli.removal,
    *cli.CACHE,
    examples=("clear --dry-run", "clear --yes"),
)
def clear(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb.upkeep import plan_clear

    cache = cli.cache_of(args)
    return _carry_out(plan_clear(cache), args, output, nothing=f"there is no cache at {cache.path}")


def _carry_out(plan: RemovalPlan, args: argparse.Namespace, output: cli.Output, *, nothing: str) -> int:
    """Show a plan, ask unless told not to, and carry it out."""
    if output.as_json:
        return _carry_out_for_a_program(plan, args, output)
    if plan.items:
        _show_plan(plan, output)
    else:
        output.note(nothing)
    if args.dry_run or not plan.items:
        return cli.DONE
    if not args.yes and not _asked(plan, output):
        output.note("nothing was removed")
        return cli.INTERRUPTED
    result = plan.execute()
    output.line(show.plain(result.summary()))
    for left in (*result.failed, *result.skipped):
        output.note(f"{left.item.path} stays: {left.reason}")
    return cli.FAILED if result.failed else cli.DONE


def _carry_out_for_a_program(plan: RemovalPlan, args: argparse.Namespace, output: cli.Output) -> int:
    if not (args.yes or args.dry_run):
        raise cli.UsageError("--json needs --yes or --dry-run, since a program cannot be asked")
    result = plan.execute() if args.yes else None
    output.document({**_removal_record(plan), "result": None if result is None else _result_record(result)})
    return cli.FAILED if result is not None and result.failed else cli.DONE


_ITEMS = (
    Column("what", "What"),
    Column("path", "Path", shortest=24),
    Column("stored_bytes", "Size", "size"),
    Column("reason", "Why", shortest=20, cut="end", rank=1),
)
_KEPT = (
    Column("path", "Kept", shortest=24),
    Column("stored_bytes", "Size", "size"),
    Column("reason", "Why", shortest=20, cut="end"),
    Column("users", "For", show=lambda users: ", ".join(users), shortest=20),
)


def _show_plan(plan: RemovalPlan, output: cli.Output) -> None:
    record = _removal_record(plan)
    _show_some(record["items"], _ITEMS, output)
    if plan.kept:
        output.line()
        _show_some(record["kept"], _KEPT, output)
    output.line()
    for note in plan.notes:
        output.paragraph(note)
    output.line(show.plain(plan.summary()))


def _show_some(rows: Sequence[dict[str, Any]], columns: Sequence[Column], output: cli.Output) -> None:
    shown = len(rows) if output.width is None else _ROWS_IN_A_TERMINAL
    output.table(rows[:shown], columns)
    if len(rows) > shown:
        output.line(f"{show.more_text(len(rows), shown)}; --json lists all")


def _asked(plan: RemovalPlan, output: cli.Output) -> bool:
    """Ask on standard error, read from standard input; anything but yes is no."""
    output.flush()
    output.note(plan.notice)
    sys.stderr.write("Go on? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        sys.stderr.write("\n")
        raise cli.UsageError("nobody answered; --yes goes on without asking, --dry-run only shows the plan")
    return answer.strip().lower() in ("y", "yes")


def _removal_record(plan: RemovalPlan) -> dict[str, Any]:
    item_fields = ("path", "what", "digest", "reference", "stored_bytes", "reason")
    kept_fields = ("path", "area", "digest", "stored_bytes", "users", "reason")
    return {
        "kind": plan.kind,
        "cache": str(plan.cache.path),
        "freed_bytes": plan.freed_bytes,
        "references": list(plan.references),
        "items": [cli.fields(item, *item_fields) for item in plan.items],
        "kept": [cli.fields(blob, *kept_fields) for blob in plan.kept],
        "notes": list(plan.notes),
        "notice": plan.notice,
    }


def _result_record(result: RemovalResult) -> dict[str, Any]:
    def left(things: Sequence[Skipped]) -> list[dict[str, str]]:
        return [{"path": one.item.path, "reason": one.reason} for one in things]

    return {
        "freed_bytes": result.freed_bytes,
        "removed": [item.path for item in result.removed],
        "skipped": left(result.skipped),
        "failed": left(result.failed),
    }


@cli.command(
    """\
Write apps of the cache to one tar file, an OCI image layout that skopeo and oras
read too; `spincache-nb import` reads it on the other side. Every blob is checked
against its digest on the way.

Nothing is invented: an app whose manifest Spin may have written anew is refused
unless --rewritten says to take it as it is stored.""",
    cli.references("+", "an app of the cache, as `spincache-nb apps` names it"),
    cli.option(
        "-o", "--output", metavar="FILE", required=True, help="the tar file; it appears when it is whole"
    ),
    cli.option(
        "--rewritten",
        action="store_true",
        help="also take apps whose manifest may not be the registry's own bytes",
    ),
    *cli.CACHE,
    examples=("export ghcr.io/org/app:v1 -o apps.tar",),
)
def export(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb.core.transfer import export

    exported = export(cli.cache_of(args), args.references, args.output, rewritten=args.rewritten)
    if output.as_json:
        apps = [
            {"reference": name, "manifest_digest": digest, "rewritten": name in exported.rewritten}
            for name, digest in exported.references.items()
        ]
        output.document({"path": str(exported.path), "stored_bytes": exported.stored_bytes, "apps": apps})
        return cli.DONE
    for reference in exported.references:
        note = " (its manifest as Spin wrote it)" if reference in exported.rewritten else ""
        output.line(show.plain(reference) + note)
    output.line(f"{show.size_text(exported.stored_bytes)} in {show.plain(exported.path)}")
    return cli.DONE


@cli.command(
    """\
Store the apps of an OCI image layout in the cache as a pull from a registry would:
a tar file of `spincache-nb export`, of skopeo (oci-archive:FILE) or of oras, or a
folder. Every blob is checked against its digest. Nothing is asked of a network.""",
    cli.option("file", metavar="FILE", help="an uncompressed tar file, or a folder"),
    cli.option(
        "--name",
        dest="names",
        action="append",
        default=[],
        metavar="NAME=REFERENCE",
        help="what an app of the file is called, where it says no more than a tag; may be repeated",
    ),
    cli.QUIET,
    *cli.CACHE,
    examples=("import apps.tar", "import from-skopeo.tar --name v1=ghcr.io/org/app:v1"),
)
def import_(args: argparse.Namespace, output: cli.Output) -> int:
    from spincache_nb.cli.fetch import plan_record
    from spincache_nb.core.transfer import import_

    names = dict(_pair(text) for text in args.names)
    results = import_(cli.cache_of(args), args.file, names=names, progress=cli.progress(args))
    records = [plan_record(result) for result in results]
    if output.as_json:
        output.document(records)
    else:
        output.table(records, (cli.REFERENCE, *cli.COST[:2], Column("fetch_bytes", "Stored", "size")))
    return cli.DONE


def _pair(text: str) -> tuple[str, str]:
    name, equals, reference = text.partition("=")
    if not (name and equals and reference):
        raise cli.UsageError(f"--name {text}: expected NAME=REFERENCE, such as v1=ghcr.io/org/app:v1")
    return name, reference
