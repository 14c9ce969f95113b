"""Invoices with their fees in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy.engine import Connection, Row

from services.chassis.page import Page, write_token
from services.kernel.errors import InvalidArgumentError, NotFoundError
from services.kernel.ids import FeeId, InvoiceId, OrganizationId, SubscriptionId, uuid_or_none
from services.kernel.period import Period
from services.rating.domain.bill import Bill, BilledFee
from services.rating.domain.invoice import InvoiceState, PaymentState
from services.rating.store.bulk import rows_json
from services.rating.store.invoices.rows import (
    FEE_COLUMNS,
    FEE_SELECT,
    INVOICE_COLUMNS,
    INVOICE_SELECT,
    bill_of_row,
    fee_of_row,
    fee_row,
    invoice_row,
)
from services.rating.store.rows import Listed


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


def insert(tx: Connection, bills: Sequence[Bill]) -> None:
    """Keep new invoices with their fees."""
    if bills:
        tx.exec_driver_sql(_INSERT_INVOICES, (rows_json(map(invoice_row, bills)),))
        _insert_fees(tx, bills)


def save(tx: Connection, bills: Sequence[Bill], *, fees: bool = False) -> None:
    """Keep invoices as verbs have left them; with `fees` their fees too, which only drafts may change."""
    if not bills:
        return
    tx.exec_driver_sql(_UPDATE_INVOICES, (rows_json(map(invoice_row, bills)),))
    if fees:
        tx.exec_driver_sql(
            "DELETE FROM fees WHERE organization_id = ANY(%s::uuid[]) AND invoice_id = ANY(%s::uuid[])",
            (list({bill.organization_id for bill in bills}), [bill.invoice.invoice_id for bill in bills]),
        )
        _insert_fees(tx, bills)


def _insert_fees(tx: Connection, bills: Sequence[Bill]) -> None:
    rows = [fee_row(bill, position, each) for bill in bills for position, each in enumerate(bill.fees)]
    if rows:
        tx.exec_driver_sql(_INSERT_FEES, (rows_json(rows),))


def bill(tx: Connection, organization: OrganizationId, invoice_id: str, *, lock: bool = False) -> Bill:
    """The invoice with this Farebox id; with `lock` nobody else moves it until the transaction ends.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
    """
    found: list[Bill] = []
    if uuid_or_none(invoice_id) is not None:
        found = _bills(
            tx,
            f"SELECT {INVOICE_SELECT} FROM invoices i WHERE i.organization_id = %s AND i.invoice_id = %s "
            + ("FOR NO KEY UPDATE" if lock else ""),
            (organization, invoice_id),
        )
    if not found:
        raise NotFoundError("INVOICE_UNKNOWN", "no invoice has this id", invoice_id=invoice_id)
    return found[0]


def bill_of_fee(tx: Connection, organization: OrganizationId, fee_id: str) -> tuple[Bill, BilledFee]:
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
    found = bill(tx, organization, row[0])
    return found, next(each for each in found.fees if each.fee_id == fee_id)


def lock_grace_ended(
    tx: Connection, organization: OrganizationId | None, as_of: datetime, *, limit: int, skip_locked: bool = True
) -> list[Bill]:
    """Drafts whose grace period has ended, earliest first, locked; without an organization of all without a clock."""
    own = (
        "i.organization_id = %s"
        if organization
        else "i.organization_id NOT IN (SELECT organization_id FROM organizations WHERE test_clock_now IS NOT NULL)"
    )
    return _bills(
        tx,
        f"SELECT {INVOICE_SELECT} FROM invoices i WHERE i.state = 'draft' AND i.grace_ends_at <= %s AND {own} "
        "ORDER BY i.grace_ends_at, i.organization_id, i.invoice_id LIMIT %s FOR NO KEY UPDATE"
        + (" SKIP LOCKED" if skip_locked else ""),
        (as_of, *((organization,) if organization else ()), limit),
    )


def next_grace_end(tx: Connection, organization: OrganizationId, as_of: datetime) -> datetime | None:
    """The earliest end of a draft's grace at or before `as_of`; None when none is due."""
    found: datetime | None = tx.exec_driver_sql(
        "SELECT min(grace_ends_at) FROM invoices "
        "WHERE organization_id = %s AND state = 'draft' AND grace_ends_at <= %s",
        (organization, as_of),
    ).scalar_one()
    return found


def take_numbers(tx: Connection, organization: OrganizationId, count: int) -> int:
    """The first of `count` new running numbers.

    The counter is locked until the transaction ends, and goes back with it: so numbers have no gaps. Take them as late
    as possible, since every other finalization of the organization waits.
    """
    last: int = tx.exec_driver_sql(
        "INSERT INTO counters AS kept (organization_id, name, last_number) VALUES (%s, 'invoice', %s) "
        "ON CONFLICT (organization_id, name) DO UPDATE SET last_number = kept.last_number + excluded.last_number "
        "RETURNING last_number",
        (organization, count),
    ).scalar_one()
    return last - count + 1


def last_number(tx: Connection, organization: OrganizationId) -> int:
    """The last running number that was given; 0 for none."""
    found: int | None = tx.exec_driver_sql(
        "SELECT last_number FROM counters WHERE organization_id = %s AND name = 'invoice'", (organization,)
    ).scalar_one_or_none()
    return found or 0


@dataclass(frozen=True, slots=True)
class InvoicesWanted:
    """Which invoices; every filter that is set must hold.

    Attributes:
        external_customer_id: only this customer's.
        states, payment_states: only in these; empty for all.
        issued_from, issued_until: only issued on or between these days.
        subscription_id: only with this subscription on it.
    """

    external_customer_id: str = ""
    states: tuple[InvoiceState, ...] = ()
    payment_states: tuple[PaymentState, ...] = ()
    issued_from: date | None = None
    issued_until: date | None = None
    subscription_id: SubscriptionId | None = None


def list_bills(tx: Connection, organization: OrganizationId, wanted: InvoicesWanted, page: Page) -> Listed[Bill]:
    """Invoices, newest first."""
    conditions, values = ["i.organization_id = %s"], [organization]

    def where(condition: str, value: Any) -> None:
        if value:
            conditions.append(condition)
            values.append(value)

    where("i.customer->>'external_id' = %s", wanted.external_customer_id)
    where("i.state = ANY(%s)", [str(each) for each in wanted.states])
    where("i.payment_state = ANY(%s)", [str(each) for each in wanted.payment_states])
    where("i.issuing_date >= %s", wanted.issued_from)
    where("i.issuing_date <= %s", wanted.issued_until)
    where("%s::uuid = ANY(i.subscription_ids)", wanted.subscription_id)
    where("i.invoice_id < %s::uuid", _after(page))
    bills = _bills(
        tx,
        f"SELECT {INVOICE_SELECT} FROM invoices i WHERE {' AND '.join(conditions)} "
        "ORDER BY i.invoice_id DESC OFFSET %s LIMIT %s",
        (*values, page.skip, page.size + 1),
    )
    kept = bills[: page.size]
    return Listed(tuple(kept), write_token(kept[-1].invoice.invoice_id) if len(bills) > page.size else "")


@dataclass(frozen=True, slots=True)
class FeesWanted:
    """Which fees; every filter that is set must hold."""

    external_customer_id: str = ""
    external_subscription_id: str = ""
    metric_code: str = ""
    fee_id: str = ""


def list_fees(
    tx: Connection, organization: OrganizationId, wanted: FeesWanted, page: Page
) -> Listed[tuple[Bill, BilledFee]]:
    """Fees across invoices, newest first, each with its invoice."""
    conditions, values = ["f.organization_id = %s"], [organization]

    def where(condition: str, value: str) -> None:
        if value:
            conditions.append(condition)
            values.append(OrganizationId(value))

    where("i.customer->>'external_id' = %s", wanted.external_customer_id)
    where(
        "f.subscription_id IN (SELECT s.id FROM subscriptions s WHERE s.organization_id = f.organization_id "
        "AND s.external_id = %s)",
        wanted.external_subscription_id,
    )
    where("f.metric_code = %s", wanted.metric_code)
    where("f.fee_id::text = %s", wanted.fee_id)
    where("f.fee_id < %s::uuid", _after(page))
    rows = tx.exec_driver_sql(
        f"SELECT {FEE_SELECT} FROM fees f JOIN invoices i USING (organization_id, invoice_id) "
        f"WHERE {' AND '.join(conditions)} ORDER BY f.fee_id DESC OFFSET %s LIMIT %s",
        (*values, page.skip, page.size + 1),
    ).all()
    kept = rows[: page.size]
    bills = bills_by_id(tx, organization, {InvoiceId(row.invoice_id) for row in kept})
    token = write_token(kept[-1].fee_id) if len(rows) > page.size else ""
    return Listed(tuple((bills[InvoiceId(row.invoice_id)], fee_of_row(row)) for row in kept), token)


def _after(page: Page) -> str:
    """The id that a page follows."""
    if page.after and uuid_or_none(page.after[0]) is None:
        raise InvalidArgumentError.of_field("page.page_token", "value_is_invalid", "is not a token of this list")
    return page.after[0] if page.after else ""


def bills_by_id(tx: Connection, organization: OrganizationId, ids: Iterable[InvoiceId]) -> dict[InvoiceId, Bill]:
    """Invoices by id."""
    bills = _bills(
        tx,
        f"SELECT {INVOICE_SELECT} FROM invoices i WHERE i.organization_id = %s AND i.invoice_id = ANY(%s::uuid[])",
        (organization, list(ids)),
    )
    return {each.invoice.invoice_id: each for each in bills}


def fees_of_usage(
    tx: Connection, organization: OrganizationId, periods: Iterable[tuple[SubscriptionId, datetime]]
) -> dict[tuple[SubscriptionId, datetime], list[BilledFee]]:
    """What was invoiced for the usage of billing periods, adjustments included, by subscription and start."""
    found: dict[tuple[SubscriptionId, datetime], list[BilledFee]] = {each: [] for each in periods}
    rows = tx.exec_driver_sql(
        f"SELECT {FEE_SELECT} FROM fees f JOIN json_to_recordset(%s::json) AS r(subscription_id uuid, "
        "counted_period_start timestamptz) USING (subscription_id, counted_period_start) "
        "WHERE f.organization_id = %s AND f.kind IN ('charge', 'true_up', 'adjustment') ORDER BY f.fee_id",
        (rows_json({"subscription_id": each[0], "counted_period_start": each[1]} for each in found), organization),
    )
    for row in rows:
        found[(SubscriptionId(row.subscription_id), row.counted_period_start)].append(fee_of_row(row))
    return found


def fees_within(
    tx: Connection, organization: OrganizationId, subscription: SubscriptionId, span: Period
) -> list[BilledFee]:
    """Fees of a subscription that pay for a part of a span: base price, charges and true-ups."""
    rows = tx.exec_driver_sql(
        f"SELECT {FEE_SELECT} FROM fees f WHERE f.organization_id = %s AND f.subscription_id = %s "
        "AND f.kind IN ('subscription', 'charge', 'true_up') AND f.period_start >= %s AND f.period_start < %s",
        (organization, subscription, span.start, span.end),
    )
    return [fee_of_row(row) for row in rows]


def base_fee_within(
    tx: Connection, organization: OrganizationId, subscription: SubscriptionId, span: Period
) -> tuple[InvoiceId, FeeId] | None:
    """The newest base fee of a subscription for days of a span, and its invoice; None where none was billed."""
    row = tx.exec_driver_sql(
        "SELECT invoice_id::text, fee_id::text FROM fees WHERE organization_id = %s AND subscription_id = %s "
        "AND kind = 'subscription' AND period_start >= %s AND period_start < %s ORDER BY fee_id DESC LIMIT 1",
        (organization, subscription, span.start, span.end),
    ).first()
    return (InvoiceId(row[0]), FeeId(row[1])) if row is not None else None


def _bills(tx: Connection, statement: str, values: Sequence[Any]) -> list[Bill]:
    """The invoices that a statement selects, with their fees."""
    rows: Sequence[Row[Any]] = tx.exec_driver_sql(statement, tuple(values)).all()
    fees: dict[str, list[BilledFee]] = {row.invoice_id: [] for row in rows}
    if rows:
        found = tx.exec_driver_sql(
            f"SELECT {FEE_SELECT} FROM fees f WHERE f.organization_id = ANY(%s::uuid[]) "
            "AND f.invoice_id = ANY(%s::uuid[]) ORDER BY f.invoice_id, f.position",
            (list({row.organization_id for row in rows}), list(fees)),
        )
        for fee in found:
            fees[fee.invoice_id].append(fee_of_row(fee))
    return [bill_of_row(row, tuple(fees[row.invoice_id])) for row in rows]
