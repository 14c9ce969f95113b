"""Daily sum: a recurring sum kept by local day, for charges that prorate each change by the days it holds.

A price by days does not depend on the order of changes within a day, so it is enough to keep one total for each day: at
most 366 numbers in a period, however many events there are.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from services.kernel.cadence import local_date
from services.kernel.money import ZERO
from services.rating.pricing.aggregation.aggregate import Aggregate
from services.rating.pricing.charges.usage import Step
from services.rating.pricing.metric import Measurement
from services.rating.pricing.proration import DayShare
from services.rating.shared.exact import exact_sum


@dataclass(frozen=True, slots=True)
class DailySum(Aggregate):
    """State: the change of each local day.

    Attributes:
        timezone: IANA name of the customer's zone.
        event_count: events of this period.
        carried: running value at the start of the period.
        days: exact net change by local date. The mapping must not be changed.
    """

    timezone: str
    event_count: int = 0
    carried: Decimal = ZERO
    days: Mapping[date, Decimal] = field(default_factory=dict)

    @property
    def units(self) -> Decimal:
        """The running value; every change counts at its full size."""
        return self._running_value() + ZERO

    def steps(
        self, share: DayShare, first_day: date, round_units: Callable[[Decimal], Decimal] = operator.pos
    ) -> tuple[Step, ...]:
        """How the level changes on each day, in order, with the share of the full period that begins with that day.

        Changes before the billed days are part of the first step. A change on the day of a change of plan is held for
        none of the old plan's days, because that day belongs to the new plan.

        Args:
            share: the days of the full period that are billed.
            first_day: the full period's first day.
            round_units: the metric's rounding, which applies to the level.
        """
        opening, later = self.carried, []
        for day, units in sorted(self.days.items()):
            number = (day - first_day).days
            if number < share.first_day:
                opening = exact_sum(opening, units)
            else:
                later.append((number, units))
        steps, exact, level = [], ZERO, ZERO
        for number, units in [(share.first_day, opening), *later]:
            exact, before = exact_sum(exact, units), level
            level = round_units(exact)
            if change := level - before:
                held_days = max(0, share.end_day - number)
                steps.append(Step(change, Fraction(change) * held_days / share.days_in_period))
        return tuple(steps)

    def add(self, measurements: Iterable[Measurement]) -> DailySum:
        """The state with more events."""
        days, count = dict(self.days), self.event_count
        for measurement in measurements:
            count += 1
            day = local_date(measurement.at, self.timezone)
            days[day] = exact_sum(days.get(day, ZERO), measurement.number)
        return replace(self, event_count=count, days=days)

    def _running_value(self) -> Decimal:
        """The exact sum: the days have no order, so rounding on the way would depend on how they came."""
        total = self.carried
        for units in self.days.values():
            total = exact_sum(total, units)
        return total
