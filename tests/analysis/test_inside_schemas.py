"""What holds for every frame of what is inside blobs: columns, dtypes, documentation."""

from __future__ import annotations

import re

import pytest

from spincache_nb import analysis as inside
from spincache_nb.analysis import schemas
from spincache_nb.analysis.modules import module_uses
from tests.wasm.builders import component, custom, module, nested

ONE, TWO = component(nested(module(custom("a")))), component(nested(module(custom("b"))))
EVERY = {
    "grains": (schemas.GRAINS_SCHEMA, lambda: inside.grains(ONE, TWO)),
    "cache_grains": (schemas.GRAINS_SCHEMA, lambda: inside.cache_grains([])),
    "chunk_sweep": (schemas.CHUNK_SWEEP_SCHEMA, lambda: inside.chunk_sweep(ONE, TWO)),
    "why_changed": (schemas.CHANGES_SCHEMA, lambda: inside.why_changed(ONE, TWO)),
    "module_uses": (schemas.MODULE_USES_SCHEMA, lambda: module_uses([("u", ONE)])),
    "shared_modules": (schemas.SHARED_MODULES_SCHEMA, lambda: inside.shared_modules([("u", ONE)])),
    "section_map": (schemas.SECTION_MAP_SCHEMA, lambda: inside.section_map(ONE)),
    "section_maps": (schemas.SECTION_MAP_SCHEMA, lambda: inside.section_maps(ONE, TWO)),
}
EMPTY = {
    "why_changed": lambda: inside.why_changed(ONE, ONE),
    "module_uses": lambda: module_uses([]),
    "shared_modules": lambda: inside.shared_modules([]),
}


def dtypes(frame):
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


@pytest.mark.parametrize("name", EVERY)
def test_every_frame_has_the_columns_and_dtypes_of_its_schema(name):
    schema, call = EVERY[name]
    frame = call()
    assert dtypes(frame) == dict(schema)
    assert frame.index.equals(type(frame.index)(range(len(frame))))


@pytest.mark.parametrize("name", EMPTY)
def test_every_empty_frame_has_the_same_columns_and_dtypes(name):
    frame = EMPTY[name]()
    assert len(frame) == 0
    assert dtypes(frame) == dict(EVERY[name][0])


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("section_maps", "module_uses")])
def test_every_docstring_lists_the_columns_and_dtypes_of_its_schema(name):
    schema, _ = EVERY[name]
    text = getattr(inside, name).__doc__
    listed = dict(re.findall(r"^ +(\w+) +(string|category|Int64|Float64)  ", text, re.M))
    assert listed == dict(schema)
