"""What is announced of the catalog, subscriptions and test clocks: domain events to subject and bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from farebox.ingest.v1 import domain_events_pb2 as ingest_pb
from farebox.rating.v1 import domain_events_pb2 as pb
from services.rating.agreements.convert import subscription_to_pb
from services.rating.agreements.events import SubscriptionChanged
from services.rating.catalog.convert.metrics import metric_to_pb
from services.rating.catalog.convert.plans import plan_to_pb
from services.rating.catalog.events import BillableMetricChanged, PlanChanged
from services.rating.customers.convert import customer_to_pb
from services.rating.customers.events import CustomerChanged
from services.rating.organizations.convert import organization_to_pb
from services.rating.organizations.events import OrganizationChanged, TestClockAdvanced
from services.wire.subjects import announcement
from services.wire.values import instant_to_pb

Encoded = tuple[str, bytes]


def _organization_changed(event: OrganizationChanged) -> Encoded:
    body = pb.OrganizationChanged(organization=organization_to_pb(event.organization))
    return announcement(body)


def _metric_changed(event: BillableMetricChanged) -> Encoded:
    body = pb.BillableMetricChanged(
        organization_id=event.organization_id,
        billable_metric=metric_to_pb(event.metric),
        deleted=event.metric.deleted_at is not None,
    )
    return announcement(body)


def _plan_changed(event: PlanChanged) -> Encoded:
    body = pb.PlanChanged(organization_id=event.organization_id, plan=plan_to_pb(event.plan))
    return announcement(body)


def _customer_changed(event: CustomerChanged) -> Encoded:
    body = pb.CustomerChanged(organization_id=event.organization_id, customer=customer_to_pb(event.customer))
    return announcement(body)


def _subscription_changed(event: SubscriptionChanged) -> Encoded:
    body = pb.SubscriptionChanged(
        organization_id=event.agreement.organization_id,
        subscription=subscription_to_pb(event.agreement, event.current_period),
        timezone=event.agreement.timezone,
    )
    return announcement(body)


def _test_clock_advanced(event: TestClockAdvanced) -> Encoded:
    body = pb.TestClockAdvanced(
        organization_id=event.organization_id,
        now=instant_to_pb(event.now),
        revision=event.revision,
        positions=[ingest_pb.ShardPosition(shard=shard, last_number=number) for shard, number in event.positions],
    )
    return announcement(body)


ENCODERS: dict[type, Callable[[Any], Encoded]] = {
    OrganizationChanged: _organization_changed,
    BillableMetricChanged: _metric_changed,
    PlanChanged: _plan_changed,
    CustomerChanged: _customer_changed,
    SubscriptionChanged: _subscription_changed,
    TestClockAdvanced: _test_clock_advanced,
}
