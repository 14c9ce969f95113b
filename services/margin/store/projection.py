"""What margin knows of metrics, subscriptions and test clocks, from rating's domain events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from psycopg.types.json import Jsonb
from sqlalchemy.engine import Connection

from services.margin.domain.projection import ClockAdvance, Metric, Organization, Subscription


def save_organization(tx: Connection, organization: Organization) -> None:
    """Store an organization as it is now."""
    tx.exec_driver_sql(
        "INSERT INTO organizations (organization_id, default_currency) VALUES (%s, %s) "
        "ON CONFLICT (organization_id) DO UPDATE SET default_currency = excluded.default_currency",
        (organization.id, organization.default_currency),
    )


def currency_of(tx: Connection, organization_id: str) -> str | None:
    """The default currency of an organization; None if the organization is unknown."""
    return tx.exec_driver_sql(
        "SELECT default_currency FROM organizations WHERE organization_id = %s", (organization_id,)
    ).scalar_one_or_none()


def save_metric(tx: Connection, metric: Metric) -> None:
    """Store a metric as it is now; a removed metric stays, for its late events."""
    tx.exec_driver_sql(
        "INSERT INTO metrics (organization_id, code, sums, field_name) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (organization_id, code) DO UPDATE SET sums = excluded.sums, field_name = excluded.field_name",
        (metric.organization_id, metric.code, metric.is_sum, metric.field_name),
    )


def lock_metrics(tx: Connection, codes: Iterable[tuple[str, str]]) -> None:
    """Lock metrics by (organization, code), known or not, in one order, until the end of the transaction.

    Letting usage wait for a metric and announcing the metric both take this lock, so one of them sees the other.
    """
    keys = sorted({f"{organization}/{code}" for organization, code in codes})
    tx.exec_driver_sql(
        "SELECT pg_advisory_xact_lock(hashtextextended('farebox.metric/' || key, 0)) FROM unnest(%s::text[]) AS key",
        (keys,),
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
    """Store a subscription as it is now."""
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
    """The number of the last applied batch of each log; a log without a row has none."""
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


def let_clock_wait(tx: Connection, advance: ClockAdvance) -> None:
    """Keep an advance until its usage is costed; a later advance of the same clock replaces it."""
    tx.exec_driver_sql(
        "INSERT INTO waiting_clocks (organization_id, clock_now, revision, positions) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (organization_id) DO UPDATE SET clock_now = excluded.clock_now, revision = excluded.revision, "
        "positions = excluded.positions WHERE waiting_clocks.revision < excluded.revision",
        (advance.organization_id, advance.now, advance.revision, Jsonb(advance.positions)),
    )


def waiting_clocks(tx: Connection) -> list[ClockAdvance]:
    """The waiting advances, locked; those that another replica handles are left to it."""
    rows = tx.exec_driver_sql(
        "SELECT organization_id::text, clock_now, revision, positions FROM waiting_clocks "
        "ORDER BY organization_id FOR UPDATE SKIP LOCKED"
    )
    return [
        ClockAdvance(
            row.organization_id,
            row.clock_now,
            row.revision,
            {int(shard): last for shard, last in row.positions.items()},
        )
        for row in rows
    ]


def forget_waiting_clocks(tx: Connection, organization_ids: Iterable[str]) -> None:
    """Let these organizations' clocks wait no longer."""
    tx.exec_driver_sql(
        "DELETE FROM waiting_clocks WHERE organization_id = ANY(%s::uuid[])", (sorted(organization_ids),)
    )


def clock_of(tx: Connection, organization_id: str) -> datetime | None:
    """The time of an organization's test clock; None if it has none."""
    return tx.exec_driver_sql(
        "SELECT clock_now FROM test_clocks WHERE organization_id = %s", (organization_id,)
    ).scalar_one_or_none()
