"""Accrued revenue: how much of an amount was earned by an instant, so that spans sum to the invoice.

An accrual is an absolute amount over a span. It is spread evenly by seconds: `earned(t)` grows from 0 at the start of
the span to the whole amount at its end, and the revenue of a window is `earned(end) - earned(start)`. `earned` is
rounded, never the difference, so adjacent windows always sum to the window around them.

A base price is spread over its whole period. Usage is only known as the amount so far, F(now): it is spread over the
part of the period that has passed, [start, now), since nothing of it was earned later. When more usage arrives the
amount grows and the spread is made anew, so a past window may move until its period is closed; the period's sum is the
invoice's at any time. Amounts that belong to an instant (a span of no length) are earned at that instant.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from services.kernel.money import ZERO
from services.kernel.period import Period

# Cumulative amounts are rounded here: far below a cent, and stored exactly by every peer.
ACCRUAL_STEP = Decimal("0.000000000001")
_MICROSECOND = timedelta(microseconds=1)


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


def span_of(entry: AccrualEntry, now: datetime) -> Period:
    """What an entry is spread over: the part of the period that has passed for usage, else the whole period."""
    if entry.kind is not RevenueKind.USAGE:
        return entry.period
    return Period(entry.period.start, min(entry.period.end, max(now, entry.period.start)))


def earned(entry: AccrualEntry, at: datetime, now: datetime) -> Decimal:
    """How much of an entry was earned before `at`, in an organization whose time is `now`."""
    span = span_of(entry, now)
    if at <= span.start:
        return ZERO
    if at >= span.end:
        return entry.amount
    passed, whole = (at - span.start) // _MICROSECOND, span.length // _MICROSECOND
    return (entry.amount * passed / whole).quantize(ACCRUAL_STEP, rounding=ROUND_HALF_UP)


def earned_so_far(entry: AccrualEntry, now: datetime) -> Decimal:
    """How much of an entry was earned up to and with `now`: all usage that is known, even what is stamped ahead."""
    if entry.kind is RevenueKind.USAGE or entry.period.end <= now:
        return entry.amount
    return earned(entry, now, now)


def earned_in(entry: AccrualEntry, window: Period, now: datetime) -> Decimal:
    """What an entry earned in a window; adjacent windows sum to the window around them."""
    return earned(entry, window.end, now) - earned(entry, window.start, now)
