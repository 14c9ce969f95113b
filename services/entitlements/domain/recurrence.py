"""What comes again and again at an interval: the refills of a grant, and the ends of usage periods.

Every instant is counted from the anchor, never from the instant before, so that a month's end clamps and recovers
(31 January, 29 February, 31 March). Instants are in UTC, at the anchor's time of day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.kernel.cadence import CadenceUnit, Interval, plus_months
from services.kernel.clock import as_utc

_DAYS = {CadenceUnit.DAY: 1, CadenceUnit.WEEK: 7}
_MONTHS_PER_YEAR = 12


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Instants that are whole intervals away from an anchor, before it and after it.

    Attributes:
        interval: how far apart they are.
        anchor: one of them.
    """

    interval: Interval
    anchor: datetime

    def __post_init__(self) -> None:
        """Keep the anchor in UTC."""
        object.__setattr__(self, "anchor", as_utc(self.anchor))

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The instants later than `after` and not later than `until`, in order."""
        index = self._index_near(after)
        while (instant := self._instant(index)) <= until:
            if instant > after:
                yield instant
            index += 1

    def next_after(self, at: datetime) -> datetime:
        """The first instant later than `at`."""
        index = self._index_near(at)
        while (instant := self._instant(index)) <= at:
            index += 1
        return instant

    def _instant(self, index: int) -> datetime:
        count = index * self.interval.every
        if self.interval.unit is CadenceUnit.MONTH:
            day = plus_months(self.anchor.date(), count)
            return datetime.combine(day, self.anchor.timetz())
        return self.anchor + timedelta(days=count * _DAYS[self.interval.unit])

    def _index_near(self, at: datetime) -> int:
        """The index of an instant that is not later than `at`, and at most two intervals before it."""
        if self.interval.unit is CadenceUnit.MONTH:
            months = (at.year - self.anchor.year) * _MONTHS_PER_YEAR + at.month - self.anchor.month
            return months // self.interval.every - 1
        return (at - self.anchor) // timedelta(days=self.interval.every * _DAYS[self.interval.unit])
