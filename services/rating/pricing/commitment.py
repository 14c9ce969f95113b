"""Minimum commitment: the least a plan costs in a period, whatever was used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from services.kernel.ids import SubscriptionId
from services.kernel.period import Period
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.plan import Plan
from services.rating.pricing.proration import day_share
from services.rating.pricing.rate import shortfall


def commitment_fee(
    plan: Plan, subscription_id: SubscriptionId, period: Period, nominal: Period, fees: Iterable[Fee], timezone: str
) -> Fee | None:
    """What the fees of a period lack to reach the plan's commitment, prorated by days; None if they lack nothing.

    `fees` are all fees that belong to the period, before coupons and taxes: its base price, even if that was billed in
    advance, its charges and their true-ups.
    """
    if not plan.minimum_commitment_amount:
        return None
    share = day_share(period, nominal, timezone)
    missing = shortfall("minimum commitment", share.exact(plan.minimum_commitment_amount), fees, plan.currency)
    if missing is None:
        return None
    return replace(
        Fee.of(FeeKind.COMMITMENT, period, missing, plan.currency),
        subscription_id=subscription_id,
        plan_code=plan.code,
        description="minimum commitment",
        taxes=plan.taxes,
    )
