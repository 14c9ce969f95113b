"""An event as the log holds it now, and its state."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import NamedTuple

from services.ingest.domain.usage_event import UsageEvent


class State(Enum):
    """The state of an event.

    An accepted event is announced and counts; the others were not announced, or were taken back.
    """

    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    VOIDED = "voided"


class StoredUsageEvent(NamedTuple):
    """An event as the log holds it now.

    Attributes:
        transaction_id, external_subscription_id, code, properties, amount: as sent.
        external_customer_id: as sent, or the subscription's if the sender left it out.
        occurred_us, received_us: when it occurred, and when the log received it.
        state: its state.
        reason: why it is quarantined or voided; empty otherwise.
        subscription_id: the Farebox id of the subscription it counts for; empty while unknown.
        voided_by: who voided it; empty otherwise.
        replaced_by: transaction_id of the event in its place; empty otherwise.
        key: its identity in the log.
        commit_id: the commit that stored it.
    """

    transaction_id: str
    external_customer_id: str
    external_subscription_id: str
    code: str
    properties: bytes
    amount: Decimal | None
    occurred_us: int
    received_us: int
    state: State
    reason: str
    subscription_id: str
    voided_by: str
    replaced_by: str
    key: bytes
    commit_id: int

    def as_sent(self) -> UsageEvent:
        """The event as its sender wrote it, to be resolved again; a time that the log filled in is kept."""
        return UsageEvent(
            self.transaction_id,
            self.external_customer_id,
            self.external_subscription_id,
            self.code,
            self.occurred_us,
            self.properties,
            self.amount,
        )
