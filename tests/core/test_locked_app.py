"""Locked apps: what they name is found, what may be secret is not kept, damage becomes a fault."""

import base64
import json
import pickle
from typing import Any

import pytest

from spincache_nb.core.digest import Digest
from spincache_nb.core.locked_app import (
    ContentRef,
    LockedApp,
    MountedFile,
    is_locked_app,
    parse_locked_app,
    read_locked_app,
    usual_locked_app,
)
from spincache_nb.errors import LockedAppError
from tests.support.artifact import places

A, B, C, D = ("sha256:" + letter * 64 for letter in "abcd")
SECRET = "hunter2"
METADATA = ("name", "version", "description")
SECRET64 = base64.b64encode(SECRET.encode()).decode().rstrip("=")

# As Spin main writes it: every field that can name content, and every field that can hold a secret.
FULL: dict[str, Any] = {
    "spin_lock_version": 1,
    "must_understand": ["host_requirements", "component_host_requirements"],
    "metadata": {
        "name": "shop",
        "version": "1.2.3",
        "description": "sells things",
        "authors": ["Ann"],
        "trigger": {"type": "http"},
    },
    "host_requirements": {"local_service_chaining": "required"},
    "variables": {"token": {"default": SECRET, "secret": True}},
    "triggers": [
        {"id": "t1", "trigger_type": "http", "trigger_config": {"component": "web", "auth": SECRET}},
        {"id": "t2", "trigger_type": "redis", "trigger_config": {"address": f"redis://:{SECRET}@h"}},
    ],
    "components": [
        {
            "id": "web",
            "metadata": {"allowed_outbound_hosts": [f"https://u:{SECRET}@h"]},
            "source": {"content_type": "application/wasm", "digest": A},
            "env": {"PASSWORD": SECRET},
            "config": {"password": SECRET},
            "files": [
                {"digest": B, "path": "static/index.html"},
                {"digest": C, "inline": SECRET64, "path": ".env"},
                {"inline": SECRET64, "path": "only-inline"},
            ],
            "dependencies": {
                "acme:lib/api": {
                    "source": {"content_type": "application/wasm", "digest": D},
                    "export": None,
                    "inherit": {"Some": ["allowed_outbound_hosts"]},
                }
            },
            "trigger_dependencies": {
                "middleware": [
                    {"source": {"digest": B, "content_type": "application/wasm"}, "inherit": "All"}
                ]
            },
        },
        {"id": "worker", "source": {"content_type": "application/wasm", "digest": A}},
    ],
}


def parse(document: dict[str, Any]) -> LockedApp:
    return parse_locked_app(json.dumps(document).encode(), where="config.json")


def with_component(**fields: Any) -> dict[str, Any]:
    return {
        "spin_lock_version": 0,
        "triggers": [],
        "components": [{"id": "c", "source": {"digest": A}, **fields}],
    }


def test_parse_locked_app_finds_everything_it_names() -> None:
    app = parse(FULL)
    assert app.faults == ()
    assert [(where, what, str(ref.digest) if ref.digest else None) for where, what, ref in app.content()] == [
        ("web", "source", A),
        ("web", "dependency acme:lib/api", D),
        ("web", "dependency middleware", B),
        ("web", "static/index.html", B),
        ("web", ".env", C),
        ("web", "only-inline", None),
        ("worker", "source", A),
    ]


def test_parse_locked_app_finds_what_triggers_name() -> None:
    middleware = {"middleware": [{"source": {"digest": D}, "inherit": "All"}, {"source": {"digest": C}}]}
    document = with_component() | {
        "triggers": [
            {"id": "t", "trigger_type": "http", "trigger_dependencies": middleware},
            {"id": "u", "trigger_type": "http"},
        ]
    }
    app = parse(document)
    assert app.faults == ()
    assert [(where, what, str(ref.digest)) for where, what, ref in app.content()] == [
        ("c", "source", A),
        ("t", "dependency middleware", D),
        ("t", "dependency middleware", C),
    ]
    assert [str(ref.digest) for ref in app.binaries()] == [A, D, C]


@pytest.mark.parametrize("value", [{"m": [{"source": {"digest": "../x"}}]}, {"m": [SECRET]}, {"m": SECRET}])
def test_parse_locked_app_reports_what_triggers_name_wrongly(value: object) -> None:
    app = parse(with_component() | {"triggers": [{"id": "t", "trigger_dependencies": value}]})
    assert len(app.faults) == 1
    assert app.faults[0].startswith("trigger 't', dependency 'm'")
    assert SECRET not in repr(app)


def test_parse_locked_app_reads_its_metadata() -> None:
    app = parse(FULL)
    assert (app.lock_version, app.name, app.version, app.description) == (1, "shop", "1.2.3", "sells things")
    assert app.trigger_types == ("http", "redis")
    assert [component.id for component in app.components] == ["web", "worker"]


def test_parse_locked_app_keeps_no_secret() -> None:
    app = parse(FULL)
    for text in (repr(app), str(app), pickle.dumps(app).decode("latin-1")):
        assert SECRET not in text
        assert SECRET64 not in text


@pytest.mark.parametrize(
    "damage",
    [
        {"env": SECRET},
        {"config": [SECRET]},
        {"files": [SECRET]},
        {"files": [{"path": "x", "inline": SECRET + "!"}]},
        {"files": [{"path": "x", "digest": SECRET}]},
        {"files": [{"inline": SECRET}]},
        {"source": SECRET},
        {"source": {"digest": SECRET}},
        {"dependencies": SECRET},
        {"dependencies": {"d": SECRET}},
        {"trigger_dependencies": {"m": SECRET}},
    ],
)
def test_faults_repeat_no_value(damage: dict[str, Any]) -> None:
    app = parse(with_component(**damage))
    assert SECRET not in repr(app)


def test_inline_content_is_measured_only() -> None:
    files = parse(FULL).components[0].files
    assert files[1] == MountedFile(".env", ContentRef(Digest.parse(C), len(SECRET)))
    assert [file.content.inline for file in files] == [False, True, True]


@pytest.mark.parametrize("content", [b"", b"a", b"ab", b"abc", b"\xff\xfe\xfd\xfc", bytes(128)])
@pytest.mark.parametrize("padded", [False, True])
def test_inline_is_understood_with_and_without_padding(content: bytes, padded: bool) -> None:
    text = base64.b64encode(content).decode()
    app = parse(with_component(files=[{"path": "f", "inline": text if padded else text.rstrip("=")}]))
    assert app.components[0].files[0].content == ContentRef(None, len(content))
    is_padded = padded and text.endswith("=")  # Spin refuses that, so it is a fault
    assert [fault.rpartition(": ")[2] for fault in app.faults] == [
        "inline content is padded base64; Spin refuses it"
    ] * is_padded


@pytest.mark.parametrize("inline", [1, [], {}, True, "a", "a b=", "ä", "ab=c", "-_-_"])
def test_inline_that_is_not_base64_is_a_fault(inline: Any) -> None:
    app = parse(with_component(files=[{"path": "f", "digest": B, "inline": inline}]))
    assert app.components[0].files[0].content == ContentRef(Digest.parse(B), None)
    assert len(app.faults) == 1


@pytest.mark.parametrize("version", [0, 1])
def test_parse_locked_app_takes_both_versions(version: int) -> None:
    document = {"spin_lock_version": version, "triggers": [], "components": []}
    assert parse(document).lock_version == version


@pytest.mark.parametrize("version", [2, -1, None, "1", True, False, 1.0, [1], {}])
def test_parse_locked_app_refuses_other_versions(version: Any) -> None:
    with pytest.raises(LockedAppError) as caught:
        parse({"spin_lock_version": version, "triggers": [], "components": []})
    assert caught.value.where == "config.json"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"{",
        b"\xff",
        b'{"architecture":"wasm","os":"wasip1","rootfs":{"type":"layers","diff_ids":[]}}',  # an image config
        b'{"architecture":"wasm","os":"wasip2","layerDigests":[]}',  # a package
    ],
)
def test_parse_locked_app_refuses_other_documents(data: bytes) -> None:
    with pytest.raises(LockedAppError):
        parse_locked_app(data, where="config.json")


def test_is_locked_app_goes_by_the_key_alone() -> None:
    assert is_locked_app({"spin_lock_version": 9})
    assert not is_locked_app({"architecture": "wasm"})


@pytest.mark.parametrize(
    "metadata", [None, [], "x", 3, *(dict.fromkeys(METADATA, value) for value in (None, "", 7, [], {}))]
)
def test_metadata_of_another_shape_is_passed_over(metadata: Any) -> None:
    app = parse({"spin_lock_version": 0, "metadata": metadata, "triggers": [], "components": []})
    assert [getattr(app, key) for key in METADATA] == [None] * 3


def test_unknown_must_understand_is_a_fault() -> None:
    document = {
        "spin_lock_version": 1,
        "must_understand": ["host_requirements", "teleport"],
        "components": [],
    }
    (fault,) = parse({**document, "triggers": []}).faults
    assert "teleport" in fault


LEAVING = ["/etc/passwd", "../x", "a/../../x", "./a", "", ".", "..", "a/", "a//"]
STAYING = ["a", "a/b", "a\\b", "\\x", "a\\..\\b", "a/./b", "a//b", "..a/b..", "ä/b c", "a:b", "..."]


@pytest.mark.parametrize("path", [*LEAVING, *STAYING])
def test_path_is_taken_as_it_is_and_a_fault_if_it_leaves_the_mount(path: str) -> None:
    app = parse(with_component(files=[{"path": path, "digest": B}]))
    assert app.components[0].files[0].path == path
    assert ["Spin refuses" in fault for fault in app.faults] == [True] * (path in LEAVING)


@pytest.mark.parametrize(
    "digest", ["sha256:../../x", "sha256:" + "A" * 64, "", "x", 1, [], "md5:" + "a" * 32]
)
def test_malformed_digest_is_a_fault_and_no_digest(digest: Any) -> None:
    app = parse(with_component(source={"digest": digest}))
    assert app.components[0].source == ContentRef(None, None)
    (fault,) = app.faults
    assert "malformed digest" in fault


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"source": None}, 1),
        ({"source": {}}, 1),
        ({"source": []}, 1),
        ({"files": None}, 1),
        ({"files": {}}, 1),
        ({"files": [None, 1, {"digest": B, "path": "a"}]}, 2),
        ({"files": [{"digest": B}]}, 1),
        ({"files": [{"digest": B, "path": 1}]}, 1),
        ({"files": [{"path": "a"}]}, 1),
        ({"dependencies": {"d": None}}, 1),
        ({"dependencies": {"d": {}}}, 1),
        ({"trigger_dependencies": {"m": [None]}}, 1),
        ({"id": None}, 1),
        ({"id": 7}, 1),
    ],
)
def test_malformed_parts_are_faults_and_the_rest_is_read(fields: dict[str, Any], count: int) -> None:
    app = parse(with_component(**fields))
    assert len(app.components) == 1
    assert len(app.faults) == count


@pytest.mark.parametrize("components", [None, {}, "x", 1])
def test_components_of_another_shape_are_a_fault(components: Any) -> None:
    app = parse({"spin_lock_version": 0, "triggers": [], "components": components})
    assert app.components == ()
    assert len(app.faults) == 1


def test_old_app_without_optional_parts() -> None:
    document = {
        "spin_lock_version": 0,
        "metadata": {"description": "", "name": "old", "trigger": {"type": "http"}, "version": "0.1.0"},
        "triggers": [{"id": "trigger--old", "trigger_type": "http", "trigger_config": {"component": "old"}}],
        "components": [{"id": "old", "source": {"content_type": "application/wasm", "digest": A}}],
    }
    app = parse(document)
    assert (app.name, app.description, app.faults) == ("old", None, ())


def by_type(document: dict[str, Any]) -> LockedApp | None:
    """What the typed decoding says, which is None or what the tolerant reader says."""
    usual = usual_locked_app(json.dumps(document).encode())
    try:
        assert usual in (None, read_locked_app(document, where="config.json"))
    except LockedAppError:
        assert usual is None
    return usual


USUAL = {**FULL, "components": [{**FULL["components"][0], "files": FULL["components"][0]["files"][:2]}]}


def test_usual_app_is_decoded_by_type() -> None:
    assert by_type(USUAL) is not None
    assert by_type(with_component()) is not None


@pytest.mark.parametrize(
    "odd",
    [None, True, False, 0, 1.0, 10**20, 1e308, "", "a", "a/", "/a", "./a", ".", ".a", "..", "a/../b", "a\n/b",
     "\\a", "\U0001f600", "null", A, A + "\n", A.upper(), "sha512:" + "a" * 128, "YQ==", "YQ", "Y/Q+", "=",
     [], {}, [None], {"": None}],
)  # fmt: skip
def test_typed_decoding_says_what_the_tolerant_reader_says(odd: Any) -> None:
    """Any value in any place of a whole document, one at a time."""
    for number in range(len(list(places(USUAL)))):
        changed = json.loads(json.dumps(USUAL))
        parent, key = list(places(changed))[number]
        parent[key] = odd
        by_type(changed)
        del parent[key]
        by_type(changed)


@pytest.mark.parametrize(
    "number", ["1e999", "-1E+0400", "1" * 5000, "-" + "1" * 400 + ".5", "1" * 299 + "e99"]
)
@pytest.mark.parametrize("after", ["", " ", "\n"])
def test_number_that_nobody_can_hold_is_no_json_wherever_it_stands(number: str, after: str) -> None:
    text = json.dumps(with_component(env={"A": 1})).replace('"A": 1', f'"A": {number}{after}')
    with pytest.raises(LockedAppError):
        parse_locked_app(text.encode(), where="config.json")


@pytest.mark.parametrize("inner", [b'"\xff"', b'"\\ud800"', b'"\\x"', b"01", b"NaN", b"1,}", b"[" * 5000])
def test_damage_in_what_is_not_kept_is_damage(inner: bytes) -> None:
    text = json.dumps(with_component(env={"A": 1})).encode().replace(b'"A": 1', b'"A": ' + inner)
    with pytest.raises(LockedAppError):
        parse_locked_app(text, where="config.json")
