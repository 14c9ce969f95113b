"""Reading the one property that a metric needs out of an event's properties, for thousands of events.

Properties are valid JSON objects by the time they come here (convert.properties checks them); the rest of the object
is skipped, and no number becomes a float on the way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import msgspec

from services.kernel.money import MAX_UNITS

# From the properties of an event to the raw JSON of one of them; `null` where the event does not have it.
ReadValue = Callable[[bytes], bytes]
# Whether properties surely have what a metric needs. False is inconclusive: read the property and look.
HasValue = Callable[[bytes], bool]

_NULL = msgspec.Raw(b"null")
_MOST = int(MAX_UNITS)
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@functools.lru_cache(maxsize=1024)
def value_reader(field_name: str) -> ReadValue:
    """A function that reads one property and skips the others: 0.1 µs instead of 0.25 for all of them."""
    try:
        wanted = msgspec.defstruct("_Wanted", [("value", msgspec.Raw, _NULL)], rename={"value": field_name}, gc=False)
    except ValueError:
        # A name that would need escapes in JSON; rare enough to go the long way.
        return lambda properties: bytes(_decode(properties).get(field_name, _NULL))
    decode = msgspec.json.Decoder(wanted).decode
    return lambda properties: bytes(decode(properties).value)  # type: ignore[attr-defined]


@functools.lru_cache(maxsize=1024)
def number_test(field_name: str) -> HasValue:
    """A function that knows most properties of which `field_name` is a number that Farebox keeps exactly.

    Whole numbers are what nearly every event carries, and the parser makes them for less than it takes to hand out
    their text. False is inconclusive: the property may still be a number in another form.
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
