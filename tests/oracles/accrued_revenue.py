"""Oracle: what an accrual earned in a window, written down as plainly as it is defined.

The product computes the same in one SQL statement (`services/margin/store/figure.py`); tests compare both.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from services.kernel.money import ZERO
from services.kernel.period import Period
from services.kernel.revenue import RevenueKind
from services.margin.domain.revenue import AccrualEntry

# Cumulative amounts are rounded here: far below a cent, and stored exactly by every peer.
ACCRUAL_STEP = Decimal("0.000000000001")
_MICROSECOND = timedelta(microseconds=1)


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
