"""Billable metrics: what is read from an event, and how units are rounded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.kernel.errors import InvalidArgumentError
from services.rating.pricing.metric import Aggregation, BillableMetric, Rounding, RoundingFunction, property_text

AT = datetime(2024, 2, 1, tzinfo=UTC)
SUM = BillableMetric("m", Aggregation.SUM, "n")
UNIQUE = BillableMetric("m", Aggregation.UNIQUE_COUNT, "seat")


@pytest.mark.parametrize(
    ("value", "number"),
    [("1e3", "1000"), ("+1", "1"), (".5", "0.5"), (7, "7"), (Decimal("0.10"), "0.1"), ("-2", "-2"), (0, "0")],
)
def test_numbers_are_numbers_however_written(value: object, number: str) -> None:
    """Numeric text and JSON numbers count the same; nothing numeric is skipped."""
    measured = SUM.measure(event_id="e", at=AT, properties={"n": value})
    assert measured.number == Decimal(number)


@pytest.mark.parametrize("value", ["", "abc", "1,5", "0x1", "NaN", "Infinity", True, 1.5, [], {}, "1" * 39, "1e31"])
def test_what_is_not_a_number_is_named(value: object) -> None:
    """Such an event goes to quarantine with this reason; a float never was exact."""
    with pytest.raises(InvalidArgumentError) as refused:
        SUM.measure(event_id="e", at=AT, properties={"n": value})
    assert refused.value.reason == "PROPERTY_NOT_NUMERIC"


@pytest.mark.parametrize("metric", [SUM, UNIQUE])
@pytest.mark.parametrize("properties", [{}, {"n": None, "seat": None}])
def test_a_missing_property_is_named(metric: BillableMetric, properties: dict[str, object]) -> None:
    """Missing and null are the same."""
    with pytest.raises(InvalidArgumentError) as refused:
        metric.measure(event_id="e", at=AT, properties=properties)
    assert refused.value.reason == "PROPERTY_MISSING"


def test_unique_values_are_compared_as_text() -> None:
    """1 and "1" are one seat; removing is an operation of its own."""
    one = UNIQUE.measure(event_id="a", at=AT, properties={"seat": 1})
    same = UNIQUE.measure(event_id="b", at=AT, properties={"seat": "1", "operation_type": "remove"})
    assert (one.text, one.is_removal) == ("1", False)
    assert (same.text, same.is_removal) == ("1", True)
    assert property_text(Decimal("1.0")) == "1"
    assert property_text(True) == "true"  # noqa: FBT003
    assert property_text(False) == "false"  # noqa: FBT003
    assert property_text([1]) is None


def test_a_count_needs_no_property() -> None:
    """An event is one unit, and may carry a price."""
    measured = BillableMetric("m", Aggregation.COUNT).measure(
        event_id="e", at=AT, properties={}, precise_amount=Decimal("0.1")
    )
    assert (measured.number, measured.precise_amount) == (1, Decimal("0.1"))


@pytest.mark.parametrize(
    ("function", "precision", "units", "rounded"),
    [
        (RoundingFunction.ROUND, 0, "2.5", "3"),
        (RoundingFunction.ROUND, 0, "-2.5", "-3"),
        (RoundingFunction.CEIL, 1, "-0.11", "-0.1"),
        (RoundingFunction.FLOOR, -3, "1999", "1000"),
        (RoundingFunction.CEIL, -3, "1", "1000"),
    ],
)
def test_rounding(function: RoundingFunction, precision: int, units: str, rounded: str) -> None:
    """Halves go away from zero; a negative precision rounds to tens and more."""
    assert Rounding(function, precision).apply(Decimal(units)) == Decimal(rounded)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: BillableMetric("", Aggregation.COUNT), "code"),
        (lambda: BillableMetric("m", Aggregation.SUM), "field_name"),
        (lambda: BillableMetric("m", Aggregation.MAX, ""), "field_name"),
        (lambda: BillableMetric("m", Aggregation.MAX, "n", recurring=True), "recurring"),
        (lambda: BillableMetric("m", Aggregation.COUNT, recurring=True), "recurring"),
        (lambda: Rounding(RoundingFunction.CEIL, 39), "rounding_precision"),
    ],
)
def test_refusals_name_their_field(make: Callable[[], object], field: str) -> None:
    """A metric that could never be measured is refused."""
    with pytest.raises(InvalidArgumentError) as refused:
        make()
    assert refused.value.violations[0].field == field
