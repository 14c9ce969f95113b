"""A stored event as it was sent, to be resolved again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.ingest.domain.found import Found
from services.ingest.domain.usage_event import UsageEvent

ReadValues = Callable[[bytes], Mapping[str, bytes]]


def as_sent(found: Found, read_values: ReadValues) -> UsageEvent:
    """The event with the time the log gave it, which stays its time."""
    return UsageEvent(
        found.transaction_id,
        found.external_customer_id,
        found.external_subscription_id,
        found.code,
        found.occurred_us,
        found.properties,
        read_values(found.properties),
        found.amount,
    )
