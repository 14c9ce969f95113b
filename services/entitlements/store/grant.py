"""What plans and overrides grant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from services.entitlements.domain.event import PlanVersion
from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.grant import Grant, Override, PlanGrant
from services.kernel.cadence import ResetWindow


def grant_of(row: Any) -> Grant:
    """The grant in a row that has its columns."""
    return Grant(row.enabled, row.units_limit, row.hard, ResetWindow(row.reset), row.value)


def save_plan(tx: Connection, plan: PlanVersion) -> None:
    """Store a plan version with what it grants, instead of what it granted before."""
    key = plan.organization_id, plan.id
    interval = plan.periods.interval
    tx.exec_driver_sql(
        "INSERT INTO plans (organization_id, plan_id, code, version, interval_unit, interval_every, charged_monthly) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (organization_id, plan_id) DO UPDATE SET "
        "code = excluded.code, version = excluded.version, interval_unit = excluded.interval_unit, "
        "interval_every = excluded.interval_every, charged_monthly = excluded.charged_monthly",
        (*key, plan.code, plan.version, interval.unit, interval.every, plan.periods.charged_monthly),
    )
    tx.exec_driver_sql("DELETE FROM plan_grants WHERE organization_id = %s AND plan_id = %s", key)
    if plan.grants:
        tx.exec_driver_sql(
            "INSERT INTO plan_grants (organization_id, plan_id, feature_code, type, metric_code, enabled, "
            "units_limit, hard, reset, value) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [(*key, g.feature_code, g.type, g.metric_code, *_values(g.grant)) for g in plan.grants],
        )


def of_plans(tx: Connection, organization: str, plan_ids: Iterable[str]) -> dict[str, dict[str, PlanGrant]]:
    """What plan versions grant, by plan version and feature code."""
    rows = tx.exec_driver_sql(
        "SELECT plan_id::text AS plan, * FROM plan_grants WHERE organization_id = %s AND plan_id = ANY(%s::uuid[])",
        (organization, list(set(plan_ids))),
    )
    found: defaultdict[str, dict[str, PlanGrant]] = defaultdict(dict)
    for row in rows:
        found[row.plan][row.feature_code] = PlanGrant(
            row.feature_code, FeatureType(row.type), row.metric_code, grant_of(row)
        )
    return found


def of_customers(
    tx: Connection, organization: str, customers: Iterable[str]
) -> dict[tuple[str, str], dict[str, Grant]]:
    """Overrides of customers, by customer and subscription (empty for all of them), then by feature code."""
    rows = tx.exec_driver_sql(
        "SELECT * FROM overrides WHERE organization_id = %s AND external_customer_id = ANY(%s)",
        (organization, sorted(set(customers))),
    )
    found: defaultdict[tuple[str, str], dict[str, Grant]] = defaultdict(dict)
    for row in rows:
        found[row.external_customer_id, row.external_subscription_id][row.feature_code] = grant_of(row)
    return found


def save_override(tx: Connection, organization: str, override: Override, *, at: datetime) -> None:
    """Store an override, instead of an earlier one of the same customer, subscription and feature."""
    tx.exec_driver_sql(
        "INSERT INTO overrides (organization_id, external_customer_id, external_subscription_id, feature_code, "
        "enabled, units_limit, hard, reset, value, set_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (organization_id, external_customer_id, external_subscription_id, feature_code) "
        "DO UPDATE SET enabled = excluded.enabled, units_limit = excluded.units_limit, hard = excluded.hard, "
        "reset = excluded.reset, value = excluded.value, set_at = excluded.set_at",
        (
            organization,
            override.external_customer_id,
            override.external_subscription_id,
            override.feature_code,
            *_values(override.grant),
            at,
        ),
    )


def remove_override(
    tx: Connection, organization: str, customer: str, external_subscription_id: str, feature_code: str
) -> bool:
    """Remove an override; whether there was one."""
    return bool(
        tx.exec_driver_sql(
            "DELETE FROM overrides WHERE organization_id = %s AND external_customer_id = %s "
            "AND external_subscription_id = %s AND feature_code = %s",
            (organization, customer, external_subscription_id, feature_code),
        ).rowcount
    )


def _values(grant: Grant) -> Sequence[Any]:
    return grant.enabled, grant.limit, grant.hard, grant.reset, grant.value
