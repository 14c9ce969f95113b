"""Daily sum: a recurring sum kept by local day, for charges that prorate each change by the days it holds.

Within a day the order of changes does not matter to a price by days, so one total a day is all that is kept:
at most 366 numbers a period, whatever the number of events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from services.kernel.cadence import days_between, local_date
from services.kernel.money import ZERO
from services.kernel.period import Period
from services.rating.pricing.aggregation.aggregate import Aggregate
from services.rating.pricing.charges.usage import Step
from services.rating.pricing.metric import Measurement
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

    def steps(self, period: Period, nominal: Period) -> tuple[Step, ...]:
        """The changes in order, each with its share by days from its own to the end of the period."""
        nominal_days = days_between(nominal, self.timezone)
        held_days = days_between(period, self.timezone)
        first_day = local_date(period.start, self.timezone)
        steps = [_step(self.carried, held_days, nominal_days)] if self.carried else []
        steps += [
            _step(units, held_days - (day - first_day).days, nominal_days)
            for day, units in sorted(self.days.items())
            if units
        ]
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


def _step(units: Decimal, days_held: int, days_in_period: int) -> Step:
    """A change and its share of the period."""
    return Step(units, units * days_held / days_in_period)
