"""Invoices as the clients of Lago and of Nozle read them; amounts in minor units."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from farebox.rating.v1.invoice_pb2 import AppliedCredit, AppliedTax, BilledSubscription
from farebox.rating.v1.invoice_pb2 import Invoice as InvoiceMessage
from farebox.rating.v1.organization_pb2 import Organization
from gateway.dialects.lago.common import Identified, first_instant, last_second
from gateway.dialects.lago.customer import Customer, customer_to_api
from gateway.dialects.lago.fee import Fee, fee_to_api
from gateway.projection import project
from gateway.schema import Cents, ExactNumber, Instant, Words, of

STATE = Words(InvoiceMessage.State, "STATE_")
PAYMENT_STATE = Words(InvoiceMessage.PaymentState, "PAYMENT_STATE_")
KIND = Words(InvoiceMessage.Kind, "KIND_")
# Lago numbers the shapes of its invoices; ours is the newest one.
VERSION_NUMBER = 4

Day = Annotated[str, Meta(description="A day, e.g. 2024-02-01.")]


class InvoiceTax(Struct, kw_only=True):
    """A tax on the invoice; the rate is in percent, and `fees_amount_cents` is the amount that was taxed."""

    lago_invoice_id: str
    tax_code: Annotated[str, of("code")]
    tax_name: Annotated[str, of("name")]
    tax_rate: Annotated[ExactNumber, of("rate_percent")]
    amount_cents: Cents
    amount_currency: str
    fees_amount_cents: Annotated[Cents, of("base_amount_cents")]


class CreditItem(Struct, kw_only=True):
    """The thing that reduced the invoice."""

    type: Literal["coupon", "credit_note"]
    code: str | None
    name: str | None
    lago_item_id: str | None


class Credit(Struct, kw_only=True):
    """Something that reduced the invoice: a coupon before taxes, a credit note after them."""

    amount_cents: Cents
    amount_currency: str
    before_taxes: bool
    item: CreditItem


class InvoicedSubscription(Struct, kw_only=True):
    """A subscription that is billed, by its ids."""

    lago_id: Annotated[str, of("subscription_id")]
    nozle_id: Annotated[str, of("subscription_id")]
    external_id: str
    external_customer_id: str
    plan_code: str


class InvoicedPeriod(Struct, kw_only=True):
    """The spans of a subscription that are billed; null for a kind of which nothing is billed."""

    lago_subscription_id: str
    external_subscription_id: str
    plan_code: str
    subscription_from_datetime: Instant | None
    subscription_to_datetime: Instant | None
    charges_from_datetime: Instant | None
    charges_to_datetime: Instant | None


class Invoice(Identified, kw_only=True):
    """An invoice, as lists show it."""

    sequential_id: int | None
    number: str
    issuing_date: Day | None
    payment_due_date: Day | None
    payment_overdue: Annotated[bool, of("is_overdue")]
    net_payment_term: Annotated[int, of("net_payment_term_days"), Meta(description="Days from issue until it is due.")]
    invoice_type: Annotated[str, KIND.told, of("kind")] | None
    version_number: int = VERSION_NUMBER
    status: Annotated[str, STATE.told, of("state")] | None
    payment_status: Annotated[str, PAYMENT_STATE.told, of("payment_state")]
    currency: str
    fees_amount_cents: Cents
    coupons_amount_cents: Cents
    sub_total_excluding_taxes_amount_cents: Cents
    taxes_amount_cents: Cents
    sub_total_including_taxes_amount_cents: Cents
    credit_notes_amount_cents: Cents
    prepaid_credit_amount_cents: Annotated[Cents, of("prepaid_credits_amount_cents")]
    progressive_billing_credit_amount_cents: Annotated[Cents, Meta(description="There is none: always 0.")] = 0
    total_amount_cents: Cents
    total_paid_amount_cents: Annotated[Cents, of("paid_amount_cents")]
    total_due_amount_cents: Annotated[Cents, of("due_amount_cents")]
    customer: Customer
    applied_taxes: list[InvoiceTax]
    voided_at: Instant | None
    payment_dispute_lost_at: Annotated[Instant | None, of("dispute_lost_at")]
    finalized_at: Instant | None
    grace_ends_at: Instant | None
    created_at: Instant | None
    file_url: Annotated[str | None, Meta(description="The address of its PDF, which needs the caller's key.")]


class WholeInvoice(Invoice, kw_only=True):
    """An invoice with its fees, and what it bills and takes off."""

    fees: list[Fee]
    subscriptions: list[InvoicedSubscription]
    billed_periods: list[InvoicedPeriod]
    credits: list[Credit]


class RebuiltInvoice(Struct, kw_only=True):
    """An invoice computed again from the event log, and how it compares."""

    invoice: WholeInvoice
    equal: bool
    differences: list[str]


class ListedInvoice(Struct, kw_only=True):
    """An invoice as Nozle's React components list it; they divide `amount` by 100."""

    id: str
    number: str
    date: str
    amount: Cents
    currency: str
    status: str | None
    pdf_url: str | None


class ListedInvoices(Struct):
    """A customer's invoices as Nozle's React components read them."""

    invoices: list[ListedInvoice]


def invoice_to_api(invoice: InvoiceMessage, organization: Organization, file_url: str | None) -> Invoice:
    """An invoice, as lists show it."""
    return project(Invoice, invoice, **_parts(invoice, organization, file_url))


def whole_invoice_to_api(invoice: InvoiceMessage, organization: Organization, file_url: str | None) -> WholeInvoice:
    """An invoice with its fees, and what it bills and takes off."""
    owner = invoice.customer.external_id
    return project(
        WholeInvoice,
        invoice,
        fees=[fee_to_api(fee) for fee in invoice.fees],
        subscriptions=[
            project(InvoicedSubscription, billed, external_customer_id=owner) for billed in invoice.billed_subscriptions
        ],
        billed_periods=[_period(billed) for billed in invoice.billed_subscriptions],
        credits=[_credit(credit, invoice.currency) for credit in invoice.applied_credits],
        **_parts(invoice, organization, file_url),
    )


def listed_invoice(invoice: InvoiceMessage, pdf_url: str | None) -> ListedInvoice:
    """An invoice as Nozle's React components list it."""
    status = STATE.word(invoice.state)
    if invoice.state == InvoiceMessage.STATE_FINALIZED:
        status = "paid" if invoice.payment_state == InvoiceMessage.PAYMENT_STATE_SUCCEEDED else "open"
    return ListedInvoice(
        id=invoice.id,
        number=invoice.number,
        date=invoice.issuing_date,
        amount=invoice.total_amount_cents,
        currency=invoice.currency,
        status="void" if status == "voided" else status,
        pdf_url=pdf_url,
    )


def _parts(invoice: InvoiceMessage, organization: Organization, file_url: str | None) -> dict[str, object]:
    """The fields that need more than a projection, in every shape of an invoice."""
    before_taxes = invoice.fees_amount_cents - invoice.coupons_amount_cents
    return {
        "sub_total_excluding_taxes_amount_cents": before_taxes,
        "sub_total_including_taxes_amount_cents": before_taxes + invoice.taxes_amount_cents,
        "payment_status": PAYMENT_STATE.word(invoice.payment_state) or "pending",
        "customer": customer_to_api(invoice.customer, organization),
        "applied_taxes": [_tax(tax, invoice) for tax in invoice.applied_taxes],
        "file_url": file_url,
    }


def _tax(tax: AppliedTax, invoice: InvoiceMessage) -> InvoiceTax:
    return project(InvoiceTax, tax, lago_invoice_id=invoice.id, amount_currency=invoice.currency)


def _period(billed: BilledSubscription) -> InvoicedPeriod:
    base, usage = billed.base_period, billed.usage_period
    has_base, has_usage = billed.HasField("base_period"), billed.HasField("usage_period")
    return InvoicedPeriod(
        lago_subscription_id=billed.subscription_id,
        external_subscription_id=billed.external_id,
        plan_code=billed.plan_code,
        subscription_from_datetime=first_instant(base) if has_base else None,
        subscription_to_datetime=last_second(base) if has_base else None,
        charges_from_datetime=first_instant(usage) if has_usage else None,
        charges_to_datetime=last_second(usage) if has_usage else None,
    )


def _credit(credit: AppliedCredit, currency: str) -> Credit:
    is_coupon = credit.kind == AppliedCredit.KIND_COUPON
    return Credit(
        amount_cents=credit.amount_cents,
        amount_currency=currency,
        before_taxes=is_coupon,
        item=CreditItem(
            type="coupon" if is_coupon else "credit_note",
            code=credit.code or None,
            name=credit.code or None,
            lago_item_id=credit.id or None,
        ),
    )
