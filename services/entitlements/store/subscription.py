"""Subscriptions as rating announced them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from services.entitlements.domain.event import SubscriptionMoved
from services.entitlements.domain.subscription import Subscription, SubscriptionState
from services.kernel.cadence import Alignment
from services.kernel.ids import OrganizationId
from services.kernel.period import Period

# The names clash with none in the other tables of a standing's query, so they need no prefix.
COLUMNS = (
    "s.subscription_id::text AS subscription, s.external_id, s.external_customer_id, s.plan_id::text AS plan, "
    "s.state, s.timezone, s.alignment, s.started_at, s.ending_at, s.period_start, s.period_end, "
    "s.anchored_at, s.ended_at"
)


# Which subscriptions `p` are the past of a subscription `s`: those of the customer that ended before it began, under
# its own external id, or under one for which the customer has no active or pending subscription.
IS_PAST = """
p.organization_id = s.organization_id AND p.external_customer_id = s.external_customer_id
AND p.subscription_id <> s.subscription_id AND p.ended_at <= s.started_at
AND (p.external_id = s.external_id OR NOT EXISTS (
    SELECT FROM subscriptions o WHERE o.organization_id = p.organization_id
    AND o.external_customer_id = p.external_customer_id AND o.external_id = p.external_id
    AND o.state IN ('active', 'pending')))
"""


def subscription_of(row: Any) -> Subscription:
    """The subscription in a row that has `COLUMNS`."""
    return Subscription(
        id=row.subscription,
        external_id=row.external_id,
        external_customer_id=row.external_customer_id,
        plan_id=row.plan,
        state=SubscriptionState(row.state),
        timezone=row.timezone,
        alignment=Alignment(row.alignment),
        started_at=row.started_at,
        ending_at=row.ending_at,
        current_period=None if row.period_start is None else Period(row.period_start, row.period_end),
        anchored_at=row.anchored_at,
        ended_at=row.ended_at,
    )


def save(tx: Connection, moves: Sequence[SubscriptionMoved]) -> None:
    """Store subscriptions as they are now."""
    tx.exec_driver_sql(
        "INSERT INTO subscriptions (organization_id, subscription_id, external_id, external_customer_id, plan_id, "
        "state, timezone, alignment, started_at, ending_at, period_start, period_end, anchored_at, ended_at) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (organization_id, subscription_id) DO UPDATE SET external_id = excluded.external_id, "
        "external_customer_id = excluded.external_customer_id, plan_id = excluded.plan_id, "
        "state = excluded.state, timezone = excluded.timezone, alignment = excluded.alignment, "
        "started_at = excluded.started_at, ending_at = excluded.ending_at, "
        "period_start = excluded.period_start, period_end = excluded.period_end, "
        "anchored_at = excluded.anchored_at, ended_at = excluded.ended_at",
        [(move.organization_id, *_values(move.subscription)) for move in moves],
    )


def by_ids(tx: Connection, organization: OrganizationId, ids: Iterable[str]) -> dict[str, Subscription]:
    """Subscriptions by Farebox id."""
    return _select(
        tx, "s.subscription_id = ANY(%(wanted)s::uuid[])", {"organization": organization, "wanted": list(ids)}
    )


def active_of_customer(tx: Connection, organization: OrganizationId, customer: str) -> dict[str, Subscription]:
    """The customer's active subscriptions by Farebox id."""
    return _select(
        tx,
        "s.external_customer_id = %(customer)s AND s.state = 'active'",
        {"organization": organization, "customer": customer},
    )


def active_on_plans(tx: Connection, organization: OrganizationId, plan_ids: Iterable[str]) -> list[str]:
    """Farebox ids of the active subscriptions to these plan versions."""
    return list(
        _select(
            tx,
            "s.state = 'active' AND s.plan_id = ANY(%(plans)s::uuid[])",
            {"organization": organization, "plans": list(plan_ids)},
        )
    )


def concerned_by_feature(tx: Connection, organization: OrganizationId, code: str) -> list[str]:
    """Farebox ids of the subscriptions whose plan or overrides name a feature."""
    rows = tx.exec_driver_sql(
        "SELECT s.subscription_id::text FROM subscriptions s WHERE s.organization_id = %(organization)s AND ("
        "s.plan_id IN (SELECT plan_id FROM plan_terms "
        "WHERE organization_id = %(organization)s AND feature_code = %(code)s) "
        "OR s.external_customer_id IN (SELECT external_customer_id FROM overrides "
        "WHERE organization_id = %(organization)s AND feature_code = %(code)s))",
        {"organization": organization, "code": code},
    )
    return [row[0] for row in rows]


def places(tx: Connection, keys: Iterable[tuple[OrganizationId, str]]) -> dict[str, tuple[str, str]]:
    """Customer and IANA zone by Farebox id of the subscription, for (organization, subscription) pairs."""
    pairs = list(keys)
    rows = tx.exec_driver_sql(
        "SELECT subscription_id::text, external_customer_id, timezone FROM subscriptions "
        "JOIN unnest(%s::uuid[], %s::uuid[]) AS wanted (organization_id, subscription_id) "
        "USING (organization_id, subscription_id)",
        ([pair[0] for pair in pairs], [pair[1] for pair in pairs]),
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def _select(tx: Connection, condition: str, values: dict[str, Any]) -> dict[str, Subscription]:
    rows = tx.exec_driver_sql(
        f"SELECT {COLUMNS} FROM subscriptions s WHERE s.organization_id = %(organization)s AND {condition} "
        "ORDER BY s.subscription_id",
        values,
    )
    return {row.subscription: subscription_of(row) for row in rows}


def _values(subscription: Subscription) -> Sequence[Any]:
    period = subscription.current_period
    return (
        subscription.id,
        subscription.external_id,
        subscription.external_customer_id,
        subscription.plan_id,
        subscription.state,
        subscription.timezone,
        subscription.alignment,
        subscription.started_at,
        subscription.ending_at,
        period.start if period else None,
        period.end if period else None,
        subscription.anchored_at,
        subscription.ended_at,
    )
