"""The states of a subscription, by which the catalog counts before agreements know them."""

from __future__ import annotations

from enum import StrEnum


class SubscriptionState(StrEnum):
    """The state of a subscription."""

    PENDING = "pending"
    ACTIVE = "active"
    TERMINATED = "terminated"
    CANCELED = "canceled"
