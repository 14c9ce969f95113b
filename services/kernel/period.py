"""Spans of time, half-open: the start belongs to a period, the end to the next one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.kernel.clock import as_utc


@dataclass(frozen=True, order=True)
class Period:
    """A half-open span `[start, end)` of aware instants in UTC.

    Attributes:
        start: first instant that belongs to the period.
        end: first instant that does not.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        """Keep both ends in UTC and in order."""
        object.__setattr__(self, "start", as_utc(self.start))
        object.__setattr__(self, "end", as_utc(self.end))
        if self.end < self.start:
            raise ValueError(f"period ends {self.end.isoformat()} before it starts {self.start.isoformat()}")

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    @property
    def length(self) -> timedelta:
        """The exact time between both ends. Days in a customer's zone are counted by `cadence.days_between`."""
        return self.end - self.start

    def overlap(self, other: Period) -> Period | None:
        """The span that both share, or None if they share no instant."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Period(start, end) if start < end else None
