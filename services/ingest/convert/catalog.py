"""Rating's domain events as far as they matter to the log, and the log's answer to a test clock."""

from __future__ import annotations

import uuid

from google.protobuf import timestamp_pb2

from farebox.ingest.v1 import domain_events_pb2 as own_pb
from farebox.rating.v1 import billable_metric_pb2, organization_pb2, subscription_pb2
from farebox.rating.v1 import domain_events_pb2 as pb
from services.chassis.follower import Message
from services.ingest.domain.billability import FOREVER_US, Metric, Needs, Subscription
from services.ingest.domain.catalog_update import (
    MetricUpdate,
    OrganizationUpdate,
    Refusal,
    SubscriptionUpdate,
    TestClockReached,
    TestClockUpdate,
)
from services.kernel.ids import OrganizationId
from services.kernel.instant import from_us
from services.wire.subjects import subject_of
from services.wire.values import instant_to_pb

_AGGREGATION = billable_metric_pb2.BillableMetric.Aggregation
_NEEDS = {
    _AGGREGATION.Value("AGGREGATION_COUNT"): Needs.NOTHING,
    _AGGREGATION.Value("AGGREGATION_UNIQUE_COUNT"): Needs.VALUE,
}
_STATE = subscription_pb2.Subscription.State
_REJECT = organization_pb2.Organization.DuplicateEvents.Value("DUPLICATE_EVENTS_REJECT")
_MILLION = 1_000_000


def organization_from_pb(body: bytes) -> list[OrganizationUpdate]:
    """An organization's policy for repeated events."""
    organization = pb.OrganizationChanged.FromString(body).organization
    return [OrganizationUpdate(OrganizationId(organization.id), organization.duplicate_events == _REJECT)]


def metric_from_pb(body: bytes) -> list[MetricUpdate]:
    """The part of a metric that matters to the log."""
    message = pb.BillableMetricChanged.FromString(body)
    metric = message.billable_metric
    needs = _NEEDS.get(metric.aggregation, Needs.NUMBER)
    return [
        MetricUpdate(
            OrganizationId(message.organization_id), Metric(metric.code, needs, metric.field_name), message.deleted
        )
    ]


def subscription_from_pb(body: bytes) -> list[SubscriptionUpdate]:
    """When a subscription is active."""
    message = pb.SubscriptionChanged.FromString(body)
    subscription = message.subscription
    starts_us = _us(subscription.started_at)
    ends_us = _us(subscription.terminated_at) if subscription.HasField("terminated_at") else FOREVER_US
    if subscription.state == _STATE.Value("STATE_CANCELED"):
        # It ended before it began, so no event counts for it.
        ends_us = starts_us
    known = Subscription(
        subscription.id, subscription.external_id, subscription.external_customer_id, starts_us, ends_us
    )
    return [SubscriptionUpdate(OrganizationId(message.organization_id), known)]


def test_clock_from_pb(body: bytes) -> list[TestClockUpdate]:
    """The time of a test-mode organization."""
    message = pb.TestClockAdvanced.FromString(body)
    return [TestClockUpdate(OrganizationId(message.organization_id), from_us(_us(message.now)), message.revision)]


def refusals_from_pb(body: bytes) -> list[Refusal]:
    """The events that rating could not place."""
    return [
        Refusal(
            OrganizationId(refusal.organization_id),
            uuid.UUID(bytes=refusal.event_key),
            refusal.reason,
            refusal.catalog_revision,
        )
        for refusal in pb.UsageRefused.FromString(body).refusals
    ]


def split(message: Message) -> list[bytes]:
    """Refusals one by one, since they are of many organizations; every other announcement is of one anyway."""
    if message.subject != subject_of(pb.UsageRefused):
        return []
    whole = pb.UsageRefused.FromString(message.body)
    return [pb.UsageRefused(refusals=[refusal]).SerializeToString() for refusal in whole.refusals]


def test_clock_reached_to_pb(event: TestClockReached) -> own_pb.TestClockReached:
    """The answer to a test clock."""
    return own_pb.TestClockReached(
        organization_id=event.organization, revision=event.revision, now=instant_to_pb(event.now)
    )


def _us(moment: timestamp_pb2.Timestamp) -> int:
    return moment.seconds * _MILLION + moment.nanos // 1000
