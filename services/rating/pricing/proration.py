"""Proration: the share of a price by days of the customer's calendar.

A share is a run of days within a full period. Its amount is the difference between the amounts due before its first day
and up to its last. So adjacent shares always add up to the whole, to the last decimal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from services.kernel.cadence import local_date
from services.kernel.period import Period

# Prices have at most twelve decimals; a prorated amount keeps this many.
_SMALLEST_AMOUNT = Decimal("1e-12")
_INSTANT = timedelta(microseconds=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DayShare:
    """A run of days within a full period.

    Attributes:
        first_day: number of its first day, counted from 0.
        end_day: number of the first day that no longer belongs to it.
        days_in_period: days of the full period, at least 1.
    """

    first_day: int
    end_day: int
    days_in_period: int

    @property
    def days(self) -> int:
        """How many days it has."""
        return self.end_day - self.first_day

    @property
    def is_whole(self) -> bool:
        """Whether it covers the full period."""
        return self.days == self.days_in_period

    def of(self, amount: Decimal) -> Decimal:
        """This share of a full period's amount; exact for the whole, otherwise to twelve decimals."""
        if self.is_whole:
            return amount
        return self._due_before(self.end_day, amount) - self._due_before(self.first_day, amount)

    def exact(self, amount: Decimal) -> Fraction:
        """This share of a full period's amount with all of its digits, to be rounded to minor units."""
        return Fraction(amount) * self.days / self.days_in_period

    def _due_before(self, day: int, amount: Decimal) -> Decimal:
        return (amount * day / self.days_in_period).quantize(_SMALLEST_AMOUNT)


# All of a full period, whatever its days.
WHOLE = DayShare(0, 1, 1)


def day_share(part: Period | None, nominal: Period, timezone: str) -> DayShare:
    """The days that a part of a nominal period touches; a day that has begun counts in full, no part means no days.

    A cut between two parts must lie at a local midnight (`start_of_day`, `start_of_next_day`); otherwise both parts
    count its day.
    """
    origin = local_date(nominal.start, timezone)
    days_in_period = (_end_date(nominal, timezone) - origin).days
    if part is None or part.start == part.end:
        return DayShare(0, 0, days_in_period)
    first_day = (local_date(part.start, timezone) - origin).days
    return DayShare(first_day, (_end_date(part, timezone) - origin).days, days_in_period)


def _end_date(period: Period, timezone: str) -> date:
    """The first local date after the period."""
    return local_date(period.end - _INSTANT, timezone) + _DAY
