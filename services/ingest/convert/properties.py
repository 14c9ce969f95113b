"""Properties: one JSON object as the sender's bytes, parsed once and only as far as keys.

The parser checks the whole text but keeps values raw, so that no number becomes a float. What it does not check inside
strings (UTF-8, lone surrogates, NUL) is looked for only where a byte says that it may be there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import msgspec

from services.ingest.domain.usage_event import MAX_PROPERTIES, check_properties
from services.kernel.errors import FieldViolation

EMPTY = b"{}"
_FIELD = "properties"
_NOTHING: Mapping[str, bytes] = {}
# The escape itself, not a backslash that is escaped and happens to be followed by `u0000`.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# Values are bytes-like (msgspec.Raw); whoever needs one calls bytes() on it.
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_properties(raw: bytes) -> tuple[bytes, Mapping[str, bytes]] | FieldViolation:
    """The bytes to keep and the raw JSON of each property, or what is wrong with them."""
    if not raw:
        return EMPTY, _NOTHING
    wrong = check_properties(raw) or _check_text(raw)
    if wrong is not None:
        return wrong
    try:
        values: Mapping[str, bytes] = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return FieldViolation(_FIELD, "invalid_format", "must be one JSON object")
    if len(values) > MAX_PROPERTIES:
        return FieldViolation(_FIELD, "value_is_invalid", f"must have at most {MAX_PROPERTIES} properties")
    return raw, values


def _check_text(raw: bytes) -> FieldViolation | None:
    if raw.isascii() and b"\\u" not in raw:
        return None
    try:
        text = raw.decode()
        if b"\\u" in raw:
            text = json.dumps(json.loads(raw, parse_int=str, parse_float=str), ensure_ascii=False)
            text.encode()
    except (UnicodeError, ValueError, RecursionError):
        return FieldViolation(_FIELD, "invalid_format", "must be one JSON object in UTF-8")
    if _NUL.search(text):
        return FieldViolation(_FIELD, "invalid_format", "must not contain NUL characters")
    return None


def read_values(stored: bytes) -> Mapping[str, bytes]:
    """The raw JSON of each property of an object that was read before."""
    values: Mapping[str, bytes] = _decode(stored)
    return values
