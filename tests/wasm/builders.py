"""An encoder of WebAssembly binaries, written from the specification for the tests alone."""

CORE = b"\0asm\x01\x00\x00\x00"
COMPONENT = b"\0asm\x0d\x00\x01\x00"


def leb(value: int, width: int = 1) -> bytes:
    """Encode an unsigned LEB128, padded to `width` bytes with redundant zero groups."""
    groups = []
    while value or not groups:
        groups.append(value & 127)
        value >>= 7
    groups += [0] * (width - len(groups))
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])


def sleb(value: int) -> bytes:
    """Encode a signed LEB128."""
    groups = []
    while True:
        groups.append(value & 127)
        value >>= 7
        if (value == 0 and not groups[-1] & 64) or (value == -1 and groups[-1] & 64):
            return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])


def name(text: str) -> bytes:
    raw = text.encode()
    return leb(len(raw)) + raw


def section(number: int, content: bytes, *, width: int = 1) -> bytes:
    return bytes([number]) + leb(len(content), width) + content


def custom(title: str, content: bytes = b"") -> bytes:
    return section(0, name(title) + content)


def vector(*items: bytes) -> bytes:
    return leb(len(items)) + b"".join(items)


def body(code: bytes, *, width: int = 1) -> bytes:
    return leb(len(code), width) + code


def code(*bodies: bytes) -> bytes:
    return section(10, vector(*bodies))


def active(address: int, content: bytes) -> bytes:
    """Encode a data segment that goes to an address."""
    return b"\x00\x41" + sleb(address) + b"\x0b" + leb(len(content)) + content


def data(*segments: bytes) -> bytes:
    return section(11, vector(*segments))


def function_names(names: dict[int, str], module: str | None = None) -> bytes:
    content = b"" if module is None else section(0, name(module))
    if names:
        entries = [leb(index) + name(text) for index, text in names.items()]
        content += section(1, vector(*entries))
    return custom("name", content)


def producers(**fields: list[tuple[str, str]]) -> bytes:
    """Encode a producers section; ``processed_by`` stands for ``processed-by``."""
    encoded = [
        name(field.replace("_", "-")) + vector(*(name(tool) + name(version) for tool, version in tools))
        for field, tools in fields.items()
    ]
    return custom("producers", vector(*encoded))


def module(*sections: bytes) -> bytes:
    return CORE + b"".join(sections)


def component(*sections: bytes) -> bytes:
    return COMPONENT + b"".join(sections)


def nested(binary: bytes) -> bytes:
    """Encode the section that holds a module or component."""
    return section(1 if binary.startswith(CORE) else 4, binary)


def deep_nest(levels: int) -> bytes:
    """Nest components by building the headers from the inside out, in one pass."""
    headers = []
    size = 8
    for _ in range(levels):
        header = b"\x04" + leb(size)
        headers.append(b"\0asm\x0d\x00\x01\x00" + header)
        size += len(header) + 8
    return b"".join(reversed(headers)) + b"\0asm\x0d\x00\x01\x00"
