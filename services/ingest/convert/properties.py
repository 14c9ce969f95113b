"""Properties: one JSON object as the sender's bytes. It is checked as a whole, and read only where a metric needs it.

The parser checks the whole text but builds nothing of it, so that no number becomes a float. What it does not check
inside strings (UTF-8, lone surrogates, NUL) is looked for only where a byte says that it may be there.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Sequence

import msgspec

from services.ingest.commands.codec import ReadValue
from services.ingest.domain.usage_event import MAX_PROPERTIES, MAX_PROPERTIES_DEPTH, check_properties
from services.kernel.errors import FieldViolation
from services.kernel.money import MAX_WHOLE_DIGITS

EMPTY = b"{}"
_FIELD = "properties"
# The escape itself, not a backslash that is escaped and happens to be followed by `u0000`.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# A hundred and one different properties need 101 times `"":0,` at the very least.
_FEW_BYTES = 5 * MAX_PROPERTIES
_INVALID = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NULL = msgspec.Raw(b"null")
# The first whole number with too many digits.
_END = 10**MAX_WHOLE_DIGITS


class _Anything(msgspec.Struct, gc=False):
    """An object none of whose properties is wanted: checking one costs 0.05 µs, a dict of it 0.2 µs."""


_check = msgspec.json.Decoder(_Anything).decode
# Values are bytes-like (msgspec.Raw); whoever needs one calls bytes() on it.
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def are_plain(batch: Sequence[bytes]) -> bool:
    """Whether all properties of a batch are surely valid; False says nothing. A third of the price of each alone."""
    joined = b"".join(batch)
    if max(map(len, batch)) > _FEW_BYTES or not joined.isascii() or b"\\u" in joined or _may_be_deep(batch, joined):
        return False
    try:
        for raw in batch:
            _check(raw)
    except _INVALID:
        return False
    return True


def _may_be_deep(batch: Sequence[bytes], joined: bytes) -> bool:
    # Each has one bracket at the very least: where the batch has few others, none has too many.
    if joined.count(b"{") + joined.count(b"[") < len(batch) + MAX_PROPERTIES_DEPTH:
        return False
    return any(raw.count(b"{") + raw.count(b"[") > MAX_PROPERTIES_DEPTH for raw in batch)


def read_properties(raw: bytes) -> bytes | FieldViolation:
    """The bytes to keep, or what is wrong with them."""
    if not raw:
        return EMPTY
    wrong = check_properties(raw) or _check_text(raw)
    if wrong is not None:
        return wrong
    try:
        _check(raw)
        count = len(_decode(raw)) if len(raw) > _FEW_BYTES else 0
    except _INVALID:
        return FieldViolation(_FIELD, "invalid_format", "must be one JSON object")
    if count > MAX_PROPERTIES:
        return FieldViolation(_FIELD, "value_is_invalid", f"must have at most {MAX_PROPERTIES} properties")
    return raw


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


@functools.lru_cache(maxsize=1024)
def value_reader(field_name: str) -> ReadValue:
    """A function that reads one property of valid properties, and skips the others: 0.1 µs instead of 0.25."""
    try:
        wanted = msgspec.defstruct("_Wanted", [("value", msgspec.Raw, _NULL)], rename={"value": field_name}, gc=False)
    except ValueError:
        # A name that would need escapes in JSON; rare enough to go the long way.
        return lambda properties: bytes(_decode(properties).get(field_name, _NULL))
    decode = msgspec.json.Decoder(wanted).decode
    return lambda properties: bytes(decode(properties).value)  # type: ignore[attr-defined]


@functools.lru_cache(maxsize=1024)
def number_test(field_name: str) -> Callable[[bytes], bool]:
    """A function that knows most valid properties of which one is a number that Farebox keeps exactly.

    Whole numbers are what nearly every event carries, and the parser makes them for less than it takes to hand out
    their text. False says nothing: the property may still be a number in another form.
    """
    try:
        wanted = msgspec.defstruct("_Number", [("value", int | None, None)], rename={"value": field_name}, gc=False)
    except ValueError:
        return lambda _: False
    decode = msgspec.json.Decoder(wanted).decode

    def is_number(properties: bytes) -> bool:
        try:
            value = decode(properties).value  # type: ignore[attr-defined]
        except msgspec.ValidationError:
            return False
        return value is not None and -_END < value < _END

    return is_number
