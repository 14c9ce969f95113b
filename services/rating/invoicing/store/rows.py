"""Invoices and fees as rows: nested values are JSON documents with decimals as text, read back by their types."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy.engine import Row

from services.kernel.ids import ChargeId, FeeId, InvoiceId, OrganizationId, SubscriptionId
from services.kernel.money import CURRENCIES
from services.kernel.period import Period
from services.rating.customers.customer import Customer
from services.rating.invoicing.invoice import DraftTerms, Invoice, InvoiceKind, InvoiceState, PaymentState
from services.rating.invoicing.invoice_fee import InvoiceFee, Proof
from services.rating.invoicing.totals import Balance, Totals
from services.rating.pricing.charge_filter import Conditions
from services.rating.pricing.charges import Line
from services.rating.pricing.coupon import CouponCredit
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.metric import Aggregation
from services.rating.pricing.tax import InvoiceTax, Tax

_COUPONS = msgspec.json.Decoder(tuple[CouponCredit, ...])
_TAXES = msgspec.json.Decoder(tuple[InvoiceTax, ...])
_BALANCES = msgspec.json.Decoder(tuple[Balance, ...])
_CUSTOMER = msgspec.json.Decoder(Customer)
_TERMS = msgspec.json.Decoder(DraftTerms)
_LINES = msgspec.json.Decoder(tuple[Line, ...])
_FEE_TAXES = msgspec.json.Decoder(tuple[Tax, ...])
_CONDITIONS = msgspec.json.Decoder(Conditions)
_GROUP = msgspec.json.Decoder(tuple[tuple[str, str], ...])

INVOICE_COLUMNS = {
    "organization_id": "uuid",
    "invoice_id": "uuid",
    "kind": "text",
    "state": "text",
    "payment_state": "text",
    "sequential_id": "bigint",
    "number": "text",
    "customer_id": "uuid",
    "customer": "jsonb",
    "timezone": "text",
    "currency": "text",
    "subscription_ids": "uuid[]",
    "period_start": "timestamptz",
    "period_end": "timestamptz",
    "fees_amount_cents": "bigint",
    "coupons_amount_cents": "bigint",
    "taxes_amount_cents": "bigint",
    "credit_notes_amount_cents": "bigint",
    "prepaid_credits_amount_cents": "bigint",
    "total_amount_cents": "bigint",
    "paid_amount_cents": "bigint",
    "coupons": "jsonb",
    "taxes": "jsonb",
    "credit_notes": "jsonb",
    "terms": "jsonb",
    "issuing_date": "date",
    "payment_due_date": "date",
    "created_at": "timestamptz",
    "grace_ends_at": "timestamptz",
    "finalized_at": "timestamptz",
    "voided_at": "timestamptz",
    "dispute_lost_at": "timestamptz",
}
FEE_COLUMNS = {
    "organization_id": "uuid",
    "fee_id": "uuid",
    "invoice_id": "uuid",
    "position": "integer",
    "kind": "text",
    "name": "text",
    "subscription_id": "uuid",
    "plan_code": "text",
    "charge_id": "text",
    "charge_model": "text",
    "metric_id": "text",
    "metric_code": "text",
    "metric_version": "integer",
    "filter_key": "text",
    "filter_name": "text",
    "group_values": "jsonb",
    "adjusts": "text",
    "period_start": "timestamptz",
    "period_end": "timestamptz",
    "counted_period_start": "timestamptz",
    "units": "numeric",
    "event_count": "bigint",
    "precise_amount": "numeric",
    "amount_cents": "bigint",
    "full_period_amount": "numeric",
    "lines": "jsonb",
    "taxes": "jsonb",
    "taxes_amount_cents": "bigint",
    "coupons_amount": "numeric",
    "shard": "smallint",
    "watermark": "bigint",
    "counted_events": "bigint",
    "counted_units": "numeric",
    "digest": "numeric",
    "external_subscription_id": "text",
    "charge_code": "text",
    "metric_name": "text",
    "aggregation": "text",
    "filter_values": "jsonb",
}


def _selected(columns: dict[str, str], name: str) -> str:
    """The columns, as text if their Python value is text: ids, and documents that msgspec reads."""
    as_text = {"uuid": "text", "jsonb": "text", "uuid[]": "text[]"}
    return ", ".join(
        f"{name}.{column}::{as_text[kind]} AS {column}" if kind in as_text else f"{name}.{column}"
        for column, kind in columns.items()
    )


INVOICE_SELECT = _selected(INVOICE_COLUMNS, "i")
FEE_SELECT = _selected(FEE_COLUMNS, "f")


def invoice_row(invoice: Invoice) -> dict[str, Any]:
    """The row of an invoice."""
    totals = invoice.totals
    return {
        "organization_id": invoice.organization_id,
        "invoice_id": invoice.invoice_id,
        "kind": invoice.kind,
        "state": invoice.state,
        "payment_state": invoice.payment_state,
        "sequential_id": invoice.sequential_id,
        "number": invoice.number,
        "customer_id": invoice.customer_id,
        "customer": invoice.customer,
        "timezone": invoice.timezone,
        "currency": invoice.currency.code,
        "subscription_ids": invoice.subscription_ids,
        "period_start": invoice.period.start if invoice.period else None,
        "period_end": invoice.period.end if invoice.period else None,
        "fees_amount_cents": totals.fees_amount_cents,
        "coupons_amount_cents": totals.coupons_amount_cents,
        "taxes_amount_cents": totals.taxes_amount_cents,
        "credit_notes_amount_cents": totals.credit_notes_amount_cents,
        "prepaid_credits_amount_cents": totals.prepaid_credits_amount_cents,
        "total_amount_cents": totals.total_amount_cents,
        "paid_amount_cents": invoice.paid_amount_cents,
        "coupons": totals.coupons,
        "taxes": totals.taxes,
        "credit_notes": totals.credit_notes,
        "terms": invoice.terms,
        "issuing_date": invoice.issuing_date,
        "payment_due_date": invoice.payment_due_date,
        "created_at": invoice.created_at,
        "grace_ends_at": invoice.grace_ends_at,
        "finalized_at": invoice.finalized_at,
        "voided_at": invoice.voided_at,
        "dispute_lost_at": invoice.dispute_lost_at,
    }


def fee_row(invoice: Invoice, position: int, on_invoice: InvoiceFee) -> dict[str, Any]:
    """The row of a fee."""
    fee, proof = on_invoice.fee, on_invoice.proof
    return {
        "organization_id": invoice.organization_id,
        "fee_id": on_invoice.fee_id,
        "invoice_id": invoice.invoice_id,
        "position": position,
        "kind": fee.kind,
        "name": fee.description,
        "subscription_id": fee.subscription_id or None,
        "plan_code": fee.plan_code,
        "charge_id": fee.charge_id,
        "charge_model": proof.charge_model,
        "metric_id": proof.metric_id,
        "metric_code": fee.metric_code,
        "metric_version": proof.metric_version,
        "filter_key": fee.filter_key,
        "filter_name": proof.filter_name,
        "group_values": fee.group,
        "adjusts": fee.adjusts,
        "period_start": fee.period.start,
        "period_end": fee.period.end,
        "counted_period_start": proof.period_start,
        "units": fee.units,
        "event_count": fee.event_count,
        "precise_amount": fee.precise_amount,
        "amount_cents": fee.amount_cents,
        "full_period_amount": fee.full_period_amount,
        "lines": fee.lines,
        "taxes": fee.taxes,
        "taxes_amount_cents": on_invoice.taxes_amount_cents,
        "coupons_amount": on_invoice.coupons_amount,
        "shard": proof.shard,
        "watermark": proof.watermark,
        "counted_events": proof.event_count,
        "counted_units": proof.units,
        "digest": str(proof.digest),
        "external_subscription_id": on_invoice.external_subscription_id,
        "charge_code": proof.charge_code,
        "metric_name": proof.metric_name,
        "aggregation": proof.aggregation,
        "filter_values": proof.filter_values,
    }


def fee_of_row(row: Row[Any]) -> InvoiceFee:
    """The fee in a row of `FEE_SELECT`."""
    fee = Fee(
        kind=FeeKind(row.kind),
        period=Period(row.period_start, row.period_end),
        precise_amount=row.precise_amount,
        amount_cents=row.amount_cents,
        units=row.units,
        event_count=row.event_count,
        lines=_LINES.decode(row.lines),
        description=row.name,
        subscription_id=SubscriptionId(row.subscription_id) if row.subscription_id else None,
        plan_code=row.plan_code,
        charge_id=ChargeId(row.charge_id) if row.charge_id else None,
        metric_code=row.metric_code,
        filter_key=row.filter_key,
        group=_GROUP.decode(row.group_values),
        taxes=_FEE_TAXES.decode(row.taxes),
        full_period_amount=row.full_period_amount,
        adjusts=FeeKind(row.adjusts) if row.adjusts else None,
    )
    proof = Proof(
        period_start=row.counted_period_start,
        metric_id=row.metric_id,
        metric_version=row.metric_version,
        charge_model=row.charge_model,
        filter_name=row.filter_name,
        shard=row.shard,
        watermark=row.watermark,
        event_count=row.counted_events,
        units=row.counted_units,
        digest=int(row.digest),
        metric_name=row.metric_name,
        aggregation=Aggregation(row.aggregation) if row.aggregation else None,
        charge_code=row.charge_code,
        filter_values=_CONDITIONS.decode(row.filter_values),
    )
    return InvoiceFee(
        fee_id=FeeId(row.fee_id),
        fee=fee,
        proof=proof,
        coupons_amount=row.coupons_amount,
        taxes_amount_cents=row.taxes_amount_cents,
        external_subscription_id=row.external_subscription_id,
    )


def invoice_of_row(row: Row[Any], fees: tuple[InvoiceFee, ...]) -> Invoice:
    """The invoice in a row of `INVOICE_SELECT`."""
    totals = Totals(
        fees_amount_cents=row.fees_amount_cents,
        coupons=_COUPONS.decode(row.coupons),
        coupon_amounts=tuple(invoice_fee.coupons_amount for invoice_fee in fees),
        taxes=_TAXES.decode(row.taxes),
        credit_notes=_BALANCES.decode(row.credit_notes),
    )
    return Invoice(
        invoice_id=InvoiceId(row.invoice_id),
        organization_id=OrganizationId(row.organization_id),
        kind=InvoiceKind(row.kind),
        customer=_CUSTOMER.decode(row.customer),
        currency=CURRENCIES[row.currency],
        timezone=row.timezone,
        created_at=row.created_at,
        grace_ends_at=row.grace_ends_at,
        issuing_date=row.issuing_date,
        payment_due_date=row.payment_due_date,
        fees=fees,
        totals=totals,
        period=Period(row.period_start, row.period_end) if row.period_start else None,
        terms=_TERMS.decode(row.terms),
        state=InvoiceState(row.state),
        sequential_id=row.sequential_id,
        number=row.number,
        finalized_at=row.finalized_at,
        voided_at=row.voided_at,
        payment_state=PaymentState(row.payment_state),
        paid_amount_cents=row.paid_amount_cents,
        dispute_lost_at=row.dispute_lost_at,
    )
