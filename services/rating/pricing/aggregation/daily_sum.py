"""Daily sum: a recurring sum kept by local day, for charges that prorate each change by the days it holds.

Within a day the order of changes does not matter to a price by days, so one total a day is all that is kept:
at most 366 numbers a period, whatever the number of events.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

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
        """The running value, each change at its full size."""
        return self._running_value() + ZERO

    def steps(
        self, share: DayShare, first_day: date, round_units: Callable[[Decimal], Decimal] = operator.pos
    ) -> tuple[Step, ...]:
        """How the level of each day changes, in order, with the share of the full period from that day on.

        What changes before the days that are billed opens them. A change on the day of a change of plan is held for
        none of the old plan's days: that day is the new plan's.

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
                steps.append(Step(change, change * held_days / share.days_in_period))
        return tuple(steps)

    def add(self, measurements: Iterable[Measurement]) -> DailySum:
        """The state with more events."""
        days, count = dict(self.days), self.event_count
        for each in measurements:
            count += 1
            day = local_date(each.at, self.timezone)
            days[day] = exact_sum(days.get(day, ZERO), each.number)
        return replace(self, event_count=count, days=days)

    def _running_value(self) -> Decimal:
        """The exact sum: the days are in no order, so rounding on the way would depend on how they came."""
        total = self.carried
        for units in self.days.values():
            total = exact_sum(total, units)
        return total
