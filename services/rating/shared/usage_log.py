"""What rating reads of the usage-event log: entries as they are announced, and events as they are listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol

from services.kernel.ids import OrganizationId, SubscriptionId
from services.kernel.money import ZERO
from services.kernel.period import Period


class UsageEntry(NamedTuple):
    """One entry of the log: an event to count, or one to take back.

    Attributes:
        organization_id: the organization it belongs to.
        subscription_id: the subscription it counts for.
        code: the code of the billable metric.
        transaction_id: the sender's identity of the event.
        event_key: the log's 16-byte identity of the event.
        is_void: whether the event is taken back.
        occurred_at: when the usage occurred.
        properties: the event's properties; numbers are int or Decimal, never float.
        precise_amount_cents: the price that the event carries for a dynamic charge, in minor units.
        shard, number: the batch that announced it.
        catalog_revision: the revision of the log's catalog when it announced the event.
    """

    organization_id: OrganizationId
    subscription_id: SubscriptionId
    code: str
    transaction_id: str
    event_key: bytes
    is_void: bool
    occurred_at: datetime
    properties: Mapping[str, object]
    precise_amount_cents: Decimal = ZERO
    shard: int = 0
    number: int = 0
    catalog_revision: int = 0


@dataclass(frozen=True, slots=True)
class ListedUsageEvent:
    """An event as the log lists it.

    Attributes:
        transaction_id: the sender's identity.
        occurred_at: when the usage occurred.
        properties: as in `UsageEntry`.
        precise_amount_cents: as in `UsageEntry`.
        is_voided: whether it has been taken back since.
    """

    transaction_id: str
    occurred_at: datetime
    properties: Mapping[str, object]
    precise_amount_cents: Decimal = ZERO
    is_voided: bool = False


@dataclass(frozen=True, slots=True)
class UsageEventsWanted:
    """Which events of the log: those of a subscription's metric that occurred in a span."""

    organization_id: OrganizationId
    subscription_id: SubscriptionId
    code: str
    occurred: Period


@dataclass(frozen=True, slots=True)
class UsageEventPage:
    """A page of events in the order of receipt; quarantined events are left out.

    Attributes:
        events: the events.
        next_token: token of the next page; empty on the last one.
    """

    events: tuple[ListedUsageEvent, ...]
    next_token: str = ""


class UsageLog(Protocol):
    """The usage-event log, which ingest keeps."""

    def page(self, wanted: UsageEventsWanted, *, size: int, token: str) -> UsageEventPage:
        """One page of the events.

        Raises:
            UnavailableError: ingest cannot be asked now.
        """
