"""The only place that says what time it is. Everything else takes the time as an argument."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Something that tells the present instant, always aware and in UTC."""

    def now(self) -> datetime:
        """The present instant."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The machine's present instant in UTC."""
        return datetime.now(UTC)


class FrozenClock:
    """A clock that stands still until it is moved; for tests and simulations."""

    def __init__(self, instant: datetime) -> None:
        self._instant = as_utc(instant)

    def now(self) -> datetime:
        """The instant the clock stands at."""
        return self._instant

    def move_to(self, instant: datetime) -> None:
        """Stand at another instant, earlier or later."""
        self._instant = as_utc(instant)


def as_utc(instant: datetime) -> datetime:
    """The same instant in UTC; a naive datetime is a programming error, not a guess."""
    if instant.tzinfo is None:
        raise ValueError(f"naive datetime {instant.isoformat()}: every instant in Farebox names its zone")
    return instant.astimezone(UTC)
