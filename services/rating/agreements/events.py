"""What subscriptions announce."""

from __future__ import annotations

from dataclasses import dataclass

from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement


@dataclass(frozen=True, slots=True)
class SubscriptionChanged:
    """A subscription was created, changed by a verb, or entered its next period."""

    agreement: Agreement
    current_period: Period | None
