"""Announcing subscriptions with their current billing period."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from services.rating.agreements.agreement import Agreement
from services.rating.agreements.events import SubscriptionChanged
from services.rating.deps import Deps


def announce_subscription(deps: Deps, tx: Connection, agreement: Agreement, now: datetime) -> None:
    """Announce how a subscription is now, and which billing period holds `now`."""
    announce_subscriptions(deps, tx, [agreement], now)


def announce_subscriptions(deps: Deps, tx: Connection, agreements: Sequence[Agreement], now: datetime) -> None:
    """Like `announce_subscription`, for many at once."""
    deps.announce_all(tx, [SubscriptionChanged(agreement, agreement.period_at(now)) for agreement in agreements])
