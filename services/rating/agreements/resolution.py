"""Where the credit for unused days goes when a subscription ends early."""

from __future__ import annotations

from enum import StrEnum


class Resolution(StrEnum):
    """Where the credit for unused days goes.

    `credit` adds it to the customer's balance. `refund` pays back as much as was paid and adds the rest to the balance.
    `offset` does the same, but the rest lowers the open invoice. `none` gives nothing back.
    """

    CREDIT = "credit"
    REFUND = "refund"
    OFFSET = "offset"
    NONE = "none"
