"""What rating announces, as this service understands it. A message it does not understand raises, and is set aside."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from farebox.rating.v1 import domain_events_pb2, plan_pb2, subscription_pb2
from services.chassis.followed import Message
from services.entitlements.domain.event import ClockMoved, PlanVersion, SubscriptionMoved
from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.feature_terms import FeatureTerms, PlanTerms
from services.entitlements.domain.subscription import PlanPeriods, Subscription, SubscriptionState
from services.entitlements.domain.usage import UsageKey, UsageTotal
from services.kernel.cadence import Alignment, CadenceUnit, Interval, ResetWindow, zone
from services.kernel.ids import OrganizationId
from services.wire.subjects import subject_of
from services.wire.values import (
    computed_of,
    decimal_or_none_of,
    instant_of,
    instant_or_none_of,
    period_from_pb,
)

_MONTHS_PER_YEAR = 12
_UNITS = {
    plan_pb2.BillingInterval.UNIT_DAY: (CadenceUnit.DAY, 1),
    plan_pb2.BillingInterval.UNIT_WEEK: (CadenceUnit.WEEK, 1),
    plan_pb2.BillingInterval.UNIT_MONTH: (CadenceUnit.MONTH, 1),
    plan_pb2.BillingInterval.UNIT_YEAR: (CadenceUnit.MONTH, _MONTHS_PER_YEAR),
}
_TYPES = {
    plan_pb2.PlanEntitlement.KIND_GATE: FeatureType.GATE,
    plan_pb2.PlanEntitlement.KIND_USAGE_LIMIT: FeatureType.USAGE_LIMIT,
    plan_pb2.PlanEntitlement.KIND_CONFIGURATION: FeatureType.CONFIGURATION,
}
_RESETS = {
    plan_pb2.PlanEntitlement.RESET_UNSPECIFIED: ResetWindow.BILLING_PERIOD,
    plan_pb2.PlanEntitlement.RESET_BILLING_PERIOD: ResetWindow.BILLING_PERIOD,
    plan_pb2.PlanEntitlement.RESET_DAY: ResetWindow.DAY,
    plan_pb2.PlanEntitlement.RESET_WEEK: ResetWindow.WEEK,
    plan_pb2.PlanEntitlement.RESET_MONTH: ResetWindow.MONTH,
    plan_pb2.PlanEntitlement.RESET_NEVER: ResetWindow.NEVER,
}
_STATES = {
    subscription_pb2.Subscription.STATE_PENDING: SubscriptionState.PENDING,
    subscription_pb2.Subscription.STATE_ACTIVE: SubscriptionState.ACTIVE,
    subscription_pb2.Subscription.STATE_TERMINATED: SubscriptionState.TERMINATED,
    subscription_pb2.Subscription.STATE_CANCELED: SubscriptionState.CANCELED,
}


def plan_changed(body: bytes) -> list[PlanVersion]:
    """A plan that was created or changed."""
    message = domain_events_pb2.PlanChanged.FromString(body)
    plan = message.plan
    unit, months = _UNITS[plan.interval.unit]
    periods = PlanPeriods(Interval(unit, max(1, plan.interval.count) * months), plan.bill_charges_monthly)
    terms = tuple(_plan_terms(entitlement) for entitlement in plan.entitlements)
    organization = OrganizationId(message.organization_id)
    return [PlanVersion(organization, plan.id, plan.code, plan.version, periods, terms)]


def subscription_changed(body: bytes) -> list[SubscriptionMoved]:
    """A subscription that was created or moved."""
    message = domain_events_pb2.SubscriptionChanged.FromString(body)
    announced = message.subscription
    is_anniversary = announced.billing_time == subscription_pb2.Subscription.BILLING_TIME_ANNIVERSARY
    has_period = announced.HasField("current_period")
    subscription = Subscription(
        id=announced.id,
        external_id=announced.external_id,
        external_customer_id=announced.external_customer_id,
        plan_id=announced.plan_id,
        state=_STATES[announced.state],
        timezone=_known_zone(message.timezone or "UTC"),
        alignment=Alignment.ANNIVERSARY if is_anniversary else Alignment.CALENDAR,
        started_at=instant_of(announced, "started_at"),
        ending_at=instant_or_none_of(announced, "ending_at"),
        current_period=period_from_pb(announced.current_period, "current_period") if has_period else None,
        anchored_at=instant_or_none_of(announced, "anchored_at"),
        ended_at=instant_or_none_of(announced, "terminated_at"),
    )
    return [SubscriptionMoved(OrganizationId(message.organization_id), subscription)]


def usage_aggregated(body: bytes) -> list[UsageTotal]:
    """Units that were counted."""
    return [
        UsageTotal(
            UsageKey(OrganizationId(total.organization_id), total.subscription_id, total.metric_code),
            period_from_pb(total.period, "totals.period"),
            computed_of(total, "units", "totals"),
            total.revision,
            {date.fromisoformat(day.day): _units_of(day) for day in total.days},
        )
        for total in domain_events_pb2.UsageAggregated.FromString(body).totals
    ]


def split(message: Message) -> list[bytes]:
    """The totals of aggregated usage one by one; any other announcement belongs to a single organization anyway."""
    if message.subject != subject_of(domain_events_pb2.UsageAggregated):
        return []
    whole = domain_events_pb2.UsageAggregated.FromString(message.body)
    return [domain_events_pb2.UsageAggregated(totals=[total]).SerializeToString() for total in whole.totals]


def test_clock_advanced(body: bytes) -> list[ClockMoved]:
    """A test clock that was set or moved."""
    message = domain_events_pb2.TestClockAdvanced.FromString(body)
    return [ClockMoved(OrganizationId(message.organization_id), instant_of(message, "now"), message.revision)]


def _units_of(day: domain_events_pb2.UsageAggregated.Day) -> Decimal | None:
    return computed_of(day, "units", "totals.days") if day.HasField("units") else None


def _known_zone(timezone: str) -> str:
    """The zone; an unknown one is refused here, because every later computation of the customer's days would fail."""
    zone(timezone)
    return timezone


def _plan_terms(entitlement: plan_pb2.PlanEntitlement) -> PlanTerms:
    terms = FeatureTerms(
        is_enabled=entitlement.enabled,
        limit=decimal_or_none_of(entitlement, "limit", "entitlements"),
        is_hard=entitlement.hard,
        reset=_RESETS[entitlement.reset],
        value=entitlement.value,
    )
    return PlanTerms(entitlement.feature_code, _TYPES[entitlement.kind], entitlement.metric_code, terms)
