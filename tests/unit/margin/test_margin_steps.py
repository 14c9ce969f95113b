"""The steps of a trend."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from services.kernel.errors import InvalidArgumentError
from services.kernel.period import Period
from services.margin.domain.step import DEFAULT_STEPS, Granularity, last_steps, steps_of


def day(month: int, number: int, hour: int = 0) -> datetime:
    return datetime(2026, month, number, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("granularity", "bounds"),
    [
        (Granularity.WEEK, [day(1, 30, 5), day(2, 2), day(2, 9), day(2, 12)]),
        (Granularity.MONTH, [day(1, 30, 5), day(2, 1), day(2, 12)]),
    ],
)
def test_steps_follow_the_calendar_and_are_cut_to_the_span(granularity: Granularity, bounds: list[datetime]) -> None:
    expected = [Period(a, b) for a, b in itertools.pairwise(bounds)]
    assert steps_of(Period(bounds[0], bounds[-1]), granularity) == expected


@pytest.mark.parametrize("granularity", list(Granularity))
def test_without_a_beginning_the_last_steps_are_shown(granularity: Granularity) -> None:
    steps = last_steps(day(7, 15, 13), granularity)
    assert len(steps) == DEFAULT_STEPS
    assert all(a.end == b.start for a, b in itertools.pairwise(steps))
    assert steps[-1].end == day(7, 15, 13)


def test_an_empty_span_is_one_step() -> None:
    assert steps_of(Period(day(1, 1), day(1, 1)), Granularity.DAY) == [Period(day(1, 1), day(1, 1))]


def test_too_many_steps_are_refused() -> None:
    with pytest.raises(InvalidArgumentError):
        steps_of(Period(day(1, 1), day(12, 31)), Granularity.HOUR)
