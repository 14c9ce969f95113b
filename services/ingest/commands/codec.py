"""Bytes that commands pass on but neither write nor read themselves: announced entries, properties (see convert)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

# From the properties of an event to the raw JSON of one of them; `null` where the event does not have it.
ReadValue = Callable[[bytes], bytes]


# From an event's head (see EntryCodec.head), key, transaction id in UTF-8, time, properties and amount to its entry.
WriteEntry = Callable[[bytes, bytes, bytes, int, bytes, Decimal | None], bytes]


class EntryCodec(Protocol):
    """Writes entries of the announced batches, and reads properties. Concatenated entries are one batch."""

    def head(
        self, organization: bytes, customer: str, subscription_id: str, code: str, *, voids: bool = False
    ) -> bytes:
        """What the entries of one place share; `voids` for entries that take events back."""

    def writer(self, received_us: int) -> WriteEntry:
        """A function that writes entries about events that were received together."""

    def reader(self, field_name: str) -> ReadValue:
        """A function that reads one property of valid events."""
