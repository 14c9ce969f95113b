"""Laws of the one rounding: cents are the exact amount rounded once, also of amounts that no decimal holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor

from hypothesis import example, given
from hypothesis import strategies as st

from services.kernel.ids import SubscriptionId
from services.kernel.money import CURRENCIES
from services.kernel.period import Period
from services.rating.pricing.aggregation import DailySum, Sum, WeightedSum
from services.rating.pricing.base_price import base_fee
from services.rating.pricing.charge_usage import ChargeUsage, Window
from services.rating.pricing.charges import ChargeModel, Graduated, Percentage, Standard, Tier, price
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.metric import Aggregation, BillableMetric, Measurement
from services.rating.pricing.plan import Charge, Plan
from services.rating.pricing.rate import RatedFor, rate_charge

USD = CURRENCIES["USD"]
DAYS = 30
START = datetime(2024, 4, 1, tzinfo=UTC)
APRIL = Period(START, START + timedelta(days=DAYS))
SUM = BillableMetric("m", Aggregation.SUM, "n", recurring=True)

days = st.integers(0, DAYS)
# Of a thirtieth of such a price the half of a cent is a frequent part, and thirds of it have no end.
prices = st.integers(1, 600).map(lambda number: Decimal(number) / 2000)
changes = st.lists(st.tuples(st.integers(0, DAYS - 1), st.integers(-9, 9)), max_size=6)


def nearest(amount: Fraction) -> int:
    """The one rounding: in cents, a half away from zero, nothing below zero."""
    return max(0, floor(amount * 100 + Fraction(1, 2)))


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def window(first: int = 0, end: int = DAYS) -> Window:
    """April, of which a plan has some days."""
    part = Period(day(first), day(end)) if first < end else None
    return Window(APRIL, APRIL, "UTC", part, part)


def cents(model: ChargeModel, state: ChargeUsage, billed: Window, metric: BillableMetric = SUM) -> int:
    return Fee.of(FeeKind.CHARGE, APRIL, price(model, state.usage(metric, billed)), USD).amount_cents


def daily(used: list[tuple[int, int]]) -> ChargeUsage:
    measured = [Measurement(str(number), day(at), Decimal(value)) for number, (at, value) in enumerate(used)]
    return ChargeUsage(DailySum("UTC").add(measured))


@given(changes, prices)
# A third of 1.5 cents: half a cent.
@example([(20, 1)], Decimal("0.015"))
@example([(20, 1), (10, 1)], Decimal("0.005"))
def test_a_price_by_days_held_is_rounded_once(used: list[tuple[int, int]], unit_amount: Decimal) -> None:
    """Each change costs its price for the days that it is held."""
    held = sum((Fraction(value * (DAYS - at), DAYS) for at, value in used), Fraction(0))
    exact = held * Fraction(unit_amount)
    assert cents(Standard(unit_amount), daily(used), window()) == nearest(exact)


@given(changes, prices, prices)
@example([(20, 1), (20, 1)], Decimal("0.01"), Decimal("0.005"))
def test_tiers_by_days_held_are_rounded_once(used: list[tuple[int, int]], low: Decimal, high: Decimal) -> None:
    """Every day costs its share of what its level costs: up to one unit the low price, above it the high one."""
    exact = Fraction(0)
    for number in range(DAYS):
        level = sum(value for at, value in used if at <= number)
        exact += (min(level, 1) * Fraction(low) + max(level - 1, 0) * Fraction(high)) / DAYS
    model = Graduated((Tier(Decimal(1), low), Tier(None, high)))
    assert cents(model, daily(used), window()) == nearest(exact)


@given(changes, prices, prices, days)
@example([(20, 1)], Decimal("0.015"), Decimal("0.015"), DAYS)
def test_a_weighted_sum_is_rounded_once(used: list[tuple[int, int]], low: Decimal, high: Decimal, end: int) -> None:
    """Each value counts for the share of the month that remains when it arrives."""
    within = [(at, value) for at, value in used if at < end]
    measured = [Measurement(str(number), day(at), Decimal(value)) for number, (at, value) in enumerate(within)]
    state = ChargeUsage(WeightedSum().add(measured))
    until = Window(Period(START, day(end)), APRIL, "UTC", APRIL, APRIL)
    metric = BillableMetric("m", Aggregation.WEIGHTED_SUM, "n")
    units = sum((Fraction(value * (end - at), DAYS) for at, value in within), Fraction(0))
    assert cents(Standard(low), state, until, metric) == nearest(units * Fraction(low))
    tiers = Graduated((Tier(Decimal(1), low), Tier(None, high)))
    exact = min(units, Fraction(1)) * Fraction(low) + max(units - 1, Fraction(0)) * Fraction(high)
    assert cents(tiers, state, until, metric) == nearest(exact)


@given(st.integers(0, 40), prices, days, days)
@example(1, Decimal("0.015"), 0, 10)
def test_a_running_value_of_some_days_is_rounded_once(units: int, rate: Decimal, first: int, end: int) -> None:
    """In a month of two plans each bills its days."""
    first, end = min(first, end), max(first, end)
    exact = units * Fraction(rate) * (end - first) / DAYS
    state = ChargeUsage(Sum(carried=Decimal(units)))
    assert cents(Standard(rate), state, window(first, end)) == nearest(exact)
    assert cents(Percentage(rate * 100), state, window(first, end)) == nearest(exact)


@given(st.integers(1, 10_000), days, days)
@example(1, 0, 15)
def test_base_prices_and_minimums_of_some_days_are_rounded_once(amount_cents: int, first: int, end: int) -> None:
    """A base price, and the least that a charge costs, by days."""
    first, end = min(first, end), max(first, end)
    exact, amount = Fraction(amount_cents * (end - first), 100 * DAYS), USD.to_major(amount_cents)
    billed = window(first, end)
    base = base_fee(Plan("p", USD, base_amount=amount), SubscriptionId("s"), APRIL, billed.days, "UTC")
    assert (base.amount_cents if base else 0) == nearest(exact)
    charge = Charge(SUM.code, SUM.code, Standard(Decimal(0)), minimum_amount=amount)  # type: ignore[arg-type]
    fees = rate_charge(charge, SUM, {}, RatedFor(SubscriptionId("s"), "p", USD, billed))
    assert sum(fee.amount_cents for fee in fees) == nearest(exact)
