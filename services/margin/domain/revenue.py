"""Accrued revenue: absolute amounts over spans, as rating announces them.

How much of an amount falls into a window is computed in `store/figure.py`, where its definition stands; a second,
straightforward one in `tests/oracles/` is what it is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from services.kernel.period import Period


class RevenueKind(StrEnum):
    """Where revenue comes from."""

    USAGE = "usage"
    BASE = "base"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class AccrualEntry:
    """One part of what a subscription earned in a billing period.

    Attributes:
        kind: where it comes from.
        metric_code: of usage; empty for others.
        period: the span it is earned in.
        amount: of the whole span so far, in major units; negative for credits.
        provider, model: where the charge is grouped by them; empty otherwise.
    """

    kind: RevenueKind
    metric_code: str
    period: Period
    amount: Decimal
    provider: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Accrual:
    """All a subscription earned in one billing period; a later revision replaces it whole.

    Attributes:
        organization_id, subscription_id: UUIDs as text.
        external_customer_id: the customer by the organization's id.
        plan_code: of the subscription's plan.
        currency: ISO 4217 code.
        billing_period: what the amounts are of.
        revision: the newest one is the truth.
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
