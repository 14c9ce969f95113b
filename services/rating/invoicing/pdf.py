"""Rendering invoices and credit notes as PDF with typst, from a template that is part of the package.

The template never sees text as markup: everything travels as one JSON document, so a customer's name cannot change the
page. Fonts are typst's own, and nothing is fetched.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from importlib import resources
from typing import Any

import msgspec
import typst

from services.kernel.cadence import local_date
from services.kernel.money import Currency, plain
from services.rating.customers.customer import Customer
from services.rating.invoicing.credit_note import CreditNote
from services.rating.invoicing.invoice import Invoice
from services.rating.invoicing.invoice_fee import InvoiceFee

TEMPLATE = "invoice.typ"
# How many lines of a fee are printed; the API has the whole list. A fee by days or groups may have hundreds.
MAX_PRINTED_LINES = 40


def render(content: dict[str, Any]) -> bytes:
    """A PDF file.

    Args:
        content: what `invoice_document` or `credit_note_document` made.
    """
    template = resources.files("services.rating").joinpath(TEMPLATE).read_bytes()
    document = msgspec.json.encode(content).decode()
    drawn: bytes = typst.compile(template, sys_inputs={"invoice": document}, format="pdf")
    return drawn


def credit_note_document(note: CreditNote, invoice: Invoice, seller: str) -> dict[str, Any]:
    """What the template prints of a credit note on an invoice, all as text."""
    amounts, currency = note.amounts, note.currency
    fees = {fee.fee_id: fee for fee in invoice.fees}
    items = [
        {**_fee(fees[fee_id], currency, invoice.timezone), "units": "", "lines": [], "amount": _money(cents, currency)}
        for fee_id, cents in zip(note.fee_ids, amounts.item_amounts_cents, strict=True)
    ]
    sums = [("Coupons", -note.coupons_adjustment_amount_cents), ("Taxes", amounts.taxes_amount_cents)]
    parts = [
        ("Reduces later invoices", amounts.credit_amount_cents),
        ("Paid back", amounts.refund_amount_cents),
        ("Taken off the invoice", amounts.offset_amount_cents),
    ]
    return {
        "seller": seller,
        "title": "Credit note",
        "number": note.number,
        "state": "voided" if note.is_voided else "",
        "facts": [("Issued on", note.issuing_date.isoformat()), ("Invoice", note.invoice_number)],
        "customer": _address(invoice.customer),
        "fees": items,
        "sums": [[name, _money(cents, currency)] for name, cents in sums if cents],
        "total": ["Given back", _money(amounts.total_amount_cents, currency)],
        "parts": [[name, _money(cents, currency)] for name, cents in parts if cents],
    }


def invoice_document(invoice: Invoice, seller: str) -> dict[str, Any]:
    """What the template prints of an invoice, all as text; on the page of a draft it says that it is one."""
    totals, currency = invoice.totals, invoice.currency
    sums = [
        ("Fees", totals.fees_amount_cents),
        ("Coupons", -totals.coupons_amount_cents),
        *(
            (f"{tax.tax.name or tax.tax.code} {plain(tax.tax.rate_percent)} %", tax.amount_cents)
            for tax in totals.taxes
        ),
        ("Credit notes", -totals.credit_notes_amount_cents),
    ]
    return {
        "seller": seller,
        "title": "Invoice" if invoice.number else "Draft invoice",
        "number": invoice.number or "",
        "state": str(invoice.state),
        "facts": [
            ("Issued on", invoice.issuing_date.isoformat()),
            ("Due on", invoice.payment_due_date.isoformat()),
            *(
                [("Period", _span(invoice.period.start, invoice.period.end, invoice.timezone))]
                if invoice.period
                else []
            ),
        ],
        "customer": _address(invoice.customer),
        "fees": [_fee(invoice_fee, currency, invoice.timezone) for invoice_fee in invoice.fees],
        "sums": [[name, _money(cents, currency)] for name, cents in sums if cents or name == "Fees"],
        "total": ["To be paid", _money(totals.total_amount_cents, currency)],
        "parts": [],
    }


def _address(customer: Customer) -> list[str]:
    lines = (
        customer.name or customer.external_id,
        *customer.address_lines,
        customer.country,
        customer.tax_identification_number,
    )
    return [line for line in lines if line]


def _fee(billed: InvoiceFee, currency: Currency, timezone: str) -> dict[str, Any]:
    fee = billed.fee
    about = [billed.proof.filter_name, *(f"{name}: {value or '-'}" for name, value in fee.group)]
    return {
        "name": fee.description,
        "about": ", ".join(text for text in about if text),
        "period": _span(fee.period.start, fee.period.end, timezone),
        "units": plain(fee.units),
        "amount": _money(fee.amount_cents, currency),
        "lines": [
            [line.description, plain(line.units), plain(_short(line.unit_amount)), plain(_short(line.amount))]
            for line in fee.lines[:MAX_PRINTED_LINES]
        ],
    }


def _short(amount: Decimal) -> Decimal:
    """An exact amount with at most the twelve decimals that prices have."""
    return amount.quantize(Decimal("1e-12"))


def _money(cents: int, currency: Currency) -> str:
    return f"{currency.to_major(cents):,.{currency.exponent}f} {currency.code}"


def _span(start: datetime, end: datetime, timezone: str) -> str:
    """A half-open span by its first and last day."""
    if start == end:
        return local_date(start, timezone).isoformat()
    last = max(start, end - datetime.resolution)
    return f"{local_date(start, timezone).isoformat()} to {local_date(last, timezone).isoformat()}"
