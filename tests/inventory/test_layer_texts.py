"""Manifests read by the text between layers: as `parse_manifest` reads them, or not at all."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.core.documents import DATA, IMAGE_CONFIG, LOCKED_APP, parse_manifest
from spincache_nb.errors import ManifestError
from spincache_nb.inventory.layer_texts import LayerTexts

CONFIG = {"mediaType": IMAGE_CONFIG, "digest": f"sha256:{'0' * 64}", "size": 2}


def layer(number: int, size: object = 7, media_type: str = DATA) -> dict[str, object]:
    return {"mediaType": media_type, "digest": f"sha256:{number:064x}", "size": size}


def manifest(*layers: object, **more: object) -> dict[str, object]:
    return {"schemaVersion": 2, "config": CONFIG, "layers": list(layers), **more}


PLAIN = manifest(layer(1), layer(2), layer(1), layer(3, 9, LOCKED_APP))


def as_parsed(data: bytes) -> bool:
    """Whether it was read, and as `parse_manifest` reads it."""
    found = LayerTexts().parse(data)
    if found is not None:
        manifest = found.manifest
        expected = parse_manifest(data, where="")
        assert (manifest, hash(manifest), repr(manifest)) == (expected, hash(expected), repr(expected))
        assert manifest.application == expected.application  # type: ignore[union-attr]
        assert manifest.total_bytes == expected.total_bytes  # type: ignore[union-attr]
        assert (list(manifest.layers), manifest.layers[-1]) == (list(expected.layers), expected.layers[-1])  # type: ignore[union-attr]
    return found is not None


@pytest.mark.parametrize("indent", [None, 0, 1, 3, "\t"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" , ", " : ")])
@pytest.mark.parametrize(
    "document",
    [
        PLAIN,
        manifest(layer(1)),
        manifest(layer(1), annotations={"a": "[{}]"}, mediaType="application/vnd.oci.image.manifest.v1+json"),
        manifest(*({key: layer(n)[key] for key in ("mediaType", "size", "digest")} for n in range(1, 5))),
    ],
)
def test_parse_reads_what_is_written_as_usual(document: object, indent: object, separators: object) -> None:
    assert as_parsed(json.dumps(document, indent=indent, separators=separators).encode())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "layers",
    [
        [],
        [layer(1, True)],
        [layer(1, 1.0)],
        [layer(1, -1)],
        [layer(1, "7")],
        [layer(1, 1 << 63)],
        [layer(1, 10**30)],
        [layer(1), layer(1, 8)],
        [layer(1), {**layer(2), "annotations": {"a": "b"}}],
        [layer(1), {**layer(2), "urls": ["http://a"]}],
        [layer(1), {**layer(2), "mediaType": "},{"}],
        [layer(1), {**layer(2), "mediaType": "]"}],
        [layer(1), {**layer(2), "mediaType": "ä"}],
        [layer(1), {**layer(2), "mediaType": '"'}],
        [layer(1), {**layer(2), "digest": f"sha256:{'A' * 64}"}],
        [layer(1), {**layer(2), "digest": f"sha512:{'a' * 128}"}],
        [layer(1), {"mediaType": DATA, "digest": f"sha256:{'a' * 64}"}],
        [layer(1), None],
        [layer(1), [layer(2)]],
        [{}],
    ],
)
def test_parse_leaves_the_rest_to_parse_manifest(layers: list[object]) -> None:
    assert not as_parsed(json.dumps(manifest(*layers), separators=(",", ":")).encode())


ONE = json.dumps(layer(1), separators=(",", ":"))


@pytest.mark.parametrize(
    "text",
    [
        f'{{"schemaVersion":2,"config":{json.dumps(CONFIG)},"layers":[{ONE}],"layers":[]}}',
        f'{{"schemaVersion":2,"config":{json.dumps(CONFIG)},"layers":[{ONE}],"l\\u0061yers":[]}}',
        f'{{"schemaVersion":2,"config":{json.dumps(CONFIG)},"annotations":{{"layers":[{ONE}]}}}}',
        f'{{"schemaVersion":2,"config":{json.dumps(CONFIG)},"layers":[{ONE},]}}',
        f'{{"schemaVersion":2,"config":{json.dumps(CONFIG)},"layers":[{ONE}{ONE}]}}',
        f'{{"schemaVersion":2,"config":{json.dumps(CONFIG)},"layers":[{ONE},,{ONE}]}}',
        f'{{"schemaVersion":2,"config":{json.dumps(CONFIG)},"layers":[{ONE}]',
        f'{{"schemaVersion":2,"config":{json.dumps(CONFIG)},"layers":[{ONE}]}}}}',
        f'{{"schemaVersion":1,"config":{json.dumps(CONFIG)},"layers":[{ONE}]}}',
        f'{{"schemaVersion":2,"layers":[{ONE}]}}',
        f'\ufeff{{"schemaVersion":2,"config":{json.dumps(CONFIG)},"layers":[{ONE}]}}',
        f'{{"schemaVersion":2,"x":NaN,"config":{json.dumps(CONFIG)},"layers":[{ONE}]}}',
        f'{{"schemaVersion":2,"config":{json.dumps(CONFIG)},"layers":[{{{ONE[1:-1]}\0{ONE[1:-1]}}},{{}}]}}',
        f'"layers":[{ONE}]',
        "",
    ],
)
def test_parse_takes_nothing_that_is_no_manifest(text: str) -> None:
    assert LayerTexts().parse(text.encode()) is None


def test_parse_takes_nothing_that_is_not_utf_8() -> None:
    assert LayerTexts().parse(json.dumps(PLAIN).encode() + b"\xff") is None


def test_parse_gives_equal_texts_one_descriptor() -> None:
    texts = LayerTexts()
    first, second = (texts.parse(json.dumps(manifest(layer(n), layer(5))).encode()) for n in (1, 2))
    assert first is not None
    assert second is not None
    assert first.manifest.layers[1] is second.manifest.layers[1]
    assert first.numbers.tolist() == [0, 1]
    assert second.numbers.tolist() == [2, 1]


def test_parse_knows_two_sizes_of_one_manifest_from_those_of_two() -> None:
    texts = LayerTexts()
    good, other = (json.dumps(manifest(layer(1, size))).encode() for size in (7, 8))
    bad = json.dumps(manifest(layer(1, 7), layer(1, 8))).encode()
    config = json.dumps(manifest({**CONFIG, "size": 3})).encode()
    assert texts.parse(good) is not None
    assert texts.parse(other) is not None
    assert texts.parse(bad) is None
    assert texts.parse(config) is None
    again = texts.parse(good)
    assert again is not None
    assert again.manifest == parse_manifest(good, where="")


ALPHABET = st.sampled_from([*'"{}[],: \n0a\\\0', "},{", '"layers":['])


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 12), ALPHABET), max_size=4), st.booleans())
def test_parse_agrees_with_parse_manifest_on_altered_text(
    changes: list[tuple[int, int, str]], spaced: bool
) -> None:
    text = json.dumps(PLAIN, separators=None if spaced else (",", ":"))
    for start, length, new in changes:
        text = text[:start] + new + text[start + length :]
    data = text.encode()
    found = LayerTexts().parse(data)
    expected = None
    with suppress(ManifestError):
        expected = parse_manifest(data, where="")
    assert found is None or found.manifest == expected


@given(
    st.lists(
        st.tuples(
            st.lists(
                st.tuples(st.integers(0, 5), st.sampled_from([DATA, LOCKED_APP])), min_size=1, max_size=6
            ),
            st.integers(0, 7),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_parse_sums_each_digest_once(documents: list[tuple[list[tuple[int, str]], int]]) -> None:
    texts = LayerTexts()
    for layers, number in documents:
        config = {**CONFIG, "digest": f"sha256:{number:064x}", "size": 10**number}
        named = [layer(n, 10**n, media_type) for n, media_type in layers]
        found = texts.parse(json.dumps({**manifest(*named), "config": config}).encode())
        assert found is not None
        assert found.manifest.total_bytes == sum(10**n for n in {number, *(n for n, _ in layers)})
