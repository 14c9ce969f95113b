"""Rating a charge: buckets, minimums, adjustments, and the state behind them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.kernel.ids import ChargeId, SubscriptionId
from services.kernel.money import CURRENCIES
from services.kernel.period import Period
from services.rating.invoicing.adjustment import adjust, settle
from services.rating.pricing.aggregation import DailySum, Max
from services.rating.pricing.base_price import base_fee
from services.rating.pricing.charge_filter import Bucket, ChargeFilter
from services.rating.pricing.charge_usage import ChargeUsage, Window
from services.rating.pricing.charges import Dynamic, Graduated, Percentage, Standard, Tier
from services.rating.pricing.commitment import commitment_fee
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.metric import Aggregation, BillableMetric, Measurement, Rounding, RoundingFunction
from services.rating.pricing.plan import Charge, Plan
from services.rating.pricing.proration import DayShare, day_share
from services.rating.pricing.rate import RatedFor, rate_charge
from services.rating.pricing.tax import Tax
from tests.support.rating.usage import used

D = Decimal
EUR = CURRENCIES["EUR"]
START = datetime(2024, 4, 1, tzinfo=UTC)
APRIL = Period(START, datetime(2024, 5, 1, tzinfo=UTC))
WINDOW = Window(APRIL, APRIL, "UTC", APRIL, APRIL)
FOR = RatedFor(SubscriptionId("s"), "plan", EUR, WINDOW)
SUM = BillableMetric("m", Aggregation.SUM, "n")
CHARGE = Charge(ChargeId("c"), "m", Standard(D(1)), taxes=(Tax("vat", D(20)),))


def event(number: int, value: str, *, precise_amount: str = "0") -> Measurement:
    """An event on a day of April."""
    return Measurement(f"e{number}", START + timedelta(days=number), D(value), precise_amount=D(precise_amount))


def usage(*values: str) -> ChargeUsage:
    """The usage of a sum."""
    return used(SUM, CHARGE.model, [event(number, value) for number, value in enumerate(values)])


def test_one_fee_for_each_filter_and_group() -> None:
    """In the order of the charge, its own price last, groups by name; prices without usage are there too."""
    aws = ChargeFilter("aws", (("cloud", ("aws",)),), Standard(D(2)))
    gcp = ChargeFilter("gcp", (("cloud", ("gcp",)),), Graduated((Tier(None, D(1), D(7)),)))
    charge = replace(CHARGE, filters=(aws, gcp))
    used = {Bucket("aws", (("r", "us"),)): usage("2"), Bucket("aws", (("r", "eu"),)): usage("1", "2")}
    fees = rate_charge(charge, SUM, used, FOR)
    assert [(fee.filter_key, fee.group, fee.amount_cents, fee.event_count) for fee in fees] == [
        ("aws", (("r", "eu"),), 600, 2),
        ("aws", (("r", "us"),), 400, 1),
        ("gcp", (), 700, 0),
        ("", (), 0, 0),
    ]
    assert {(fee.subscription_id, fee.plan_code, fee.metric_code, fee.taxes) for fee in fees} == {
        ("s", "plan", "m", CHARGE.taxes)
    }


def test_the_metrics_rounding_applies_to_the_units() -> None:
    """Not to single events."""
    metric = replace(SUM, rounding=Rounding(RoundingFunction.CEIL))
    (fee,) = rate_charge(CHARGE, metric, {Bucket(): usage("0.4", "0.4", "0.4")}, FOR)
    assert (fee.units, fee.amount_cents) == (2, 200)


def test_true_up() -> None:
    """What is missing to the minimum, prorated by days; nothing when it is reached."""
    charge = replace(CHARGE, minimum_amount=D(30))
    fee, true_up = rate_charge(charge, SUM, {Bucket(): usage("12.5")}, FOR)
    assert (fee.amount_cents, true_up.amount_cents, true_up.kind) == (1250, 1750, FeeKind.TRUE_UP)
    assert sum(line.amount for line in true_up.lines) == true_up.precise_amount
    assert true_up.taxes == CHARGE.taxes
    half_days = Period(START, START + timedelta(days=15))
    half = replace(FOR, window=Window(half_days, APRIL, "UTC", half_days, APRIL))
    assert [fee.amount_cents for fee in rate_charge(charge, SUM, {Bucket(): usage("12.5")}, half)] == [1250, 250]
    assert len(rate_charge(charge, SUM, {Bucket(): usage("30")}, FOR)) == 1


def test_commitment() -> None:
    """What a period's fees lack to the plan's least; none without one or when it is reached."""
    plan = Plan("plan", EUR, minimum_commitment_amount=D(50))
    fees = rate_charge(CHARGE, SUM, {Bucket(): usage("12.5")}, FOR)
    missing = commitment_fee(plan, SubscriptionId("s"), APRIL, APRIL, fees, "UTC")
    assert missing is not None
    assert (missing.amount_cents, missing.kind) == (3750, FeeKind.COMMITMENT)
    assert commitment_fee(plan, SubscriptionId("s"), APRIL, APRIL, fees * 4, "UTC") is None
    free = replace(plan, minimum_commitment_amount=D(0))
    assert commitment_fee(free, SubscriptionId("s"), APRIL, APRIL, (), "UTC") is None


# --- adjustments ----------------------------------------------------------------------------------------------------


def rated(*values: str, minimum: str = "0") -> tuple[Fee, ...]:
    """The fees of April."""
    return rate_charge(replace(CHARGE, minimum_amount=D(minimum)), SUM, {Bucket(): usage(*values)}, FOR)


def test_an_adjustment_is_the_difference() -> None:
    """With both amounts as its lines; the closed invoice stays as it is."""
    (adjustment,) = adjust(rated("5"), rated("5", "3"), EUR)
    assert (adjustment.kind, adjustment.amount_cents, adjustment.units, adjustment.event_count) == (
        FeeKind.ADJUSTMENT,
        300,
        3,
        1,
    )
    assert sum(line.amount for line in adjustment.lines) == adjustment.precise_amount == 3
    assert adjust(rated("5"), rated("5"), EUR) == ()


def test_adjustments_count_as_invoiced() -> None:
    """Adjusting twice owes only what came since; undoing the correction gives all of it back."""
    first = adjust(rated("5"), rated("8"), EUR)
    second = adjust((*rated("5"), *first), rated("9"), EUR)
    assert [fee.amount_cents for fee in second] == [100]
    undone = adjust((*rated("5"), *first, *second), rated("5"), EUR)
    assert [fee.amount_cents for fee in undone] == [-400]


def test_true_ups_are_adjusted_on_their_own() -> None:
    """More usage lowers a true-up by as much."""
    adjustments = adjust(rated("5", minimum="20"), rated("9", minimum="20"), EUR)
    assert [(fee.adjusts, fee.amount_cents) for fee in adjustments] == [(FeeKind.CHARGE, 400), (FeeKind.TRUE_UP, -400)]
    again = adjust((*rated("5", minimum="20"), *adjustments), rated("9", minimum="20"), EUR)
    assert again == ()


def test_usage_that_is_gone_is_given_back() -> None:
    """A fee that its period no longer has."""
    grouped = [replace(fee, group=(("r", "eu"),)) for fee in rated("5")]
    assert [fee.amount_cents for fee in adjust(grouped, rated("0"), EUR)] == [-500]


def test_adjustments_below_zero_wait_until_they_fit() -> None:
    """Against fees with the same taxes, so that no tax falls below zero."""
    (less,) = adjust(rated("5"), rated("1"), EUR)
    (more,) = adjust(rated("5"), rated("6"), EUR)
    assert settle([less, more], rated("3")) == ((less, more), ())
    assert settle([less, more], rated("2")) == ((more,), (less,))
    untaxed = [replace(fee, taxes=()) for fee in rated("100")]
    assert settle([less], untaxed) == ((), (less,))


# --- state ----------------------------------------------------------------------------------------------------------


def test_state_keeps_what_the_charge_needs() -> None:
    """And nothing more."""
    assert isinstance(ChargeUsage.empty(SUM, Standard(D(1)), prorated=True).aggregate, DailySum)
    assert ChargeUsage.empty(SUM, Percentage(D(1))).transactions is None
    assert ChargeUsage.empty(SUM, Percentage(D(1), free_events=1)).transactions is not None
    assert isinstance(ChargeUsage.empty(replace(SUM, aggregation=Aggregation.MAX), Dynamic()).aggregate, Max)


def test_day_share() -> None:
    """A share of days; no part is no days."""
    share = day_share(Period(START + timedelta(days=9, hours=5), APRIL.end), APRIL, "UTC")
    assert (share.days, share.days_in_period, share.of(D(30))) == (21, 30, 21)
    assert day_share(None, APRIL, "UTC").of(D(30)) == 0
    assert day_share(APRIL, APRIL, "UTC").is_whole
    assert [DayShare(day, day + 1, 3).of(D(10)) for day in range(3)] == [
        D("3.333333333333"),
        D("3.333333333334"),
        D("3.333333333333"),
    ]


def test_base_fee_of_whole_days() -> None:
    """The fee says how many days it is for; a plan without a price has none."""
    part = Period(START + timedelta(days=20), APRIL.end)
    fee = base_fee(Plan("plan", EUR, base_amount=D(30)), SubscriptionId("s"), APRIL, part, "UTC")
    assert fee is not None
    assert (fee.period, fee.amount_cents) == (part, 1000)
    assert (fee.lines[0].description, fee.lines[0].units) == ("base price, 10 of 30 days", 10)
    assert base_fee(Plan("plan", EUR), SubscriptionId("s"), APRIL, APRIL, "UTC") is None


def test_a_sum_of_a_weighted_metric_depends_on_the_window() -> None:
    """The same state, billed over half the period, is half as much."""
    metric = replace(SUM, aggregation=Aggregation.WEIGHTED_SUM)
    state = used(metric, Standard(D(1)), [event(0, "10")])
    assert state.usage(metric, WINDOW).units == 10
    half_days = Period(START, START + timedelta(days=15))
    half = Window(half_days, APRIL, "UTC", half_days, APRIL)
    assert state.usage(metric, half).units == 5
