"""Sum: the total of a numeric property; recurring sums carry their total into the next period."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from services.kernel.money import ZERO
from services.rating.pricing.aggregation.aggregate import Aggregate
from services.rating.pricing.metric import Measurement
from services.rating.shared.exact import exact_sum


@dataclass(frozen=True, slots=True)
class Sum(Aggregate):
    """State: number and total of the events, and the carried-over value.

    Attributes:
        event_count: events of this period.
        total: their exact sum.
        carried: running value at the start of the period; zero unless the metric is recurring.
    """

    event_count: int = 0
    total: Decimal = ZERO
    carried: Decimal = ZERO

    @property
    def units(self) -> Decimal:
        """The running value."""
        return self.carried + self.total

    def add(self, measurements: Iterable[Measurement]) -> Sum:
        """The state with more events."""
        count, total = self.event_count, self.total
        for measurement in measurements:
            count += 1
            total = exact_sum(total, measurement.number)
        return Sum(count, total, self.carried)
