"""Options that several commands take."""

import argparse
import io

import pytest

from spincache_nb.cli import build_parser
from spincache_nb.cli.command import UsageError, registry_options, size_in_bytes


def parse(*words):
    return build_parser().parse_args(["pull", "localhost:5000/a:1", *words])


def feed(monkeypatch, data):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), {"insecure": None}),
        (("--insecure",), {"insecure": True}),
        (("--https", "--jobs", "4", "--ca", __file__), {"insecure": False, "jobs": 4, "ca": __file__}),
    ],
)
def test_registry_options_choose_the_scheme_jobs_and_ca(words, options):
    assert registry_options(parse(*words)) == options


@pytest.mark.parametrize(
    ("data", "password"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b" two words \n", " two words "),
        ("pässwörd ✓\n".encode(), "pässwörd ✓"),
        (b"with:colon", "with:colon"),
    ],
)
def test_registry_options_read_the_password_from_standard_input(data, password, monkeypatch):
    feed(monkeypatch, data)
    options = registry_options(parse("--username", "ann", "--password-stdin"))
    assert options["auth"] == ("ann", password)


@pytest.mark.parametrize(
    ("words", "data", "complaint"),
    [
        (("--password-stdin",), b"x", "needs --username"),
        (("--username", "ann"), b"x", "needs --password-stdin"),
        (("--username", "a:b", "--password-stdin"), b"x", "without a colon"),
        (("--username", "", "--password-stdin"), b"x", "without a colon"),
        (("--username", "ann", "--password-stdin"), b"", "nothing came"),
        (("--username", "ann", "--password-stdin"), b"\n", "nothing came"),
        (("--username", "ann", "--password-stdin"), b"\xff", "UTF-8"),
        (("--username", "ann", "--password-stdin"), b"x" * 70000, "no password"),
        (("--ca", "/nonexistent.pem"), b"", "no such file"),
    ],
)
def test_registry_options_refuse_what_makes_no_sense(words, data, complaint, monkeypatch):
    feed(monkeypatch, data)
    with pytest.raises(UsageError, match=complaint) as caught:
        registry_options(parse(*words))
    assert data.decode("utf-8", "replace").strip() not in str(caught.value) or data in (b"", b"x", b"\n")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        *(
            ("0", 0),
            ("10 B", 10),
            ("1K", 1024),
            ("1kB", 1000),
            ("1 KiB", 1024),
            ("2g", 2 << 30),
            ("1TB", 10**12),
        ),
        *(("1.5GiB", 3 << 29), ("0.5MiB", 1 << 19), ("1PiB", 1 << 50), ("1.5G", 3 << 29), ("0.1 KiB", 102)),
    ],
)
def test_size_in_bytes_takes_every_form_that_is_printed(text, count):
    assert size_in_bytes(text) == count


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1 X", "K", "1e9", "\u0661", "1.K", ".5M", "1.5 B"])
def test_size_in_bytes_refuses(text):
    with pytest.raises(argparse.ArgumentTypeError):
        size_in_bytes(text)
