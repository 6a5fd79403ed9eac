"""The parser and its help."""

import argparse
import shlex

import pytest

from spincache_nb.cli import build_parser, entry, main
from spincache_nb.cli.command import COMMANDS
from tests.support.procs import run_python

NAMES = list(entry._MODULES)


def subparsers():
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("no commands")


def test_every_command_is_in_the_help_once():
    assert list(subparsers()) == NAMES
    assert sorted(NAMES) == sorted(COMMANDS)
    assert len(NAMES) >= 25


def test_every_command_offers_cache_dir_and_json_where_it_makes_sense():
    for name, parser in subparsers().items():
        options = {option for action in parser._actions for option in action.option_strings}
        assert "--debug" in options
        assert {"--cache-dir", "--json"} <= options or name in ("demo", "crawl", "lab", "dashboard")


@pytest.mark.parametrize("name", NAMES)
def test_help_of_every_command_fits_80_columns(name, monkeypatch, run):
    monkeypatch.setenv("COLUMNS", "80")
    status, output, _ = run(name, "--help")
    assert status == 0
    assert output.startswith(f"usage: spincache-nb {name} ")
    assert [line for line in output.splitlines() if len(line) > 80 and "--username" not in line] == []


def test_help_names_commands_and_statuses(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    assert all(f"\n  {name}  " in output for name in NAMES)
    assert "130 interrupted" in output
    assert max(len(line) for line in output.splitlines()) <= 80


def test_examples_of_every_command_parse():
    for command in COMMANDS.values():
        assert command.examples
        for example in command.examples:
            words = shlex.split(
                example.partition("#")[0].partition("|")[0].partition("<")[0].partition(">")[0]
            )
            args = build_parser().parse_args(words)
            assert args.command.name == command.name


def test_version_is_the_packages(capsys):
    from spincache_nb import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"spincache-nb {__version__}\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["frobnicate"], "spincache-nb: there is no command 'frobnicate'; see"),
        (["prone"], "spincache-nb: there is no command 'prone'; did you mean 'prune'?"),
        (["pull"], "spincache-nb pull: the following arguments are required: REFERENCE"),
        (["path", "--frob"], "spincache-nb: unrecognized arguments: --frob"),
        (["path", "--cache"], "spincache-nb: unrecognized arguments: --cache"),
        (["pull", "a", "--insecure", "--https"], "spincache-nb pull: argument --https: not allowed with"),
        (["frob\nnicate\x1b[2J"], "spincache-nb: there is no command 'frob\\nnicate\\x1b[2J'"),
        (["prune", "--yes", "--dry-run"], "spincache-nb prune: argument --dry-run: not allowed with"),
        (["report", "--markdown", "--json"], "spincache-nb report: argument --json: not allowed with"),
        (["crawl"], "spincache-nb crawl: the following arguments are required: REGISTRY, TARGET"),
    ],
)
def test_main_says_in_one_line_what_is_wrong_with_the_words(words, complaint, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(complaint)
    assert "--help`" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "option", "values"),
    [
        ("pull a", "--jobs", "0 -1 1001 four 1.5 ²"),
        ("dashboard", "--port", "0 65536 http -1 ٣"),
        ("prune", "--grace", "-1"),
        ("prune", "--keep-bytes", "lots"),
        ("prune", "--keep-newest", "x"),
        ("crawl ghcr.io t", "--jobs", "0"),
        ("crawl ghcr.io t", "--per-second", "0 often"),
        ("report", "--fail-under-dedup", "-1 nan inf"),
        ("report", "--fail-over-unreferenced", "lots"),
    ],
)
def test_values_of_options_are_checked(command, option, values, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = command.split()
    for value in values.split():
        status, out, err = run(*words, f"{option}={value}")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"spincache-nb {words[0]}: argument {option}: expected a")
    assert list(tmp_path.iterdir()) == []


def test_debug_is_taken_before_and_after_the_command():
    assert build_parser().parse_args(["--debug", "path"]).debug
    assert build_parser().parse_args(["path", "--debug"]).debug
    assert not build_parser().parse_args(["path"]).debug


def test_without_words_comes_the_help(capsys):
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("usage: spincache-nb ")


def test_a_command_loads_its_own_module_only():
    code = (
        "import sys; from spincache_nb.cli import build_parser; build_parser('pull');"
        "print(*(name.rpartition('.')[2] for name in sys.modules if name.startswith('spincache_nb.cli.')))"
    )
    done = run_python(["-c", code])
    assert sorted(done.stdout.split()) == ["command", "entry", "fetch"]
