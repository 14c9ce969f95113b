"""Unique count: how many distinct values were present, exactly.

For each value the state keeps how many events named it and what the most recent of them did. So the answer stays right
when an event is voided, or when a removal arrives before the addition it follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from services.rating.pricing.aggregation.aggregate import Aggregate
from services.rating.pricing.metric import Measurement


class Presence(NamedTuple):
    """What is known of one value.

    Attributes:
        references: events of this period that named it; 0 when it was only carried over.
        at: instant of the most recent of them.
        event_id: its id; breaks ties of time.
        is_present: whether that event added the value; otherwise it removed it.
        is_carried: whether the value was present when the period began.
    """

    references: int
    at: datetime
    event_id: str
    is_present: bool
    is_carried: bool = False

    def merge(self, other: Presence) -> Presence:
        """Both histories combined; the most recent event decides."""
        last = max(self, other, key=lambda presence: (presence.at, presence.event_id))
        references = self.references + other.references
        return last._replace(references=references, is_carried=self.is_carried or other.is_carried)


# A carried value comes before every event of its period, whatever the time of that event.
_CARRIED = Presence(0, datetime.min.replace(tzinfo=UTC), "", is_present=True, is_carried=True)


@dataclass(frozen=True, slots=True)
class UniqueCount(Aggregate):
    """State: the presence of every value that events named, by value. The mapping must not be changed."""

    values: Mapping[str, Presence] = field(default_factory=dict)

    @property
    def event_count(self) -> int:
        """How many events named a value."""
        return sum(presence.references for presence in self.values.values())

    @property
    def units(self) -> Decimal:
        """How many values are present."""
        return Decimal(sum(presence.is_present for presence in self.values.values()))

    def add(self, measurements: Iterable[Measurement]) -> UniqueCount:
        """The state with more events."""
        values = dict(self.values)
        for measurement in measurements:
            presence = Presence(1, measurement.at, measurement.event_id, not measurement.is_removal)
            known = values.get(measurement.text)
            values[measurement.text] = presence if known is None else known.merge(presence)
        return UniqueCount(values)

    def carry(self) -> UniqueCount:
        """The next period's first state: the values that are still present, named by none of its own events."""
        return UniqueCount({text: _CARRIED for text, known in self.values.items() if known.is_present})
