"""Protos become domain values and come back the same; rating's announcements are understood."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from farebox.common.v1 import decimal_pb2
from farebox.entitlements.v1 import domain_events_pb2, entitlement_pb2, feature_pb2, feature_service_pb2
from services.entitlements.convert import rating
from services.entitlements.convert.access import access_to_pb, event_to_pb
from services.entitlements.convert.feature import feature_from_pb, feature_to_pb, override_from_pb, override_to_pb
from services.entitlements.domain.access import Access, Reason
from services.entitlements.domain.event import AccessChanged, TestClockReached
from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.subscription import SubscriptionState
from services.kernel.cadence import Alignment, CadenceUnit, Interval, ResetWindow
from services.kernel.ids import new_id
from tests.support.rating.events import (
    MAY,
    clock_advanced,
    configuration,
    gate,
    limit,
    plan_changed,
    subscription_changed,
    usage_aggregated,
)

ORGANIZATION, PLAN, SUBSCRIPTION = new_id(), new_id(), new_id()
NOON = datetime(2026, 5, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_feature_comes_back(kind: int) -> None:
    there = feature_pb2.Feature(code="calls", name="Calls", description="API", type=kind, metric_code="api_call")
    back = feature_to_pb(feature_from_pb(there))
    back.ClearField("created_at")
    assert back == there


@pytest.mark.parametrize("reset", [1, 2, 3, 4, 5])
def test_override_comes_back(reset: int) -> None:
    terms = entitlement_pb2.FeatureTerms(
        enabled=True, limit=decimal_pb2.Decimal(value="1.5"), hard=True, reset_interval=reset, value="eu"
    )
    request = feature_service_pb2.SetOverrideRequest(
        external_customer_id="acme", external_subscription_id="one", feature_code="calls", terms=terms
    )
    back = override_to_pb(override_from_pb(request))
    assert (back.enabled, back.limit, back.hard, back.reset_interval, back.value) == (
        terms.enabled,
        terms.limit,
        terms.hard,
        terms.reset_interval,
        terms.value,
    )


def test_absent_is_not_zero() -> None:
    """No limit is unlimited; a limit of 0 is 0."""
    unlimited = access_to_pb(Access(is_allowed=True, reason=Reason.WITHIN_LIMIT, feature_code="calls"))
    assert not unlimited.HasField("limit")
    assert not unlimited.HasField("remaining")
    assert not unlimited.HasField("resets_at")
    nothing = access_to_pb(
        Access(
            is_allowed=False, reason=Reason.LIMIT_EXCEEDED, feature_code="calls", limit=Decimal(0), remaining=Decimal(0)
        )
    )
    assert (nothing.limit.value, nothing.remaining.value) == ("0", "0")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_number(reason: Reason) -> None:
    number = access_to_pb(Access(is_allowed=False, reason=reason, feature_code="calls")).reason
    assert entitlement_pb2.Access.Reason.Name(number) == f"REASON_{reason.name}"


def test_events() -> None:
    access = Access(is_allowed=True, reason=Reason.OVERRIDE, feature_code="calls", revision=3, resets_at=NOON)
    subject, body = event_to_pb(AccessChanged(ORGANIZATION, "acme", access, is_removed=True))
    changed = domain_events_pb2.AccessChanged.FromString(body)
    assert (subject, changed.removed, changed.access.revision) == ("entitlements.access.changed", True, 3)
    subject, body = event_to_pb(TestClockReached(ORGANIZATION, 5, NOON))
    reached = domain_events_pb2.TestClockReached.FromString(body)
    assert (subject, reached.revision, reached.now.ToDatetime(tzinfo=UTC)) == (
        "entitlements.test_clock.reached",
        5,
        NOON,
    )


def test_plan() -> None:
    grants = [gate("sso"), configuration("region", "eu"), limit("calls", "5", reset="WEEK"), limit("free", None)]
    (plan,) = rating.plan_changed(plan_changed(ORGANIZATION, PLAN, grants, bill_charges_monthly=True)[1])
    assert (plan.id, plan.code, plan.periods.is_charged_monthly) == (PLAN, "pro", True)
    assert plan.periods.interval == Interval(CadenceUnit.MONTH, 1)
    assert [(terms.feature_code, terms.type, terms.terms.limit, terms.terms.reset) for terms in plan.terms] == [
        ("sso", FeatureType.GATE, None, ResetWindow.BILLING_PERIOD),
        ("region", FeatureType.CONFIGURATION, None, ResetWindow.BILLING_PERIOD),
        ("calls", FeatureType.USAGE_LIMIT, Decimal(5), ResetWindow.WEEK),
        ("free", FeatureType.USAGE_LIMIT, None, ResetWindow.BILLING_PERIOD),
    ]


def test_subscription() -> None:
    (moved,) = rating.subscription_changed(subscription_changed(ORGANIZATION, SUBSCRIPTION, PLAN, timezone="")[1])
    assert (moved.subscription.state, moved.subscription.timezone) == (SubscriptionState.ACTIVE, "UTC")
    assert (moved.subscription.current_period, moved.subscription.alignment) == (MAY, Alignment.CALENDAR)


def test_usage_and_clock() -> None:
    (total,) = rating.usage_aggregated(usage_aggregated(ORGANIZATION, SUBSCRIPTION, "1e3", 4)[1])
    assert (total.units, total.revision, total.period) == (Decimal(1000), 4, MAY)
    (clock,) = rating.test_clock_advanced(clock_advanced(ORGANIZATION, NOON, 9)[1])
    assert (clock.now, clock.revision) == (NOON, 9)
