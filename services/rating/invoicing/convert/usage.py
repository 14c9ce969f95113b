"""Usage: the log's entries and listed events to domain, summaries to messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.ingest.v1 import domain_events_pb2 as ingest_pb
from farebox.ingest.v1 import usage_event_pb2, usage_event_service_pb2
from farebox.rating.v1 import usage_service_pb2 as pb
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId, SubscriptionId
from services.kernel.money import ZERO
from services.rating.catalog.convert.plans import plan_from_pb
from services.rating.invoicing.convert.invoices import fee_to_pb
from services.rating.invoicing.queries.usage import UsageSummary, Whose
from services.rating.pricing.catalog import PlanVersion
from services.rating.shared.usage_log import EventPage, ListedEvent, UsageEntry
from services.rating.shared.values import period_to_pb

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING: Mapping[str, object] = {}
# Numbers never pass through a float, so none is rounded on the way.
_PROPERTIES = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


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
            _properties(entry.properties),
            Decimal(amount) if amount else ZERO,
            shard,
            number,
        )


def event_page_from_pb(response: usage_event_service_pb2.ListUsageEventsResponse) -> EventPage:
    """A page of listed events; those in quarantine count nowhere and are left out."""
    states = usage_event_pb2.StoredUsageEvent
    events = tuple(
        ListedEvent(
            transaction_id=stored.event.transaction_id,
            occurred_at=_instant(stored.event.occurred_at),
            properties=_properties(stored.event.properties),
            precise_amount_cents=Decimal(stored.event.precise_total_amount_cents.value or 0),
            is_voided=stored.state == states.STATE_VOIDED,
        )
        for stored in response.events
        if stored.state in {states.STATE_ACCEPTED, states.STATE_VOIDED}
    )
    return EventPage(events, response.page.next_page_token)


def _instant(stamp: Timestamp) -> datetime:
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def _properties(raw: bytes) -> Mapping[str, object]:
    return _PROPERTIES.decode(raw) if raw else _NOTHING


def summary_to_pb(summary: UsageSummary) -> pb.UsageSummary:
    """The usage of one period."""
    return pb.UsageSummary(
        period=period_to_pb(summary.period),
        currency=summary.currency.code,
        amount_cents=summary.amount_cents,
        taxes_amount_cents=summary.taxes_cents,
        fees=[fee_to_pb(each, summary.currency.code, summary.invoice_id or "") for each in summary.fees],
        invoice_id=summary.invoice_id or "",
    )


class _NamesSubscription(Protocol):
    """A request about one subscription's usage."""

    external_customer_id: str
    external_subscription_id: str


def whose_from_pb(request: _NamesSubscription) -> Whose:
    """Whose usage is asked for."""
    return Whose(request.external_customer_id, request.external_subscription_id)


def simulated_plan_from_pb(request: pb.SimulatePlanRequest) -> PlanVersion | str:
    """The plan to price: a draft, or the code of one that exists."""
    if request.HasField("draft"):
        return plan_from_pb(request.draft)
    if not request.plan_code:
        raise InvalidArgumentError.of_field("plan_code", "value_is_mandatory", "or a draft is given")
    return request.plan_code
