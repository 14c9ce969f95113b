"""Billing periods in SQL.

Locks: counting events locks their periods FOR SHARE, closing or cutting periods locks them FOR UPDATE. So every event
is either counted before its period's usage is read for the invoice, or it finds the period closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection, Row

from services.kernel.ids import CustomerId, InvoiceId, OrganizationId, SubscriptionId
from services.kernel.period import Period
from services.rating.shared.bulk import rows_json
from services.rating.shared.set_aside import Work, waiting_sql
from services.rating.usage.aggregate import PeriodKey
from services.rating.usage.billing_period import BillingPeriod, PeriodState

_COLUMNS = """p.organization_id::text AS organization_id, p.subscription_id::text AS subscription_id,
    p.customer_id::text AS customer_id, p.period_start, p.period_end, p.state, p.invoice_id::text AS invoice_id,
    p.is_dirty, p.is_waived, p.accrual_revision"""
_KEY_TYPES = "organization_id uuid, subscription_id uuid, period_start timestamptz"
_OF_KEYS = f"JOIN json_to_recordset(%s::json) AS r({_KEY_TYPES}) USING (organization_id, subscription_id, period_start)"


class Occurred(NamedTuple):
    """The time from which on events of a subscription are to be placed."""

    organization_id: OrganizationId
    subscription_id: SubscriptionId
    since: datetime


def open_periods(tx: Connection, periods: Iterable[BillingPeriod]) -> None:
    """Open periods; a period that exists already stays as it is."""
    rows = [
        {
            **period.key._asdict(),
            "period_end": period.period.end,
            "customer_id": period.customer_id,
        }
        for period in periods
    ]
    if rows:
        tx.exec_driver_sql(
            "INSERT INTO billing_periods (organization_id, subscription_id, period_start, period_end, customer_id) "
            f"SELECT * FROM json_to_recordset(%s::json) AS r({_KEY_TYPES}, period_end timestamptz, customer_id uuid) "
            "ON CONFLICT DO NOTHING",
            (rows_json(rows),),
        )


def share_for_counting(tx: Connection, occurred: Iterable[Occurred]) -> dict[SubscriptionId, list[BillingPeriod]]:
    """The periods that end after the given instants, by subscription and in order; none is closed meanwhile.

    The open period is always among them: even when counting for a time after it, the end of its subscription must not
    come in between.
    """
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM billing_periods p JOIN json_to_recordset(%s::json) "
        "AS r(organization_id uuid, subscription_id uuid, since timestamptz) USING (organization_id, subscription_id) "
        "WHERE p.period_end > r.since OR p.state = 'open' "
        "ORDER BY p.organization_id, p.subscription_id, p.period_start FOR SHARE OF p",
        (rows_json(occurrence._asdict() for occurrence in occurred),),
    )
    found: dict[SubscriptionId, list[BillingPeriod]] = {}
    for period in map(_period, rows):
        found.setdefault(period.subscription_id, []).append(period)
    return found


# Work that failed is left out until its next try; a change that could not be made closes the period first.
_IS_SET_ASIDE = waiting_sql([Work.CLOSE, Work.CHANGE], "p.organization_id", "p.subscription_id")


def lock_due(
    tx: Connection,
    organization: OrganizationId | None,
    as_of: datetime,
    machine_now: datetime,
    *,
    limit: int,
    skip_locked: bool = True,
) -> list[BillingPeriod]:
    """Open periods that have ended, earliest first, locked; periods that another replica is closing are skipped.

    Without an organization: those of all organizations without a test clock, since a test clock's time comes only by
    its advance.
    """
    own = (
        "p.organization_id = %s"
        if organization
        else "p.organization_id NOT IN (SELECT organization_id FROM organizations WHERE test_clock_now IS NOT NULL)"
    )
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM billing_periods p WHERE p.state = 'open' AND p.period_end <= %s AND {own} "
        f"AND NOT {_IS_SET_ASIDE} ORDER BY p.period_end, p.organization_id, p.subscription_id LIMIT %s FOR UPDATE"
        + (" SKIP LOCKED" if skip_locked else ""),
        (as_of, *((organization,) if organization else ()), machine_now, limit),
    )
    return [_period(row) for row in rows]


def next_due_at(
    tx: Connection, organization: OrganizationId, as_of: datetime, machine_now: datetime
) -> datetime | None:
    """The earliest end of an open period at or before `as_of`; None if nothing is due."""
    found: datetime | None = tx.exec_driver_sql(
        "SELECT min(p.period_end) FROM billing_periods p "
        f"WHERE p.organization_id = %s AND p.state = 'open' AND p.period_end <= %s AND NOT {_IS_SET_ASIDE}",
        (organization, as_of, machine_now),
    ).scalar_one()
    return found


def lock_open(tx: Connection, organization: OrganizationId, subscription: SubscriptionId) -> BillingPeriod | None:
    """The open period of a subscription, locked; None if it has none."""
    row = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM billing_periods p WHERE organization_id = %s AND subscription_id = %s "
        "AND state = 'open' ORDER BY period_start LIMIT 1 FOR UPDATE",
        (organization, subscription),
    ).first()
    return _period(row) if row is not None else None


def has_open(tx: Connection, organization: OrganizationId, subscription: SubscriptionId) -> bool:
    """Whether a subscription has an open period at this moment, whoever locks it."""
    is_open: bool = tx.exec_driver_sql(
        "SELECT EXISTS (SELECT FROM billing_periods WHERE organization_id = %s AND subscription_id = %s "
        "AND state = 'open')",
        (organization, subscription),
    ).scalar_one()
    return is_open


def find(
    tx: Connection, organization: OrganizationId, subscription: SubscriptionId, start: datetime, *, lock: bool = False
) -> BillingPeriod | None:
    """The period that starts at an instant; with `lock`, no event is counted in it until the transaction ends."""
    row = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM billing_periods p WHERE organization_id = %s AND subscription_id = %s "
        f"AND period_start = %s {'FOR UPDATE' if lock else ''}",
        (organization, subscription, start),
    ).first()
    return _period(row) if row is not None else None


def holding(
    tx: Connection, organization: OrganizationId, subscription: SubscriptionId, at: datetime
) -> BillingPeriod | None:
    """The period that holds an instant; None if there is none."""
    row = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM billing_periods p WHERE organization_id = %s AND subscription_id = %s "
        "AND period_start <= %s AND period_end > %s ORDER BY period_start LIMIT 1",
        (organization, subscription, at, at),
    ).first()
    return _period(row) if row is not None else None


def closed_of(tx: Connection, organization: OrganizationId, subscription: SubscriptionId) -> BillingPeriod | None:
    """The newest closed period of a subscription; None if it has none."""
    row = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM billing_periods p WHERE organization_id = %s AND subscription_id = %s "
        "AND state = 'closed' ORDER BY period_start DESC LIMIT 1",
        (organization, subscription),
    ).first()
    return _period(row) if row is not None else None


def closed_of_external(
    tx: Connection, organization: OrganizationId, external_id: str, *, limit: int
) -> list[BillingPeriod]:
    """Closed periods of all subscriptions under an external id, newest first."""
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM billing_periods p JOIN subscriptions s ON s.organization_id = p.organization_id "
        "AND s.id = p.subscription_id WHERE p.organization_id = %s AND s.external_id = %s AND p.state = 'closed' "
        "ORDER BY p.period_start DESC LIMIT %s",
        (organization, external_id, limit),
    )
    return [_period(row) for row in rows]


def close(
    tx: Connection, closed: Mapping[PeriodKey, tuple[Period, InvoiceId | None]], *, is_waived: bool = False
) -> None:
    """Close locked periods, each with its span, which may have been cut, and its invoice, or waived."""
    rows = [
        {**key._asdict(), "period_end": period.end, "invoice_id": invoice} for key, (period, invoice) in closed.items()
    ]
    tx.exec_driver_sql(
        "UPDATE billing_periods p SET state = 'closed', period_end = r.period_end, invoice_id = r.invoice_id, "
        "is_accrual_due = true, is_waived = %s "
        f"FROM json_to_recordset(%s::json) AS r({_KEY_TYPES}, period_end timestamptz, "
        "invoice_id uuid) WHERE p.organization_id = r.organization_id AND p.subscription_id = r.subscription_id "
        "AND p.period_start = r.period_start",
        (is_waived, rows_json(rows)),
    )


def mark(
    tx: Connection, keys: Iterable[PeriodKey], *, dirty: bool | None = None, accrual_due: bool | None = None
) -> None:
    """Store whether the usage of periods differs from what was invoiced, and whether to announce their revenue."""
    tx.exec_driver_sql(
        "UPDATE billing_periods p SET is_dirty = coalesce(%(dirty)s, p.is_dirty), "
        "is_accrual_due = coalesce(%(due)s, p.is_accrual_due) "
        f"FROM json_to_recordset(%(rows)s::json) AS r({_KEY_TYPES}) "
        "WHERE p.organization_id = r.organization_id AND p.subscription_id = r.subscription_id "
        "AND p.period_start = r.period_start AND (p.is_dirty <> %(dirty)s OR p.is_accrual_due <> %(due)s)",
        {"rows": rows_json(key._asdict() for key in keys), "dirty": dirty, "due": accrual_due},
    )


def mark_accruals(
    tx: Connection, organization: OrganizationId, subscription: SubscriptionId, *, since: datetime
) -> None:
    """Mark a subscription's periods from an instant on, so that their revenue is announced again."""
    tx.exec_driver_sql(
        "UPDATE billing_periods SET is_accrual_due = true WHERE organization_id = %s AND subscription_id = %s "
        "AND period_end > %s AND NOT is_accrual_due",
        (organization, subscription, since),
    )


def lock_dirty(
    tx: Connection, organization: OrganizationId, customers: Iterable[CustomerId]
) -> dict[CustomerId, list[BillingPeriod]]:
    """Closed periods whose usage has changed since their invoice was final or there was none, locked, by customer."""
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM billing_periods p WHERE p.organization_id = %s AND p.customer_id = ANY(%s::uuid[]) "
        "AND p.is_dirty AND NOT p.is_waived AND NOT EXISTS "
        "(SELECT 1 FROM invoices i WHERE i.organization_id = p.organization_id "
        "AND i.invoice_id = p.invoice_id AND i.state = 'draft') "
        "ORDER BY p.organization_id, p.subscription_id, p.period_start FOR UPDATE OF p",
        (organization, list(customers)),
    )
    found: dict[CustomerId, list[BillingPeriod]] = {}
    for period in map(_period, rows):
        found.setdefault(period.customer_id, []).append(period)
    return found


def are_invoiced(tx: Connection, organization: OrganizationId, subscription: SubscriptionId, span: Period) -> bool:
    """Whether all periods of a subscription that begin within a span are closed, and none of their invoices a draft."""
    is_unsettled = tx.exec_driver_sql(
        "SELECT EXISTS (SELECT FROM billing_periods p LEFT JOIN invoices i ON i.organization_id = p.organization_id "
        "AND i.invoice_id = p.invoice_id WHERE p.organization_id = %s AND p.subscription_id = %s "
        "AND p.period_start >= %s AND p.period_start < %s AND (p.state = 'open' OR i.state = 'draft'))",
        (organization, subscription, span.start, span.end),
    ).scalar_one()
    return not is_unsettled


def is_adjustable(tx: Connection, period: BillingPeriod) -> bool:
    """Whether an invoice will bill what comes late for a closed period: its own draft, or any other of its customer's.

    The customer's active subscriptions do not end until the transaction does, so that the last invoice of each sees
    what is counted.
    """
    if period.is_waived:
        return False
    is_draft = tx.exec_driver_sql(
        "SELECT EXISTS (SELECT FROM invoices WHERE organization_id = %s AND invoice_id = %s AND state = 'draft')",
        (period.organization_id, period.invoice_id),
    ).scalar_one()
    # Asked twice: whoever waits for a change of plan cannot see the subscription that it has made.
    return is_draft or _has_active(tx, period) or _has_active(tx, period)


def _has_active(tx: Connection, period: BillingPeriod) -> bool:
    rows = tx.exec_driver_sql(
        "SELECT id FROM subscriptions WHERE organization_id = %s AND customer_id = %s AND state = 'active' "
        "ORDER BY id FOR SHARE",
        (period.organization_id, period.customer_id),
    )
    return bool(rows.all())


_ACCRUES_LATER = waiting_sql([Work.ACCRUE], "p.organization_id", "p.subscription_id")


def take_accruals(
    tx: Connection, organization: OrganizationId | None, machine_now: datetime, *, limit: int
) -> list[BillingPeriod]:
    """Periods whose accrued revenue is to be announced, with their new revision; no other replica takes them."""
    own = "AND p.organization_id = %s" if organization else ""
    rows = tx.exec_driver_sql(
        "WITH due AS (SELECT p.organization_id, p.subscription_id, p.period_start FROM billing_periods p "
        f"WHERE p.is_accrual_due {own} AND NOT {_ACCRUES_LATER} LIMIT %s FOR NO KEY UPDATE SKIP LOCKED) "
        "UPDATE billing_periods p SET is_accrual_due = false, accrual_revision = p.accrual_revision + 1 FROM due "
        "WHERE p.organization_id = due.organization_id AND p.subscription_id = due.subscription_id "
        f"AND p.period_start = due.period_start RETURNING {_COLUMNS}",
        (*((organization,) if organization else ()), machine_now, limit),
    )
    return [_period(row) for row in rows]


def lock_keys(tx: Connection, keys: Iterable[PeriodKey]) -> list[BillingPeriod]:
    """Periods by their keys; no event is counted in them until the transaction ends."""
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM billing_periods p {_OF_KEYS} "
        "ORDER BY p.organization_id, p.subscription_id, p.period_start FOR UPDATE OF p",
        (rows_json(key._asdict() for key in keys),),
    )
    return [_period(row) for row in rows]


def _period(row: Row[Any]) -> BillingPeriod:
    return BillingPeriod(
        organization_id=OrganizationId(row.organization_id),
        subscription_id=SubscriptionId(row.subscription_id),
        customer_id=CustomerId(row.customer_id),
        period=Period(row.period_start, row.period_end),
        state=PeriodState(row.state),
        invoice_id=InvoiceId(row.invoice_id) if row.invoice_id else None,
        is_dirty=row.is_dirty,
        is_waived=row.is_waived,
        accrual_revision=row.accrual_revision,
    )
