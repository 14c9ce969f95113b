"""Bring stored entitlements up to date with the plans, overrides and features from which they result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.engine import Connection

from services.entitlements.commands.changes import Changes
from services.entitlements.domain.feature_terms import Right, resolve
from services.entitlements.domain.subscription import Subscription
from services.entitlements.store import entitlement as entitlement_store
from services.entitlements.store import feature as feature_store
from services.entitlements.store import feature_terms as terms_store
from services.entitlements.store import subscription as subscription_store
from services.kernel.ids import OrganizationId

# How many subscriptions are resolved at a time; with at most some hundred features each, a few ten thousand rows.
CHUNK = 200


def refresh(tx: Connection, organization: OrganizationId, subscription_ids: Sequence[str], changes: Changes) -> None:
    """Resolve the rights of subscriptions, store what has changed, and note it.

    The organization must be locked, since the result depends on rows that other commands write.
    """
    for start in range(0, len(subscription_ids), CHUNK):
        _refresh_chunk(tx, organization, subscription_ids[start : start + CHUNK], changes)


def _refresh_chunk(tx: Connection, organization: OrganizationId, ids: Sequence[str], changes: Changes) -> None:
    subscriptions = subscription_store.by_ids(tx, organization, ids)
    stored = entitlement_store.rights(tx, organization, ids)
    active = [subscription for subscription in subscriptions.values() if subscription.is_active]
    resolved = _resolved(tx, organization, active)
    altered = {
        (subscription_id, code): right
        for subscription_id, rights in resolved.items()
        for code, right in rights.items()
        if stored.get(subscription_id, {}).get(code) != right
    }
    removed = [
        (subscription_id, code)
        for subscription_id, rights in stored.items()
        for code in rights
        if code not in resolved.get(subscription_id, {})
    ]
    entitlement_store.save(tx, organization, altered)
    entitlement_store.remove(tx, organization, removed)
    changes.note(organization, [*altered, *removed])


def _resolved(
    tx: Connection, organization: OrganizationId, subscriptions: Sequence[Subscription]
) -> Mapping[str, Mapping[str, Right]]:
    """The rights of active subscriptions, by their Farebox ids and feature code."""
    plans = terms_store.of_plans(tx, organization, {subscription.plan_id for subscription in subscriptions})
    customers = {subscription.external_customer_id for subscription in subscriptions}
    overrides = terms_store.of_customers(tx, organization, customers)
    codes = {code for terms in plans.values() for code in terms}
    codes |= {code for terms in overrides.values() for code in terms}
    features = feature_store.by_codes(tx, organization, codes)
    return {
        subscription.id: resolve(
            plans.get(subscription.plan_id, {}),
            overrides.get((subscription.external_customer_id, ""), {}),
            overrides.get((subscription.external_customer_id, subscription.external_id), {}),
            features,
        )
        for subscription in subscriptions
    }
