"""An event's properties: one JSON object as its sender's bytes, read without floats.

The log checks that properties are a JSON object, but looks at a number only if a metric counts it; any other number may
be whatever JSON allows. A number that Farebox cannot keep exactly is read as text, so that an event with `{"id":
1e99999999999}` is not expanded and does not fail the other events of its batch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from services.kernel.money import decimal_or_none

_NOTHING: Mapping[str, object] = {}
# Shorter numbers without an exponent can always be kept exactly.
_SHORT = 30


def _number(text: str) -> Decimal | str:
    if len(text) <= _SHORT and "e" not in text and "E" not in text:
        return Decimal(text)
    number = decimal_or_none(text)
    return text if number is None else number


def _whole(text: str) -> int | str:
    return int(text) if len(text) <= _SHORT else text


_read = msgspec.json.Decoder(dict[str, Any], float_hook=_number).decode


def read_properties(raw: bytes) -> Mapping[str, object]:
    """Properties that the log has checked; numbers are int or Decimal, or text if they cannot be kept exactly."""
    if not raw:
        return _NOTHING
    try:
        return _read(raw)
    except (msgspec.DecodeError, InvalidOperation):
        # The quick parser refuses whole numbers beyond 64 bits; this one passes their digits on.
        read: dict[str, object] = json.loads(raw, parse_int=_whole, parse_float=_number)
        return read
