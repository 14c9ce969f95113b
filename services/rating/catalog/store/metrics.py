"""Billable metrics in SQL: every change is a version, and every version stays."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row

from services.chassis.page import Listed, Page
from services.kernel.errors import NotFoundError
from services.kernel.ids import BillableMetricId, OrganizationId, uuid_or_none
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.metric import Aggregation, BillableMetric, MetricFilter, Rounding, RoundingFunction
from services.rating.shared.rows import lock_row, named_in, read_list
from services.rating.shared.subscription_state import SubscriptionState
from services.rating.tables.catalog import BILLABLE_METRICS, PLANS
from services.rating.tables.subscriptions import SUBSCRIPTIONS

_LIVE_METRIC = BILLABLE_METRICS.c.is_current & BILLABLE_METRICS.c.deleted_at.is_(None)
_LIVE_PLAN = PLANS.c.is_current & PLANS.c.deleted_at.is_(None)


def insert_metric(tx: Connection, organization: OrganizationId, version: MetricVersion) -> bool:
    """Store a metric's version; False if another live metric has its code."""
    metric = version.definition
    statement = insert(BILLABLE_METRICS).values(
        organization_id=organization,
        id=version.metric_id,
        version=version.version,
        code=metric.code,
        name=version.name,
        description=version.description,
        aggregation=metric.aggregation,
        field_name=metric.field_name,
        rounding=metric.rounding.function if metric.rounding else None,
        rounding_precision=metric.rounding.precision if metric.rounding else 0,
        filters=[{"key": metric_filter.key, "values": list(metric_filter.values)} for metric_filter in metric.filters],
        recurring=metric.recurring,
        is_current=True,
        created_at=version.created_at,
        deleted_at=version.deleted_at,
    )
    return tx.execute(statement.on_conflict_do_nothing().returning(BILLABLE_METRICS.c.id)).first() is not None


def supersede_metric(tx: Connection, organization: OrganizationId, version: MetricVersion) -> None:
    """Mark a version as no longer current; the caller inserts a newer one."""
    _update_metric(tx, organization, version, is_current=False)


def delete_metric(tx: Connection, organization: OrganizationId, version: MetricVersion, at: datetime) -> None:
    """Remove a metric; its versions stay for the invoices that name them."""
    _update_metric(tx, organization, version, deleted_at=at)


def _update_metric(tx: Connection, organization: OrganizationId, version: MetricVersion, **values: object) -> None:
    own = BILLABLE_METRICS.c.organization_id == organization, BILLABLE_METRICS.c.id == version.metric_id
    tx.execute(BILLABLE_METRICS.update().where(*own, BILLABLE_METRICS.c.version == version.version).values(**values))


def metric(tx: Connection, organization: OrganizationId, code: str, *, lock: bool = False) -> MetricVersion:
    """The current version of the live metric with this code; with `lock`, nobody else changes it meanwhile.

    Raises:
        NotFoundError: `BILLABLE_METRIC_UNKNOWN`.
    """
    own = (BILLABLE_METRICS.c.organization_id == organization) & (BILLABLE_METRICS.c.code == code) & _LIVE_METRIC
    statement = sa.select(BILLABLE_METRICS).where(own)
    row = lock_row(tx, statement, of=BILLABLE_METRICS) if lock else tx.execute(statement).first()
    if row is None:
        raise NotFoundError("BILLABLE_METRIC_UNKNOWN", f"no billable metric has the code {code!r}", code=code)
    return _metric(row)


def metrics_by_code(tx: Connection, organization: OrganizationId, codes: Collection[str]) -> dict[str, MetricVersion]:
    """The current versions of the live metrics with these codes, by code."""
    if not codes:
        return {}
    own = (BILLABLE_METRICS.c.organization_id == organization) & BILLABLE_METRICS.c.code.in_(list(codes)) & _LIVE_METRIC
    return {row.code: _metric(row) for row in tx.execute(sa.select(BILLABLE_METRICS).where(own))}


def metric_codes_by_id(tx: Connection, organization: OrganizationId, ids: Collection[str]) -> dict[str, str]:
    """The codes of the live metrics with these Farebox ids, by id."""
    known = [metric_id for metric_id in ids if uuid_or_none(metric_id) is not None]
    if not known:
        return {}
    own = (BILLABLE_METRICS.c.organization_id == organization) & BILLABLE_METRICS.c.id.in_(known) & _LIVE_METRIC
    columns = BILLABLE_METRICS.c.id, BILLABLE_METRICS.c.code
    return {row.id: row.code for row in tx.execute(sa.select(*columns).where(own))}


def removed_metrics(tx: Connection, organization: OrganizationId, codes: Collection[str]) -> dict[str, MetricVersion]:
    """The last versions of removed metrics, by code; if several had the same code, the newest."""
    statement = (
        sa.select(BILLABLE_METRICS)
        .where(
            BILLABLE_METRICS.c.organization_id == organization,
            BILLABLE_METRICS.c.code.in_(list(codes)),
            BILLABLE_METRICS.c.deleted_at.is_not(None),
        )
        .order_by(BILLABLE_METRICS.c.deleted_at)
    )
    return {row.code: _metric(row) for row in tx.execute(statement)}


def metric_version(
    tx: Connection, organization: OrganizationId, metric_id: BillableMetricId, version: int
) -> MetricVersion:
    """One version of a metric, removed or not.

    Raises:
        NotFoundError: `BILLABLE_METRIC_UNKNOWN`.
    """
    own = BILLABLE_METRICS.c.organization_id == organization, BILLABLE_METRICS.c.id == metric_id
    row = tx.execute(sa.select(BILLABLE_METRICS).where(*own, BILLABLE_METRICS.c.version == version)).first()
    if row is None:
        raise NotFoundError("BILLABLE_METRIC_UNKNOWN", "no billable metric has this id and version", id=metric_id)
    return _metric(row)


def list_metrics(
    tx: Connection, organization: OrganizationId, page: Page, codes: Sequence[str] = ()
) -> Listed[MetricVersion]:
    """The organization's metrics, by code; if codes are given, only those."""
    statement = sa.select(BILLABLE_METRICS).where(BILLABLE_METRICS.c.organization_id == organization, _LIVE_METRIC)
    statement = statement.where(named_in(BILLABLE_METRICS.c.code, codes, "codes"))
    return read_list(tx, statement, BILLABLE_METRICS.c.code, page, _metric)


def sold_plans_with_metric(tx: Connection, organization: OrganizationId, code: str) -> list[str]:
    """The codes of plans that charge for a metric and are on sale or subscribed to; at most a few."""
    subscribed = (
        sa.select(SUBSCRIPTIONS.c.id)
        .where(
            SUBSCRIPTIONS.c.organization_id == organization,
            SUBSCRIPTIONS.c.plan_id == PLANS.c.id,
            SUBSCRIPTIONS.c.state.in_([SubscriptionState.PENDING, SubscriptionState.ACTIVE]),
        )
        .exists()
    )
    statement = (
        sa.select(PLANS.c.code)
        .where(PLANS.c.organization_id == organization, PLANS.c.metric_codes.contains([code]))
        .where(_LIVE_PLAN | subscribed)
        .distinct()
        .limit(3)
    )
    return list(tx.execute(statement).scalars())


def has_counted(tx: Connection, organization: OrganizationId, metric_code: str) -> bool:
    """Whether any event of a metric has been counted, so that what it measures can no longer change."""
    found = tx.exec_driver_sql(
        "SELECT 1 FROM usage_aggregates WHERE organization_id = %s AND metric_code = %s LIMIT 1",
        (organization, metric_code),
    )
    return found.first() is not None


def _metric(row: Row[Any]) -> MetricVersion:
    return MetricVersion(
        metric_id=BillableMetricId(row.id),
        version=row.version,
        definition=BillableMetric(
            code=row.code,
            aggregation=Aggregation(row.aggregation),
            field_name=row.field_name,
            filters=tuple(MetricFilter(document["key"], tuple(document["values"])) for document in row.filters),
            rounding=Rounding(RoundingFunction(row.rounding), row.rounding_precision) if row.rounding else None,
            recurring=row.recurring,
        ),
        name=row.name,
        description=row.description,
        created_at=row.created_at,
        deleted_at=row.deleted_at,
    )
