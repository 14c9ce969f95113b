"""An invoice as the clients of Lago and of Nozle read it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from farebox.rating.v1.invoice_pb2 import AppliedTax, Invoice
from farebox.rating.v1.organization_pb2 import Organization
from farebox.rating.v1.subscription_pb2 import Subscription
from gateway.dialects.lago.customer import customer_to_api
from gateway.dialects.nozle import write
from gateway.dialects.nozle.fees import fee_json
from gateway.dialects.nozle.subscriptions import subscription_json

STATES = {
    "draft": Invoice.STATE_DRAFT,
    "finalized": Invoice.STATE_FINALIZED,
    "voided": Invoice.STATE_VOIDED,
}
PAYMENT_STATES = {
    "pending": Invoice.PAYMENT_STATE_PENDING,
    "succeeded": Invoice.PAYMENT_STATE_SUCCEEDED,
    "failed": Invoice.PAYMENT_STATE_FAILED,
}
KINDS = {"subscription": Invoice.KIND_SUBSCRIPTION, "one_off": Invoice.KIND_ONE_OFF}
# Lago numbers the shapes of its invoices; ours is the newest it has.
VERSION_NUMBER = 4


def invoice_json(
    invoice: Invoice,
    organization: Organization,
    now: datetime | None,
    held: Mapping[str, Subscription] | None = None,
) -> dict[str, Any]:
    """An invoice.

    Args:
        invoice: as rating has it.
        organization: whose it is.
        now: the organization's time; None where the invoice cannot be overdue.
        held: its subscriptions by Farebox id, to show them and the fees; None shows neither.
    """
    return {
        **write.ids(invoice.id),
        "sequential_id": invoice.sequential_id or None,
        "number": invoice.number,
        "issuing_date": invoice.issuing_date or None,
        "payment_due_date": invoice.payment_due_date or None,
        "payment_overdue": now is not None and _is_overdue(invoice, now),
        "net_payment_term": organization.net_payment_term_days,
        "invoice_type": write.word(KINDS, invoice.kind) or "subscription",
        "version_number": VERSION_NUMBER,
        "status": write.word(STATES, invoice.state),
        "payment_status": write.word(PAYMENT_STATES, invoice.payment_state) or "pending",
        "currency": invoice.currency,
        **_amounts(invoice),
        "customer": customer_to_api(invoice.customer, organization),
        "applied_taxes": [_tax_json(tax, invoice) for tax in invoice.applied_taxes],
        "voided_at": write.instant(invoice, "voided_at"),
        "finalized_at": write.instant(invoice, "finalized_at"),
        "grace_ends_at": write.instant(invoice, "grace_ends_at"),
        "created_at": write.instant(invoice, "created_at"),
        "updated_at": write.instant(invoice, "finalized_at") or write.instant(invoice, "created_at"),
        **({} if held is None else _parts(invoice, held)),
    }


def react_invoice_json(invoice: Invoice, pdf_url: str | None) -> dict[str, Any]:
    """An invoice as Nozle's React components list it."""
    status = write.word(STATES, invoice.state)
    if invoice.state == Invoice.STATE_FINALIZED:
        status = "paid" if invoice.payment_state == Invoice.PAYMENT_STATE_SUCCEEDED else "open"
    return {
        "id": invoice.id,
        "number": invoice.number,
        "date": invoice.issuing_date,
        # The components divide by 100, so this is minor units.
        "amount": invoice.total_amount_cents,
        "currency": invoice.currency,
        "status": "void" if status == "voided" else status,
        "pdf_url": pdf_url,
    }


def _amounts(invoice: Invoice) -> dict[str, Any]:
    before_taxes = invoice.fees_amount_cents - invoice.coupons_amount_cents
    is_owed = invoice.state == Invoice.STATE_FINALIZED
    return {
        "fees_amount_cents": invoice.fees_amount_cents,
        "coupons_amount_cents": invoice.coupons_amount_cents,
        "sub_total_excluding_taxes_amount_cents": before_taxes,
        "taxes_amount_cents": invoice.taxes_amount_cents,
        "sub_total_including_taxes_amount_cents": before_taxes + invoice.taxes_amount_cents,
        "credit_notes_amount_cents": invoice.credit_notes_amount_cents,
        "prepaid_credit_amount_cents": invoice.prepaid_credits_amount_cents,
        "progressive_billing_credit_amount_cents": 0,
        "total_amount_cents": invoice.total_amount_cents,
        "total_paid_amount_cents": invoice.paid_amount_cents,
        "total_due_amount_cents": invoice.total_amount_cents - invoice.paid_amount_cents if is_owed else 0,
    }


def _parts(invoice: Invoice, held: Mapping[str, Subscription]) -> dict[str, Any]:
    return {
        "fees": [fee_json(fee, held) for fee in invoice.fees],
        "subscriptions": [subscription_json(each) for each in held.values()],
        "credits": [],
        "metadata": [],
    }


def _is_overdue(invoice: Invoice, now: datetime) -> bool:
    """Days compare as text, written as they are; the due day itself is not overdue."""
    is_open = invoice.state == Invoice.STATE_FINALIZED and invoice.total_amount_cents > invoice.paid_amount_cents
    return is_open and bool(invoice.payment_due_date) and now.date().isoformat() > invoice.payment_due_date


def _tax_json(tax: AppliedTax, invoice: Invoice) -> dict[str, Any]:
    return {
        "lago_invoice_id": invoice.id,
        "tax_code": tax.code,
        "tax_name": tax.name,
        "tax_rate": write.number(tax, "rate_percent") or 0,
        "tax_description": None,
        "amount_cents": tax.amount_cents,
        "amount_currency": invoice.currency,
        "fees_amount_cents": tax.base_amount_cents,
    }
