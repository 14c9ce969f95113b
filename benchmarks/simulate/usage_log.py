"""The usage-event log's side of rating: messages as ingest's shards announce them, applied as its follower does.

What rating refuses is quarantined and taken back, and released once it may be billable, as ingest does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from farebox.ingest.v1.domain_events_pb2 import UsageEventEntry, UsageEventsAccepted
from farebox.rating.v1.domain_events_pb2 import UsageRefused
from services.chassis.followed import Message
from services.kernel.ids import OrganizationId, SubscriptionId
from services.rating.consumers import usage_applier
from services.rating.deps import Deps
from services.wire.streams import shard_subject

# One shard is enough: rating counts every shard alike, and one keeps the order of arrival that a seed gives.
SHARD = 0
KEY_BYTES = 16
_REFUSALS = "SELECT id, body FROM outbox WHERE id > %s AND subject = 'rating.usage.refused' ORDER BY id"


class Event(NamedTuple):
    """A usage event that ingest has accepted for a subscription."""

    organization_id: OrganizationId
    subscription_id: SubscriptionId
    transaction_id: str
    code: str
    occurred_at: datetime
    properties: dict[str, object]


class Refused(NamedTuple):
    """An event in quarantine, and why rating refused it."""

    event: Event
    reason: str


class UsageFeed:
    """Announces events in numbered batches and lets rating's consumer apply each.

    Attributes:
        quarantined: what rating has refused, by the event's key.
    """

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._apply = usage_applier(deps)
        self._number = 0
        self._known: dict[bytes, Event] = {}
        self._heard = 0
        self.quarantined: dict[bytes, Refused] = {}

    def send(self, events: Sequence[Event]) -> None:
        """Accept events, and quarantine what rating refuses of them."""
        first = len(self._known)
        fresh = {number.to_bytes(KEY_BYTES, "big"): event for number, event in enumerate(events, first)}
        self._known.update(fresh)
        self._announce(fresh, UsageEventEntry.KIND_ACCEPTED)
        self.hear()

    def release(self, keys: Sequence[bytes]) -> None:
        """Accept quarantined events again; what rating refuses once more stays."""
        self._announce({key: self.quarantined.pop(key).event for key in keys}, UsageEventEntry.KIND_ACCEPTED)
        self.hear()

    def hear(self) -> None:
        """Quarantine and take back whatever rating has refused since."""
        with self._deps.db.worker_transaction() as tx:
            rows = tx.exec_driver_sql(_REFUSALS, (self._heard,)).all()
        taken_back = {}
        for row in rows:
            self._heard = row.id
            for refusal in UsageRefused.FromString(row.body).refusals:
                taken_back[refusal.event_key] = self._known[refusal.event_key]
                self.quarantined[refusal.event_key] = Refused(self._known[refusal.event_key], refusal.reason)
        self._announce(taken_back, UsageEventEntry.KIND_VOIDED)

    def _announce(self, events: Mapping[bytes, Event], kind: UsageEventEntry.Kind) -> None:
        """One batch, one message, one transaction."""
        if not events:
            return
        self._number += 1
        batch = UsageEventsAccepted(
            shard=SHARD,
            first_number=self._number,
            last_number=self._number,
            entries=[_entry(key, event, kind) for key, event in events.items()],
        )
        message = Message(shard_subject(SHARD), self._number, self._number, batch.SerializeToString())
        with self._deps.db.worker_transaction() as tx:
            self._apply(tx, [message])


def _entry(key: bytes, event: Event, kind: UsageEventEntry.Kind) -> UsageEventEntry:
    entry = UsageEventEntry(
        organization_id=event.organization_id,
        kind=kind,
        event_key=key,
        transaction_id=event.transaction_id,
        subscription_id=event.subscription_id,
        code=event.code,
        properties=msgspec.json.encode(event.properties),
    )
    entry.occurred_at.FromDatetime(event.occurred_at)
    return entry
