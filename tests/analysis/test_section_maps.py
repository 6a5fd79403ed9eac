from __future__ import annotations

import pytest
from hypothesis import given

from spincache_nb.analysis import section_map, section_maps
from tests.support.payloads import WASM_PAYLOADS, payload
from tests.wasm.builders import active, body, code, component, custom, data, module, nested, section
from tests.wasm.generated import binaries


def test_section_map_counts_a_nested_module_in_its_own_sections():
    core = module(section(1, b"\x00"), custom("note", b"!"))
    names = custom("component-name", section(1, b"\x00\x11\x01\x00\x03app"))
    frame = section_map(component(nested(core), names))
    columns = ["path", "depth", "layer", "section", "offset", "section_bytes"]
    assert frame[columns].values.tolist() == [
        ["", 0, "component", "preamble", 0, 8],
        ["", 0, "component", "core module", 8, 2],
        ["app", 1, "module", "preamble", 10, 8],
        ["app", 1, "module", "type", 18, 3],
        ["app", 1, "module", "custom", 21, 8],
        ["", 0, "component", "custom", 29, len(names)],
    ]
    assert frame["name"].fillna("-").tolist() == ["-", "app", "-", "-", "note", "component-name"]
    assert frame["shared_bytes"].isna().all()


@given(binaries)
def test_section_map_counts_every_byte_in_one_row(made):
    frame = section_map(made.binary)
    assert frame["section_bytes"].sum() == len(made.binary)
    ends = (frame["offset"] + frame["section_bytes"]).tolist()
    assert frame["offset"].tolist() == [0, *ends[:-1]]


@pytest.mark.parametrize("name", WASM_PAYLOADS)
def test_section_map_of_payloads_counts_every_byte(name):
    assert section_map(payload(name))["section_bytes"].sum() == payload(name).stat().st_size


def test_section_map_of_what_is_not_wasm_is_one_row():
    assert section_map(b"text")[["layer", "section_bytes"]].values.tolist() == [["other", 4]]


def test_section_maps_marks_what_the_other_version_has():
    same, other = body(b"\x00\x0b"), body(b"\x00\x01\x0b")
    old = module(code(same), data(active(0, b"kept"), active(9, b"old")))
    new = module(code(same, other), data(active(0, b"kept"), active(9, b"new")))
    frame = section_maps(old, new)
    found = {
        (row["version"], row["section"]): (row["section_bytes"], row["shared_bytes"])
        for row in frame.to_dict("records")
    }
    assert found == {
        ("old", "preamble"): (8, 8),
        ("old", "code"): (6, 3),
        ("old", "data"): (20, 3 + 9),
        ("new", "preamble"): (8, 8),
        ("new", "code"): (10, 3),
        ("new", "data"): (20, 3 + 9),
    }


@given(binaries, binaries)
def test_section_maps_shares_no_more_than_there_is(old, new):
    frame = section_maps(old.binary, new.binary)
    assert (frame["shared_bytes"] <= frame["section_bytes"]).all()
    known = set(old.segment)
    after = frame[frame["version"] == "new"]
    assert after["shared_bytes"].sum() == sum(len(piece) for piece in new.segment if piece in known)
    assert after["section_bytes"].sum() == len(new.binary)
