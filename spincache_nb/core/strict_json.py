"""JSON from outside: size, depth and shape are checked before anybody trusts it."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from spincache_nb.errors import FormatError

JsonObject = dict[str, Any]


def parse_object(data: bytes, *, where: str, error: type[FormatError], what: str) -> JsonObject:
    """Read bytes as one JSON object."""
    try:
        text = data.decode("utf-8")
        document = json.loads(text) if text.startswith("\ufeff") else _DECODER.decode(text)
        if b"\\u" in data:  # an escaped half of a surrogate pair is no text; Spin refuses it too
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeError as exc:
        expected, found = f"{what} in UTF-8", f"text that is not ({getattr(exc, 'reason', exc)})"
    except RecursionError:
        expected, found = what, "JSON nested too deeply"
    except ValueError as exc:
        expected, found = what, f"text that is not JSON ({exc})"
    else:
        if isinstance(document, dict):
            return document
        expected, found = what, f"a JSON {type(document).__name__}"
    # raised out here, since the errors above carry the text, and secrets in it, along
    raise error(where, expected, found, "the document is damaged or of another kind")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # json.loads makes one for each document
