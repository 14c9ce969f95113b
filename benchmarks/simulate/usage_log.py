"""The usage-event log's side of rating: messages as ingest's shards announce them, applied as its follower does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from farebox.ingest.v1.domain_events_pb2 import UsageEventEntry, UsageEventsAccepted
from services.chassis.followed import Message
from services.kernel.ids import OrganizationId, SubscriptionId
from services.rating.consumers import usage_applier
from services.rating.deps import Deps
from services.wire.streams import shard_subject

# One shard is enough: rating counts every shard alike, and one keeps the order of arrival that a seed gives.
SHARD = 0
KEY_BYTES = 16


class Event(NamedTuple):
    """A usage event that ingest has accepted for a subscription."""

    organization_id: OrganizationId
    subscription_id: SubscriptionId
    transaction_id: str
    code: str
    occurred_at: datetime
    properties: dict[str, object]


class UsageFeed:
    """Announces events in numbered batches and lets rating's consumer apply each."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._apply = usage_applier(deps)
        self._number = 0

    def send(self, events: Sequence[Event]) -> None:
        """One batch, one message, one transaction."""
        self._number += 1
        batch = UsageEventsAccepted(
            shard=SHARD,
            first_number=self._number,
            last_number=self._number,
            entries=[self._entry(event, position) for position, event in enumerate(events)],
        )
        message = Message(shard_subject(SHARD), self._number, self._number, batch.SerializeToString())
        with self._deps.db.worker_transaction() as tx:
            self._apply(tx, [message])

    def _entry(self, event: Event, position: int) -> UsageEventEntry:
        entry = UsageEventEntry(
            organization_id=event.organization_id,
            kind=UsageEventEntry.KIND_ACCEPTED,
            event_key=(self._number << 32 | position).to_bytes(KEY_BYTES, "big"),
            transaction_id=event.transaction_id,
            subscription_id=event.subscription_id,
            code=event.code,
            properties=msgspec.json.encode(event.properties),
        )
        entry.occurred_at.FromDatetime(event.occurred_at)
        return entry
