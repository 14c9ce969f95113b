"""The JSON of a body: well-formed, not nested too deep, each key once, under its root."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import NoReturn

import msgspec

from gateway.decode.refusals import Refusals
from gateway.problem import Problem

# Deeper than any meaningful body, and far from the depth at which Python's own stack ends.
MAX_DEPTH = 32
# How many characters of a key an error message repeats.
_SHOWN = 100
_TEXTS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class NumberText(str):
    """A JSON number with a fraction or an exponent, kept as it was written."""

    __slots__ = ()


_Container = dict[str, object] | list[object]
_JSON = msgspec.json.Decoder(float_hook=NumberText)


def parse(body: bytes) -> object:
    """The JSON of a body. Numbers that are not whole stay texts, and an empty body is an empty object.

    Raises:
        Problem: 400, it is not JSON or not UTF-8, is nested too deep, or has an object with the same key twice.
    """
    if not body.strip():
        return {}
    value = decode(body)
    # Outside of texts every key is followed by a colon, so more colons than keys mean that a key was given twice.
    if _TEXTS.sub(b"", body).count(b":") != _keys(value):
        _refuse_twice(body)
    return value


def decode(json_text: bytes) -> object:
    """The JSON of a text without the checks of a whole body: for one value of a body that is read piece by piece.

    Raises:
        Problem: 400, it is not JSON or not UTF-8, or is nested too deep for Python's own stack.
    """
    try:
        return _JSON.decode(json_text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, "bad_request", f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise _too_deep() from error


def _too_deep() -> Problem:
    return Problem(400, "bad_request", f"the body is nested more than {MAX_DEPTH} deep")


def _keys(value: object) -> int:
    """How many keys all objects of a value have. It goes level by level, so that depth costs no stack."""
    level, keys = _containers([value]), 0
    for _ in range(MAX_DEPTH):
        if not level:
            return keys
        keys += sum(len(outer) for outer in level if isinstance(outer, dict))
        level = [
            inner for outer in level for inner in _containers(outer.values() if isinstance(outer, dict) else outer)
        ]
    raise _too_deep()


def _containers(values: Iterable[object]) -> list[_Container]:
    return [value for value in values if isinstance(value, dict | list)]


def _refuse_twice(body: bytes) -> NoReturn:
    """Name the key that an object has twice; it would be a guess which of its values counts.

    Raises:
        Problem: 400.
    """

    def members(pairs: list[tuple[str, object]]) -> None:
        seen = set()
        for name, _ in pairs:
            if name in seen:
                raise Problem(400, "bad_request", f"the body gives {name[:_SHOWN]!a} twice in one object")
            seen.add(name)

    # Numbers are not converted, so that their digits cost nothing.
    json.loads(body, object_pairs_hook=members, parse_int=str, parse_float=str)
    raise AssertionError("a key that is missing was given twice")


def unwrap(value: object, root: str, refusals: Refusals, *, is_optional: bool = False) -> Mapping[str, object]:
    """The object under a body's root name, or the body itself if there is no root or the root is optional and missing.

    Raises:
        Problem: 400, there is no object.
    """
    if not isinstance(value, dict):
        raise Problem(400, "bad_request", "the body must be a JSON object")
    if not root or (is_optional and root not in value):
        return value
    inner = value.get(root)
    if not isinstance(inner, dict):
        raise Problem(400, "bad_request", f"param is missing or the value is empty: {root}")
    for name in value:
        if name != root:
            refusals.add(name, "unknown_field", "is not known here")
    return inner
