"""The steps of a trend: hours, days, weeks from Monday or calendar months in UTC, cut to the requested span."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from services.kernel.errors import InvalidArgumentError
from services.kernel.period import Period

# Six weeks of hours, nearly three years of days.
MAX_STEPS = 1000
# How many steps a trend without a beginning shows.
DEFAULT_STEPS = 30
_DAYS_PER_WEEK = 7
_MONTHS_PER_YEAR = 12


class Granularity(StrEnum):
    """How long a step is."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


_LENGTHS = {
    Granularity.HOUR: timedelta(hours=1),
    Granularity.DAY: timedelta(days=1),
    Granularity.WEEK: timedelta(days=_DAYS_PER_WEEK),
}


def steps_of(period: Period, granularity: Granularity) -> list[Period]:
    """Adjacent steps that cover a span; the first and the last are cut to it.

    Raises:
        InvalidArgumentError: there would be more than `MAX_STEPS`.
    """
    steps: list[Period] = []
    start = period.start
    while start < period.end:
        if len(steps) == MAX_STEPS:
            raise InvalidArgumentError.of_field(
                "period", "value_is_out_of_range", f"has more than {MAX_STEPS} steps of one {granularity}"
            )
        end = min(_after(_begin(start, granularity), granularity), period.end)
        steps.append(Period(start, end))
        start = end
    return steps or [period]


def last_steps(end: datetime, granularity: Granularity) -> list[Period]:
    """The `DEFAULT_STEPS` steps up to `end`, where the last one is cut."""
    start = _begin(end - timedelta(microseconds=1), granularity)
    for _ in range(DEFAULT_STEPS - 1):
        start = _begin(start - timedelta(microseconds=1), granularity)
    return steps_of(Period(start, end), granularity)


def _begin(at: datetime, granularity: Granularity) -> datetime:
    """The first instant of the whole step that holds `at`."""
    hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if granularity is Granularity.HOUR:
        return hour
    day = hour.replace(hour=0)
    if granularity is Granularity.DAY:
        return day
    return day - timedelta(days=day.weekday()) if granularity is Granularity.WEEK else day.replace(day=1)


def _after(begin: datetime, granularity: Granularity) -> datetime:
    """The first instant of the whole step after the one that begins at `begin`."""
    if granularity is not Granularity.MONTH:
        return begin + _LENGTHS[granularity]
    years, month0 = divmod(begin.month, _MONTHS_PER_YEAR)
    return begin.replace(year=begin.year + years, month=month0 + 1)
