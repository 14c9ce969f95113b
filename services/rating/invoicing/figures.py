"""Figures over many invoices and subscriptions, by month."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import accumulate

from services.kernel.ids import InvoiceId, PlanId
from services.kernel.money import ZERO
from services.rating.invoicing.invoice import PaymentState
from services.rating.pricing.plan import Plan

_MONTHS_PER_YEAR = 12


class Figures(StrEnum):
    """What is added up."""

    GROSS_REVENUE = "gross_revenue"
    INVOICE_COLLECTION = "invoice_collection"
    INVOICED_USAGE = "invoiced_usage"
    OVERDUE_BALANCE = "overdue_balance"
    RECURRING_REVENUE = "recurring_revenue"


@dataclass(frozen=True, slots=True)
class MonthlyFigure:
    """A figure of one month.

    Attributes:
        month: the first day of the month.
        currency: ISO 4217 code.
        amount_cents: in minor units.
        invoice_count: how many invoices it is the sum of; 0 if it is not one of invoices.
        metric_code: the metric, for usage; otherwise empty.
        payment_state: the payment state, for collections; otherwise None.
        invoice_ids: the newest invoices, for overdue balances.
    """

    month: date
    currency: str
    amount_cents: int
    invoice_count: int = 0
    metric_code: str = ""
    payment_state: PaymentState | None = None
    invoice_ids: tuple[InvoiceId, ...] = ()


@dataclass(frozen=True, slots=True)
class Movement:
    """How many more subscriptions of a plan version bring revenue from a month on; negative for fewer."""

    plan_id: PlanId
    month: date
    count: int


def months_until(last: date, count: int) -> list[date]:
    """The first days of the `count` months up to the one that holds `last`, in order."""
    number = last.year * _MONTHS_PER_YEAR + last.month - 1
    return [date(*_year_and_month(number - back), 1) for back in reversed(range(count))]


def _year_and_month(number: int) -> tuple[int, int]:
    return number // _MONTHS_PER_YEAR, number % _MONTHS_PER_YEAR + 1


def recurring_revenue(
    months: Iterable[date], movements: Iterable[Movement], plans: Mapping[PlanId, Plan]
) -> list[MonthlyFigure]:
    """A twelfth of a year's base price of every subscription that there is at each month's end, by currency.

    Args:
        months: the months, in order; earlier movements count for the first.
        movements: the starts and ends of subscriptions.
        plans: the plan versions.
    """
    wanted = list(months)
    changes: dict[str, dict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for movement in movements:
        plan = plans[movement.plan_id]
        month = max(movement.month, wanted[0])
        changes[plan.currency.code][month] += plan.yearly_amount / _MONTHS_PER_YEAR * movement.count
    currencies = {plan.currency.code: plan.currency for plan in plans.values()}
    return [
        MonthlyFigure(month, code, currencies[code].to_minor(amount))
        for code, by_month in sorted(changes.items())
        for month, amount in zip(wanted, accumulate(by_month.get(month, ZERO) for month in wanted), strict=True)
    ]
