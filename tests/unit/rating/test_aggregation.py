"""Aggregates: units, ties, removals, and what recurring metrics carry over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from services.kernel.period import Period
from services.rating.pricing.aggregation import (
    Count,
    DailySum,
    Latest,
    Max,
    Sum,
    UniqueCount,
    WeightedSum,
    empty_aggregate,
)
from services.rating.pricing.metric import Aggregation, BillableMetric, Measurement, Rounding, RoundingFunction
from services.rating.pricing.proration import DayShare

START = datetime(2024, 2, 1, tzinfo=UTC)
FEBRUARY = Period(START, datetime(2024, 3, 1, tzinfo=UTC))


def at(
    day: int, number: str = "1", *, event_id: str | None = None, text: str = "", removed: bool = False
) -> Measurement:
    """A measurement on a day of February 2024."""
    instant = START + timedelta(days=day - 1)
    return Measurement(event_id or f"{day}-{number}", instant, Decimal(number), text, removed)


def test_empty_states_have_no_units() -> None:
    """Whatever the aggregation, nothing is zero."""
    for aggregation in Aggregation:
        state = empty_aggregate(aggregation)
        assert (state.units, state.event_count) == (0, 0)


def test_units() -> None:
    """Each aggregation on the same three events."""
    events = [at(1, "5"), at(3, "-2"), at(2, "20")]
    assert Count(3).units == 3
    assert Sum().add(events).units == 23
    assert Max().add(events).units == 20
    assert Latest().add(events).units == 0
    assert Latest().add(events[2:]).units == 20


def test_the_largest_may_be_below_zero() -> None:
    """Zero is the largest of nothing, not of negative numbers."""
    assert Max().add([at(1, "-5"), at(2, "-3")]).units == -3


def test_latest_breaks_ties_by_event_id() -> None:
    """Two events of one instant have one answer, in whichever order they come."""
    tied = [at(1, "7", event_id="b"), at(1, "9", event_id="a")]
    assert Latest().add(tied).units == Latest().add(reversed(tied)).units == 7


def test_a_sum_is_exact_whatever_its_magnitudes() -> None:
    """Sixty digits apart, the small number survives the large one."""
    events = [at(1, "1e30"), at(2, "1e-30"), at(3, "-1e30")]
    assert Sum().add(events).units == Decimal("1e-30")
    assert DailySum("UTC").add(events).units == DailySum("UTC").add(reversed(events)).units == Decimal("1e-30")


def test_unique_values_come_and_go() -> None:
    """The last word on a value decides; a removal alone adds nothing."""
    seats = UniqueCount().add([at(1, text="a"), at(2, text="a"), at(2, text="b"), at(1, text="z", removed=True)])
    assert (seats.units, seats.event_count) == (2, 4)
    assert seats.add([at(3, text="a", removed=True)]).units == 1


def test_the_last_word_is_the_latest_in_time() -> None:
    """Whatever the ids of the events; only at the same instant do these decide."""
    early = at(1, text="a", event_id="z", removed=True)
    assert UniqueCount().add([at(2, text="a", event_id="b"), early]).units == 1
    assert UniqueCount().add([at(1, text="a", event_id="b"), early]).units == 0


def test_weighted_sum_counts_what_is_held() -> None:
    """Ten units from the 15th of 29 days, and half a period's carry when it is cut short."""
    state = WeightedSum().add([at(15, "10")])
    assert state.units_over(FEBRUARY, FEBRUARY) == Fraction(150, 29)
    half = Period(START, START + timedelta(days=14, hours=12))
    assert WeightedSum(carried=Decimal(10)).units_over(half, FEBRUARY) == 5


def test_daily_sum_steps() -> None:
    """Each day's net change counts for the days it is held; the carried value from the first."""
    state = DailySum("UTC", carried=Decimal(29)).add(
        [at(15, "4"), at(15, "-2", event_id="x"), at(29, "29"), at(3, "0")]
    )
    assert state.units == 60
    first_day = START.date()
    assert [step.prorated_units for step in state.steps(DayShare(0, 29, 29), first_day)] == [29, Fraction(30, 29), 1]
    cut = state.steps(DayShare(0, 14, 29), first_day)
    # The 15th is the day of a change of plan: what came on it is the old plan's, and held for none of its days.
    assert [(step.units, step.prorated_units) for step in cut] == [(29, 14), (2, 0), (29, 0)]


def test_the_metric_rounds_the_level_of_each_day() -> None:
    """0.4 is nothing on the 1st, 0.8 one unit from the 2nd on; what came before the billed days opens them."""
    state = DailySum("UTC").add([at(1, "0.4"), at(2, "0.4", event_id="x"), at(4, "0.1", event_id="y")])
    first_day, metric = (
        START.date(),
        BillableMetric("m", Aggregation.SUM, "n", rounding=Rounding(RoundingFunction.ROUND)),
    )
    steps = state.steps(DayShare(0, 29, 29), first_day, metric.round_units)
    assert [(step.units, step.prorated_units) for step in steps] == [(1, Fraction(28, 29))]
    late = state.steps(DayShare(10, 29, 29), first_day, metric.round_units)
    assert [(step.units, step.prorated_units) for step in late] == [(1, Fraction(19, 29))]


def test_daily_sum_uses_local_days() -> None:
    """Eleven at night in London is the next day in Paris."""
    state = DailySum("Europe/Paris").add([Measurement("e", datetime(2024, 2, 1, 23, 30, tzinfo=UTC), Decimal(1))])
    assert [day.day for day in state.days] == [2]


def test_what_is_present_carries_over() -> None:
    """The next period starts with the values still present, named by none of its own events."""
    carried = UniqueCount().add([at(1, text="a"), at(1, text="b"), at(2, text="b", removed=True)]).carry()
    assert (carried.units, carried.event_count) == (1, 0)
    assert carried.add([at(5, text="a", removed=True)]).units == 0
    assert carried.add([at(1, text="a")]).units == 1
