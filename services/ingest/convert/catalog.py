"""Rating's domain events, as far as the log cares."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import timestamp_pb2

from farebox.ingest.v1 import domain_events_pb2 as own_pb
from farebox.rating.v1 import billable_metric_pb2, organization_pb2, subscription_pb2
from farebox.rating.v1 import domain_events_pb2 as pb
from services.ingest.domain.billability import FOREVER_US, Metric, Needs, Subscription
from services.ingest.domain.catalog_update import (
    CatalogUpdate,
    MetricUpdate,
    OrganizationUpdate,
    Refusal,
    SubscriptionUpdate,
    TestClockReached,
    TestClockUpdate,
)
from services.ingest.domain.instant import from_us

REFUSED_SUBJECT = "rating.usage.refused"
TEST_CLOCK_REACHED_SUBJECT = "ingest.test_clock.reached"

_AGGREGATION = billable_metric_pb2.BillableMetric.Aggregation
_NEEDS = {
    _AGGREGATION.Value("AGGREGATION_COUNT"): Needs.NOTHING,
    _AGGREGATION.Value("AGGREGATION_UNIQUE_COUNT"): Needs.VALUE,
}
_STATE = subscription_pb2.Subscription.State
_REJECT = organization_pb2.Organization.DuplicateEvents.Value("DUPLICATE_EVENTS_REJECT")
_MILLION = 1_000_000


def _organization(body: bytes) -> OrganizationUpdate:
    organization = pb.OrganizationChanged.FromString(body).organization
    return OrganizationUpdate(uuid.UUID(organization.id), organization.duplicate_events == _REJECT)


def _metric(body: bytes) -> MetricUpdate:
    message = pb.BillableMetricChanged.FromString(body)
    metric = message.billable_metric
    needs = _NEEDS.get(metric.aggregation, Needs.NUMBER)
    return MetricUpdate(
        uuid.UUID(message.organization_id), Metric(metric.code, needs, metric.field_name), message.deleted
    )


def _subscription(body: bytes) -> SubscriptionUpdate:
    message = pb.SubscriptionChanged.FromString(body)
    subscription = message.subscription
    starts_us = _us(subscription.started_at)
    ends_us = _us(subscription.terminated_at) if subscription.HasField("terminated_at") else FOREVER_US
    if subscription.state == _STATE.Value("STATE_CANCELED"):
        # It ended before it began: no event counts for it.
        ends_us = starts_us
    found = Subscription(
        subscription.id, subscription.external_id, subscription.external_customer_id, starts_us, ends_us
    )
    return SubscriptionUpdate(uuid.UUID(message.organization_id), found)


def _test_clock(body: bytes) -> TestClockUpdate:
    message = pb.TestClockAdvanced.FromString(body)
    return TestClockUpdate(uuid.UUID(message.organization_id), from_us(_us(message.now)), message.revision)


_READERS: Mapping[str, Callable[[bytes], CatalogUpdate]] = {
    "rating.organization.changed": _organization,
    "rating.catalog.metric_changed": _metric,
    "rating.subscription.changed": _subscription,
    "rating.test_clock.advanced": _test_clock,
}


def update_from_pb(subject: str, body: bytes) -> CatalogUpdate | None:
    """What a domain event changes in the catalog; None for those the log does not care about."""
    read = _READERS.get(subject)
    return None if read is None else read(body)


def refusals_from_pb(body: bytes) -> list[Refusal]:
    """The events that rating could not place."""
    return [
        Refusal(uuid.UUID(one.organization_id), uuid.UUID(bytes=one.event_key), one.reason)
        for one in pb.UsageRefused.FromString(body).refusals
    ]


def test_clock_reached_to_pb(event: TestClockReached) -> Any:
    """The answer to a test clock."""
    now = timestamp_pb2.Timestamp()
    now.FromDatetime(event.now)
    return own_pb.TestClockReached(organization_id=str(event.organization), revision=event.revision, now=now)


def _us(moment: timestamp_pb2.Timestamp) -> int:
    return moment.seconds * _MILLION + moment.nanos // 1000
