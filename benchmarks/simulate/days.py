"""The billing calendar a second time, in days and by one question: does a period begin on this day?

It is written without the kernel's calendar, so that the simulation does not compare a thing with itself.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
WEEK_DAYS = 7
YEAR_MONTHS = 12


@cache
def day_of(at: datetime, zone: str) -> date:
    """The day in the customer's calendar."""
    return at.astimezone(ZoneInfo(zone)).date()


@cache
def midnight_of(day: date, zone: str) -> datetime:
    """The instant at which that day begins, in UTC."""
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


@dataclass(frozen=True)
class Rhythm:
    """When periods begin.

    Attributes:
        unit: day, week or month.
        every: how many of them.
        is_anniversary: whether periods are counted from the first day rather than from Mondays and firsts.
        first_day: the day of the first start.
    """

    unit: str
    every: int
    is_anniversary: bool
    first_day: date

    def begins_on(self, day: date) -> bool:
        """Whether a period begins on a day."""
        if self.unit == "day":
            return (day - self.first_day).days % self.every == 0
        if self.unit == "week":
            origin = self.first_day if self.is_anniversary else self.first_day - DAY * self.first_day.weekday()
            return (day - origin).days % (WEEK_DAYS * self.every) == 0
        months = (day.year - self.first_day.year) * YEAR_MONTHS + day.month - self.first_day.month
        if self.is_anniversary:
            last = calendar.monthrange(day.year, day.month)[1]
            return months % self.every == 0 and day.day == min(self.first_day.day, last)
        if YEAR_MONTHS % self.every == 0:
            return day.day == 1 and (day.month - 1) % self.every == 0
        return day.day == 1 and months % self.every == 0

    def span(self, day: date) -> tuple[date, date]:
        """First day of the period that holds a day, and of the next one."""
        first = day
        while not self.begins_on(first):
            first -= DAY
        following = day + DAY
        while not self.begins_on(following):
            following += DAY
        return first, following
