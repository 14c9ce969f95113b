"""The domain events of ingest and rating that margin reads, and its own."""

from __future__ import annotations

from decimal import Decimal

from farebox.ingest.v1 import domain_events_pb2 as ingest_pb
from farebox.margin.v1 import domain_events_pb2 as margin_pb
from farebox.rating.v1 import billable_metric_pb2, subscription_pb2
from farebox.rating.v1 import domain_events_pb2 as rating_pb
from services.chassis.followed import Message as LogMessage
from services.kernel.errors import InvalidArgumentError
from services.kernel.money import ZERO, currency
from services.kernel.revenue import RevenueKind
from services.margin.domain.limits import MAX_REVENUE
from services.margin.domain.projection import (
    ClockAdvance,
    ClockReached,
    Metric,
    Organization,
    Subscription,
    UsageEvent,
)
from services.margin.domain.revenue import Accrual, AccrualEntry
from services.wire.subjects import subject_of
from services.wire.values import computed_of, instant_of, instant_or_none_of, instant_to_pb, period_from_pb

_SUMS = {
    billable_metric_pb2.BillableMetric.AGGREGATION_SUM,
    billable_metric_pb2.BillableMetric.AGGREGATION_WEIGHTED_SUM,
}
_NEVER_RAN = {
    subscription_pb2.Subscription.STATE_PENDING,
    subscription_pb2.Subscription.STATE_CANCELED,
}
_KINDS = {
    rating_pb.RevenueAccrued.KIND_USAGE: RevenueKind.USAGE,
    rating_pb.RevenueAccrued.KIND_BASE: RevenueKind.BASE,
}
# The grouping properties by which a margin can be grouped.
_PROVIDER, _MODEL = "provider", "model"


def split_batch(message: LogMessage) -> list[bytes]:
    """The entries of a batch of the usage-event log one by one, each in a batch of its own."""
    batch = ingest_pb.UsageEventsAccepted.FromString(message.body)
    return [
        ingest_pb.UsageEventsAccepted(
            shard=batch.shard, first_number=batch.first_number, last_number=batch.last_number, entries=[entry]
        ).SerializeToString()
        for entry in batch.entries
    ]


def usage_events_from_pb(batch: ingest_pb.UsageEventsAccepted) -> list[UsageEvent]:
    """The entries of some batches of the usage-event log, in order."""
    return [
        UsageEvent(
            entry.organization_id,
            entry.transaction_id,
            entry.external_customer_id,
            entry.subscription_id or None,
            entry.code,
            instant_of(entry, "occurred_at"),
            entry.properties,
            entry.kind == ingest_pb.UsageEventEntry.KIND_VOIDED,
        )
        for entry in batch.entries
    ]


def organization_changed(body: bytes) -> Organization:
    """`rating.organization.changed`: an organization as it is now."""
    announced = rating_pb.OrganizationChanged.FromString(body).organization
    return Organization(announced.id, currency(announced.default_currency, field="default_currency").code)


def metric_changed(body: bytes) -> Metric:
    """A metric as it is now."""
    message = rating_pb.BillableMetricChanged.FromString(body)
    metric = message.billable_metric
    return Metric(message.organization_id, metric.code, metric.aggregation in _SUMS, metric.field_name)


def subscription_changed(body: bytes) -> Subscription:
    """A subscription as it is now."""
    message = rating_pb.SubscriptionChanged.FromString(body)
    announced = message.subscription
    has_run = announced.HasField("started_at") and announced.state not in _NEVER_RAN
    return Subscription(
        message.organization_id,
        announced.id,
        announced.external_customer_id,
        announced.plan_code,
        instant_of(announced, "started_at") if has_run else None,
        instant_or_none_of(announced, "terminated_at"),
    )


def revenue_accrued(body: bytes) -> list[Accrual]:
    """What subscriptions earned, each in a billing period."""
    message = rating_pb.RevenueAccrued.FromString(body)
    return [_accrual(message), *map(_accrual, message.others)]


def split_announcement(message: LogMessage) -> list[bytes]:
    """The subscriptions of accrued revenue one by one; everything else as it is."""
    if message.subject != subject_of(rating_pb.RevenueAccrued):
        return [message.body]
    first = rating_pb.RevenueAccrued.FromString(message.body)
    others = [other.SerializeToString() for other in first.others]
    del first.others[:]
    return [first.SerializeToString(), *others]


def _accrual(message: rating_pb.RevenueAccrued) -> Accrual:
    return Accrual(
        message.organization_id,
        message.subscription_id,
        message.external_customer_id,
        message.plan_code,
        message.currency,
        period_from_pb(message.billing_period, "billing_period"),
        message.revision,
        tuple(_accrual_entry(entry) for entry in message.entries),
    )


def _accrual_entry(entry: rating_pb.RevenueAccrued.Entry) -> AccrualEntry:
    return AccrualEntry(
        _KINDS.get(entry.kind, RevenueKind.OTHER),
        entry.metric_code,
        period_from_pb(entry.period, "entries.period"),
        _revenue(entry),
        entry.group.get(_PROVIDER, ""),
        entry.group.get(_MODEL, ""),
    )


def _revenue(entry: rating_pb.RevenueAccrued.Entry) -> Decimal:
    amount = computed_of(entry, "amount", "entries") if entry.HasField("amount") else ZERO
    if abs(amount) > MAX_REVENUE:
        raise InvalidArgumentError.of_field(
            "entries.amount", "value_is_out_of_range", f"nobody earns more than {MAX_REVENUE} in a period"
        )
    return amount


def test_clock_advanced(body: bytes) -> ClockAdvance:
    """A test clock that was set or moved."""
    message = rating_pb.TestClockAdvanced.FromString(body)
    return ClockAdvance(
        message.organization_id,
        instant_of(message, "now"),
        message.revision,
        {position.shard: position.last_number for position in message.positions},
    )


def domain_event_to_pb(event: ClockReached) -> margin_pb.TestClockReached:
    """A domain event of margin."""
    return margin_pb.TestClockReached(
        organization_id=event.organization_id, revision=event.revision, now=instant_to_pb(event.now)
    )
