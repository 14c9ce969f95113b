"""The states of a subscription, which the catalog counts by before agreements know them."""

from __future__ import annotations

from enum import StrEnum


class SubscriptionState(StrEnum):
    """Where a subscription is in its life."""

    PENDING = "pending"
    ACTIVE = "active"
    TERMINATED = "terminated"
    CANCELED = "canceled"
