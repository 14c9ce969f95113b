"""What is due at a period's boundary: which full periods of base price and commitment a billing run invoices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.kernel.cadence import Cadence, period_containing, previous_period
from services.kernel.period import Period
from services.rating.pricing.plan import Plan


@dataclass(frozen=True, slots=True)
class Due:
    """The full periods that one billing run invoices; each is still to be cut to the subscription's life.

    Attributes:
        base_period: the period whose base price is due: the one that begins when it is billed in advance,
            else the one that has ended; None on the monthly runs within a longer period.
        closed_period: the plan's own period that has ended, on which a minimum commitment is due; None
            likewise.
    """

    base_period: Period | None
    closed_period: Period | None


def due_at(plan: Plan, cadence: Cadence, at: datetime) -> Due:
    """What the billing run at or after the latest boundary before `at` invoices, in the plan's cadence."""
    current = period_containing(cadence, at)
    usage_current = period_containing(plan.charge_cadence(cadence), at)
    if usage_current.start != current.start:
        return Due(None, None)
    closed = previous_period(cadence, current)
    return Due(current if plan.in_advance else closed, closed)
