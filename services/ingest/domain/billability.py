"""Whether an event can be billed: its metric is known, it has the counted property, and exactly one subscription.

An event that cannot be billed is kept with one of these reasons, and checked again when the catalog changes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from services.ingest.domain.usage_event import UsageEvent
from services.kernel.money import MAX_DIGITS, MAX_EXPONENT, MAX_UNITS, decimal_or_none, plain

# Whole numbers with this many digits are certainly within MAX_UNITS.
_SAFE_DIGITS = MAX_UNITS.adjusted()
# The end of a subscription that has none: later than any event may occur.
FOREVER_US = 2**62


class Needs(Enum):
    """What a metric needs of an event's properties."""

    NOTHING = "nothing"
    VALUE = "value"
    NUMBER = "number"


class Metric(NamedTuple):
    """What the log needs to know of a billable metric.

    Attributes:
        code: the organization's code.
        needs: what it needs of its property.
        field_name: the name of the property.
    """

    code: str
    needs: Needs
    field_name: str


class Subscription(NamedTuple):
    """What the log needs to know of a subscription, which is active in [starts_us, ends_us).

    Attributes:
        subscription_id: Farebox id.
        external_id: the organization's id.
        external_customer_id: the organization's id of the customer.
        starts_us: when it starts or started.
        ends_us: when it ended; FOREVER_US if it has not ended.
    """

    subscription_id: str
    external_id: str
    external_customer_id: str
    starts_us: int
    ends_us: int

    def is_active(self, at_us: int) -> bool:
        """Whether usage at this instant counts for it."""
        return self.starts_us <= at_us < self.ends_us


class Reason(NamedTuple):
    """Why an event cannot be billed.

    Attributes:
        reason: a stable word in upper snake case.
        field: the field that is missing or wrong.
        description: a sentence for a person.
    """

    reason: str
    field: str
    description: str


METRIC_UNKNOWN = Reason("METRIC_UNKNOWN", "code", "no billable metric has this code")
SUBSCRIPTION_NOT_FOUND = Reason("SUBSCRIPTION_NOT_FOUND", "external_subscription_id", "there is no such subscription")
CUSTOMER_UNSUBSCRIBED = Reason("SUBSCRIPTION_NOT_FOUND", "external_customer_id", "the customer has no subscription")
SUBSCRIPTION_NOT_ACTIVE = Reason("SUBSCRIPTION_NOT_ACTIVE", "timestamp", "no subscription was active at this time")
SUBSCRIPTION_AMBIGUOUS = Reason(
    "SUBSCRIPTION_AMBIGUOUS", "external_subscription_id", "several subscriptions were active at this time; name one"
)

_SHORT_NUMBER = re.compile(rb'"?-?[0-9]{1,%d}(?:\.[0-9]{1,18})?"?' % _SAFE_DIGITS, re.ASCII)
_LONG_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_ABSENT = (b"null", b'""')


def missing_property(metric: Metric, raw: bytes) -> Reason | None:
    """Why an event's property is not enough for the metric, or None if it is.

    Args:
        metric: the metric that counts the event.
        raw: the property's raw JSON; `null` if the event does not have it.
    """
    # Nearly every event carries a whole number of few digits.
    if metric.needs is Needs.NOTHING or (raw.isdigit() and len(raw) <= _SAFE_DIGITS):
        return None
    if raw in _ABSENT:
        return Reason("PROPERTY_MISSING", f"properties.{metric.field_name}", "the metric counts this property")
    if metric.needs is Needs.VALUE:
        return None
    return _not_numeric(metric.field_name, raw)


def _not_numeric(field_name: str, raw: bytes) -> Reason | None:
    """Why a raw JSON value is not a number that Farebox counts exactly. JSON numbers and numeric strings are."""
    is_quoted = raw[:1] == b'"'
    if _SHORT_NUMBER.fullmatch(raw) and is_quoted == (raw[-1:] == b'"'):
        return None
    text = (raw[1:-1] if is_quoted else raw).decode()
    number = decimal_or_none(text)
    if number is not None and abs(number) <= MAX_UNITS:
        return None
    field = f"properties.{field_name}"
    if _LONG_NUMBER.fullmatch(text):
        return Reason(
            "VALUE_TOO_LARGE",
            field,
            f"must lie within {plain(MAX_UNITS)} of zero, with at most {MAX_DIGITS} digits and an exponent within "
            f"{MAX_EXPONENT}",
        )
    return Reason("PROPERTY_NOT_NUMERIC", field, "the metric adds this property up; it must be a number")


def find_subscription(event: UsageEvent, candidates: Sequence[Subscription], at_us: int) -> Subscription | Reason:
    """The one subscription an event counts for, or the reason why there is none.

    Args:
        event: the event.
        candidates: the subscriptions with the external id it names, or those of its customer if it names none.
        at_us: when the event occurred.
    """
    named = event.external_subscription_id
    if named and event.external_customer_id:
        candidates = [
            subscription
            for subscription in candidates
            if subscription.external_customer_id == event.external_customer_id
        ]
    if not candidates:
        return SUBSCRIPTION_NOT_FOUND if named else CUSTOMER_UNSUBSCRIBED
    active = [subscription for subscription in candidates if subscription.is_active(at_us)]
    if len(active) == 1:
        return active[0]
    return SUBSCRIPTION_AMBIGUOUS if active else SUBSCRIPTION_NOT_ACTIVE
