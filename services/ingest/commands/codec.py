"""How an accepted event is written for the bus, as commands see it: bytes made elsewhere (convert), never read here."""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol


class EntryCodec(Protocol):
    """Writes entries of the announced batches. Concatenated entries are one batch."""

    def head(
        self, organization: bytes, customer: str, subscription_id: str, code: str, *, voids: bool = False
    ) -> bytes:
        """What the entries of one place share; `voids` for entries that take events back."""

    def entry(
        self,
        head: bytes,
        key: bytes,
        transaction_id: bytes,
        occurred_us: int,
        received_us: int,
        properties: bytes,
        amount: Decimal | None,
    ) -> bytes:
        """An entry about one event."""
