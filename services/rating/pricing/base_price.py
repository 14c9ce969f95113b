"""The base price of a plan over a period: which days are billed, and the fee for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from services.kernel.cadence import clip, start_of_day
from services.kernel.ids import SubscriptionId
from services.kernel.money import ZERO
from services.kernel.period import Period
from services.rating.pricing.charges import Line, Priced
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.plan import Plan
from services.rating.pricing.proration import DayShare, day_share


def billed_part(
    nominal: Period,
    *,
    starts_at: datetime,
    ends_at: datetime | None,
    trial_ends_at: datetime | None,
    ended_at: datetime | None,
    timezone: str,
) -> Period | None:
    """The part of a full period whose days bear the base price; None when there is none.

    It starts with the day of the start, or with the day on which the trial ends, and stops before the day
    that holds `ends_at`, which is a local midnight (see `Subscription.base_ends_at`). A subscription whose very end,
    `ended_at`, comes before its trial's bears none, not even for the day on which the trial would have ended.
    """
    if trial_ends_at is not None and ended_at is not None and ended_at < trial_ends_at:
        return None
    first = start_of_day(starts_at, timezone)
    if trial_ends_at is not None:
        first = max(first, start_of_day(trial_ends_at, timezone))
    return clip(nominal, start=first, end=ends_at)


def base_fee(
    plan: Plan, subscription_id: SubscriptionId, nominal: Period, part: Period | None, timezone: str
) -> Fee | None:
    """The prorated base price of a part of a full period; None when no day is billed or the plan has no price."""
    if part is None or not plan.base_amount:
        return None
    share = day_share(part, nominal, timezone)
    if not share.days:
        return None
    priced = Priced.of((_line(plan.base_amount, share),), Decimal(1))
    return replace(
        Fee.of(FeeKind.SUBSCRIPTION, part, priced, plan.currency),
        subscription_id=subscription_id,
        plan_code=plan.code,
        description=plan.name or plan.code,
        full_period_amount=plan.base_amount,
        taxes=plan.taxes,
    )


def _line(amount: Decimal, share: DayShare) -> Line:
    """The base price as days times the price of a day."""
    if share.is_whole:
        return Line("base price", Decimal(1), amount, ZERO, amount)
    name = f"base price, {share.days} of {share.days_in_period} days"
    return Line(name, Decimal(share.days), amount / share.days_in_period, ZERO, share.of(amount))
