"""Where the credit for unused days goes when a subscription ends early."""

from __future__ import annotations

from enum import StrEnum


class Resolution(StrEnum):
    """Where the credit for unused days goes.

    `credit` to the customer's balance; `refund` back, as far as it was paid, the rest to the balance;
    `offset` the same with the rest lowering the open invoice; `none` gives nothing back.
    """

    CREDIT = "credit"
    REFUND = "refund"
    OFFSET = "offset"
    NONE = "none"
