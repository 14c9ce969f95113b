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
        return self.merge(Latest(len(readings), max(readings, default=None)))

    def merge(self, other: Latest) -> Latest:
        """The state of both sets of events."""
        readings = [reading for reading in (self.reading, other.reading) if reading is not None]
        return Latest(self.event_count + other.event_count, max(readings, default=None))

    def without(self, measurement: Measurement) -> Latest | None:
        """The state without one voided event; no earlier reading is kept, so the latest needs the log."""
        if self.event_count == 1:
            return Latest()
        if self.reading is not None and self.reading.event_id == measurement.event_id:
            return None
        return Latest(self.event_count - 1, self.reading)
