"""Values as people and programs read them: text for a terminal, HTML, Markdown and JSON.

Sizes, counts and times have one form everywhere (5.0 MiB, 10,000 apps, 2026-06-01 01:30:00), and a
`Table` is declared once for all four outputs. Text from a registry or a file name is escaped here, so
that none of it becomes mark-up or a terminal's control sequence. Nothing here reads a file.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import PurePath
from typing import Any, Literal

from spincache_nb.errors import SpinCacheError, printable

UNITS = (("PiB", 1 << 50), ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
"""Units of bytes, largest first."""

_SHORT_DIGEST = 12
_DIGEST = re.compile(r"(sha256|sha384|sha512):([0-9a-f]{64,128})")
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$@#^]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
"""What starts emphasis, code, links, cells, mathematics, mentions; bare addresses become links, too."""


def size_text(count: float | None) -> str:
    """Show a number of bytes: whole below 1 KiB, else with one decimal."""
    if count is None:
        return "?"
    if round(count) < 1 << 10:
        return f"{count:.0f} B"
    fitting = (one for one in reversed(UNITS) if round(count / one[1], 1) < 1 << 10)
    name, unit = next(fitting, UNITS[0])
    return f"{count / unit:.1f} {name}"


def unit_for(most: float) -> tuple[str, int]:
    """Choose the unit of an axis that reaches so many bytes."""
    return next(((name, unit) for name, unit in UNITS if most >= unit), ("bytes", 1))


def share_text(share: float | None) -> str:
    """Show a part of a whole in two digits; only nothing is 0 % and only all of it is 100 %."""
    if share is None:
        return "-"
    text = f"{100 * share:.1f} %" if 0 < share < 0.0995 else f"{100 * share:.0f} %"
    return {"0.0 %": "<0.1 %", "100 %": ">99 %"}.get(text, text) if share not in (0, 1) else text


def count_text(count: int, noun: str) -> str:
    """Count things whose plural ends in s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def more_text(total: int, shown: int) -> str:
    """Say how many things are not shown; nothing if all are."""
    return f"and {total - shown:,} more" if total > shown else ""


def time_text(value: datetime | None, form: Literal["time", "minute", "day"] = "time") -> str:
    """Show a time in UTC, to the second, minute or day."""
    pattern = {"time": "%Y-%m-%d %H:%M:%S", "minute": "%Y-%m-%d %H:%M", "day": "%Y-%m-%d"}[form]
    return "" if value is None else value.astimezone(UTC).strftime(pattern)


def seconds_text(seconds: float | None) -> str:
    """Show how long something took."""
    return "" if seconds is None else f"{seconds:.2f} s"


def wait_text(seconds: float) -> str:
    """Show how long something will take, rounded up to whole seconds."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def error_text(fault: BaseException) -> str:
    """Say in one line what went wrong."""
    if isinstance(fault, SpinCacheError):
        return str(fault)
    if isinstance(fault, OSError) and fault.strerror:
        return printable(f"{fault.filename}: {fault.strerror}" if fault.filename else fault.strerror)
    first = next(iter(str(fault).splitlines()), "")
    return printable(f"unexpected {type(fault).__name__}" + (f": {first}" if first else ""))


def plain(value: object) -> str:
    """Show any value on one line, control characters escaped; nothing for a missing value."""
    return "" if value is None else printable(str(value))


def escaped(text: str) -> str:
    """Make text harmless in HTML: control characters and mark-up are escaped, what is long is cut."""
    return escape(printable(text))


def markdown(text: str) -> str:
    """Make text mean itself in Markdown, where it does not begin a line."""
    return escape(_MARKDOWN.sub(r"\\\1", " ".join(text.split())), quote=False)


def short_digest(digest: str) -> str:
    """Shorten a digest to its first twelve digits."""
    return digest.rpartition(":")[2][:_SHORT_DIGEST]


def short_digests(digests: Iterable[str], *, at_least: int = 8) -> dict[str, str]:
    """Shorten digests as far as they stay different from each other."""
    names = sorted(set(digests))
    short = {}
    for before, name, after in zip(["", *names], names, [*names[1:], ""], strict=False):
        match = _DIGEST.fullmatch(name)
        if match is None:
            short[name] = name
            continue
        algorithm, encoded = match[1], match[2]
        length = max(at_least, max(_common(name, before), _common(name, after)) - len(algorithm))
        prefix = "" if algorithm == "sha256" else f"{algorithm}:"
        short[name] = prefix + (f"{encoded[:length]}…" if length < len(encoded) else encoded)
    return short


def _common(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


Cut = Literal["start", "middle", "end"]


def width(shown: str) -> int:
    """Columns that a text takes in a terminal."""
    return len(shown) if shown.isascii() else sum(map(_columns, shown))


def _columns(character: str) -> int:
    wide = unicodedata.east_asian_width(character) in "WF"
    return 0 if unicodedata.combining(character) else 1 + wide


def shorten(shown: str, columns: int, *, cut: Cut = "end", mark: str = "…") -> str:
    """Make a text fit into so many columns; cut in the middle it keeps more of its end."""
    if width(shown) <= columns:
        return shown
    left = columns - width(mark)
    if left <= 0:
        return _taken(shown, columns)
    start = {"start": 0, "middle": left // 3, "end": left}[cut]
    end = _taken(shown[::-1], left - start)[::-1]
    return _taken(shown, start) + mark + (end if cut != "end" else "")


def _taken(shown: str, columns: int) -> str:
    """Start of a text that takes at most so many columns."""
    used = 0
    for position, character in enumerate(shown):
        used += _columns(character)
        if used > columns:
            return shown[:position]
    return shown


def rows(frame: Any, *columns: str) -> Iterator[tuple[Any, ...]]:
    """Go through some columns of a frame as plain Python values, None for missing."""
    return zip(*(frame[name].to_numpy(dtype=object, na_value=None).tolist() for name in columns), strict=True)


def records(frame: Any) -> list[dict[str, Any]]:
    """Make one record per row of a frame, with plain Python values and None for missing ones."""
    names = [str(name) for name in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in rows(frame, *frame.columns)]


def to_json(document: object, *, indent: int | None = 2, longest: int | None = None) -> str:
    """Write one JSON document in ASCII: times as ISO 8601 in UTC, bytes as whole numbers."""
    return json.dumps(_json_value(document, longest), indent=indent, allow_nan=False)


def _json_value(value: Any, longest: int | None) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json_value(item, longest) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item, longest) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str) and longest is not None and len(value) > longest:
        return f"{value[:longest]}…"
    return value


Kind = Literal["text", "code", "digest", "size", "count", "share", "seconds", "time", "minute", "day", "flag"]
_FORMS: dict[str, Callable[[Any], str]] = {
    "size": size_text,
    "count": lambda count: f"{count:,}",
    "share": share_text,
    "seconds": seconds_text,
    "time": time_text,
    "minute": lambda value: time_text(value, "minute"),
    "day": lambda value: time_text(value, "day"),
    "flag": lambda value: "yes" if value else "no",
}
_STYLES = {
    "text": "text-align:left",
    "code": "text-align:left",
    "number": "text-align:right;white-space:nowrap",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: where its values come from and how they are shown in every output.

    `show` replaces the kind's own form. In a terminal a column may shrink to `shortest`, cut as `cut`
    says, and the one of the highest `rank` is left out first; in HTML and Markdown a text has at most
    `longest` characters.
    """

    name: str
    heading: str
    kind: Kind = "text"
    show: Callable[[Any], str] | None = None
    shortest: int | None = None
    cut: Cut = "middle"
    rank: int = 0
    longest: int = 160

    @property
    def title(self) -> str:
        """The heading; times say that they are in UTC."""
        return f"{self.heading} (UTC)" if self.kind in ("time", "minute", "day") else self.heading

    @property
    def style(self) -> Literal["text", "code", "number"]:
        """How cells of this column are set."""
        if self.kind in ("size", "count", "share", "seconds"):
            return "number"
        return "code" if self.kind in ("code", "digest") else "text"

    def text(self, value: Any) -> str:
        """Show a value whole, on one line."""
        if value is None and self.show is None and self.kind not in ("size", "share"):
            return ""
        return plain((self.show or _FORMS.get(self.kind, str))(value))

    def cells(self, values: Sequence[Any]) -> list[Cell]:
        """Show values for a page: short, digests as long as they need to stay different."""
        digests = (value for value in values if value is not None) if self.kind == "digest" else ()
        short = short_digests(digests, at_least=_SHORT_DIGEST)
        return [self._cell(self.text(value), short.get(value, "")) for value in values]

    def _cell(self, whole: str, short: str) -> Cell:
        short = short or shorten(whole, self.longest, cut="middle")
        return Cell(short, self.style, whole if short != whole else "")


_KINDS: Mapping[str, Kind] = {
    "_bytes": "size",
    "_count": "count",
    "share": "share",
    "digest": "digest",
    "created_at": "day",
    "_at": "minute",
    "reference": "code",
    "repository": "code",
    "tag": "code",
    "_version": "code",
    "path": "code",
}


def columns(*declared: str | Column) -> tuple[Column, ...]:
    """Declare the columns of a table by name, with a heading where that is not the name in words.

    The end of a name says of what kind its values are.

    >>> [(one.name, one.heading, one.kind) for one in columns("stored_bytes", "app_count", "names: Known as")]
    [('stored_bytes', 'Stored', 'size'), ('app_count', 'Apps', 'count'), ('names', 'Known as', 'text')]
    """
    found = []
    for one in declared:
        if isinstance(one, str):
            name, _, heading = one.partition(": ")
            kind: Kind = next((kind for end, kind in _KINDS.items() if name.endswith(end)), "text")
            words = re.sub("_count$", "s", re.sub("_(bytes|at)$", "", name)).replace("_", " ")
            one = Column(name, heading or words.capitalize(), kind)
        found.append(one)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table on a page: its text, how it is set, and the whole of a text that was cut."""

    text: str
    kind: Literal["text", "code", "number"] = "text"
    title: str = ""

    def html(self) -> str:
        """The cell as a ``<td>``."""
        title = f' title="{escaped(self.title)}"' if self.title else ""
        inner = f"<code{title}>{escaped(self.text)}</code>" if self.kind == "code" else escaped(self.text)
        return f'<td style="{_STYLES[self.kind]}"{title if self.kind != "code" else ""}>{inner}</td>'


class Table:
    """Rows under columns, to be written as text, HTML, Markdown or JSON.

    `source` is a frame, or rows as mappings or as tuples in the columns' order; at most `most` of its
    rows are shown.
    """

    def __init__(self, source: Any, columns: Sequence[Column], *, most: int | None = None) -> None:
        self.columns = tuple(columns)
        self.rows, total = _plain_rows(source, self.columns, most)
        self.headings = [Cell(column.title, column.style) for column in self.columns]
        self.more = total - len(self.rows)

    def cells(self) -> list[tuple[Cell, ...]]:
        """All other lines of the table on a page."""
        places = zip(*self.rows, strict=True) if self.rows else ()
        shown = [column.cells(place) for column, place in zip(self.columns, places, strict=False)]
        return list(zip(*shown, strict=True))

    def html(self) -> str:
        """The table for a notebook, with its style inline; nothing if there are no rows."""
        return _html(self.headings, self.cells(), self.more)

    def markdown(self) -> str:
        """The table in Markdown."""
        ruler = "".join("---:|" if column.style == "number" else "---|" for column in self.columns)
        lines = [self.headings, *self.cells()]
        said = ["| " + " | ".join(markdown(cell.text) for cell in line) + " |" for line in lines]
        more = ["", f"and {self.more:,} more"] if self.more else []
        return "\n".join([said[0], f"|{ruler}", *said[1:], *more])

    def text(self, *, columns: int | None = None, mark: str = "…") -> list[str]:
        """The table for a terminal that is so wide: columns shrink first, then the least needed go."""
        lines = [
            [column.text(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows
        ]
        lines.insert(0, [column.title.upper() for column in self.columns])
        natural = [max(width(line[place]) for line in lines) for place in range(len(self.columns))]
        fitted = _fitted(self.columns, natural, columns)
        return [
            "  ".join(
                _padded(line[place], self.columns[place], room, mark) for place, room in fitted.items()
            ).rstrip()
            for line in lines
        ]


def _plain_rows(
    source: Any, columns: tuple[Column, ...], most: int | None
) -> tuple[list[tuple[Any, ...]], int]:
    if hasattr(source, "columns"):
        shown = source if most is None else source.head(most)
        return list(rows(shown, *(column.name for column in columns))), len(source)
    listed = list(source)
    found = [
        tuple(row[column.name] for column in columns) if isinstance(row, Mapping) else tuple(row)
        for row in listed[:most]
    ]
    return found, len(listed)


def _html(headings: Sequence[Cell], lines: Sequence[Sequence[Cell]], more: int) -> str:
    if not lines:
        return ""
    head = "".join(f'<th scope="col" style="{_STYLES[one.kind]}">{escape(one.text)}</th>' for one in headings)
    head = f"<thead><tr>{head}</tr></thead>" if headings else ""
    body = "".join(f"<tr>{''.join(cell.html() for cell in line)}</tr>" for line in lines)
    if more:
        body += f'<tr><td colspan="{len(lines[0])}" style="text-align:left">and {more:,} more</td></tr>'
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _fitted(columns: Sequence[Column], natural: Sequence[int], room: int | None) -> dict[int, int]:
    """Width of each column that is kept."""
    least = [_least(column, size) for column, size in zip(columns, natural, strict=True)]
    fitted = dict(enumerate(natural))

    def too_wide(widths: Iterable[int]) -> bool:
        listed = list(widths)
        return room is not None and sum(listed) + 2 * (len(listed) - 1) > room

    while too_wide(least[place] for place in fitted):
        droppable = [place for place in fitted if columns[place].rank]
        if not droppable:
            break
        del fitted[max(droppable, key=lambda place: (columns[place].rank, place))]
    while too_wide(fitted.values()):
        giving = {place: size - least[place] for place, size in fitted.items() if size > least[place]}
        if not giving:
            break
        fitted[max(giving, key=lambda place: giving[place])] -= 1
    return fitted


def _least(column: Column, natural: int) -> int:
    return natural if column.shortest is None else min(natural, max(column.shortest, len(column.title)))


def _padded(text: str, column: Column, room: int, mark: str) -> str:
    cut = shorten(text, room, cut=column.cut, mark=mark)
    padding = " " * (room - width(cut))
    return padding + cut if column.style == "number" else cut + padding


def size_cell(count: int | None) -> Cell:
    """Cell with a number of bytes."""
    return Cell(size_text(count), "number")


def digest_cell(digest: str) -> Cell:
    """Cell with a digest, shortened; the whole of it is its title."""
    return Cell(short_digest(digest), "code", digest)


def table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], *, most: int) -> str:
    """Make a table of finished cells, or nothing if there are no rows."""
    kinds = [cell.kind for cell in rows[0]] if rows else []
    titles = [Cell(heading, kind) for heading, kind in zip(headings, kinds, strict=False)]
    return _html(titles, rows[:most], max(0, len(rows) - most))


def share_bar(reused_bytes: int, total_bytes: int) -> str:
    """Make a slim bar of the bytes that are stored already and those that are not."""
    if total_bytes <= 0:
        return ""
    share = 100 * min(reused_bytes, total_bytes) / total_bytes
    title = f"{size_text(reused_bytes)} of {size_text(total_bytes)} stored already"
    ground = f"linear-gradient(90deg,#0072B2 {share:.1f}%,#E69F00 {share:.1f}%)"  # as in the plots
    return (
        f'<div role="img" aria-label="{title}" title="{title}" '
        f'style="height:6px;max-width:24em;margin:4px 0;border-radius:3px;background:{ground}"></div>'
    )


def block(title: str, summary: str, *parts: str, notes: Iterable[str] = ()) -> str:
    """Put the parts of a value's HTML together."""
    head = f"<b>{escaped(title)}</b> &middot; {escaped(summary)}" if title else f"<b>{escaped(summary)}</b>"
    said = "".join(f"<p>{escaped(note)}</p>" for note in notes if note)
    return f'<div class="spincache-value"><div>{head}</div>{"".join(parts)}{said}</div>'
