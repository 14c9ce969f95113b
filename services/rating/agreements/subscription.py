"""Subscriptions: a customer on a plan, over time. Only the verbs below change their state.

    pending ──activate──▶ active ──terminate, apply_change──▶ terminated
       └──────cancel────▶ canceled

A change of plan ends one subscription and starts another with the same external id, anchor and first start, so that
usage before and after the change never mixes. A change of the time zone does the same at the end of a period.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.kernel.cadence import (
    Alignment,
    Cadence,
    Interval,
    Seam,
    clip,
    local_date,
    same_wall_time,
    start_of_day,
    start_of_next_day,
    zone,
)
from services.kernel.errors import FailedPreconditionError
from services.kernel.ids import CustomerId, SubscriptionId
from services.kernel.period import Period
from services.rating.pricing.plan import Plan
from services.rating.shared.subscription_state import SubscriptionState


@dataclass(frozen=True, slots=True)
class PendingChange:
    """A change that takes effect later.

    Attributes:
        effective_at: when it takes effect: the end of a period.
        plan_code: the plan to move to; None to end the subscription.
        plan_version: that plan's version.
    """

    effective_at: datetime
    plan_code: str | None = None
    plan_version: int | None = None

    @property
    def target(self) -> tuple[str | None, int | None]:
        """The plan to move to, by code and version."""
        return self.plan_code, self.plan_version


@dataclass(frozen=True, slots=True)
class Subscription:
    """A customer on a plan, over time. All instants are aware and in UTC.

    Attributes:
        subscription_id: its identity; a change of plan makes another.
        external_id: the organization's own id, which survives changes of plan.
        customer_id: who is billed.
        plan_code: the plan.
        plan_version: its version, kept until the subscription is moved.
        alignment: calendar or anniversary.
        anchor: what anniversaries are counted from.
        starts_at: when usage begins to count.
        first_started_at: the first start under this external id, from which a trial counts.
        state: its state; see the module.
        ended_at: when usage stopped counting; None if it still counts.
        base_ends_at: the local midnight from which no day belongs to it any more (`days_in`); None if it has not ended.
        pending_change: a change scheduled for later.
        previous_id: the subscription that this one continues.
        previous_plan_code: the plan of the previous subscription.
        next_id: the subscription that continues this one after a change of plan; None if there is none.
        seam: where the calendar of another time zone passed into its own; None if it always had this one.
    """

    subscription_id: SubscriptionId
    external_id: str
    customer_id: CustomerId
    plan_code: str
    plan_version: int
    alignment: Alignment
    anchor: datetime
    starts_at: datetime
    first_started_at: datetime
    state: SubscriptionState = SubscriptionState.PENDING
    ended_at: datetime | None = None
    base_ends_at: datetime | None = None
    pending_change: PendingChange | None = None
    previous_id: SubscriptionId | None = None
    previous_plan_code: str | None = None
    next_id: SubscriptionId | None = None
    seam: Seam | None = None

    def covers(self, at: datetime) -> bool:
        """Whether usage at this instant belongs to the subscription, given its start and its end if it has ended."""
        if self.state in {SubscriptionState.PENDING, SubscriptionState.CANCELED}:
            return False
        return self.starts_at <= at and (self.ended_at is None or at < self.ended_at)

    def cadence(self, interval: Interval, timezone: str) -> Cadence:
        """The billing calendar under a plan's interval, in the customer's zone."""
        return Cadence(interval, self.alignment, self.anchor, timezone, self.seam)

    def trial_ends_at(self, plan: Plan, timezone: str) -> datetime | None:
        """When the plan's trial ends, the same local time of day as it began; None without a trial."""
        if not plan.trial_days:
            return None
        local = self.first_started_at.astimezone(zone(timezone)) + timedelta(days=plan.trial_days)
        return local.astimezone(self.first_started_at.tzinfo)

    def days_in(self, nominal: Period, timezone: str, *, since: datetime | None = None) -> Period | None:
        """The days of a full period that belong to this subscription, midnight to midnight; None if there are none.

        The one place that says whose a day is: the day of a start is the subscription's whole, and so is the day on
        which it is terminated; the day of a change of plan is its successor's. With `since` only days from then on.
        """
        first = self.starts_at if since is None else max(self.starts_at, since)
        return clip(nominal, start=start_of_day(first, timezone), end=self.base_ends_at)

    def days_between_changes(self, nominal: Period, timezone: str) -> Period | None:
        """The days of a full period that belong to no other plan of the customer; None if there are none.

        The cost of a running value is prorated by these days. A first start and a final end cause no proration, because
        no other plan bills the remaining days.
        """
        start = start_of_day(self.starts_at, timezone) if self.previous_id is not None else None
        return clip(nominal, start=start, end=self.base_ends_at if self.next_id is not None else None)

    def usage_part(self, nominal: Period) -> Period | None:
        """The part of a full period whose usage belongs to this subscription; None if there is none."""
        lifetime = Period(self.starts_at, max(self.starts_at, self.ended_at or nominal.end))
        return nominal.overlap(lifetime)


def activate(subscription: Subscription, *, at: datetime) -> Subscription:
    """Begin a pending subscription.

    Raises:
        FailedPreconditionError: `SUBSCRIPTION_NOT_PENDING`, or `SUBSCRIPTION_NOT_DUE` before its start.
    """
    _require(subscription, SubscriptionState.PENDING)
    if at < subscription.starts_at:
        raise FailedPreconditionError("SUBSCRIPTION_NOT_DUE", "the subscription starts later")
    return replace(subscription, state=SubscriptionState.ACTIVE)


def cancel(subscription: Subscription, *, at: datetime) -> Subscription:
    """Call off a pending subscription before it begins.

    Raises:
        FailedPreconditionError: `SUBSCRIPTION_NOT_PENDING`.
    """
    _require(subscription, SubscriptionState.PENDING)
    return replace(subscription, state=SubscriptionState.CANCELED, ended_at=at)


def terminate(subscription: Subscription, *, at: datetime, timezone: str) -> Subscription:
    """End an active subscription. The day of termination is billed, and a pending change is dropped.

    Raises:
        FailedPreconditionError: `SUBSCRIPTION_NOT_ACTIVE`, or `SUBSCRIPTION_NOT_DUE` before its start.
    """
    return _end(subscription, at=at, base_ends_at=start_of_next_day(at, timezone))


def schedule_change(subscription: Subscription, change: PendingChange) -> Subscription:
    """Schedule a change for later.

    Raises:
        FailedPreconditionError: `SUBSCRIPTION_NOT_ACTIVE`, or `CHANGE_ALREADY_PENDING`; withdraw that one
            first.
    """
    _require(subscription, SubscriptionState.ACTIVE)
    if subscription.pending_change is not None:
        raise FailedPreconditionError("CHANGE_ALREADY_PENDING", "another change is pending; withdraw it first")
    return replace(subscription, pending_change=change)


def withdraw_change(subscription: Subscription) -> Subscription:
    """Take a scheduled change back.

    Raises:
        FailedPreconditionError: `SUBSCRIPTION_NOT_ACTIVE`, or `NO_CHANGE_PENDING`.
    """
    _require(subscription, SubscriptionState.ACTIVE)
    _require_change(subscription)
    return replace(subscription, pending_change=None)


def apply_change(
    subscription: Subscription, *, new_id: SubscriptionId, at: datetime, timezone: str
) -> tuple[Subscription, Subscription | None]:
    """Carry out a due change, dated at its scheduled time: the ended subscription, and the one that follows.

    Raises:
        FailedPreconditionError: `SUBSCRIPTION_NOT_ACTIVE`, `NO_CHANGE_PENDING`, or `CHANGE_NOT_DUE`.
    """
    _require(subscription, SubscriptionState.ACTIVE)
    change = _require_change(subscription)
    if at < change.effective_at:
        raise FailedPreconditionError("CHANGE_NOT_DUE", "the change takes effect later")
    ended = _end(subscription, at=change.effective_at, base_ends_at=start_of_day(change.effective_at, timezone))
    if change.plan_code is None or change.plan_version is None:
        return ended, None
    ended = replace(ended, next_id=new_id)
    return ended, _successor(subscription, new_id, change.plan_code, change.plan_version, change.effective_at)


def change_zone(
    subscription: Subscription, *, new_id: SubscriptionId, at: datetime, before: str, after: str
) -> tuple[Subscription, Subscription]:
    """Continue the same plan in another time zone from the end of a period on: what ends there, and what follows.

    Raises:
        FailedPreconditionError: `SUBSCRIPTION_NOT_ACTIVE`.
    """
    _require(subscription, SubscriptionState.ACTIVE)
    ended = replace(_end(subscription, at=at, base_ends_at=start_of_day(at, before)), next_id=new_id)
    successor = _successor(subscription, new_id, subscription.plan_code, subscription.plan_version, at)
    return ended, in_zone(successor, before, after)


def in_zone(successor: Subscription, before: str, after: str) -> Subscription:
    """A subscription that begins at a boundary of its predecessor's zone and counts its days in another one.

    Its boundaries keep their local dates, so each period's base price is billed once: the first period begins where the
    last one ended, and ends at its own zone's midnight.
    """
    seam = Seam(local_date(successor.starts_at, before), successor.starts_at)
    return replace(successor, anchor=same_wall_time(successor.anchor, before, after), seam=seam)


def change_now(
    subscription: Subscription, *, new_id: SubscriptionId, plan: Plan, at: datetime, timezone: str
) -> tuple[Subscription, Subscription]:
    """Move to another plan at once. The day of the change belongs to the new plan, and a pending change is dropped.

    Raises:
        FailedPreconditionError: `SUBSCRIPTION_NOT_ACTIVE`, or `SUBSCRIPTION_NOT_DUE` before its start.
    """
    ended = replace(_end(subscription, at=at, base_ends_at=start_of_day(at, timezone)), next_id=new_id)
    return ended, _successor(subscription, new_id, plan.code, plan.version, at)


def _end(subscription: Subscription, *, at: datetime, base_ends_at: datetime) -> Subscription:
    _require(subscription, SubscriptionState.ACTIVE)
    if at < subscription.starts_at:
        raise FailedPreconditionError("SUBSCRIPTION_NOT_DUE", "the subscription starts later")
    return replace(
        subscription,
        state=SubscriptionState.TERMINATED,
        ended_at=at,
        base_ends_at=base_ends_at,
        pending_change=None,
    )


def _successor(
    subscription: Subscription, new_id: SubscriptionId, plan_code: str, plan_version: int, at: datetime
) -> Subscription:
    return replace(
        subscription,
        subscription_id=new_id,
        plan_code=plan_code,
        plan_version=plan_version,
        starts_at=at,
        pending_change=None,
        previous_id=subscription.subscription_id,
        previous_plan_code=subscription.plan_code,
    )


def _require(subscription: Subscription, state: SubscriptionState) -> None:
    if subscription.state is not state:
        raise FailedPreconditionError(
            f"SUBSCRIPTION_NOT_{state.name}",
            f"the subscription is {subscription.state}, not {state}",
            state=subscription.state,
        )


def _require_change(subscription: Subscription) -> PendingChange:
    if subscription.pending_change is None:
        raise FailedPreconditionError("NO_CHANGE_PENDING", "no change is pending")
    return subscription.pending_change
