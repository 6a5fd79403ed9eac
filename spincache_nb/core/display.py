"""How values show themselves in a notebook: short, escaped and alike everywhere.

Text from a registry or a file name goes through `Cell` or `escaped`, so that none of it becomes
mark-up. Nothing here reads a file; what is long is cut, and says how much more there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from spincache_nb.errors import printable

REUSED_COLOUR, FETCHED_COLOUR = "#0072B2", "#E69F00"
"""Blue and orange of Okabe and Ito ("Color Universal Design", 2008), as in the plots."""

_UNITS = ((1 << 10, "KiB"), (1 << 20, "MiB"), (1 << 30, "GiB"))
_SHORT_DIGEST = 12
_STYLES = {
    "text": "text-align:left",
    "code": "text-align:left",
    "number": "text-align:right;white-space:nowrap",
}


def size_text(count: int | None) -> str:
    """Show a number of bytes to people."""
    if count is None:
        return "?"
    if count < _UNITS[0][0]:
        return f"{count} B"
    fitting = (one for one in _UNITS if round(count / one[0], 1) < _UNITS[0][0])
    unit, name = next(fitting, _UNITS[-1])
    return f"{count / unit:.1f} {name}"


def count_text(count: int, noun: str) -> str:
    """Count things whose plural ends in s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def more_text(total: int, shown: int) -> str:
    """Say how many things are not shown; nothing if all are."""
    return f"and {total - shown:,} more" if total > shown else ""


def short_digest(digest: str) -> str:
    """Shorten a digest to its first twelve digits."""
    return digest.rpartition(":")[2][:_SHORT_DIGEST]


def escaped(text: str) -> str:
    """Make text harmless in HTML: control characters and mark-up are escaped, what is long is cut."""
    return escape(printable(text))


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table."""

    text: str
    kind: Literal["text", "code", "number"] = "text"
    title: str = ""

    def html(self) -> str:
        """The cell as a ``<td>``."""
        inner = escaped(self.text)
        if self.kind == "code":
            title = f' title="{escaped(self.title)}"' if self.title else ""
            inner = f"<code{title}>{inner}</code>"
        return f'<td style="{_STYLES[self.kind]}">{inner}</td>'


def size_cell(count: int | None) -> Cell:
    """Cell with a number of bytes."""
    return Cell(size_text(count), "number")


def digest_cell(digest: str) -> Cell:
    """Cell with a digest, shortened; the whole of it is its title."""
    return Cell(short_digest(digest), "code", digest)


def table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], *, most: int) -> str:
    """Make a table, or nothing if there are no rows."""
    if not rows:
        return ""
    head = "".join(
        f'<th scope="col" style="{_STYLES[cell.kind]}">{escape(heading)}</th>'
        for heading, cell in zip(headings, rows[0], strict=False)
    )
    head = f"<thead><tr>{head}</tr></thead>" if headings else ""
    body = "".join(f"<tr>{''.join(cell.html() for cell in row)}</tr>" for row in rows[:most])
    more = more_text(len(rows), most)
    if more:
        body += f'<tr><td colspan="{len(rows[0])}" style="text-align:left">{more}</td></tr>'
    return f"<table>{head}<tbody>{body}</tbody></table>"


def share_bar(reused_bytes: int, total_bytes: int) -> str:
    """Make a slim bar of the bytes that are stored already and those that are not."""
    if total_bytes <= 0:
        return ""
    share = 100 * min(reused_bytes, total_bytes) / total_bytes
    title = f"{size_text(reused_bytes)} of {size_text(total_bytes)} stored already"
    ground = f"linear-gradient(90deg,{REUSED_COLOUR} {share:.1f}%,{FETCHED_COLOUR} {share:.1f}%)"
    return (
        f'<div role="img" aria-label="{title}" title="{title}" '
        f'style="height:6px;max-width:24em;margin:4px 0;border-radius:3px;background:{ground}"></div>'
    )


def block(title: str, summary: str, *parts: str, notes: Iterable[str] = ()) -> str:
    """Put a value's parts together."""
    head = f"<b>{escaped(title)}</b> &middot; {escaped(summary)}" if title else f"<b>{escaped(summary)}</b>"
    said = "".join(f"<p>{escaped(note)}</p>" for note in notes if note)
    return f'<div class="spincache-value"><div>{head}</div>{"".join(parts)}{said}</div>'
