"""Weighted sum: each value counts for the share of the period that remains when it arrives.

With t in microseconds, the units over a period that ends at E and lasts L are (E·Σv - Σv·t) / L. Both sums are exact
and independent of order, so nothing else is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from services.kernel.instant import to_us
from services.kernel.money import ZERO
from services.kernel.period import Period
from services.rating.pricing.aggregation.aggregate import Aggregate
from services.rating.pricing.metric import Measurement
from services.rating.shared.exact import exact_difference, exact_product, exact_sum

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class WeightedSum(Aggregate):
    """State: the two sums from which the units over any period follow.

    Attributes:
        event_count: events of this period.
        total: exact sum of their values.
        moment: exact sum of value times instant, in microseconds since 1970.
        carried: running value at the start of the period; zero unless the metric is recurring.
    """

    event_count: int = 0
    total: Decimal = ZERO
    moment: Decimal = ZERO
    carried: Decimal = ZERO

    @property
    def units(self) -> Decimal:
        """The running value, unweighted; what is billed is `units_over` a period."""
        return self.carried + self.total

    def units_over(self, period: Period, nominal: Period) -> Fraction:
        """The time-weighted units of a period, over its full nominal length even if the period is cut short."""
        held = exact_difference(exact_product(self.total, _microseconds(period.end)), self.moment)
        held = exact_sum(held, exact_product(self.carried, Decimal(period.length // _MICROSECOND)))
        return Fraction(held) / (nominal.length // _MICROSECOND)

    def add(self, measurements: Iterable[Measurement]) -> WeightedSum:
        """The state with more events."""
        count, total, moment = self.event_count, self.total, self.moment
        for measurement in measurements:
            count += 1
            total = exact_sum(total, measurement.number)
            moment = exact_sum(moment, exact_product(measurement.number, _microseconds(measurement.at)))
        return WeightedSum(count, total, moment, self.carried)


def _microseconds(at: datetime) -> Decimal:
    """An instant as whole microseconds since 1970."""
    return Decimal(to_us(at))
