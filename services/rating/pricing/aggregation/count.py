"""Count: how many usage events there were."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from services.rating.pricing.aggregation.aggregate import Aggregate
from services.rating.pricing.metric import Measurement


@dataclass(frozen=True, slots=True)
class Count(Aggregate):
    """State: the number of events."""

    event_count: int = 0

    @property
    def units(self) -> Decimal:
        """One unit an event."""
        return Decimal(self.event_count)

    def add(self, measurements: Iterable[Measurement]) -> Count:
        """The state with more events."""
        return Count(self.event_count + sum(1 for _ in measurements))

    def merge(self, other: Count) -> Count:
        """The state of both sets of events."""
        return Count(self.event_count + other.event_count)

    def without(self, measurement: Measurement) -> Count:  # noqa: ARG002 - one event counts like any other
        """The state without one voided event."""
        return Count(self.event_count - 1)
