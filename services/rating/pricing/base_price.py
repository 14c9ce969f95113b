"""The base price of a plan over a period, by days."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from services.kernel.ids import SubscriptionId
from services.kernel.money import ZERO
from services.kernel.period import Period
from services.rating.pricing.charges import Line, Priced
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.plan import Plan
from services.rating.pricing.proration import DayShare, day_share


def base_fee(
    plan: Plan, subscription_id: SubscriptionId, nominal: Period, part: Period | None, timezone: str
) -> Fee | None:
    """The prorated base price of a part of a full period; None if no day is billed or the plan has no price."""
    if part is None or not plan.base_amount:
        return None
    share = day_share(part, nominal, timezone)
    if not share.days:
        return None
    priced = Priced.of((_line(plan.base_amount, share),), Decimal(1), share.exact(plan.base_amount))
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
