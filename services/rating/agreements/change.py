"""Changes of plan and cancellations: their kind, when they take effect, and what they do.

What they cost and credit follows from the subscription's end and its successor's start (`invoicing.billing_run`). A
preview is the same command, rolled back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.kernel.cadence import period_containing
from services.kernel.errors import FailedPreconditionError, InvalidArgumentError
from services.kernel.ids import SubscriptionId
from services.rating.agreements import subscription as subscriptions
from services.rating.agreements.subscription import PendingChange, Subscription
from services.rating.pricing.plan import Plan
from services.rating.shared.subscription_state import SubscriptionState


class ChangeKind(StrEnum):
    """What a change is to the customer."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    SIDEGRADE = "sidegrade"
    CANCELLATION = "cancellation"


class ChangeTiming(StrEnum):
    """When a change takes effect: by the rule of its kind, at once, or when the billing period ends."""

    DEFAULT = "default"
    NOW = "now"
    PERIOD_END = "period_end"


@dataclass(frozen=True, slots=True)
class ChangeEffect:
    """What a change does.

    Attributes:
        kind: upgrade, downgrade, sidegrade or cancellation.
        effective_at: when it takes effect.
        subscription: the old subscription, ended or with the change pending.
        successor: the subscription that follows; None if the change is pending or is a cancellation.
    """

    kind: ChangeKind
    effective_at: datetime
    subscription: Subscription
    successor: Subscription | None = None


def direction(plan: Plan, new_plan: Plan) -> ChangeKind:
    """The kind of a change of plan, by the base price of a year."""
    if new_plan.yearly_amount < plan.yearly_amount:
        return ChangeKind.DOWNGRADE
    return ChangeKind.SIDEGRADE if new_plan.yearly_amount == plan.yearly_amount else ChangeKind.UPGRADE


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
    """Move to another plan, or schedule it: a downgrade at the period's end, any other now, unless asked otherwise.

    Raises:
        FailedPreconditionError: `SUBSCRIPTION_NOT_ACTIVE`, or `CHANGE_ALREADY_PENDING` if one is scheduled already.
        InvalidArgumentError: the plans differ in currency.
    """
    _require_active(subscription)
    if new_plan.currency != plan.currency:
        raise InvalidArgumentError.of_field("plan_code", "value_is_invalid", "is in another currency")
    kind = direction(plan, new_plan)
    effective_at = change_takes_effect_at(subscription, plan, kind, at=at, timezone=timezone, timing=timing)
    if effective_at > at:
        change = PendingChange(effective_at, new_plan.code, new_plan.version)
        return ChangeEffect(kind, effective_at, subscriptions.schedule_change(subscription, change))
    ended, successor = subscriptions.change_now(subscription, new_id=new_id, plan=new_plan, at=at, timezone=timezone)
    return ChangeEffect(kind, at, ended, successor)


def change_takes_effect_at(
    subscription: Subscription,
    plan: Plan,
    kind: ChangeKind,
    *,
    at: datetime,
    timezone: str,
    timing: ChangeTiming = ChangeTiming.DEFAULT,
) -> datetime:
    """When a change of plan requested at `at` takes effect: by the rule, only a downgrade waits."""
    waits = kind is ChangeKind.DOWNGRADE if timing is ChangeTiming.DEFAULT else timing is ChangeTiming.PERIOD_END
    return _period_end(subscription, plan, at, timezone) if waits else at


def request_cancellation(
    subscription: Subscription,
    plan: Plan,
    *,
    at: datetime,
    timezone: str,
    timing: ChangeTiming = ChangeTiming.PERIOD_END,
) -> ChangeEffect:
    """End a subscription now, or schedule its end for the end of the period.

    Raises:
        FailedPreconditionError: as `request_change`.
    """
    _require_active(subscription)
    if timing is ChangeTiming.NOW:
        return ChangeEffect(
            ChangeKind.CANCELLATION, at, subscriptions.terminate(subscription, at=at, timezone=timezone)
        )
    effective_at = _period_end(subscription, plan, at, timezone)
    promised = subscriptions.schedule_change(subscription, PendingChange(effective_at))
    return ChangeEffect(ChangeKind.CANCELLATION, effective_at, promised)


def _period_end(subscription: Subscription, plan: Plan, at: datetime, timezone: str) -> datetime:
    """The end of the plan's own period."""
    return period_containing(subscription.cadence(plan.interval, timezone), at).end


def _require_active(subscription: Subscription) -> None:
    if subscription.state is not SubscriptionState.ACTIVE:
        raise FailedPreconditionError(
            "SUBSCRIPTION_NOT_ACTIVE", f"the subscription is {subscription.state}", state=subscription.state
        )
