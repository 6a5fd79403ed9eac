"""The modules and components of a binary as a tree: labels, and digests that cost one pass."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from spincache_nb.wasm import PREAMBLE_BYTES, Buffer, Walk, read_module_name, read_nested_names

SEPARATOR: Final = " > "
_LONGEST_PATH: Final = 300


@dataclass(frozen=True)
class Labels:
    """What to call the modules and components of a binary."""

    names: tuple[str, ...]
    paths: tuple[str, ...]


def label(data: Buffer, walked: Walk) -> Labels:
    """Name every module and component of a binary."""
    names = [""] * len(walked.binaries)
    for binary in walked.binaries:
        if binary.layer == "component":
            for number, name in read_nested_names(data, walked, binary.number).items():
                names[number] = name
        elif not names[binary.number]:
            names[binary.number] = read_module_name(data, walked, binary.number)
    paths = [""] * len(walked.binaries)
    counts: dict[tuple[int, str], int] = {}
    for binary in walked.binaries[1:]:
        place = counts.get((binary.parent, binary.layer), 0)
        counts[binary.parent, binary.layer] = place + 1
        own = names[binary.number] or f"{binary.layer} {place}"
        around = paths[binary.parent]
        path = f"{around}{SEPARATOR}{own}" if around else own
        paths[binary.number] = path if len(path) <= _LONGEST_PATH else "…" + path[-_LONGEST_PATH:]
    return Labels(tuple(names), tuple(paths))


def section_digests(data: Buffer, walked: Walk) -> list[bytes]:
    """Hash every section, a nested module or component by the hashes of what is in it."""
    view = memoryview(data)
    children: dict[int, list[bytes]] = {}
    digests = [b""] * len(walked.sections)
    for place in range(len(walked.sections) - 1, -1, -1):  # what is nested comes after what holds it
        section = walked.sections[place]
        if section.nested < 0:
            digest = hashlib.sha256(view[section.start : section.end]).digest()
        else:
            inner = children.pop(section.nested, [])
            head = bytes(view[section.start : section.body + PREAMBLE_BYTES])  # a size may be padded
            digest = hashlib.sha256(b"%d:%b" % (len(head), head) + b"".join(reversed(inner))).digest()
        digests[place] = digest
        children.setdefault(section.binary, []).append(digest)
    return digests
