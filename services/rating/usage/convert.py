"""The log's entries and listed events, as the domain knows them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from google.protobuf.timestamp_pb2 import Timestamp

from farebox.ingest.v1 import domain_events_pb2 as ingest_pb
from farebox.ingest.v1 import usage_event_pb2, usage_event_service_pb2
from services.kernel.ids import OrganizationId, SubscriptionId
from services.kernel.money import ZERO
from services.rating.shared.usage_log import ListedUsageEvent, UsageEntry, UsageEventPage
from services.wire.properties import read_properties

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def entries_from_pb(batch: ingest_pb.UsageEventsAccepted) -> Iterator[UsageEntry]:
    """The entries of a message of the log, whose events ingest has validated."""
    shard, number = batch.shard, batch.last_number
    voided = ingest_pb.UsageEventEntry.KIND_VOIDED
    for entry in batch.entries:
        amount = entry.precise_total_amount_cents.value
        yield UsageEntry(
            OrganizationId(entry.organization_id),
            SubscriptionId(entry.subscription_id),
            entry.code,
            entry.transaction_id,
            entry.event_key,
            entry.kind == voided,
            _instant(entry.occurred_at),
            read_properties(entry.properties),
            Decimal(amount) if amount else ZERO,
            shard,
            number,
            entry.catalog_revision,
        )


def event_page_from_pb(response: usage_event_service_pb2.ListUsageEventsResponse) -> UsageEventPage:
    """A page of listed events; quarantined events count nowhere and are left out."""
    states = usage_event_pb2.StoredUsageEvent
    events = tuple(
        ListedUsageEvent(
            transaction_id=stored.event.transaction_id,
            occurred_at=_instant(stored.event.occurred_at),
            properties=read_properties(stored.event.properties),
            precise_amount_cents=Decimal(stored.event.precise_total_amount_cents.value or 0),
            is_voided=stored.state == states.STATE_VOIDED,
        )
        for stored in response.events
        if stored.state in {states.STATE_ACCEPTED, states.STATE_VOIDED}
    )
    return UsageEventPage(events, response.page.next_page_token)


def _instant(stamp: Timestamp) -> datetime:
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
