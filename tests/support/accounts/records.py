"""Rating's own records as accounts show them: bills, credit notes and usage summaries."""

from __future__ import annotations

from collections.abc import Iterable

from services.rating.invoicing import credit_note, invoice
from services.rating.invoicing.invoice_fee import InvoiceFee
from services.rating.invoicing.queries.priced_usage import UsageSummary
from services.rating.pricing.fee import FeeKind
from tests.support.accounts.account import CreditNote, Fee, Invoice, Line, Usage, seconds_of


def invoice_of(made: invoice.Invoice) -> Invoice:
    """An invoice."""
    totals = made.totals
    return Invoice(
        state=str(made.state),
        issued_on=made.issuing_date.isoformat(),
        fees=tuple(fee_of(billed, made.currency.exponent) for billed in made.fees),
        fees_cents=totals.fees_amount_cents,
        coupons_cents=totals.coupons_amount_cents,
        sub_total_cents=totals.sub_total_amount_cents,
        taxes_cents=totals.taxes_amount_cents,
        credit_notes_cents=totals.credit_notes_amount_cents,
        total_cents=totals.total_amount_cents,
        identity=made.invoice_id,
    )


def fee_of(billed: InvoiceFee, exponent: int = 2) -> Fee:
    """A billed fee, in a currency with this many decimals."""
    fee = billed.fee
    first, last = seconds_of(fee.period)
    is_base = fee.kind is FeeKind.SUBSCRIPTION
    item_code = fee.filter_key.partition(":")[2] if fee.kind is FeeKind.ADD_ON else ""
    return Fee(
        type=str(fee.kind),
        code="" if is_base else fee.metric_code or item_code or fee.plan_code,
        amount_cents=fee.amount_cents,
        units=fee.units,
        first=first,
        last=last,
        filter=billed.proof.filter_name,
        group=dict(fee.group),
        event_count=fee.event_count,
        precise_amount=fee.precise_amount,
        total_aggregated_units=fee.units,
        lines=tuple(Line(line.units, line.unit_amount, line.flat_amount, line.amount) for line in fee.lines),
        coupons_cents=billed.coupons_amount.scaleb(exponent),
        taxes_cents=billed.taxes_amount_cents,
        taxes_rate=billed.taxes_rate_percent,
        subscription=fee.subscription_id or "",
        identity=billed.fee_id,
    )


def credit_note_of(given: credit_note.CreditNote) -> CreditNote:
    """A given credit."""
    note = given.amounts
    return CreditNote(
        total_cents=note.total_amount_cents,
        sub_total_cents=note.sub_total_amount_cents,
        taxes_cents=note.taxes_amount_cents,
        credit_cents=note.credit_amount_cents,
        refund_cents=note.refund_amount_cents,
        offset_cents=note.offset_amount_cents,
        balance_cents=note.balance_amount_cents,
        item_cents=note.item_amounts_cents,
        item_precise_cents=tuple(item.precise_amount.scaleb(given.currency.exponent) for item in note.items),
        identity=given.credit_note_id,
    )


def usage_of(summary: UsageSummary, issued_on: str = "") -> Usage:
    """The usage of a period."""
    first, last = seconds_of(summary.period)
    return Usage(
        first=first,
        last=last,
        fees=tuple(fee_of(billed) for billed in summary.fees),
        amount_cents=summary.amount_cents,
        total_cents=summary.amount_cents + summary.taxes_amount_cents,
        issued_on=issued_on,
    )


def by_number(invoices: Iterable[invoice.Invoice]) -> list[invoice.Invoice]:
    """Invoices in the order of their numbers, drafts last in the order in which they were made."""
    return sorted(
        invoices, key=lambda invoice: (invoice.sequential_id is None, invoice.sequential_id or 0, invoice.created_at)
    )
