"""Bring stored entitlements up to date with the plans, overrides and features they result from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.engine import Connection

from services.entitlements.commands.changes import Changes
from services.entitlements.domain.grant import Resolved, resolve
from services.entitlements.domain.subscription import Subscription
from services.entitlements.store import entitlement, feature, grant, subscription

# Subscriptions resolved at a time, each with some hundred features at most: a few ten thousand rows in memory.
CHUNK = 200


def refresh(tx: Connection, owner: str, subscription_ids: Sequence[str], changes: Changes) -> None:
    """Resolve what subscriptions are entitled to, store what differs, and note it.

    The organization must be locked, since the result depends on rows that other commands write.
    """
    for start in range(0, len(subscription_ids), CHUNK):
        _refresh_chunk(tx, owner, subscription_ids[start : start + CHUNK], changes)


def _refresh_chunk(tx: Connection, owner: str, ids: Sequence[str], changes: Changes) -> None:
    subscriptions = subscription.by_ids(tx, owner, ids)
    stored = entitlement.rights(tx, owner, ids)
    wanted = _wanted(tx, owner, [one for one in subscriptions.values() if one.is_active])
    granted = {
        (subscription_id, code): right
        for subscription_id, rights in wanted.items()
        for code, right in rights.items()
        if stored.get(subscription_id, {}).get(code) != right
    }
    removed = [
        (subscription_id, code)
        for subscription_id, rights in stored.items()
        for code in rights
        if code not in wanted.get(subscription_id, {})
    ]
    entitlement.grant(tx, owner, granted)
    entitlement.remove(tx, owner, removed)
    changes.note(owner, [*granted, *removed])


def _wanted(tx: Connection, owner: str, subscriptions: Sequence[Subscription]) -> Mapping[str, Mapping[str, Resolved]]:
    """What active subscriptions are entitled to, by their Farebox ids and feature code."""
    plans = grant.of_plans(tx, owner, {one.plan_id for one in subscriptions})
    overrides = grant.of_customers(tx, owner, {one.external_customer_id for one in subscriptions})
    codes = {code for grants in plans.values() for code in grants}
    codes |= {code for grants in overrides.values() for code in grants}
    features = feature.by_codes(tx, owner, codes)
    return {
        one.id: resolve(
            plans.get(one.plan_id, {}),
            overrides.get((one.external_customer_id, ""), {}),
            overrides.get((one.external_customer_id, one.external_id), {}),
            features,
        )
        for one in subscriptions
    }
