"""Latest: the value of the most recent event; below zero counts as zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from services.kernel.money import ZERO
from services.rating.pricing.aggregation.aggregate import Aggregate
from services.rating.pricing.metric import Measurement


class Reading(NamedTuple):
    """One value at one instant; sorts by time, then by event id, so that a tie has one answer."""

    at: datetime
    event_id: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class Latest(Aggregate):
    """State: count of the events and the most recent reading, None before the first."""

    event_count: int = 0
    reading: Reading | None = None

    @property
    def units(self) -> Decimal:
        """The most recent value, never below zero."""
        return ZERO if self.reading is None else max(ZERO, self.reading.value)

    def add(self, measurements: Iterable[Measurement]) -> Latest:
        """The state with more events."""
        readings = [Reading(each.at, each.event_id, each.number) for each in measurements]
        known = [] if self.reading is None else [self.reading]
        return Latest(self.event_count + len(readings), max([*known, *readings], default=None))
