"""Recurring revenue: what subscriptions bring in a month, from where they begin and end."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from services.kernel.cadence import MONTHLY, CadenceUnit, Interval
from services.kernel.ids import PlanId
from services.kernel.money import CURRENCIES
from services.rating.invoicing.figures import Movement, months_until, recurring_revenue
from services.rating.pricing.plan import Plan

YEARLY = Interval(CadenceUnit.MONTH, 12)
JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))
PLANS = {
    PlanId("monthly"): Plan("monthly", CURRENCIES["EUR"], MONTHLY, base_amount=Decimal(10)),
    PlanId("yearly"): Plan("yearly", CURRENCIES["EUR"], YEARLY, base_amount=Decimal(100)),
    PlanId("yen"): Plan("yen", CURRENCIES["JPY"], MONTHLY, base_amount=Decimal(500)),
}


def test_months_are_counted_back_over_years() -> None:
    assert months_until(date(2024, 2, 29), 3) == [date(2023, 12, 1), JANUARY, FEBRUARY]
    assert months_until(date(2024, 12, 31), 1) == [date(2024, 12, 1)]


def test_a_year_is_spread_over_its_months_and_only_the_sum_is_rounded() -> None:
    """Three yearly plans of 100.00 bring 25.00 a month, not three times 8.33."""
    moved = [Movement(PlanId("yearly"), JANUARY, 3), Movement(PlanId("monthly"), FEBRUARY, 2)]
    figures = recurring_revenue([JANUARY, FEBRUARY], moved, PLANS)
    assert [(figure.month, figure.currency, figure.amount_cents) for figure in figures] == [
        (JANUARY, "EUR", 2500),
        (FEBRUARY, "EUR", 4500),
    ]


def test_what_has_ended_brings_nothing_any_more_and_what_was_before_still_does() -> None:
    """Each currency by itself; months without a movement are like the one before."""
    moved = [
        Movement(PlanId("monthly"), date(2020, 5, 1), 4),
        Movement(PlanId("monthly"), MARCH, -3),
        Movement(PlanId("yen"), FEBRUARY, 1),
    ]
    figures = recurring_revenue([JANUARY, FEBRUARY, MARCH], moved, PLANS)
    assert [figure.amount_cents for figure in figures if figure.currency == "EUR"] == [4000, 4000, 1000]
    assert [figure.amount_cents for figure in figures if figure.currency == "JPY"] == [0, 500, 500]
