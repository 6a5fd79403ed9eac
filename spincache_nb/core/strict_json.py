"""JSON from outside: size, depth and shape are checked before anybody trusts it."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from spincache_nb.errors import FormatError

JsonObject = dict[str, Any]


def parse_object(data: bytes, *, where: str, error: type[FormatError], what: str) -> JsonObject:
    """Read bytes as one JSON object.

    Parameters
    ----------
    data
        UTF-8 text; the caller bounds its size.
    where, what
        Where the bytes come from and what they should be, for the error.
    error
        The exception to raise.

    Raises
    ------
    FormatError
        Of the given class, if the bytes are not UTF-8, not JSON, nested too deeply, hold NaN or
        Infinity, or are not an object.

    Examples
    --------
    >>> parse_object(b'{"a": 1}', where="demo", error=FormatError, what="a document")
    {'a': 1}
    """
    remedy = "the document is damaged or of another kind"
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
        if b"\\u" in data:  # an escaped half of a surrogate pair is no text; Spin refuses it too
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError) as exc:
        raise error(where, f"{what} in UTF-8", f"text that is not ({exc.reason})", remedy) from exc
    except RecursionError as exc:
        raise error(where, what, "JSON nested too deeply", remedy) from exc
    except ValueError as exc:
        raise error(where, what, f"text that is not JSON ({exc})", remedy) from exc
    if not isinstance(document, dict):
        raise error(where, what, f"a JSON {type(document).__name__}", remedy)
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
