"""A stored event as it was sent, to be resolved again."""

from __future__ import annotations

from services.ingest.domain.found import Found
from services.ingest.domain.usage_event import UsageEvent


def as_sent(found: Found) -> UsageEvent:
    """The event with the time the log gave it, which stays its time."""
    return UsageEvent(
        found.transaction_id,
        found.external_customer_id,
        found.external_subscription_id,
        found.code,
        found.occurred_us,
        found.properties,
        found.amount,
    )
