"""What came of a price sheet, in the words of the scenario files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.oracles.billing.books import Books
from tests.oracles.billing.charge import Fee
from tests.oracles.billing.totals import Invoice

_SECOND = timedelta(seconds=1)


def invoices_of(books: Books) -> list[dict[str, Any]]:
    """The invoices that have a fee other than zero."""
    return [_invoice(invoice) for invoice in books.invoices if any(fee.cents for fee in invoice.fees)]


def every_invoice_of(books: Books) -> list[dict[str, Any]]:
    """The invoices that are final, those of zeros as well."""
    return [_invoice(invoice) for invoice in books.invoices]


def credit_notes_of(books: Books) -> list[dict[str, Any]]:
    """The credit notes."""
    return [
        {
            "total_cents": note.total_cents,
            "credit_cents": note.credit_cents,
            "refund_cents": note.refund_cents,
            "offset_cents": note.offset_cents,
            "balance_cents": note.left_cents,
        }
        for note in books.notes
    ]


def _invoice(invoice: Invoice) -> dict[str, Any]:
    return {
        "fees": [_fee(fee) for fee in invoice.fees],
        "coupons_cents": int(sum(invoice.coupons_cents)),
        "taxes_cents": invoice.taxes_cents,
        "credit_notes_cents": invoice.credits_cents,
        "total_cents": invoice.total_cents,
    }


def _fee(fee: Fee) -> dict[str, Any]:
    return {
        "type": fee.kind,
        "code": fee.code,
        "amount_cents": fee.cents,
        "units": decimal_text(fee.units),
        "filter": fee.label,
        "group": dict(fee.group),
        "from": text_of(fee.span.start),
        "to": text_of(fee.span.end - _SECOND),
    }


def text_of(at: datetime) -> str:
    """An instant as the files write it, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def decimal_text(number: Fraction, places: int = 20) -> str:
    """A number as text without trailing zeros; a number with endless decimals is cut to `places`."""
    scaled = round(number * 10**places)
    text = f"{'-' if scaled < 0 else ''}{abs(scaled) // 10**places}.{abs(scaled) % 10**places:0{places}}"
    return text.rstrip("0").rstrip(".")
