"""A subscription as this service knows it from rating, and the windows in which its limits are counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from services.kernel.cadence import (
    MONTHLY,
    Alignment,
    Cadence,
    CadenceUnit,
    Interval,
    ResetWindow,
    clip,
    monthly_charges,
    period_containing,
    reset_period,
)
from services.kernel.period import Period


class SubscriptionState(StrEnum):
    """The state of a subscription, as rating announces it."""

    PENDING = "pending"
    ACTIVE = "active"
    TERMINATED = "terminated"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class PlanPeriods:
    """How long the periods of a plan version are.

    Attributes:
        interval: the billing period's length.
        is_charged_monthly: whether usage is billed, and therefore counted, by month within a longer period.
    """

    interval: Interval = MONTHLY
    is_charged_monthly: bool = False


# The assumption for a plan that rating has not announced yet.
MONTHLY_PLAN = PlanPeriods()


@dataclass(frozen=True, slots=True)
class Subscription:
    """A customer on a plan version, as rating announced it.

    Attributes:
        id: Farebox id.
        external_id: the organization's id of the subscription.
        external_customer_id: the customer.
        plan_id: Farebox id of the plan version.
        state: its state; only an active subscription gives rights.
        timezone: the IANA zone in which the customer's days are counted.
        alignment: what its billing periods follow.
        started_at: when it starts or started.
        anchored_at: the instant from which anniversaries are counted; earlier than its start if it continues another.
        ended_at: when it ended; None if it has not.
        ending_at: when it is agreed to end; None for never.
        current_period: the billing period that rating announced last; None before the first.
    """

    id: str
    external_id: str
    external_customer_id: str
    plan_id: str
    state: SubscriptionState
    timezone: str
    alignment: Alignment
    started_at: datetime
    ending_at: datetime | None = None
    current_period: Period | None = None
    anchored_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_active(self) -> bool:
        """Whether it gives any rights."""
        return self.state is SubscriptionState.ACTIVE


def window_of(reset: ResetWindow, subscription: Subscription, plan: PlanPeriods, at: datetime) -> Period | None:
    """The counting window that holds `at`; None for a limit that never resets."""
    if reset is ResetWindow.NEVER:
        return None
    if reset is ResetWindow.BILLING_PERIOD:
        return _billing_window(subscription, plan, at)
    return calendar_windows(subscription.timezone, at)[reset]


# Usage is applied for many subscriptions at one instant, in few zones.
@lru_cache(maxsize=4096)
def calendar_windows(timezone: str, at: datetime) -> Mapping[ResetWindow, Period]:
    """The local day, week and month that hold `at`."""
    cadence = Cadence(Interval(CadenceUnit.DAY), Alignment.CALENDAR, at, timezone)
    found = {
        reset: reset_period(reset, cadence, at) for reset in (ResetWindow.DAY, ResetWindow.WEEK, ResetWindow.MONTH)
    }
    return {reset: period for reset, period in found.items() if period is not None}


def nominal_billing_window(subscription: Subscription, plan: PlanPeriods, at: datetime) -> Period:
    """The full billing period of the plan's calendar that holds `at`, not cut by the subscription's start or end."""
    anchor = subscription.anchored_at or subscription.started_at
    cadence = Cadence(plan.interval, subscription.alignment, anchor, subscription.timezone)
    return period_containing(monthly_charges(cadence) if plan.is_charged_monthly else cadence, at)


def _billing_window(subscription: Subscription, plan: PlanPeriods, at: datetime) -> Period:
    """The announced billing period if it holds `at`, otherwise the one from the plan's calendar.

    Rating closes a period a moment after its end, so for that moment the next period has not been announced yet. And
    while a test clock moves, the next period is announced before the clock arrives there.
    """
    current = subscription.current_period
    if current is not None and at in current and not plan.is_charged_monthly:
        return current
    nominal = nominal_billing_window(subscription, plan, at)
    if current is None or at in current:
        inside = clip(nominal, start=(current or nominal).start, end=(current or nominal).end)
    elif at >= current.end:
        inside = clip(nominal, start=current.end)
    else:
        inside = clip(nominal, end=current.start)
    return inside if inside is not None and at in inside else nominal
