"""The figures of `tests/cases/margin_cases.json`: token costs and margin formulas, exact.

Cases that need what is not built yet are named here and explained in docs/deviations-margin.md; the test fails when a
case is neither run nor named.
"""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.kernel.period import Period
from services.kernel.revenue import RevenueKind
from services.margin.convert import price_catalog
from services.margin.domain.costing import cost_of_request
from services.margin.domain.margin import Figures, total
from services.margin.domain.price import ModelCall, PriceBook, Prices, service_tier_named
from services.margin.domain.revenue import AccrualEntry
from services.margin.domain.token import TokenType, disjoint, token_type_named
from tests.oracles.accrued_revenue import earned, earned_in

CASES = json.loads((Path(__file__).parents[2] / "cases" / "margin_cases.json").read_text(), parse_float=Decimal)
TOKEN_CASES = {case["id"]: case for case in CASES["token_cost_cases"]}
FORMULA_CASES = {case["id"]: case for case in CASES["margin_formula_cases"]}
DEVIATIONS = (Path(__file__).parents[3] / "docs" / "deviations-margin.md").read_text()

FORMULA_CASES_LATER = {
    "MF-usage-graduated-accrual",
    "MF-usage-volume-negative-day",
    "MF-package-step",
    "MF-credits",
    "MF-cost-plus",
    "MF-commitment-amortisation",
    "MF-tiered-cost-slab",
    "MF-recost",
    "MF-fx",
    "MF-forecast-linear",
}
MARGIN_CASES = ["MF-margin-1", "MF-margin-2", "MF-margin-3", "MF-margin-5", "MF-margin-6", "MF-margin-7"]
OTHER_CASES = {
    "MF-percent-not-averaged",
    "MF-base-monthly-31",
    "MF-upgrade-midmonth",
    "MF-hourly-telescoping",
    "MF-minimum-commitment",
}

# Audio and the hour-long cache have no inclusive form among an event's properties.
INCLUSIVE_CASES = [
    case
    for case in TOKEN_CASES.values()
    if case["usage"].keys() <= {"input", "cached_input", "cache_write_5m", "output", "reasoning"}
]


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return price_catalog.book()


@pytest.mark.parametrize("case", TOKEN_CASES.values(), ids=lambda case: case["id"])
def test_token_cost(book: PriceBook, case: dict[str, Any]) -> None:
    """The cost of a request is the sum of its kinds of token at the prices of its time, exact to the last digit."""
    tokens = {token_type_named(bucket): Decimal(count) for bucket, count in case["usage"].items()}
    at = datetime.fromisoformat(case["timestamp"])
    context = case["price_context"]
    tier = service_tier_named(context.get("service_tier") or context.get("processing", ""))
    lines = cost_of_request(Prices(book), ModelCall(case["provider"], case["model"], tier), tokens, at=at)
    assert sum(line.amount for line in lines if line.amount is not None) == Decimal(case["expected_cost_usd"])
    assert {line.model for line in lines} == {case["canonical_model"]}
    expected = {token_type_named(line["bucket"]): Decimal(line["unit_price"]) for line in case["lines"]}
    assert {line.token_type: line.unit_amount for line in lines} == expected


@pytest.mark.parametrize("case", INCLUSIVE_CASES, ids=lambda c: c["id"])
def test_inclusive_totals_split_into_the_same_kinds(case: dict[str, Any]) -> None:
    """Totals that include their parts, as OpenTelemetry gives them, split into the kinds the case names."""
    inclusive, usage = case["otel_usage"], case["usage"]
    split = disjoint(
        input_total=Decimal(inclusive["gen_ai.usage.input_tokens"]),
        output_total=Decimal(inclusive.get("gen_ai.usage.output_tokens", 0)),
        cached_input=Decimal(inclusive.get("gen_ai.usage.cache_read.input_tokens", 0)),
        cache_write=Decimal(inclusive.get("gen_ai.usage.cache_creation.input_tokens", 0)),
        reasoning=Decimal(inclusive.get("gen_ai.usage.reasoning.output_tokens", 0)),
    )
    assert split == {token_type_named(bucket): Decimal(count) for bucket, count in usage.items()}


def test_every_case_is_run_or_named_as_a_deviation() -> None:
    """No case is left out silently: what is not run is listed and explained."""
    assert {*MARGIN_CASES, *OTHER_CASES, *FORMULA_CASES_LATER} == FORMULA_CASES.keys()
    for name in FORMULA_CASES_LATER:
        assert f"`{name}`" in DEVIATIONS


@pytest.mark.parametrize("name", MARGIN_CASES)
def test_margin(name: str) -> None:
    """Margin is revenue less cost, and its percentage is of revenue."""
    case = FORMULA_CASES[name]
    _assert_figures(Figures(*(Decimal(case["inputs"][side]) for side in ("revenue", "cost"))), case["expected"])


def test_the_percent_of_a_group_comes_from_sums() -> None:
    """The percentage of a group comes from its sums; averaging its members' percentages would be wrong."""
    case = FORMULA_CASES["MF-percent-not-averaged"]
    rows = [Figures(Decimal(revenue), Decimal(cost)) for revenue, cost in case["inputs"]["rows"]]
    _assert_figures(total(rows), case["expected"])


def _assert_figures(figures: Figures, expected: dict[str, Any]) -> None:
    assert figures.margin == Decimal(expected["margin"])
    percent = expected["margin_percent"]
    assert figures.margin_percent == (None if percent is None else Decimal(percent))
    # A negative margin of revenue has a percent that says so; our state needs no word of its own for it.
    assert figures.state == {"negative": "ok"}.get(expected["status"], expected["status"])


def test_a_base_price_is_spread_over_its_period() -> None:
    """A month's base price is earned day by day, so that a window earns its share of it."""
    case = FORMULA_CASES["MF-base-monthly-31"]
    period = Period(*(datetime.fromisoformat(text) for text in case["inputs"]["period"]))
    base = AccrualEntry(RevenueKind.BASE, "", period, Decimal(case["inputs"]["amount"]))
    turn = datetime(2019, 2, 1, tzinfo=UTC)
    assert earned_in(base, Period(period.start, turn), turn) == Decimal(case["expected"]["jan"])
    assert earned_in(base, Period(turn, period.end), turn) == Decimal(case["expected"]["feb"])


def test_each_plan_earns_over_its_own_days() -> None:
    """After an upgrade in the middle of a month each plan earns for the days it was in force."""
    case = FORMULA_CASES["MF-upgrade-midmonth"]
    start = datetime(2026, 9, 1, tzinfo=UTC)
    month = Period(start, start + timedelta(days=case["inputs"]["month_days"]))
    change = start + timedelta(days=case["inputs"]["days"][0])
    old = AccrualEntry(RevenueKind.BASE, "", month, Decimal(case["inputs"]["from_plan"]))
    new = AccrualEntry(RevenueKind.BASE, "", month, Decimal(case["inputs"]["to_plan"]))
    first, second = earned_in(old, Period(start, change), change), earned_in(new, Period(change, month.end), change)
    assert round(first, 6) == Decimal(case["expected"]["old_plan_revenue"])
    assert second == Decimal(case["expected"]["new_plan_revenue"])
    assert round(first + second, 6) == Decimal(case["expected"]["total"])


def test_hours_sum_to_the_amount() -> None:
    """Hours are rounded as differences of running totals, so that they sum to the amount exactly."""
    case = FORMULA_CASES["MF-hourly-telescoping"]
    hours, start = case["inputs"]["hours"], datetime(2026, 1, 1, tzinfo=UTC)
    bounds = [start + timedelta(hours=hour) for hour in range(hours + 1)]
    entry = AccrualEntry(RevenueKind.BASE, "", Period(start, bounds[-1]), Decimal(case["inputs"]["amount"]))
    earnings = [earned_in(entry, Period(a, b), start) for a, b in itertools.pairwise(bounds)]
    assert earnings[0] == Decimal(case["expected"]["first_hour"])
    assert {str(amount) for amount in earnings} == set(case["expected"]["distinct_values"])
    assert sum(earnings) == Decimal(case["expected"]["sum"])


def test_a_true_up_is_earned_at_the_end_of_the_period() -> None:
    """What is missing to a minimum commitment is earned when the period has ended, not before."""
    case = FORMULA_CASES["MF-minimum-commitment"]
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    usage = AccrualEntry(RevenueKind.USAGE, "tokens", Period(start, end), Decimal(case["inputs"]["usage"]))
    true_up = AccrualEntry(RevenueKind.OTHER, "", Period(end, end), Decimal(case["expected"]["true_up"]))
    assert earned(true_up, end, end) == 0
    after = end + timedelta(microseconds=1)
    assert earned(usage, after, after) + earned(true_up, after, after) == Decimal(case["expected"]["total"])


def test_kinds_of_token_have_one_name_each() -> None:
    """Each kind of token is read back from its own name."""
    assert {token_type_named(kind.value) for kind in TokenType} == set(TokenType)
