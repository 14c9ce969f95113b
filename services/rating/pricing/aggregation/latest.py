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
    """One value at one instant. Sorts by time, then by event id, so that a tie always has the same winner."""

    at: datetime
    event_id: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class Latest(Aggregate):
    """State: the number of events and the most recent reading, which is None before the first."""

    event_count: int = 0
    reading: Reading | None = None

    @property
    def units(self) -> Decimal:
        """The most recent value, never below zero."""
        return ZERO if self.reading is None else max(ZERO, self.reading.value)

    def add(self, measurements: Iterable[Measurement]) -> Latest:
        """The state with more events."""
        readings = [Reading(measurement.at, measurement.event_id, measurement.number) for measurement in measurements]
        known = [] if self.reading is None else [self.reading]
        return Latest(self.event_count + len(readings), max([*known, *readings], default=None))
