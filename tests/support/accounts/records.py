"""Rating's own records as accounts show them: bills, credit notes and usage summaries."""

from __future__ import annotations

from collections.abc import Iterable

from services.rating.invoicing.bill import Bill, BilledFee
from services.rating.invoicing.kept_credit_note import GivenCredit
from services.rating.invoicing.queries.priced_usage import UsageSummary
from services.rating.pricing.fee import FeeKind
from tests.support.accounts.account import CreditNote, Fee, Invoice, Line, Usage, seconds_of


def invoice_of(bill: Bill) -> Invoice:
    """A bill."""
    totals = bill.invoice.totals
    return Invoice(
        state=str(bill.invoice.state),
        issued_on=bill.issuing_date.isoformat(),
        fees=tuple(fee_of(billed, bill.invoice.currency.exponent) for billed in bill.fees),
        fees_cents=totals.fees_cents,
        coupons_cents=totals.coupons_cents,
        sub_total_cents=totals.sub_total_cents,
        taxes_cents=totals.taxes_cents,
        credit_notes_cents=totals.credit_notes_cents,
        total_cents=totals.total_cents,
        identity=bill.invoice.invoice_id,
    )


def fee_of(billed: BilledFee, exponent: int = 2) -> Fee:
    """A billed fee, in a currency with so many decimals."""
    fee = billed.fee
    first, last = seconds_of(fee.period)
    is_base = fee.kind is FeeKind.SUBSCRIPTION
    return Fee(
        type=str(fee.kind),
        code="" if is_base else fee.metric_code or fee.plan_code,
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
        coupons_cents=billed.coupon_amount.scaleb(exponent),
        taxes_cents=billed.taxes_cents,
        taxes_rate=billed.taxes_rate_percent,
        subscription=fee.subscription_id or "",
        identity=billed.fee_id,
    )


def credit_note_of(given: GivenCredit) -> CreditNote:
    """A given credit."""
    note = given.note
    return CreditNote(
        total_cents=note.total_cents,
        sub_total_cents=note.sub_total_cents,
        taxes_cents=note.taxes_cents,
        credit_cents=note.credit_cents,
        refund_cents=note.refund_cents,
        offset_cents=note.offset_cents,
        balance_cents=note.balance_cents,
        item_cents=note.item_cents,
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
        total_cents=summary.amount_cents + summary.taxes_cents,
        issued_on=issued_on,
    )


def by_number(bills: Iterable[Bill]) -> list[Bill]:
    """Bills in the order of their numbers, drafts last in the order in which they were made."""
    return sorted(bills, key=lambda bill: (bill.sequential_id is None, bill.sequential_id or 0, bill.created_at))
