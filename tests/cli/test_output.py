"""Standard output of a command."""

import io
import sys
from pathlib import Path

from spincache_nb.cli.command import Output
from spincache_nb.show import Column


def test_width_is_unlimited_in_a_pipe_and_as_columns_says(monkeypatch):
    assert Output().width is None
    monkeypatch.setenv("COLUMNS", "100")
    assert Output().width == 100
    monkeypatch.setenv("COLUMNS", "3")
    assert Output().width == 40
    monkeypatch.setenv("COLUMNS", "wide")
    assert Output().width is None


def test_table_uses_a_mark_that_the_stream_can_write(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    Output().table([{"name": "x" * 60}], (Column("name", "NAME", shortest=5, cut="end"),))
    stream.flush()
    assert stream.buffer.getvalue().decode() == f"NAME\n{'x' * 39}~\n"


def test_paragraph_wraps_on_a_terminal_only(monkeypatch, capsys):
    text = "a sentence of some length that goes on\x1b"
    Output().paragraph(text, indent="  ")
    assert capsys.readouterr().out == "  a sentence of some length that goes on\\x1b\n"
    monkeypatch.setenv("COLUMNS", "40")
    Output().paragraph(text, indent="- ", hang="  ")
    assert capsys.readouterr().out == "- a sentence of some length that goes\n  on\\x1b\n"


def test_path_is_written_byte_for_byte(capfdbinary):
    Output().path(Path("/srv/\udc80 x\n"))
    assert capfdbinary.readouterr().out == b"/srv/\x80 x\n\n"


def test_path_is_text_where_a_notebook_takes_nothing_else(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    Output().path(Path("/srv/spin"))
    assert stream.getvalue() == "/srv/spin\n"
