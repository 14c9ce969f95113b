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
    """State: the number of events and the largest value, which is None before the first."""

    event_count: int = 0
    largest: Decimal | None = None

    @property
    def units(self) -> Decimal:
        """The largest value seen."""
        return ZERO if self.largest is None else self.largest

    def add(self, measurements: Iterable[Measurement]) -> Max:
        """The state with more events."""
        numbers = [measurement.number for measurement in measurements]
        known = [] if self.largest is None else [self.largest]
        return Max(self.event_count + len(numbers), max([*known, *numbers], default=None))
