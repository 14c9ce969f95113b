"""Rendering an invoice as PDF with typst, from a template that is part of the package.

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
from services.rating.invoicing.invoice import Invoice
from services.rating.invoicing.invoice_fee import InvoiceFee

TEMPLATE = "invoice.typ"
# How many lines of a fee are printed; the API has the whole list. A fee by days or groups may have hundreds.
MAX_PRINTED_LINES = 40


def render(invoice: Invoice, seller: str) -> bytes:
    """The invoice as a PDF file.

    Args:
        invoice: the invoice; on the page of a draft it says that it is one.
        seller: the name of the organization.
    """
    template = resources.files("services.rating").joinpath(TEMPLATE).read_bytes()
    document = msgspec.json.encode(document_of(invoice, seller)).decode()
    drawn: bytes = typst.compile(template, sys_inputs={"invoice": document}, format="pdf")
    return drawn


def document_of(invoice: Invoice, seller: str) -> dict[str, Any]:
    """What the template prints, all as text."""
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
        "issued_on": invoice.issuing_date.isoformat(),
        "due_on": invoice.payment_due_date.isoformat(),
        "period": _span(invoice.period.start, invoice.period.end, invoice.timezone) if invoice.period else "",
        "customer": [
            text
            for text in (
                invoice.customer.name or invoice.customer.external_id,
                *invoice.customer.address_lines,
                invoice.customer.country,
                invoice.customer.tax_identification_number,
            )
            if text
        ],
        "fees": [_fee(invoice_fee, currency, invoice.timezone) for invoice_fee in invoice.fees],
        "sums": [[name, _money(cents, currency)] for name, cents in sums if cents or name == "Fees"],
        "total": _money(totals.total_amount_cents, currency),
    }


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
