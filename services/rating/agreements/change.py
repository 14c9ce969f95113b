"""Changes of plan and cancellations: what they will cost and credit, and what they do.

A preview and the effect come from the same calculation, so what a customer is shown is what happens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.kernel.cadence import period_containing, start_of_day, start_of_next_day
from services.kernel.errors import FailedPreconditionError, InvalidArgumentError
from services.kernel.ids import SubscriptionId
from services.kernel.period import Period
from services.rating.agreements import subscription as subscriptions
from services.rating.agreements.subscription import PendingChange, Subscription
from services.rating.pricing.base_price import base_fee, billed_part
from services.rating.pricing.fee import Fee
from services.rating.pricing.plan import Plan
from services.rating.pricing.proration import DayShare, day_share
from services.rating.shared.subscription_state import SubscriptionState


class ChangeKind(StrEnum):
    """What a change is to the customer."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    SIDEGRADE = "sidegrade"
    CANCELLATION = "cancellation"


def direction(plan: Plan, new_plan: Plan) -> ChangeKind:
    """Which way a change of plan goes: by the base price of a year."""
    if new_plan.yearly_amount < plan.yearly_amount:
        return ChangeKind.DOWNGRADE
    return ChangeKind.SIDEGRADE if new_plan.yearly_amount == plan.yearly_amount else ChangeKind.UPGRADE


class ChangeTiming(StrEnum):
    """When a change takes effect: by its kind's own rule, at once, or as the billing period ends."""

    DEFAULT = "default"
    NOW = "now"
    PERIOD_END = "period_end"


@dataclass(frozen=True, slots=True)
class ChangePreview:
    """What a change costs and credits.

    A change at a period's end is billed by the billing run at that boundary; the fees shown are those it will make.

    Attributes:
        kind: upgrade, downgrade, sidegrade or cancellation.
        effective_at: when it takes effect.
        ends_period: the full period of the old plan that it cuts or ends.
        old_fee: the old plan's base price up to the change, when that was not yet billed.
        new_fee: the new plan's base price from the change to its next period, when billed in advance.
        unused: the days of `ends_period` that were billed in advance and will not be used; None when there
            are none.
    """

    kind: ChangeKind
    effective_at: datetime
    ends_period: Period
    old_fee: Fee | None = None
    new_fee: Fee | None = None
    unused: DayShare | None = None

    @property
    def fees(self) -> tuple[Fee, ...]:
        """The base fees the change brings, before coupons and taxes."""
        return tuple(fee for fee in (self.old_fee, self.new_fee) if fee is not None)


@dataclass(frozen=True, slots=True)
class ChangeEffect:
    """What a change does.

    Attributes:
        preview: what it costs and credits.
        subscription: the old subscription: ended, or with the change pending.
        successor: the subscription that follows; None when the change is pending or a cancellation.
    """

    preview: ChangePreview
    subscription: Subscription
    successor: Subscription | None = None

    @property
    def fees(self) -> tuple[Fee, ...]:
        """The base fees to invoice now: the previewed ones, the new one in the name of its own subscription.

        None while the change is pending: the billing run at the period's end makes them.
        """
        if self.subscription.state is SubscriptionState.ACTIVE:
            return ()
        if self.preview.new_fee is None or self.successor is None:
            return self.preview.fees
        new_fee = replace(self.preview.new_fee, subscription_id=self.successor.subscription_id)
        return (new_fee,) if self.preview.old_fee is None else (self.preview.old_fee, new_fee)


def preview_change(
    subscription: Subscription,
    plan: Plan,
    new_plan: Plan,
    *,
    at: datetime,
    timezone: str,
    timing: ChangeTiming = ChangeTiming.DEFAULT,
) -> ChangePreview:
    """What moving from `plan` to `new_plan` will cost and credit.

    A downgrade waits for the period's end unless it is asked for now; any other change happens now, unless it is asked
    for at the period's end.

    Raises:
        FailedPreconditionError: `SUBSCRIPTION_NOT_ACTIVE`.
        InvalidArgumentError: the plans differ in currency.
    """
    _require_active(subscription)
    if new_plan.currency != plan.currency:
        raise InvalidArgumentError.of_field("plan_code", "value_is_invalid", "is in another currency")
    kind = direction(plan, new_plan)
    nominal = period_containing(subscription.cadence(plan.interval, timezone), at)
    effective_at = at if _happens_now(kind, timing) else nominal.end
    cut = start_of_day(effective_at, timezone)
    return ChangePreview(
        kind,
        effective_at,
        nominal,
        old_fee=_old_fee(subscription, plan, nominal, effective_at, cut, timezone),
        new_fee=_new_fee(subscription, new_plan, effective_at, timezone),
        unused=_unused(subscription, plan, nominal, cut, at, timezone),
    )


def _happens_now(kind: ChangeKind, timing: ChangeTiming) -> bool:
    """Whether a change of plan takes effect at once: as asked, or by the rule that only a downgrade waits."""
    return kind is not ChangeKind.DOWNGRADE if timing is ChangeTiming.DEFAULT else timing is ChangeTiming.NOW


def request_change(
    subscription: Subscription,
    plan: Plan,
    new_plan: Plan,
    *,
    new_id: SubscriptionId,
    at: datetime,
    timezone: str,
    timing: ChangeTiming = ChangeTiming.DEFAULT,
) -> ChangeEffect:
    """Carry out, or schedule, what `preview_change` shows for the same arguments.

    Raises:
        FailedPreconditionError: as the preview, and `CHANGE_ALREADY_PENDING` when it would be a second one.
    """
    preview = preview_change(subscription, plan, new_plan, at=at, timezone=timezone, timing=timing)
    if preview.effective_at > at:
        change = PendingChange(preview.effective_at, new_plan.code, new_plan.version)
        return ChangeEffect(preview, subscriptions.schedule_change(subscription, change))
    ended, successor = subscriptions.change_now(subscription, new_id=new_id, plan=new_plan, at=at, timezone=timezone)
    return ChangeEffect(preview, ended, successor)


def preview_cancellation(
    subscription: Subscription,
    plan: Plan,
    *,
    at: datetime,
    timezone: str,
    timing: ChangeTiming = ChangeTiming.PERIOD_END,
) -> ChangePreview:
    """What ending a subscription will cost and credit; now, the day of termination is still billed.

    Raises:
        FailedPreconditionError: `SUBSCRIPTION_NOT_ACTIVE`.
    """
    _require_active(subscription)
    nominal = period_containing(subscription.cadence(plan.interval, timezone), at)
    is_now = timing is ChangeTiming.NOW
    effective_at = at if is_now else nominal.end
    cut = start_of_next_day(at, timezone) if is_now else nominal.end
    return ChangePreview(
        ChangeKind.CANCELLATION,
        effective_at,
        nominal,
        old_fee=_old_fee(subscription, plan, nominal, effective_at, cut, timezone),
        unused=_unused(subscription, plan, nominal, cut, at, timezone),
    )


def request_cancellation(
    subscription: Subscription,
    plan: Plan,
    *,
    at: datetime,
    timezone: str,
    timing: ChangeTiming = ChangeTiming.PERIOD_END,
) -> ChangeEffect:
    """Carry out, or schedule, what `preview_cancellation` shows for the same arguments.

    Raises:
        FailedPreconditionError: as the preview, and `CHANGE_ALREADY_PENDING` when it would be a second one.
    """
    preview = preview_cancellation(subscription, plan, at=at, timezone=timezone, timing=timing)
    if preview.effective_at > at:
        change = PendingChange(preview.effective_at)
        return ChangeEffect(preview, subscriptions.schedule_change(subscription, change))
    return ChangeEffect(preview, subscriptions.terminate(subscription, at=at, timezone=timezone))


def _old_fee(
    subscription: Subscription, plan: Plan, nominal: Period, ended_at: datetime, cut: datetime, timezone: str
) -> Fee | None:
    """The old plan's base price up to the cut, unless it was billed in advance."""
    if plan.in_advance:
        return None
    part = billed_part(
        nominal,
        starts_at=subscription.starts_at,
        ends_at=cut,
        trial_ends_at=subscription.trial_ends_at(plan, timezone),
        ended_at=ended_at,
        timezone=timezone,
    )
    return base_fee(plan, subscription.subscription_id, nominal, part, timezone)


def _new_fee(subscription: Subscription, plan: Plan, at: datetime, timezone: str) -> Fee | None:
    """The new plan's base price from the change on, if it is billed in advance and no trial is running."""
    trial_ends_at = subscription.trial_ends_at(plan, timezone)
    if not plan.in_advance or (trial_ends_at is not None and at < trial_ends_at):
        return None
    nominal = period_containing(subscription.cadence(plan.interval, timezone), at)
    part = billed_part(
        nominal, starts_at=at, ends_at=None, trial_ends_at=trial_ends_at, ended_at=None, timezone=timezone
    )
    return base_fee(plan, subscription.subscription_id, nominal, part, timezone)


def _unused(
    subscription: Subscription, plan: Plan, nominal: Period, cut: datetime, at: datetime, timezone: str
) -> DayShare | None:
    """The days from the cut to the end of the period, where the base price was billed in advance."""
    trial_ends_at = subscription.trial_ends_at(plan, timezone)
    is_in_trial = trial_ends_at is not None and at < trial_ends_at
    if not plan.in_advance or not plan.base_amount or is_in_trial or cut >= nominal.end:
        return None
    return day_share(Period(max(cut, nominal.start), nominal.end), nominal, timezone)


def _require_active(subscription: Subscription) -> None:
    if subscription.state is not SubscriptionState.ACTIVE:
        raise FailedPreconditionError(
            "SUBSCRIPTION_NOT_ACTIVE", f"the subscription is {subscription.state}", state=subscription.state
        )
