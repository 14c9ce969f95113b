"""What is due at a period's boundary: which full periods of base price and commitment a billing run invoices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.kernel.cadence import Cadence, period_containing, previous_period
from services.kernel.period import Period
from services.rating.pricing.plan import Plan


@dataclass(frozen=True, slots=True)
class Due:
    """The full periods that one billing run invoices, before they are cut to the subscription's life.

    Attributes:
        base_period: the period whose base price is due: the beginning one if it is billed in advance, otherwise the
            ended one; None for the monthly runs within a longer period.
        closed_period: the plan's own period that has ended, whose minimum commitment is due; None for the monthly runs.
    """

    base_period: Period | None
    closed_period: Period | None


def due_at(plan: Plan, cadence: Cadence, at: datetime) -> Due:
    """What is invoiced by the billing run at the latest boundary before `at`, in the plan's cadence."""
    current = period_containing(cadence, at)
    usage_current = period_containing(plan.charge_cadence(cadence), at)
    if usage_current.start != current.start:
        return Due(None, None)
    closed = previous_period(cadence, current)
    return Due(current if plan.in_advance else closed, closed)
