"""The shape every aggregate state has: frozen, order-insensitive, mergeable.

A state is what a store keeps for one (subscription, period, charge, filter, group). Adding measurements in
any order, or merging states of disjoint sets of events in any grouping, gives the same state; so a store may
add deltas. Events must already be deduplicated: a state counts what it is given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from decimal import Decimal
from typing import Self

from services.rating.pricing.metric import Measurement


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

    @abstractmethod
    def add(self, measurements: Iterable[Measurement]) -> Self:
        """The state with more events."""

    @abstractmethod
    def merge(self, other: Self) -> Self:
        """The state of both sets of events, which share none."""

    @abstractmethod
    def without(self, measurement: Measurement) -> Self | None:
        """The state without one voided event, or None when it must be re-aggregated from the log."""

    def carry(self) -> Self:
        """The state that opens the next period of a recurring metric."""
        raise TypeError(f"{type(self).__name__} carries nothing over")
