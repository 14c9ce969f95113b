"""Charge models: boundaries, explanations, refusals. The figures of the reference cases are in test_cases.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.kernel.errors import InvalidArgumentError
from services.kernel.period import Period
from services.rating.pricing.charge_usage import Window
from services.rating.pricing.charges import (
    CHARGE_MODELS,
    ChargeModel,
    Dynamic,
    Graduated,
    GraduatedPercentage,
    Package,
    Percentage,
    PercentageTier,
    Priced,
    Standard,
    Tier,
    Transactions,
    Usage,
    Volume,
    model_name,
    price,
)
from services.rating.pricing.metric import Aggregation, BillableMetric, Measurement, Rounding, RoundingFunction
from tests.support.rating.usage import used

D = Decimal
NOON = datetime(2024, 2, 1, 12, tzinfo=UTC)
FEBRUARY = Period(datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC))
WINDOW = Window(FEBRUARY, FEBRUARY, "UTC", FEBRUARY, FEBRUARY)
TIERS = (Tier(D(10), D("1.5"), D(2)), Tier(D(20), D(1), D(3)), Tier(None, D("0.5")))


def amount(model: ChargeModel, units: str) -> Decimal:
    """The amount of this many units."""
    return price(model, Usage(D(units))).amount


@pytest.mark.parametrize(
    ("units", "expected"),
    [("0", "2"), ("10", "17"), ("10.5", "20.5"), ("20", "30"), ("20.5", "30.25"), ("100", "70")],
)
def test_graduated(units: str, expected: str) -> None:
    """Units exactly at `up_to` belong to the lower tier; a fraction above enters the next, with its flat amount."""
    assert amount(Graduated(TIERS), units) == D(expected)


@pytest.mark.parametrize(
    ("units", "expected"), [("0", "2"), ("10", "17"), ("10.5", "13.5"), ("20", "23"), ("21", "10.5")]
)
def test_volume(units: str, expected: str) -> None:
    """One tier prices everything; a fraction begun counts whole in choosing it."""
    assert amount(Volume(TIERS), units) == D(expected)


@pytest.mark.parametrize(("units", "expected"), [("0", "0"), ("5", "0"), ("5.1", "7"), ("15", "7"), ("15.1", "14")])
def test_package(units: str, expected: str) -> None:
    """A package begun is paid; free units come first."""
    assert amount(Package(D(7), D(10), D(5)), units) == D(expected)


def test_lines_explain_the_amount() -> None:
    """Every tier entered has a line with what a person needs to redo it."""
    priced = price(Graduated(TIERS), Usage(D("25")))
    assert [(line.description, line.units, line.unit_amount, line.flat_amount) for line in priced.lines] == [
        ("tier 1 (up to 10)", 10, D("1.5"), 2),
        ("tier 2 (up to 20)", 10, 1, 3),
        ("tier 3 (above 20)", 5, D("0.5"), 0),
    ]
    assert sum(line.amount for line in priced.lines) == priced.amount
    assert priced.unit_amount == priced.amount / 25
    assert price(Graduated(TIERS), Usage(D(0))).unit_amount == 0


def test_below_zero_is_not_billed_and_says_so() -> None:
    """The floor is a line, so that the lines still sum to the amount."""
    priced = price(Standard(D(3)), Usage(D(-2)))
    assert priced.amount == 0
    assert [line.amount for line in priced.lines] == [-6, 6]


def test_dynamic_sums_what_events_carry() -> None:
    """Without units there is nothing to pay for."""
    assert price(Dynamic(), Usage(D(4), precise_amount=D("1.25"))).amount == D("1.25")
    assert price(Dynamic(), Usage(D(0), precise_amount=D("1.25"))).amount == 0


def transactions(model: Percentage, *values: str) -> Usage:
    """Usage of a percentage with these transactions, a minute apart."""
    start = datetime(2024, 2, 1, tzinfo=UTC)
    measured = [
        Measurement(f"e{number}", start + timedelta(minutes=number), D(value)) for number, value in enumerate(values)
    ]
    total = sum(map(D, values), D(0))
    return Usage(total, len(values), transactions=Transactions(model.terms).add(measured))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        # One free event ends the allowance although 150 of the free amount are left; a maximum that never binds
        # does not bring it back.
        (Percentage(D(1), free_events=1, free_amount=D(250)), "2"),
        (Percentage(D(1), free_events=1, free_amount=D(250), per_transaction_max_amount=D(1_000_000)), "2"),
        (Percentage(D(1), free_events=2, free_amount=D(150)), "1.5"),
        (Percentage(D(1), D("0.1"), free_amount=D(100)), "2.2"),
        (Percentage(D(1), D("0.1"), per_transaction_max_amount=D("0.9")), "2.7"),
        (Percentage(D(1), D("0.1"), per_transaction_min_amount=D(2)), "6"),
        (Percentage(D(1), free_amount=D(150), per_transaction_min_amount=D("0.8")), "1.8"),
    ],
)
def test_percentage(model: Percentage, expected: str) -> None:
    """Three transactions of 100 under allowances and bounds."""
    assert price(model, transactions(model, "100", "100", "100")).amount == D(expected)


def test_percentage_lines() -> None:
    """What was free, what was shared, what each transaction costs, and what met a bound."""
    model = Percentage(D(1), D("0.5"), 1, None, D(1), D(4))
    priced = price(model, transactions(model, "80", "10", "100", "1000"))
    assert [(line.description, line.units, line.amount) for line in priced.lines] == [
        ("free allowance", 80, 0),
        ("share of the value", 100, 1),
        ("fixed part of each transaction", 1, D("0.5")),
        ("transactions at the minimum", 1, 1),
        ("transactions at the maximum", 1, 4),
    ]


def test_a_refund_does_not_reopen_an_allowance() -> None:
    """An allowance that has ended stays ended."""
    model = Percentage(D(10), free_amount=D(100))
    assert price(model, transactions(model, "100", "-50", "50")).amount == 0
    assert price(model, transactions(model, "100", "50")).amount == 5


def test_percentage_state_stays_small() -> None:
    """Ten thousand events leave no more than the allowance behind."""
    model = Percentage(D(1), free_events=3, per_transaction_min_amount=D(1))
    state = transactions(model, *["5"] * 10_000).transactions
    assert state is not None
    assert len(state.earliest) == 3
    assert state.later.minimum_count == 9_997


def test_percentage_needs_what_it_needs() -> None:
    """Without allowance and bounds units and a count do; otherwise pricing without transactions is a bug."""
    assert price(Percentage(D(1), D(2)), Usage(D(100), 3)).amount == 7
    bounded = Percentage(D(1), per_transaction_max_amount=D(3))
    assert not Percentage(D(1), D(2)).needs_transactions
    assert bounded.needs_transactions
    with pytest.raises(ValueError, match="transactions"):
        price(bounded, Usage(D(100), 3))


def test_the_metrics_rounding_is_value_paid_by_rate() -> None:
    """Three transactions of 0.4 are 1.2, which the metric makes 1: ten per cent of 1, with and without bounds."""
    metric = BillableMetric("m", Aggregation.SUM, "n", rounding=Rounding(RoundingFunction.ROUND))
    events = [Measurement(f"e{number}", NOON, D("0.4")) for number in range(3)]

    def priced(model: Percentage) -> Priced:
        return price(model, used(metric, model, events).usage(metric, WINDOW))

    for model in (
        Percentage(D(10)),
        Percentage(D(10), per_transaction_max_amount=D(1000)),
        Percentage(D(10), per_transaction_min_amount=D("0.01")),
    ):
        assert [(line.description, line.amount) for line in priced(model).lines] == [
            ("share of the value", D("0.12")),
            ("rounding of the metric", D("-0.02")),
        ]
    assert priced(Percentage(D(10), free_amount=D(1))).amount == 0, "the rounding takes no more than was paid"
    assert priced(Percentage(D(10), D(1), per_transaction_max_amount=D(1))).amount == 3, "no value is paid by rate"


def test_what_is_carried_is_value_before_all_transactions() -> None:
    """It uses the free amount up, is no transaction of its own, and bounds do not meet it."""
    model = Percentage(D(10), D(1), free_amount=D(100), per_transaction_max_amount=D("1.5"))
    usage = replace(transactions(model, "80", "4"), units=D(114), carried=D(30))
    assert [(line.description, line.units, line.amount) for line in price(model, usage).lines] == [
        ("free allowance", 100, 0),
        ("share of the value", 4, D("0.4")),
        ("fixed part of each transaction", 1, 1),
        ("transactions at the maximum", 1, D("1.5")),
    ]
    used_up = replace(usage, units=D(234), carried=D(150))
    assert price(model, used_up).amount == 5 + D("1.5") + D("1.4")
    counted = Percentage(D(10), free_events=1)
    assert price(counted, replace(transactions(counted, "80", "10"), units=D(120), carried=D(30))).amount == 3 + 1


def test_voiding_a_transaction() -> None:
    """A later one is taken off its tally, an early one only while the allowance lasts."""
    model = Percentage(D(1), free_events=2)
    start = datetime(2024, 2, 1, tzinfo=UTC)
    events = [Measurement(f"e{number}", start + timedelta(minutes=number), D(9)) for number in range(4)]
    state = Transactions(model.terms).add(events)
    assert state.without(events[3]) == Transactions(model.terms).add(events[:3])
    assert state.without(events[0]) is None
    assert Transactions(model.terms).add(events[:1]).without(events[0]) == Transactions(model.terms)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Standard(D(-1)), "unit_amount"),
        (lambda: Standard(0.1), "unit_amount"),  # type: ignore[arg-type]
        (lambda: Standard(D("NaN")), "unit_amount"),
        (lambda: Graduated(()), "tiers"),
        (lambda: Graduated((Tier(D(10), D(1)),)), "tiers[0].up_to"),
        (lambda: Graduated((Tier(None, D(1)), Tier(None, D(1)))), "tiers[0].up_to"),
        (lambda: Volume((Tier(D(5), D(1)), Tier(D(5), D(1)), Tier(None, D(1)))), "tiers[1].up_to"),
        (lambda: Volume((Tier(D(0), D(1)), Tier(None, D(1)))), "tiers[0].up_to"),
        (lambda: Volume((Tier(D(5), D(-1)), Tier(None, D(1)))), "tiers[0].unit_amount"),
        (lambda: Volume((Tier(D(5), D(1), D(-1)), Tier(None, D(1)))), "tiers[0].flat_amount"),
        (lambda: Graduated((*tuple(Tier(D(n), D(1)) for n in range(1, 1001)), Tier(None, D(1)))), "tiers"),
        (lambda: Package(D(1), D(0)), "package_size"),
        (lambda: Package(D(1), D(1), D(-1)), "free_units"),
        (lambda: Percentage(D(-1)), "rate_percent"),
        (lambda: Percentage(D(1), D(-1)), "fixed_amount"),
        (lambda: Percentage(D(1), free_events=0), "free_events"),
        (lambda: Percentage(D(1), free_amount=D(0)), "free_amount"),
        (
            lambda: Percentage(D(1), per_transaction_min_amount=D(2), per_transaction_max_amount=D(1)),
            "per_transaction_min_amount",
        ),
        (lambda: GraduatedPercentage((PercentageTier(None, D(-1)),)), "tiers[0].rate_percent"),
    ],
)
def test_refusals_name_their_field(make: Callable[[], object], field: str) -> None:
    """A price that could not be computed for every quantity is refused when it is made."""
    with pytest.raises(InvalidArgumentError) as refused:
        make()
    assert refused.value.violations[0].field == field


def test_every_model_has_one_name() -> None:
    """The words of the glossary."""
    assert {name: model.__name__ for name, model in CHARGE_MODELS.items()} == {
        "standard": "Standard",
        "graduated": "Graduated",
        "volume": "Volume",
        "package": "Package",
        "percentage": "Percentage",
        "graduated_percentage": "GraduatedPercentage",
        "dynamic": "Dynamic",
    }
    assert model_name(Standard(D(1))) == "standard"
