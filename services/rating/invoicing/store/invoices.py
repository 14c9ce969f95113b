"""Invoices with their fees in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection, Row

from services.kernel.errors import NotFoundError
from services.kernel.ids import FeeId, InvoiceId, OrganizationId, SubscriptionId, uuid_or_none
from services.kernel.period import Period
from services.rating.invoicing.invoice import Invoice
from services.rating.invoicing.invoice_fee import InvoiceFee
from services.rating.invoicing.store.rows import (
    FEE_COLUMNS,
    FEE_SELECT,
    INVOICE_COLUMNS,
    INVOICE_SELECT,
    fee_of_row,
    fee_row,
    invoice_of_row,
    invoice_row,
)
from services.rating.shared.bulk import rows_json
from services.rating.shared.set_aside import Work, waiting_sql


def _insert_sql(table: str, columns: dict[str, str]) -> str:
    names = ", ".join(columns)
    types = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM json_to_recordset(%s::json) AS r({types})"


_INSERT_INVOICES = _insert_sql("invoices", INVOICE_COLUMNS)
_INSERT_FEES = _insert_sql("fees", FEE_COLUMNS)
_UPDATE_INVOICES = (
    f"UPDATE invoices i SET {', '.join(f'{name} = r.{name}' for name in INVOICE_COLUMNS)} "
    f"FROM json_to_recordset(%s::json) AS r({', '.join(f'{name} {kind}' for name, kind in INVOICE_COLUMNS.items())}) "
    "WHERE i.organization_id = r.organization_id AND i.invoice_id = r.invoice_id"
)


def insert(tx: Connection, invoices: Sequence[Invoice]) -> None:
    """Store new invoices with their fees."""
    if invoices:
        tx.exec_driver_sql(_INSERT_INVOICES, (rows_json(map(invoice_row, invoices)),))
        _insert_fees(tx, invoices)


def save(tx: Connection, invoices: Sequence[Invoice], *, fees: bool = False) -> None:
    """Store invoices after verbs have changed them; with `fees` also their fees, which only drafts may change."""
    if not invoices:
        return
    tx.exec_driver_sql(_UPDATE_INVOICES, (rows_json(map(invoice_row, invoices)),))
    if fees:
        tx.exec_driver_sql(
            "DELETE FROM fees WHERE organization_id = ANY(%s::uuid[]) AND invoice_id = ANY(%s::uuid[])",
            (list({invoice.organization_id for invoice in invoices}), [invoice.invoice_id for invoice in invoices]),
        )
        _insert_fees(tx, invoices)


def _insert_fees(tx: Connection, invoices: Sequence[Invoice]) -> None:
    rows = [
        fee_row(invoice, position, invoice_fee)
        for invoice in invoices
        for position, invoice_fee in enumerate(invoice.fees)
    ]
    if rows:
        tx.exec_driver_sql(_INSERT_FEES, (rows_json(rows),))


def invoice(tx: Connection, organization: OrganizationId, invoice_id: str, *, lock: bool = False) -> Invoice:
    """The invoice with this Farebox id; with `lock`, nobody else changes it until the transaction ends.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
    """
    found: list[Invoice] = []
    if uuid_or_none(invoice_id) is not None:
        found = invoices_of(
            tx,
            f"SELECT {INVOICE_SELECT} FROM invoices i WHERE i.organization_id = %s AND i.invoice_id = %s "
            + ("FOR NO KEY UPDATE" if lock else ""),
            (organization, invoice_id),
        )
    if not found:
        raise NotFoundError("INVOICE_UNKNOWN", "no invoice has this id", invoice_id=invoice_id)
    return found[0]


def invoice_of_fee(tx: Connection, organization: OrganizationId, fee_id: str) -> tuple[Invoice, InvoiceFee]:
    """A fee with its invoice.

    Raises:
        NotFoundError: `FEE_UNKNOWN`.
    """
    row = None
    if uuid_or_none(fee_id) is not None:
        row = tx.exec_driver_sql(
            "SELECT invoice_id::text FROM fees WHERE organization_id = %s AND fee_id = %s", (organization, fee_id)
        ).first()
    if row is None:
        raise NotFoundError("FEE_UNKNOWN", "no fee has this id", fee_id=fee_id)
    found = invoice(tx, organization, row[0])
    return found, next(invoice_fee for invoice_fee in found.fees if invoice_fee.fee_id == fee_id)


_IS_SET_ASIDE = waiting_sql([Work.FINALIZE], "i.organization_id", "i.invoice_id")


def lock_grace_ended(
    tx: Connection,
    organization: OrganizationId | None,
    as_of: datetime,
    machine_now: datetime,
    *,
    limit: int,
    skip_locked: bool = True,
) -> list[Invoice]:
    """Drafts whose grace period has ended, earliest first, locked; for None those of all without a test clock."""
    own = (
        "i.organization_id = %s"
        if organization
        else "i.organization_id NOT IN (SELECT organization_id FROM organizations WHERE test_clock_now IS NOT NULL)"
    )
    return invoices_of(
        tx,
        f"SELECT {INVOICE_SELECT} FROM invoices i WHERE i.state = 'draft' AND i.grace_ends_at <= %s AND {own} "
        f"AND NOT {_IS_SET_ASIDE} ORDER BY i.grace_ends_at, i.organization_id, i.invoice_id LIMIT %s FOR NO KEY UPDATE"
        + (" SKIP LOCKED" if skip_locked else ""),
        (as_of, *((organization,) if organization else ()), machine_now, limit),
    )


def next_grace_end(
    tx: Connection, organization: OrganizationId, as_of: datetime, machine_now: datetime
) -> datetime | None:
    """The earliest end of a draft's grace period at or before `as_of`; None if nothing is due."""
    found: datetime | None = tx.exec_driver_sql(
        "SELECT min(i.grace_ends_at) FROM invoices i "
        f"WHERE i.organization_id = %s AND i.state = 'draft' AND i.grace_ends_at <= %s AND NOT {_IS_SET_ASIDE}",
        (organization, as_of, machine_now),
    ).scalar_one()
    return found


def take_numbers(tx: Connection, organization: OrganizationId, count: int) -> int:
    """The first of `count` new running numbers.

    The counter is locked until the transaction ends, and is restored if that is rolled back: so numbers have no gaps.
    Take them as late as possible, since every other finalization of the organization waits.
    """
    last: int = tx.exec_driver_sql(
        "INSERT INTO counters AS kept (organization_id, name, last_number) VALUES (%s, 'invoice', %s) "
        "ON CONFLICT (organization_id, name) DO UPDATE SET last_number = kept.last_number + excluded.last_number "
        "RETURNING last_number",
        (organization, count),
    ).scalar_one()
    return last - count + 1


def last_number(tx: Connection, organization: OrganizationId) -> int:
    """The last running number that was assigned; 0 if none was."""
    found: int | None = tx.exec_driver_sql(
        "SELECT last_number FROM counters WHERE organization_id = %s AND name = 'invoice'", (organization,)
    ).scalar_one_or_none()
    return found or 0


def invoices_by_id(
    tx: Connection, organization: OrganizationId, ids: Iterable[InvoiceId], *, with_fees: bool = True
) -> dict[InvoiceId, Invoice]:
    """Invoices by id; without `with_fees` only their heads, since fees are many."""
    invoices = invoices_of(
        tx,
        f"SELECT {INVOICE_SELECT} FROM invoices i WHERE i.organization_id = %s AND i.invoice_id = ANY(%s::uuid[])",
        (organization, list(ids)),
        with_fees=with_fees,
    )
    return {invoice.invoice_id: invoice for invoice in invoices}


def fees_of_usage(
    tx: Connection, organization: OrganizationId, periods: Iterable[tuple[SubscriptionId, datetime]]
) -> dict[tuple[SubscriptionId, datetime], list[InvoiceFee]]:
    """What was invoiced for the usage of billing periods, including adjustments, by subscription and start."""
    found: dict[tuple[SubscriptionId, datetime], list[InvoiceFee]] = {period: [] for period in periods}
    rows = tx.exec_driver_sql(
        f"SELECT {FEE_SELECT} FROM fees f JOIN json_to_recordset(%s::json) AS r(subscription_id uuid, "
        "counted_period_start timestamptz) USING (subscription_id, counted_period_start) "
        "WHERE f.organization_id = %s AND f.kind IN ('charge', 'true_up', 'adjustment') ORDER BY f.fee_id",
        (
            rows_json({"subscription_id": period[0], "counted_period_start": period[1]} for period in found),
            organization,
        ),
    )
    for row in rows:
        found[(SubscriptionId(row.subscription_id), row.counted_period_start)].append(fee_of_row(row))
    return found


def fees_within(
    tx: Connection, organization: OrganizationId, subscription: SubscriptionId, span: Period
) -> list[InvoiceFee]:
    """Fees of a subscription that pay for a part of a span: base price, charges, true-ups, commitments, adjustments."""
    rows = tx.exec_driver_sql(
        f"SELECT {FEE_SELECT} FROM fees f WHERE f.organization_id = %s AND f.subscription_id = %s "
        "AND f.kind IN ('subscription', 'charge', 'true_up', 'commitment', 'adjustment') "
        "AND f.period_start >= %s AND f.period_start < %s",
        (organization, subscription, span.start, span.end),
    )
    return [fee_of_row(row) for row in rows]


def base_fee_within(
    tx: Connection, organization: OrganizationId, subscription: SubscriptionId, span: Period
) -> tuple[InvoiceId, FeeId] | None:
    """The newest base fee of a subscription for days of a span, with its invoice; None if none was billed."""
    row = tx.exec_driver_sql(
        "SELECT invoice_id::text, fee_id::text FROM fees WHERE organization_id = %s AND subscription_id = %s "
        "AND kind = 'subscription' AND period_start >= %s AND period_start < %s ORDER BY fee_id DESC LIMIT 1",
        (organization, subscription, span.start, span.end),
    ).first()
    return (InvoiceId(row[0]), FeeId(row[1])) if row is not None else None


def invoices_of(
    tx: Connection, statement: str, values: tuple[Any, ...] | dict[str, Any], *, with_fees: bool = True
) -> list[Invoice]:
    """The invoices that a statement selects, by default with their fees."""
    rows: Sequence[Row[Any]] = tx.exec_driver_sql(statement, values).all()
    fees: dict[str, list[InvoiceFee]] = {row.invoice_id: [] for row in rows}
    if rows and with_fees:
        found = tx.exec_driver_sql(
            f"SELECT {FEE_SELECT} FROM fees f WHERE f.organization_id = ANY(%s::uuid[]) "
            "AND f.invoice_id = ANY(%s::uuid[]) ORDER BY f.invoice_id, f.position",
            (list({row.organization_id for row in rows}), list(fees)),
        )
        for fee in found:
            fees[fee.invoice_id].append(fee_of_row(fee))
    return [invoice_of_row(row, tuple(fees[row.invoice_id])) for row in rows]
