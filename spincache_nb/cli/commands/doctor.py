"""``spincache-nb doctor``: is everything in place?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spincache_nb.cli import cells
from spincache_nb.cli.command import DONE, FINDING, Command
from spincache_nb.cli.faults import in_a_shell
from spincache_nb.cli.options import (
    add_cache_dir,
    add_json,
    add_references,
    add_registry,
    cache_of,
    registry_options,
)
from spincache_nb.cli.output import Output

if TYPE_CHECKING:
    from spincache_nb.core.cache import Cache
    from spincache_nb.upkeep.doctor import Finding

_DESCRIPTION = """\
Look at what a pull depends on: the cache and its disk, credential stores, proxies,
certificates, packages. Nothing is changed and no secret is shown.

The network is used only if a REFERENCE is given: then its registry is asked for the
manifest. The exit status is 1 if something needs attention."""
_MARKS = {"ok": " ", "note": "-", "attention": "!"}


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_references(parser, count="*", what="an app to ask its registry for, such as ghcr.io/org/app:v1")
    add_cache_dir(parser)
    add_json(parser)
    add_registry(parser, jobs=False)


def run(args: argparse.Namespace, output: Output) -> int:
    """Print findings by topic; status 1 if one needs attention."""
    from spincache_nb.core.reference import Reference
    from spincache_nb.upkeep.doctor import ask_registry, examine

    cache = cache_of(args)
    options = registry_options(args)
    references = [Reference.parse(text) for text in args.references]
    findings = [*examine(cache), _problems(cache)]
    findings += [ask_registry(cache, reference, **options) for reference in references]
    if output.as_json:
        output.document([_record(finding) for finding in findings])
    else:
        _show(findings, output)
    return FINDING if any(finding.state == "attention" for finding in findings) else DONE


def _problems(cache: Cache) -> Finding:
    from spincache_nb import frames
    from spincache_nb.upkeep.doctor import Finding

    count = len(frames.problems(cache))
    if count:
        return Finding("cache", "problems", count, "attention", "see `spincache-nb problems`")
    return Finding("cache", "problems", 0)


def _record(finding: Finding) -> dict[str, Any]:
    return {
        "topic": finding.topic,
        "name": finding.name,
        "value": in_a_shell(finding.value) if isinstance(finding.value, str) else finding.value,
        "state": finding.state,
        "remedy": in_a_shell(finding.remedy),
    }


def _show(findings: Sequence[Finding], output: Output) -> None:
    for topic in dict.fromkeys(finding.topic for finding in findings):
        output.line(topic)
        for finding in (finding for finding in findings if finding.topic == topic):
            output.paragraph(
                f"{_name(finding)}: {_value(finding)}", indent=f"{_MARKS[finding.state]} ", hang="    "
            )
            if finding.remedy:
                output.paragraph(in_a_shell(finding.remedy), indent="    -> ", hang="       ")
    attention = sum(finding.state == "attention" for finding in findings)
    output.line()
    output.line(f"! {attention} to look at" if attention else "nothing needs attention")


def _name(finding: Finding) -> str:
    return finding.name.removesuffix("_bytes").replace("_", " ") if _is_size(finding) else finding.name


def _is_size(finding: Finding) -> bool:
    return finding.name.endswith("_bytes")


def _value(finding: Finding) -> str:
    value = finding.value
    if value is None:
        return "none"
    if isinstance(value, bool):
        return cells.yes(value)
    return cells.size(value) if _is_size(finding) and isinstance(value, int) else in_a_shell(str(value))


COMMAND = Command(
    "doctor",
    "look for what would keep a pull from working",
    _DESCRIPTION,
    _arguments,
    run,
    ("doctor", "doctor ghcr.io/org/app:v1"),
)
