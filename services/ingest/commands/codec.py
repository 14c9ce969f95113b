"""Bytes that commands pass on but neither write nor read themselves: announced entries, properties (see convert)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Protocol

# From the properties of an event to the raw JSON of one of them; `null` where the event does not have it.
ReadValue = Callable[[bytes], bytes]


class EntryCodec(Protocol):
    """Writes entries of the announced batches, and reads properties. Concatenated entries are one batch."""

    def head(
        self, organization: bytes, customer: str, subscription_id: str, code: str, *, voids: bool = False
    ) -> bytes:
        """What the entries of one place share; `voids` for entries that take events back."""

    def entries(
        self,
        received_us: int,
        heads: Sequence[bytes],
        keys: Sequence[bytes],
        texts: Sequence[bytes],
        occurred_us: Sequence[int],
        properties: Sequence[bytes],
        amounts: Sequence[Decimal | None],
    ) -> list[bytes]:
        """The entries of events that were received together.

        Args:
            received_us: when.
            heads: what `head` made of their places.
            keys: their identities.
            texts: transaction ids in UTF-8.
            occurred_us: when they happened.
            properties: the sender's bytes.
            amounts: exact prices.
        """

    def reader(self, field_name: str) -> ReadValue:
        """A function that reads one property of valid events."""

    def number_test(self, field_name: str) -> Callable[[bytes], bool]:
        """A function that knows most valid properties of which one is a number; its False says nothing."""
