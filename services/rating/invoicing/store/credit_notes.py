"""Credit notes in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
from sqlalchemy.engine import Connection, Row

from services.chassis.newest_first import NewestFirst, read_newest, within
from services.chassis.page import Listed, Page
from services.kernel.errors import NotFoundError
from services.kernel.ids import CustomerId, FeeId, InvoiceId, OrganizationId, uuid_or_none
from services.kernel.money import CURRENCIES
from services.rating.invoicing.credit_amounts import CreditAmounts, CreditItem, CreditNoteState
from services.rating.invoicing.credit_note import CreditNote, CreditReason, CreditState
from services.rating.invoicing.totals import Balance
from services.rating.shared.bulk import rows_json

_COLUMNS = {
    "organization_id": "uuid",
    "credit_note_id": "uuid",
    "invoice_id": "uuid",
    "sequence": "integer",
    "number": "text",
    "customer_id": "uuid",
    "external_customer_id": "text",
    "currency": "text",
    "reason": "text",
    "description": "text",
    "items": "jsonb",
    "sub_total_amount_cents": "bigint",
    "taxes_amount_cents": "bigint",
    "credit_amount_cents": "bigint",
    "refund_amount_cents": "bigint",
    "offset_amount_cents": "bigint",
    "used_amount_cents": "bigint",
    "created_at": "timestamptz",
    "voided_at": "timestamptz",
}
_NAMES = ", ".join(_COLUMNS)
_TYPES = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
_COLUMNS_READ = (
    "c.organization_id::text, c.credit_note_id::text, c.invoice_id::text, c.sequence, c.customer_id::text, "
    "c.external_customer_id, c.currency, c.reason, c.description, c.items::text, c.sub_total_amount_cents, "
    "c.taxes_amount_cents, c.credit_amount_cents, c.refund_amount_cents, c.offset_amount_cents, c.used_amount_cents, "
    "c.created_at, c.voided_at, c.metadata, i.number AS invoice_number, i.timezone"
)
_SOURCE = "credit_notes c JOIN invoices i USING (organization_id, invoice_id)"
_SELECT = f"SELECT {_COLUMNS_READ} FROM {_SOURCE}"


class _Item(msgspec.Struct):
    """One item as it is stored."""

    fee_id: str
    item: CreditItem
    amount_cents: int


_ITEMS = msgspec.json.Decoder(list[_Item])


def insert(tx: Connection, note: CreditNote) -> None:
    """Store a new credit note."""
    tx.exec_driver_sql(
        f"INSERT INTO credit_notes ({_NAMES}) SELECT {_NAMES} FROM json_to_recordset(%s::json) AS r({_TYPES})",
        (rows_json([_row(note)]),),
    )


def save(tx: Connection, notes: Iterable[CreditNote]) -> None:
    """Store credit notes after verbs have changed them."""
    for note in notes:
        tx.exec_driver_sql(
            "UPDATE credit_notes SET used_amount_cents = %s, voided_at = %s "
            "WHERE organization_id = %s AND credit_note_id = %s",
            (note.amounts.used_amount_cents, note.voided_at, note.organization_id, note.credit_note_id),
        )


def save_metadata(tx: Connection, note: CreditNote) -> None:
    """Store a credit note after its metadata has changed."""
    tx.exec_driver_sql(
        "UPDATE credit_notes SET metadata = %s::jsonb WHERE organization_id = %s AND credit_note_id = %s",
        (msgspec.json.encode(dict(note.metadata)).decode(), note.organization_id, note.credit_note_id),
    )


def credit_note(tx: Connection, organization: OrganizationId, credit_note_id: str, *, lock: bool = False) -> CreditNote:
    """The credit note with this Farebox id; with `lock`, nobody else uses it until the transaction ends.

    Raises:
        NotFoundError: `CREDIT_NOTE_UNKNOWN`.
    """
    row = None
    if uuid_or_none(credit_note_id) is not None:
        row = tx.exec_driver_sql(
            f"{_SELECT} WHERE c.organization_id = %s AND c.credit_note_id = %s" + (" FOR UPDATE OF c" if lock else ""),
            (organization, credit_note_id),
        ).first()
    if row is None:
        raise NotFoundError("CREDIT_NOTE_UNKNOWN", "no credit note has this id", credit_note_id=credit_note_id)
    return _credit_note(row)


def of_invoice(
    tx: Connection, organization: OrganizationId, invoice: InvoiceId, *, lock: bool = False
) -> list[CreditNote]:
    """The credit notes of an invoice, in order; with `lock`, nobody else uses them until the transaction ends."""
    rows = tx.exec_driver_sql(
        f"{_SELECT} WHERE c.organization_id = %s AND c.invoice_id = %s ORDER BY c.sequence"
        + (" FOR UPDATE OF c" if lock else ""),
        (organization, invoice),
    )
    return [_credit_note(row) for row in rows]


@dataclass(frozen=True, slots=True)
class CreditNotesWanted:
    """The filters of a list of credit notes; every filter that is set must hold.

    Attributes:
        external_customer_id: only this customer's.
        invoice_id, invoice_number: only on this invoice.
        issued_from, issued_until: only issued between these days, inclusive.
        currency: only in this currency.
        reasons, credit_states: only given for these reasons, only with credit in these states; empty means all.
        amount_from_cents, amount_until_cents: only with a total between these, inclusive, in minor units.
    """

    external_customer_id: str = ""
    invoice_id: str = ""
    invoice_number: str = ""
    issued_from: date | None = None
    issued_until: date | None = None
    currency: str = ""
    reasons: tuple[CreditReason, ...] = ()
    credit_states: tuple[CreditState, ...] = ()
    amount_from_cents: int | None = None
    amount_until_cents: int | None = None


_ISSUED_ON = "(c.created_at AT TIME ZONE i.timezone)::date"
_TOTAL = "(c.sub_total_amount_cents + c.taxes_amount_cents)"
# As in the domain; NULL if nothing reduces later invoices.
_CREDIT_STATE = (
    "CASE WHEN c.credit_amount_cents = 0 THEN NULL WHEN c.voided_at IS NOT NULL THEN 'voided' "
    "WHEN c.used_amount_cents < c.credit_amount_cents THEN 'available' ELSE 'consumed' END"
)
_LIST = NewestFirst(
    _COLUMNS_READ,
    f"{_SOURCE} WHERE c.organization_id = %(organization)s",
    "c.credit_note_id",
    customer="c.customer_id = (SELECT u.id FROM customers u WHERE u.organization_id = c.organization_id "
    "AND u.external_id = %(customer)s)",
    invoice="c.invoice_id = %(invoice)s::uuid",
    number="i.number = %(number)s",
    issued_from=f"{_ISSUED_ON} >= %(issued_from)s",
    issued_until=f"{_ISSUED_ON} <= %(issued_until)s",
    currency="c.currency = %(currency)s",
    reasons="c.reason = ANY(%(reasons)s)",
    credit_states=f"{_CREDIT_STATE} = ANY(%(credit_states)s)",
    amount_from=f"{_TOTAL} >= %(amount_from)s",
    amount_until=f"{_TOTAL} <= %(amount_until)s",
)


def list_credit_notes(
    tx: Connection, organization: OrganizationId, wanted: CreditNotesWanted, page: Page
) -> Listed[CreditNote]:
    """Credit notes, newest first."""
    values = {
        **within(page),
        "organization": organization,
        "customer": wanted.external_customer_id,
        "invoice": wanted.invoice_id,
        "number": wanted.invoice_number,
        "issued_from": wanted.issued_from,
        "issued_until": wanted.issued_until,
        "currency": wanted.currency,
        "reasons": [str(reason) for reason in wanted.reasons],
        "credit_states": [str(state) for state in wanted.credit_states],
        "amount_from": wanted.amount_from_cents,
        "amount_until": wanted.amount_until_cents,
    }
    return read_newest(tx, _LIST.rows.text(values), _LIST.count.text(values), values, page).map(_credit_note)


def lock_balances(
    tx: Connection, organization: OrganizationId, customers: Iterable[CustomerId]
) -> dict[tuple[CustomerId, str], list[Balance]]:
    """What is left of customers' credit notes, by customer and currency, oldest first; locked, to be used once."""
    rows = tx.exec_driver_sql(
        "SELECT customer_id::text, currency, credit_note_id::text, credit_amount_cents - used_amount_cents "
        "FROM credit_notes WHERE organization_id = %s AND customer_id = ANY(%s::uuid[]) AND voided_at IS NULL "
        "AND credit_amount_cents > used_amount_cents ORDER BY credit_note_id FOR UPDATE",
        (organization, list(customers)),
    )
    found: dict[tuple[CustomerId, str], list[Balance]] = {}
    for customer, currency, credit_note_id, left_amount_cents in rows:
        found.setdefault((CustomerId(customer), currency), []).append(Balance(credit_note_id, left_amount_cents))
    return found


def use(tx: Connection, organization: OrganizationId, used: Mapping[str, int]) -> None:
    """Take amounts off the balances of locked credit notes; a negative amount returns what a voided invoice had used.

    A balance cannot fall below zero: the table's check refuses it.
    """
    if used:
        rows = [{"credit_note_id": credit_note_id, "amount": amount} for credit_note_id, amount in used.items()]
        tx.exec_driver_sql(
            "UPDATE credit_notes c SET used_amount_cents = used_amount_cents + r.amount "
            "FROM json_to_recordset(%s::json) AS r(credit_note_id uuid, amount bigint) WHERE c.organization_id = %s "
            "AND c.credit_note_id = r.credit_note_id",
            (rows_json(rows), organization),
        )


def _row(note: CreditNote) -> dict[str, Any]:
    amounts = note.amounts
    return {
        "organization_id": note.organization_id,
        "credit_note_id": note.credit_note_id,
        "invoice_id": note.invoice_id,
        "sequence": note.sequence,
        "number": note.number,
        "customer_id": note.customer_id,
        "external_customer_id": note.external_customer_id,
        "currency": note.currency.code,
        "reason": note.reason,
        "description": note.description,
        "items": _items(note),
        "sub_total_amount_cents": amounts.sub_total_amount_cents,
        "taxes_amount_cents": amounts.taxes_amount_cents,
        "credit_amount_cents": amounts.credit_amount_cents,
        "refund_amount_cents": amounts.refund_amount_cents,
        "offset_amount_cents": amounts.offset_amount_cents,
        "used_amount_cents": amounts.used_amount_cents,
        "created_at": note.created_at,
        "voided_at": note.voided_at,
    }


def _items(note: CreditNote) -> Sequence[_Item]:
    amounts = note.amounts
    return [_Item(*parts) for parts in zip(note.fee_ids, amounts.items, amounts.item_amounts_cents, strict=True)]


def _credit_note(row: Row[Any]) -> CreditNote:
    items = _ITEMS.decode(row.items)
    amounts = CreditAmounts(
        items=tuple(item.item for item in items),
        item_amounts_cents=tuple(item.amount_cents for item in items),
        sub_total_amount_cents=row.sub_total_amount_cents,
        taxes_amount_cents=row.taxes_amount_cents,
        credit_amount_cents=row.credit_amount_cents,
        refund_amount_cents=row.refund_amount_cents,
        offset_amount_cents=row.offset_amount_cents,
        used_amount_cents=row.used_amount_cents,
        state=CreditNoteState.VOIDED if row.voided_at else CreditNoteState.FINALIZED,
    )
    return CreditNote(
        organization_id=OrganizationId(row.organization_id),
        credit_note_id=row.credit_note_id,
        invoice_id=InvoiceId(row.invoice_id),
        invoice_number=row.invoice_number,
        sequence=row.sequence,
        customer_id=CustomerId(row.customer_id),
        external_customer_id=row.external_customer_id,
        currency=CURRENCIES[row.currency],
        reason=CreditReason(row.reason),
        description=row.description,
        amounts=amounts,
        fee_ids=tuple(FeeId(item.fee_id) for item in items),
        created_at=row.created_at,
        voided_at=row.voided_at,
        timezone=row.timezone,
        metadata=row.metadata,
    )
