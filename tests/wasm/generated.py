"""Generated binaries for Hypothesis, with the pieces they were made of."""

from dataclasses import dataclass

from hypothesis import strategies as st

from tests.wasm.builders import COMPONENT, CORE, active, leb, name

small_bytes = st.binary(max_size=40)
names = st.text(max_size=12)
widths = st.integers(1, 5)


@dataclass(frozen=True)
class Made:
    """A binary and its pieces at each grain, as they were put together."""

    binary: bytes
    section: tuple[bytes, ...]
    module: tuple[bytes, ...]
    nested: tuple[bytes, ...]
    function: tuple[bytes, ...]
    segment: tuple[bytes, ...]


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    raw = draw(st.binary(max_size=200))
    return leb(len(raw), draw(st.integers(1, 3))) + raw


@st.composite
def segments(draw: st.DrawFn) -> bytes:
    raw = draw(small_bytes)
    kind = draw(st.sampled_from(["active", "passive", "memory", "global", "extended"]))
    if kind == "active":
        return active(draw(st.integers(-(2**31), 2**31 - 1)), raw)
    ending = leb(len(raw), draw(widths)) + raw
    if kind == "passive":
        return b"\x01" + ending
    if kind == "memory":
        return b"\x02" + leb(draw(st.integers(0, 3))) + b"\x42\x80\x01\x0b" + ending
    if kind == "global":
        return b"\x00\x23" + leb(draw(st.integers(0, 300))) + b"\x0b" + ending
    return b"\x00\x23\x00\x41\x08\x6a\x0b" + ending


def _header(number: int, content_size: int, width: int) -> bytes:
    return bytes([number]) + leb(content_size, width)


@st.composite
def core_sections(draw: st.DrawFn) -> tuple[bytes, list[bytes], list[bytes]]:
    """Draw a section: whole, in pieces at grain function, in pieces at grain data segment."""
    number = draw(st.sampled_from([0, 1, 3, 5, 7, 9, 10, 10, 11, 11, 13]))
    width = draw(widths)
    if number == 0:
        content = name(draw(names)) + draw(small_bytes)
    elif number in (10, 11):
        parts = draw(st.lists(bodies() if number == 10 else segments(), max_size=6))
        count = leb(len(parts), draw(widths))
        content = count + b"".join(parts)
        head = _header(number, len(content), width) + count
        split = [head, *parts]
        whole = head + b"".join(parts)
        return whole, split if number == 10 else [whole], split
    else:
        content = draw(small_bytes)
    whole = _header(number, len(content), width) + content
    return whole, [whole], [whole]


@st.composite
def modules(draw: st.DrawFn) -> Made:
    drawn = draw(st.lists(core_sections(), max_size=6))
    whole = [section for section, _, _ in drawn]
    function = [piece for _, pieces, _ in drawn for piece in pieces]
    segment = [piece for _, _, pieces in drawn for piece in pieces]
    flat = (CORE, *whole)
    binary = b"".join(flat)
    return Made(binary, flat, flat, flat, (CORE, *function), (CORE, *segment))


@st.composite
def components(draw: st.DrawFn, inner: st.SearchStrategy[Made]) -> Made:
    section: list[bytes] = [COMPONENT]
    at_module: list[bytes] = [COMPONENT]
    at_nested: list[bytes] = [COMPONENT]
    at_function: list[bytes] = [COMPONENT]
    at_segment: list[bytes] = [COMPONENT]
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            made = draw(inner)
            is_core = made.binary.startswith(CORE)
            header = _header(1 if is_core else 4, len(made.binary), draw(st.integers(1, 4)))
            section.append(header + made.binary)
            at_module += [header, *([made.binary] if is_core else made.module)]
            at_nested += [header, *made.nested]
            at_function += [header, *made.function]
            at_segment += [header, *made.segment]
        else:
            number = draw(st.sampled_from([0, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]))
            content = (name(draw(names)) if number == 0 else b"") + draw(small_bytes)
            whole = _header(number, len(content), draw(widths)) + content
            for pieces in (section, at_module, at_nested, at_function, at_segment):
                pieces.append(whole)
    binary = b"".join(section)
    grains = (section, at_module, at_nested, at_function, at_segment)
    return Made(binary, *(tuple(pieces) for pieces in grains))


binaries = st.recursive(modules(), components, max_leaves=6)
