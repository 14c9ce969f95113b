"""A usage event as its sender wrote it, and whether it is well formed.

Instants are integers of microseconds since 1970 (`_us`): a batch of 1,000 events makes 1,000 of them, and a datetime
costs five times as much as an integer. The rules are in README.md beside the service, and in docs/errors.md.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from services.kernel.errors import FieldViolation

# Ids come from callers, and all systems of this kind limit them; many keys of this length still fit on an index page.
MAX_ID_CHARACTERS = 255
# An event that needs more carries a document, not usage. A thousand of the largest would be 64 MiB, so the request's
# own limit of 4 MiB is reached first.
MAX_PROPERTIES_BYTES = 64 * 1024
# Rating, margin and the list of events read each property; nobody groups by a hundredth dimension.
MAX_PROPERTIES = 100
# Deeper JSON would only exhaust the stack of the next program that reads it.
MAX_PROPERTIES_DEPTH = 16
# A sender's clock may be set to another time zone by mistake, but not to another year.
MAX_AHEAD_US = 24 * 3600 * 1_000_000
# 0001-01-01 and 10000-01-01: what a protobuf Timestamp, a datetime and PostgreSQL can all write.
MIN_OCCURRED_US = -62_135_596_800 * 1_000_000
END_OCCURRED_US = 253_402_300_800 * 1_000_000
# Anyone who voids an event can say why in a sentence or two.
MAX_REASON_CHARACTERS = 500


class UsageEvent(NamedTuple):
    """One reported consumption.

    Attributes:
        transaction_id: the sender's identity of the event.
        external_customer_id: the organization's id of the customer; may be empty if the subscription is given.
        external_subscription_id: the organization's id of the subscription; empty for the customer's only one.
        code: code of the billable metric.
        occurred_us: when it occurred; None if the sender gave no time.
        properties: one JSON object as the sender's own bytes, never empty.
        amount: for the dynamic charge model, the exact price in minor units.
    """

    transaction_id: str
    external_customer_id: str
    external_subscription_id: str
    code: str
    occurred_us: int | None
    properties: bytes
    amount: Decimal | None


def check_ids(transaction_id: str, customer: str, subscription: str, code: str) -> FieldViolation | None:
    """What is wrong with an event's ids, or None. All events pass here, so a good event costs only one expression."""
    joined = f"{transaction_id}{customer}{subscription}{code}"
    if (
        transaction_id
        and code
        and (customer or subscription)
        and len(joined) <= MAX_ID_CHARACTERS
        and "\0" not in joined
    ):
        return None
    named = {
        "transaction_id": transaction_id,
        "code": code,
        "external_customer_id": customer,
        "external_subscription_id": subscription,
    }
    mandatory = ("transaction_id", "code") if customer or subscription else tuple(named)[:3]
    violations = (_check_id(name, text, mandatory) for name, text in named.items())
    return next((violation for violation in violations if violation), None)


def _check_id(name: str, text: str, mandatory: tuple[str, ...]) -> FieldViolation | None:
    if not text:
        return FieldViolation(name, "value_is_mandatory", "must be given") if name in mandatory else None
    if len(text) > MAX_ID_CHARACTERS:
        return FieldViolation(name, "value_too_long", f"must have at most {MAX_ID_CHARACTERS} characters")
    if "\0" in text:
        return FieldViolation(name, "invalid_format", "must be UTF-8 text without NUL characters")
    return None


def check_occurred(occurred_us: int, *, now_us: int) -> FieldViolation | None:
    """What is wrong with an event's time, by the organization's clock, or None."""
    if occurred_us > now_us + MAX_AHEAD_US:
        return FieldViolation("timestamp", "value_is_out_of_range", "is more than 24 hours ahead")
    if not MIN_OCCURRED_US <= occurred_us < END_OCCURRED_US:
        return FieldViolation("timestamp", "value_is_out_of_range", "must lie in the years 1 to 9999")
    return None


def check_properties(properties: bytes) -> FieldViolation | None:
    """What the bytes alone show to be wrong with the properties, or None; the parser checks whether they are JSON."""
    if len(properties) > MAX_PROPERTIES_BYTES:
        return FieldViolation("properties", "value_too_long", f"must have at most {MAX_PROPERTIES_BYTES} bytes")
    # Brackets inside strings are counted too, so the exact depth is computed only if there are many.
    if (
        properties.count(b"{") + properties.count(b"[") > MAX_PROPERTIES_DEPTH
        and depth(properties) > MAX_PROPERTIES_DEPTH
    ):
        return FieldViolation("properties", "value_is_invalid", f"must be nested at most {MAX_PROPERTIES_DEPTH} deep")
    return None


def depth(json: bytes) -> int:
    """How deep the objects and arrays of a JSON text are nested; meaningless for text that is not JSON."""
    deepest = level = 0
    in_string = escaped = False
    for byte in json:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"{[":
            level += 1
            deepest = max(deepest, level)
        elif byte in b"}]":
            level -= 1
    return deepest
