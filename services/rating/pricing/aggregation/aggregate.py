"""The shape every aggregate state has: frozen, and independent of the order of its events.

A state is what a store keeps for one (subscription, period, charge, filter, group), and what is priced. Events must
already be deduplicated: a state counts what it is given.
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
        """How many events were added, carried-over values not among them."""

    @property
    @abstractmethod
    def units(self) -> Decimal:
        """The aggregated quantity, before the metric's rounding."""
