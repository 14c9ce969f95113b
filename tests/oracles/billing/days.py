"""The calendar: days of a time zone, and where billing periods begin.

A billing period is a run of local days. Its first instant is that of its first day, so a day of 23 or 25 hours is one
day like any other. Boundaries are counted from the very beginning, never from the boundary before: the 31st becomes the
29th in February and is the 31st again in March.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import count
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
MONTHS_OF_YEAR = 12
# The named intervals: what is counted, and how many of it.
INTERVALS = {
    "weekly": ("week", 1),
    "monthly": ("month", 1),
    "quarterly": ("month", 3),
    "semiannual": ("month", 6),
    "yearly": ("month", 12),
}
PER_YEAR = {"day": 365, "week": 52, "month": MONTHS_OF_YEAR}
# No zone is further from UTC than this, and all have been whole quarters of an hour from it for decades.
_FURTHEST = timedelta(hours=15)
_QUARTER = timedelta(minutes=15)


class Span(NamedTuple):
    """A half-open span of instants: the start belongs to it, the end does not."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Days:
    """A half-open run of local days: `first` belongs to it, `end` does not."""

    first: date
    end: date

    def __iter__(self) -> Iterator[date]:
        """Every day of the run."""
        return (self.first + DAY * number for number in range(max(0, (self.end - self.first).days)))

    def count(self) -> int:
        """How many days it has."""
        return sum(1 for _ in self)


def day_of(at: datetime, zone: str) -> date:
    """The day that a calendar on the wall shows."""
    return at.astimezone(ZoneInfo(zone)).date()


@lru_cache(maxsize=100_000)
def first_instant(day: date, zone: str) -> datetime:
    """When a local day begins; where the clock skips midnight, when it skips."""
    at = datetime.combine(day, time(), UTC) - _FURTHEST
    while day_of(at, zone) < day:
        at += _QUARTER
    return at


def same_time_after(at: datetime, days: int, zone: str) -> datetime:
    """The same local time, `days` days later."""
    later = at.astimezone(ZoneInfo(zone)) + DAY * days
    return later.astimezone(UTC)


@dataclass(frozen=True)
class Calendar:
    """Where the billing periods of a subscription begin.

    Attributes:
        unit, every: what is counted, and how many of it make a period.
        is_anniversary: periods begin on the subscription's own day; else on Mondays and on the 1st.
        anchor: the day on which it all began.
        zone: whose days they are.
    """

    unit: str
    every: int
    is_anniversary: bool
    anchor: date
    zone: str

    def days_at(self, at: datetime) -> Days:
        """The days of the period that holds an instant."""
        day = day_of(at, self.zone)
        for number in count():
            days = Days(self._boundary(number), self._boundary(number + 1))
            if day < days.end:
                return days
        raise AssertionError("periods go on for ever")

    def span_at(self, at: datetime) -> Span:
        """The period that holds an instant."""
        return self.span_of(self.days_at(at))

    def span_of(self, days: Days) -> Span:
        """A run of days as instants."""
        return Span(first_instant(days.first, self.zone), first_instant(days.end, self.zone))

    def monthly(self) -> Calendar:
        """The months within its periods."""
        return Calendar("month", 1, self.is_anniversary, self.anchor, self.zone)

    def _origin(self) -> date:
        """The first day of period 0."""
        if self.is_anniversary or self.unit == "day":
            return self.anchor
        if self.unit == "week":
            return self.anchor - DAY * self.anchor.weekday()
        # Months that divide the year are counted from January, others from the month of the anchor.
        behind = (self.anchor.month - 1) % self.every if MONTHS_OF_YEAR % self.every == 0 else 0
        return date(self.anchor.year, self.anchor.month - behind, 1)

    def _boundary(self, number: int) -> date:
        """The first day of period `number`."""
        return _boundary(self, number)


@lru_cache(maxsize=100_000)
def _boundary(calendar: Calendar, number: int) -> date:
    origin, passed = calendar._origin(), number * calendar.every
    if calendar.unit == "day":
        return origin + DAY * passed
    if calendar.unit == "week":
        return origin + DAY * 7 * passed
    year, month = divmod(origin.year * MONTHS_OF_YEAR + origin.month - 1 + passed, MONTHS_OF_YEAR)
    return date(year, month + 1, min(origin.day, monthrange(year, month + 1)[1]))
