"""Max: the largest value of a numeric property; zero when there was none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from services.kernel.money import ZERO
from services.rating.pricing.aggregation.aggregate import Aggregate
from services.rating.pricing.metric import Measurement


@dataclass(frozen=True, slots=True)
class Max(Aggregate):
    """State: count of the events and the largest value, None before the first."""

    event_count: int = 0
    largest: Decimal | None = None

    @property
    def units(self) -> Decimal:
        """The largest value seen."""
        return ZERO if self.largest is None else self.largest

    def add(self, measurements: Iterable[Measurement]) -> Max:
        """The state with more events."""
        numbers = [measurement.number for measurement in measurements]
        return self.merge(Max(len(numbers), max(numbers, default=None)))

    def merge(self, other: Max) -> Max:
        """The state of both sets of events."""
        candidates = [value for value in (self.largest, other.largest) if value is not None]
        return Max(self.event_count + other.event_count, max(candidates, default=None))

    def without(self, measurement: Measurement) -> Max | None:
        """The state without one voided event; no runner-up is kept, so the largest needs the log."""
        if self.event_count == 1:
            return Max()
        return None if measurement.number == self.largest else Max(self.event_count - 1, self.largest)
