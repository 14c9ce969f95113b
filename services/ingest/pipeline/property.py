"""Reading the one property that a metric needs out of an event's properties, for thousands of events.

Properties have been checked to be valid JSON objects before they get here (`convert.properties`). The rest of the
object is skipped, and no number becomes a float on the way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import msgspec

from services.kernel.money import MAX_UNITS

# From an event's properties to the raw JSON of one of them; `null` if the event does not have it.
ReadValue = Callable[[bytes], bytes]
# Whether properties certainly have what a metric needs. `False` is inconclusive: read the property and check it.
HasValue = Callable[[bytes], bool]

_NULL = msgspec.Raw(b"null")
_MOST = int(MAX_UNITS)
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@functools.lru_cache(maxsize=1024)
def value_reader(field_name: str) -> ReadValue:
    """A function that reads one property and skips the others, in 0.1 µs instead of 0.25 µs for all of them."""
    try:
        wanted = msgspec.defstruct("_Wanted", [("value", msgspec.Raw, _NULL)], rename={"value": field_name}, gc=False)
    except ValueError:
        # A name that needs escapes in JSON; it is rare enough for the slow way.
        return lambda properties: bytes(_decode(properties).get(field_name, _NULL))
    decode = msgspec.json.Decoder(wanted).decode
    return lambda properties: bytes(decode(properties).value)  # type: ignore[attr-defined]


@functools.lru_cache(maxsize=1024)
def number_test(field_name: str) -> HasValue:
    """A function that recognises most properties in which `field_name` is a number that Farebox keeps exactly.

    Nearly every event carries a whole number, and the parser builds one faster than it returns its text. `False` is
    inconclusive: the property may still be a number in another form.
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
        return value is not None and -_MOST <= value <= _MOST

    return is_number
