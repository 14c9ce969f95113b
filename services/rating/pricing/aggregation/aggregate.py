"""The shape every aggregate state has: frozen, and independent of the order of its events.

A store keeps one state for each (subscription, period, charge, filter, group), and the state is what is priced. Events
must be deduplicated before: a state counts everything it is given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from decimal import Decimal


class Aggregate(ABC):
    """State of one aggregation."""

    __slots__ = ()

    @property
    @abstractmethod
    def event_count(self) -> int:
        """How many events were added, not counting carried-over values."""

    @property
    @abstractmethod
    def units(self) -> Decimal:
        """The aggregated quantity, before the metric's rounding."""
