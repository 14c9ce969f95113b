"""Accrued revenue: absolute amounts over spans, as rating announces them.

`store/figure.py` defines and computes how much of an amount falls into a window; tests compare it with a second,
straightforward definition in `tests/oracles/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from services.kernel.period import Period
from services.kernel.revenue import RevenueKind


@dataclass(frozen=True, slots=True)
class AccrualEntry:
    """One part of what a subscription earned in a billing period.

    Attributes:
        kind: the source of the revenue.
        metric_code: the metric, for revenue from usage; otherwise empty.
        period: the span in which it is earned.
        amount: the amount for the whole span so far, in major units; negative for credits.
        provider, model: set if the charge is grouped by them; otherwise empty.
    """

    kind: RevenueKind
    metric_code: str
    period: Period
    amount: Decimal
    provider: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Accrual:
    """Everything a subscription earned in one billing period; a later revision replaces all of it.

    Attributes:
        organization_id, subscription_id: UUIDs as text.
        external_customer_id: the organization's id of the customer.
        plan_code: the code of the subscription's plan.
        currency: ISO 4217 code.
        billing_period: the period for which the amounts are.
        revision: the newest revision is the valid one.
        entries: the parts.
    """

    organization_id: str
    subscription_id: str
    external_customer_id: str
    plan_code: str
    currency: str
    billing_period: Period
    revision: int
    entries: tuple[AccrualEntry, ...]
