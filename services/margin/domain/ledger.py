"""Entries of the cost ledger, which only grows: what was booked wrongly is reversed by a second entry.

An entry and its reversal have the same instant, customer, model and so on, so that every sum over them is as if neither
existed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from services.margin.domain.costing import CostLine


class Source(StrEnum):
    """The source of an entry."""

    USAGE_EVENT = "usage_event"
    COST_EVENT = "cost_event"


class EntryKind(StrEnum):
    """Why an entry was booked. Adjustments by re-cost runs will be a third kind."""

    ORIGINAL = "original"
    REVERSAL = "reversal"


class Origin(NamedTuple):
    """What all entries of one event have in common.

    Attributes:
        organization_id: the organization it belongs to.
        source: usage event or cost event.
        source_id: the sender's identity of the event.
        external_customer_id: the organization's id of the customer; empty while unknown.
        subscription_id: UUID as text; None if unknown.
        code: the code of the metric or cost meter.
        occurred_at: when it occurred, which decides the price.
        parent_transaction_id: the usage event for which a cost event was needed; empty if there is none.
        request_id: the provider's id of the request; empty if there is none.
        operation_key: the purpose of the request; empty if there is none.
    """

    organization_id: str
    source: Source
    source_id: str
    external_customer_id: str
    subscription_id: str | None
    code: str
    occurred_at: datetime
    parent_transaction_id: str = ""
    request_id: str = ""
    operation_key: str = ""


class CostEntry(NamedTuple):
    """One row of the ledger.

    Attributes:
        id: UUIDv7 as text, in order of booking.
        kind: original or reversal.
        origin: the event it comes from.
        line: the costed line; its units and amount are negative in a reversal.
        reverses_id: the entry that it reverses.
    """

    id: str
    kind: EntryKind
    origin: Origin
    line: CostLine
    reverses_id: str | None = None

    @property
    def is_priced(self) -> bool:
        """Whether its cost is known."""
        return self.line.amount is not None

    @property
    def entry_count(self) -> int:
        """What it adds to the number of entries: a reversal takes its original out of the count."""
        return -1 if self.kind is EntryKind.REVERSAL else 1


def book(origin: Origin, lines: Iterable[CostLine], new_id: Callable[[], str]) -> list[CostEntry]:
    """Original entries of an event, one for each cost line."""
    return [CostEntry(new_id(), EntryKind.ORIGINAL, origin, line) for line in lines]


def reverse(entry: CostEntry, new_id: Callable[[], str]) -> CostEntry:
    """The entry that reverses another."""
    amount = None if entry.line.amount is None else -entry.line.amount
    line = entry.line._replace(units=-entry.line.units, amount=amount)
    return CostEntry(new_id(), EntryKind.REVERSAL, entry.origin, line, entry.id)


def owned_by(entry: CostEntry, customer: str, subscription_id: str | None, new_id: Callable[[], str]) -> CostEntry:
    """The same cost for a customer who was unknown when it was first booked."""
    origin = entry.origin._replace(external_customer_id=customer, subscription_id=subscription_id)
    return CostEntry(new_id(), EntryKind.ORIGINAL, origin, entry.line)
