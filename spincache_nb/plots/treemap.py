"""A treemap as a static picture, for places where no widget can live."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from spincache_nb.plots import style

Box = tuple[float, float, float, float]
"""Left, bottom, width, height."""

_LOOKS = {
    "here": ("#8fbfe0", "", "only here"),
    "shared": ("#0b4f7d", "", "shared"),
    "idle": ("#f6dc9a", "///", "nothing needs it"),
    "damaged": ("#a3161f", "xxx", "damaged"),
    "other": ("#c9c9c9", "", "other"),
}
"""Colour, hatching and name of each state; as in the explorer's style sheet."""

_LETTER = 0.0075


def treemap(parts: Sequence[Mapping[str, Any]], *, ax: Axes) -> Axes:
    """Draw parts, each with a name, a text of its size and its sizes by state, within a square of 1 by 1."""
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    shown = [part for part in parts if part["size"] > 0]
    if not shown:
        return style.say_empty(ax, "Nothing is stored in this cache.")
    for part, (x, y, w, h) in zip(
        shown, squarified([part["size"] for part in shown], (0, 0, 1, 1)), strict=True
    ):
        inner = [one for one in part.get("parts", ()) if one["size"] > 0]
        if inner and w > 0.08 and h > 0.12:
            ax.add_patch(Rectangle((x, y), w, h, facecolor="none", edgecolor=style.ink(), linewidth=0.8))
            room = (x + 0.003, y + 0.005, w - 0.006, h - 0.055)
            for one, box in zip(inner, squarified([one["size"] for one in inner], room), strict=True):
                _draw(ax, one, box, size="x-small")
            name = style.harmless(part["name"], longest=max(4, int(w / _LETTER)))
            ax.text(x + 0.005, y + h - 0.012, name, va="top", fontsize="small", weight="bold", clip_on=True)
        else:
            _draw(ax, part, (x, y, w, h), size="small")
    present = [any(part["sizes"][place] for part in shown) for place in range(len(_LOOKS))]
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor=style.ink(), linewidth=0.4, label=name)
        for (colour, hatch, name), is_there in zip(_LOOKS.values(), present, strict=True)
        if is_there
    ]
    ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, -0.01), ncols=5, frameon=False, fontsize="small"
    )
    return ax


def _draw(ax: Axes, part: Mapping[str, Any], box: Box, *, size: str) -> None:
    """Draw one part, its states side by side, and its name where that fits."""
    x, y, w, h = box
    left = x
    for (colour, hatch, _), amount in zip(_LOOKS.values(), part["sizes"], strict=True):
        if amount:
            wide = w * amount / part["size"]
            ax.add_patch(
                Rectangle(
                    (left, y),
                    wide,
                    h,
                    facecolor=colour,
                    hatch=hatch,
                    edgecolor=style.paper(ax),
                    linewidth=0.6,
                )
            )
            left += wide
    most = list(_LOOKS)[max(range(len(_LOOKS)), key=lambda place: part["sizes"][place])]
    letters = int(w / _LETTER)
    if letters >= 5 and h > 0.035:
        colour = style.ink_on(to_rgb(_LOOKS[most][0]))
        text = style.harmless(part["name"], longest=letters)
        ax.text(x + 0.004, y + h - 0.008, text, va="top", fontsize=size, color=colour, clip_on=True)


def squarified(sizes: Sequence[int], box: Box) -> list[Box]:
    """Lay out sizes, none of them 0, as rectangles that are as square as they can be, in their order."""
    order = sorted(range(len(sizes)), key=lambda place: -sizes[place])
    found: list[Box] = [box] * len(sizes)
    x, y, w, h = box
    rest = float(sum(sizes))
    while order:
        side, area = min(w, h), w * h / rest
        count = 1
        while count < len(order) and _worst(sizes, order[: count + 1], side, area) <= _worst(
            sizes, order[:count], side, area
        ):
            count += 1
        row, order = order[:count], order[count:]
        total = sum(sizes[place] for place in row)
        thick, along = total * area / side, 0.0
        for place in row:
            long = sizes[place] * area / thick
            found[place] = (x, y + along, thick, long) if w >= h else (x + along, y, long, thick)
            along += long
        x, y, w, h = (x + thick, y, w - thick, h) if w >= h else (x, y + thick, w, h - thick)
        rest -= total
    return found


def _worst(sizes: Sequence[int], row: Sequence[int], side: float, area: float) -> float:
    """How far the least square rectangle of a row is from a square."""
    thick = sum(sizes[place] for place in row) * area / side
    longs = (sizes[row[0]] * area / thick, sizes[row[-1]] * area / thick)
    return max(max(long / thick, thick / long) for long in longs)


def png(parts: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """Draw parts as a PNG."""
    figure = Figure(figsize=(9.0, 5.2), layout="constrained")
    ax = treemap(parts, ax=figure.add_subplot())
    ax.set_title(style.harmless(title, longest=100), loc="left")
    with io.BytesIO() as out:
        figure.savefig(out, format="png", dpi=100, metadata={"Software": None})
        return out.getvalue()
