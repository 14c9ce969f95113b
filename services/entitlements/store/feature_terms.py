"""The terms that plans and overrides give for features."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from services.entitlements.domain.event import PlanVersion
from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.feature_terms import FeatureTerms, Override, PlanTerms
from services.kernel.cadence import ResetWindow
from services.kernel.ids import OrganizationId


def terms_of(row: Any) -> FeatureTerms:
    """The terms in a row that has their columns."""
    return FeatureTerms(row.enabled, row.units_limit, row.hard, ResetWindow(row.reset), row.value)


def save_plan(tx: Connection, plan: PlanVersion) -> None:
    """Store a plan version with its terms, replacing those it had before."""
    key = plan.organization_id, plan.id
    interval = plan.periods.interval
    tx.exec_driver_sql(
        "INSERT INTO plans (organization_id, plan_id, code, version, interval_unit, interval_every, charged_monthly) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (organization_id, plan_id) DO UPDATE SET "
        "code = excluded.code, version = excluded.version, interval_unit = excluded.interval_unit, "
        "interval_every = excluded.interval_every, charged_monthly = excluded.charged_monthly",
        (*key, plan.code, plan.version, interval.unit, interval.every, plan.periods.is_charged_monthly),
    )
    tx.exec_driver_sql("DELETE FROM plan_terms WHERE organization_id = %s AND plan_id = %s", key)
    if plan.terms:
        tx.exec_driver_sql(
            "INSERT INTO plan_terms (organization_id, plan_id, feature_code, type, metric_code, enabled, "
            "units_limit, hard, reset, value) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (*key, terms.feature_code, terms.type, terms.metric_code, *terms_columns(terms.terms))
                for terms in plan.terms
            ],
        )


def of_plans(tx: Connection, organization: OrganizationId, plan_ids: Iterable[str]) -> dict[str, dict[str, PlanTerms]]:
    """The terms of plan versions, by plan version and feature code."""
    rows = tx.exec_driver_sql(
        "SELECT plan_id::text AS plan, * FROM plan_terms WHERE organization_id = %s AND plan_id = ANY(%s::uuid[])",
        (organization, list(set(plan_ids))),
    )
    by_plan: defaultdict[str, dict[str, PlanTerms]] = defaultdict(dict)
    for row in rows:
        by_plan[row.plan][row.feature_code] = PlanTerms(
            row.feature_code, FeatureType(row.type), row.metric_code, terms_of(row)
        )
    return by_plan


def of_customers(
    tx: Connection, organization: OrganizationId, customers: Iterable[str]
) -> dict[tuple[str, str], dict[str, FeatureTerms]]:
    """Overrides by customer and subscription (empty means all of the customer's), then by feature code."""
    rows = tx.exec_driver_sql(
        "SELECT * FROM overrides WHERE organization_id = %s AND external_customer_id = ANY(%s)",
        (organization, sorted(set(customers))),
    )
    overrides: defaultdict[tuple[str, str], dict[str, FeatureTerms]] = defaultdict(dict)
    for row in rows:
        overrides[row.external_customer_id, row.external_subscription_id][row.feature_code] = terms_of(row)
    return overrides


def save_override(tx: Connection, organization: OrganizationId, override: Override, *, at: datetime) -> None:
    """Store an override, replacing an earlier one for the same customer, subscription and feature."""
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
            *terms_columns(override.terms),
            at,
        ),
    )


def remove_override(
    tx: Connection, organization: OrganizationId, customer: str, external_subscription_id: str, feature_code: str
) -> bool:
    """Remove an override; returns whether there was one."""
    return bool(
        tx.exec_driver_sql(
            "DELETE FROM overrides WHERE organization_id = %s AND external_customer_id = %s "
            "AND external_subscription_id = %s AND feature_code = %s",
            (organization, customer, external_subscription_id, feature_code),
        ).rowcount
    )


def terms_columns(terms: FeatureTerms) -> Sequence[Any]:
    """The values of `enabled, units_limit, hard, reset, value`, the columns that hold terms."""
    return terms.is_enabled, terms.limit, terms.is_hard, terms.reset, terms.value
