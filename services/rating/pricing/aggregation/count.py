"""Count: how many usage events there were."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from services.rating.pricing.aggregation.aggregate import Aggregate


@dataclass(frozen=True, slots=True)
class Count(Aggregate):
    """State: the number of events."""

    event_count: int = 0

    @property
    def units(self) -> Decimal:
        """One unit for each event."""
        return Decimal(self.event_count)
