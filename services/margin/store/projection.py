"""What margin knows of metrics, subscriptions and test clocks, from rating's domain events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.engine import Connection

from services.margin.domain.projection import ClockAdvance, Metric, Subscription


def save_metric(tx: Connection, metric: Metric) -> None:
    """Keep a metric as it is now; one that is removed stays, for its late events."""
    tx.exec_driver_sql(
        "INSERT INTO metrics (organization_id, code, sums, field_name) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (organization_id, code) DO UPDATE SET sums = excluded.sums, field_name = excluded.field_name",
        (metric.organization_id, metric.code, metric.is_sum, metric.field_name),
    )


def metrics(tx: Connection, codes: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Metric]:
    """Metrics by (organization, code); unknown ones are missing."""
    wanted = sorted(set(codes))
    rows = tx.exec_driver_sql(
        "SELECT organization_id::text, m.code, sums, field_name FROM metrics m "
        "JOIN unnest(%s::uuid[], %s::text[]) AS wanted(organization, code) "
        "ON m.organization_id = wanted.organization AND m.code = wanted.code",
        ([organization for organization, _ in wanted], [code for _, code in wanted]),
    )
    return {(r.organization_id, r.code): Metric(r.organization_id, r.code, r.sums, r.field_name) for r in rows}


def save_subscription(tx: Connection, subscription: Subscription) -> None:
    """Keep a subscription as it is now."""
    tx.exec_driver_sql(
        "INSERT INTO subscriptions (organization_id, id, external_customer_id, plan_code, started_at, ended_at) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (organization_id, id) DO UPDATE SET "
        "external_customer_id = excluded.external_customer_id, plan_code = excluded.plan_code, "
        "started_at = excluded.started_at, ended_at = excluded.ended_at",
        (
            subscription.organization_id,
            subscription.id,
            subscription.external_customer_id,
            subscription.plan_code,
            subscription.started_at,
            subscription.ended_at,
        ),
    )


def subscriptions(tx: Connection, organization_id: str, customers: Iterable[str]) -> list[Subscription]:
    """The subscriptions of customers, whatever their time."""
    rows = tx.exec_driver_sql(
        "SELECT organization_id::text, id::text, external_customer_id, plan_code, started_at, ended_at "
        "FROM subscriptions WHERE organization_id = %s AND external_customer_id = ANY(%s) ORDER BY id",
        (organization_id, sorted(set(customers))),
    )
    return [Subscription(*row) for row in rows]


def usage_positions(tx: Connection, logs: Iterable[str]) -> dict[str, int]:
    """The last batch number applied of each log; without a row nothing was."""
    rows = tx.exec_driver_sql("SELECT log, last_number FROM inbox WHERE log = ANY(%s)", (list(logs),))
    return {row.log: row.last_number for row in rows}


def save_clock(tx: Connection, advance: ClockAdvance) -> None:
    """Move an organization's test clock, never back to an earlier advance."""
    tx.exec_driver_sql(
        "INSERT INTO test_clocks (organization_id, clock_now, revision) VALUES (%s, %s, %s) "
        "ON CONFLICT (organization_id) DO UPDATE SET clock_now = excluded.clock_now, revision = excluded.revision "
        "WHERE test_clocks.revision < excluded.revision",
        (advance.organization_id, advance.now, advance.revision),
    )


def clock_of(tx: Connection, organization_id: str) -> datetime | None:
    """The time of an organization's test clock; None where it has none."""
    return tx.exec_driver_sql(
        "SELECT clock_now FROM test_clocks WHERE organization_id = %s", (organization_id,)
    ).scalar_one_or_none()
