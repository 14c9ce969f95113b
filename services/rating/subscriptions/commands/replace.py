"""One subscription ends, and another may take over: the part that all changes have in common."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.errors import AbortedError
from services.rating.agreements import store
from services.rating.agreements.agreement import Agreement, EndTerms
from services.rating.agreements.change import ChangeKind
from services.rating.agreements.subscription import Subscription
from services.rating.agreements.subscription_change import SubscriptionChange
from services.rating.deps import Deps
from services.rating.pricing.catalog import PlanVersion
from services.rating.subscriptions.announcing import announce_subscriptions
from services.rating.subscriptions.commands.billing import bill_end, bill_start
from services.rating.subscriptions.commands.start import with_trial


def end_agreement(
    deps: Deps, tx: Connection, ended: Agreement, *, reason: ChangeKind, terms: EndTerms, now: datetime
) -> SubscriptionChange:
    """Store, bill and announce a subscription that a verb has ended."""
    ended = replace(ended, end_terms=terms)
    at = _ended_at(ended)
    store.save_agreements(tx, [ended])
    billed = bill_end(deps, tx, ended, at, reason)
    announce_subscriptions(deps, tx, [ended], now)
    return SubscriptionChange(ended, at, now, billed)


def replace_agreement(
    deps: Deps,
    tx: Connection,
    ended: Agreement,
    successor: Subscription,
    version: PlanVersion,
    *,
    reason: ChangeKind,
    terms: EndTerms,
    now: datetime,
) -> SubscriptionChange:
    """Store, bill and announce a subscription that ended and the one that takes over at the same instant."""
    ended = replace(ended, end_terms=terms)
    store.save_agreements(tx, [ended])
    follower = store.insert_agreement(tx, with_trial(ended.succeeded_by(successor, version)))
    if follower is None:
        raise AbortedError("SUBSCRIPTION_RACE", "another call is moving this subscription")
    billed = bill_end(deps, tx, ended, _ended_at(ended), reason) + bill_start(deps, tx, follower)
    announce_subscriptions(deps, tx, [ended, follower], now)
    return SubscriptionChange(follower, _ended_at(ended), now, billed, previous=ended)


def _ended_at(ended: Agreement) -> datetime:
    at = ended.subscription.ended_at
    if at is None:
        raise ValueError(f"subscription {ended.subscription_id} has not ended")
    return at
