"""Invoices, fees and credit notes: domain to messages, and what callers ask for to domain."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from farebox.rating.v1 import credit_note_pb2, fee_pb2, invoice_pb2
from farebox.rating.v1 import invoice_service_pb2 as pb
from services.chassis.page import read_page
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import FeeId, SubscriptionId, uuid_or_none
from services.kernel.money import CURRENCIES
from services.rating.customers.convert import customer_to_pb
from services.rating.invoicing.commands.credit_notes import CreditWanted
from services.rating.invoicing.commands.one_off import OneOffItem
from services.rating.invoicing.credit_note import CreditNote, CreditReason
from services.rating.invoicing.invoice import Invoice, InvoiceKind, InvoiceState, PaymentState
from services.rating.invoicing.invoice_fee import InvoiceFee
from services.rating.invoicing.queries.invoices import Explanation
from services.rating.invoicing.queries.rebuild import Rebuilt
from services.rating.invoicing.store.listing import FeesWanted, InvoicesWanted
from services.rating.pricing.charges import Line
from services.rating.pricing.fee import FeeKind
from services.rating.pricing.tax import InvoiceTax
from services.wire.values import decimal_from_pb, decimal_to_pb, instant_to_pb, page_to_pb, period_to_pb

_FEE_KINDS = {
    FeeKind.SUBSCRIPTION: fee_pb2.Fee.KIND_SUBSCRIPTION,
    FeeKind.CHARGE: fee_pb2.Fee.KIND_CHARGE,
    FeeKind.TRUE_UP: fee_pb2.Fee.KIND_TRUE_UP,
    FeeKind.COMMITMENT: fee_pb2.Fee.KIND_COMMITMENT,
    FeeKind.ADJUSTMENT: fee_pb2.Fee.KIND_ADJUSTMENT,
    FeeKind.ADD_ON: fee_pb2.Fee.KIND_ADD_ON,
}
_STATES = {
    InvoiceState.DRAFT: invoice_pb2.Invoice.STATE_DRAFT,
    InvoiceState.FINALIZED: invoice_pb2.Invoice.STATE_FINALIZED,
    InvoiceState.VOIDED: invoice_pb2.Invoice.STATE_VOIDED,
}
_PAYMENT_STATES = {
    PaymentState.PENDING: invoice_pb2.Invoice.PAYMENT_STATE_PENDING,
    PaymentState.SUCCEEDED: invoice_pb2.Invoice.PAYMENT_STATE_SUCCEEDED,
    PaymentState.FAILED: invoice_pb2.Invoice.PAYMENT_STATE_FAILED,
}
_KINDS = {
    InvoiceKind.SUBSCRIPTION: invoice_pb2.Invoice.KIND_SUBSCRIPTION,
    InvoiceKind.ONE_OFF: invoice_pb2.Invoice.KIND_ONE_OFF,
}
_REASONS = {
    CreditReason.DUPLICATED_CHARGE: credit_note_pb2.CreditNote.REASON_DUPLICATED_CHARGE,
    CreditReason.PRODUCT_UNSATISFACTORY: credit_note_pb2.CreditNote.REASON_PRODUCT_UNSATISFACTORY,
    CreditReason.ORDER_CHANGE: credit_note_pb2.CreditNote.REASON_ORDER_CHANGE,
    CreditReason.ORDER_CANCELLATION: credit_note_pb2.CreditNote.REASON_ORDER_CANCELLATION,
    CreditReason.FRAUDULENT_CHARGE: credit_note_pb2.CreditNote.REASON_FRAUDULENT_CHARGE,
    CreditReason.OTHER: credit_note_pb2.CreditNote.REASON_OTHER,
}
_STATES_FROM = {message: state for state, message in _STATES.items()}
_PAYMENT_STATES_FROM = {message: state for state, message in _PAYMENT_STATES.items()}
_REASONS_FROM = {message: reason for reason, message in _REASONS.items()}
# The digest as its 16 bytes in hexadecimal.
_DIGEST_FORMAT = "032x"


def fee_to_pb(billed: InvoiceFee, currency: str, invoice_id: str) -> fee_pb2.Fee:
    """A fee with its lines and its proof; without ids while it is on no invoice."""
    fee, proof = billed.fee, billed.proof
    return fee_pb2.Fee(
        id=billed.fee_id,
        kind=_FEE_KINDS[fee.kind],
        name=fee.description,
        subscription_id=fee.subscription_id or "",
        charge_id=fee.charge_id or "",
        metric_code=fee.metric_code or "",
        period=period_to_pb(fee.period),
        units=decimal_to_pb(fee.units),
        event_count=fee.event_count,
        precise_amount=decimal_to_pb(fee.precise_amount),
        amount_cents=fee.amount_cents,
        currency=currency,
        lines=[_line_to_pb(line) for line in fee.lines],
        group=dict(fee.group),
        filter_name=proof.filter_name,
        taxes_amount_cents=billed.taxes_amount_cents,
        taxes_rate_percent=decimal_to_pb(billed.taxes_rate_percent),
        precise_coupons_amount_cents=decimal_to_pb(_minor(billed.coupons_amount, currency)),
        invoice_id=invoice_id,
        digest=format(proof.digest, _DIGEST_FORMAT) if proof.metric_id else "",
        metric_id=proof.metric_id,
        charge_model=proof.charge_model,
        metric_version=proof.metric_version,
    )


def _minor(amount: Decimal, currency: str) -> Decimal:
    return amount.scaleb(CURRENCIES[currency].exponent)


def _line_to_pb(line: Line) -> fee_pb2.FeeLine:
    return fee_pb2.FeeLine(
        description=line.description,
        units=decimal_to_pb(line.units),
        unit_amount=decimal_to_pb(line.unit_amount),
        flat_amount=decimal_to_pb(line.flat_amount),
        amount=decimal_to_pb(line.amount),
    )


def invoice_to_pb(invoice: Invoice) -> invoice_pb2.Invoice:
    """The invoice as it is."""
    totals = invoice.totals
    currency = invoice.currency.code
    return invoice_pb2.Invoice(
        id=invoice.invoice_id,
        number=invoice.number or "",
        kind=_KINDS[invoice.kind],
        state=_STATES[invoice.state],
        payment_state=_PAYMENT_STATES[invoice.payment_state],
        customer=customer_to_pb(invoice.customer),
        currency=currency,
        fees=[fee_to_pb(each, currency, invoice.invoice_id) for each in invoice.fees],
        fees_amount_cents=totals.fees_amount_cents,
        coupons_amount_cents=totals.coupons_amount_cents,
        taxes_amount_cents=totals.taxes_amount_cents,
        credit_notes_amount_cents=totals.credit_notes_amount_cents,
        prepaid_credits_amount_cents=totals.prepaid_credits_amount_cents,
        total_amount_cents=totals.total_amount_cents,
        period=period_to_pb(invoice.period),
        created_at=instant_to_pb(invoice.created_at),
        grace_ends_at=instant_to_pb(invoice.grace_ends_at),
        finalized_at=instant_to_pb(invoice.finalized_at),
        voided_at=instant_to_pb(invoice.voided_at),
        issuing_date=invoice.issuing_date.isoformat(),
        payment_due_date=invoice.payment_due_date.isoformat(),
        applied_taxes=[_tax_to_pb(each, invoice) for each in totals.taxes],
        subscription_ids=invoice.subscription_ids,
        sequential_id=invoice.sequential_id or 0,
        paid_amount_cents=invoice.paid_amount_cents,
    )


def _tax_to_pb(applied: InvoiceTax, invoice: Invoice) -> invoice_pb2.AppliedTax:
    return invoice_pb2.AppliedTax(
        code=applied.tax.code,
        name=applied.tax.name,
        rate_percent=decimal_to_pb(applied.tax.rate_percent),
        base_amount_cents=invoice.currency.to_minor(applied.base_amount),
        amount_cents=applied.amount_cents,
    )


def invoice_fee_to_pb(invoice: Invoice, billed: InvoiceFee) -> fee_pb2.Fee:
    """A fee on its invoice."""
    return fee_to_pb(billed, invoice.currency.code, invoice.invoice_id)


def voided_to_pb(invoice: Invoice, given: CreditNote | None) -> pb.VoidInvoiceResponse:
    """A voided invoice, and the credit note that came of it."""
    return pb.VoidInvoiceResponse(
        invoice=invoice_to_pb(invoice), credit_note=credit_note_to_pb(given) if given is not None else None
    )


def invoices_wanted_from_pb(request: pb.ListInvoicesRequest) -> InvoicesWanted:
    """The filters of a list of invoices."""
    if request.subscription_id and uuid_or_none(request.subscription_id) is None:
        raise InvalidArgumentError.of_field("subscription_id", "value_is_invalid", "is not a Farebox id")
    return InvoicesWanted(
        external_customer_id=request.external_customer_id,
        states=tuple(_STATES_FROM[each] for each in request.states if each in _STATES_FROM),
        payment_states=tuple(
            _PAYMENT_STATES_FROM[each] for each in request.payment_states if each in _PAYMENT_STATES_FROM
        ),
        issued_from=_date_from_pb(request.issued_from, "issued_from"),
        issued_until=_date_from_pb(request.issued_until, "issued_until"),
        subscription_id=SubscriptionId(request.subscription_id) if request.subscription_id else None,
    )


def _date_from_pb(text: str, field: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise InvalidArgumentError.of_field(field, "invalid_format", "is a day such as 2024-02-01") from error


def fees_wanted_from_pb(request: pb.ListFeesRequest) -> FeesWanted:
    """The filters of a list of fees."""
    return FeesWanted(
        request.external_customer_id, request.external_subscription_id, request.metric_code, request.fee_id
    )


def items_from_pb(request: pb.CreateOneOffInvoiceRequest) -> list[OneOffItem]:
    """The items of a one-off invoice."""
    return [
        OneOffItem(
            name=item.name,
            code=item.code,
            units=decimal_from_pb(item.units, f"items[{index}].units"),
            unit_amount_cents=item.unit_amount_cents,
            tax_codes=tuple(item.tax_codes),
        )
        for index, item in enumerate(request.items)
    ]


def payment_state_from_pb(request: pb.RecordPaymentRequest) -> PaymentState:
    """The payment state that is reported."""
    if request.payment_state not in _PAYMENT_STATES_FROM:
        raise InvalidArgumentError.of_field("payment_state", "value_is_mandatory", "is required")
    return _PAYMENT_STATES_FROM[request.payment_state]


def credit_wanted_from_pb(request: pb.CreateCreditNoteRequest) -> CreditWanted:
    """What is to be given back."""
    return CreditWanted(
        invoice_id=request.invoice_id,
        items=tuple((FeeId(item.fee_id), item.amount_cents) for item in request.items),
        reason=_REASONS_FROM.get(request.reason, CreditReason.OTHER),
        description=request.description,
        credit_amount_cents=request.credit_amount_cents,
        refund_amount_cents=request.refund_amount_cents,
        offset_amount_cents=request.offset_amount_cents,
        is_estimate=request.validate_only,
    )


def credit_note_to_pb(note: CreditNote) -> credit_note_pb2.CreditNote:
    """The credit note as it is."""
    amounts = note.amounts
    return credit_note_pb2.CreditNote(
        id=note.credit_note_id,
        number=note.number,
        invoice_id=note.invoice_id,
        invoice_number=note.invoice_number,
        reason=_REASONS[note.reason],
        description=note.description,
        currency=note.currency.code,
        sub_total_amount_cents=amounts.sub_total_amount_cents,
        taxes_amount_cents=amounts.taxes_amount_cents,
        total_amount_cents=amounts.total_amount_cents,
        credit_amount_cents=amounts.credit_amount_cents,
        refund_amount_cents=amounts.refund_amount_cents,
        offset_amount_cents=amounts.offset_amount_cents,
        balance_amount_cents=amounts.balance_amount_cents,
        coupons_adjustment_amount_cents=note.coupons_adjustment_amount_cents,
        items=[
            credit_note_pb2.CreditNote.Item(fee_id=fee_id, amount_cents=amount)
            for fee_id, amount in zip(note.fee_ids, amounts.item_amounts_cents, strict=True)
        ],
        created_at=instant_to_pb(note.created_at),
        voided_at=instant_to_pb(note.voided_at),
        external_customer_id=note.external_customer_id,
    )


def explain_page_from_pb(request: pb.ExplainFeeRequest) -> tuple[int, str]:
    """The size of a page of events, and the log's own token of where it starts."""
    page = read_page(request.page.page_size, "", request.page.skip)
    if page.skip:
        raise InvalidArgumentError.of_field("page.skip", "value_is_invalid", "is not possible here; follow the token")
    return page.size, request.page.page_token


def explanation_to_pb(explanation: Explanation) -> pb.ExplainFeeResponse:
    """How a fee came about, with a page of its events."""
    billed = explanation.fee
    proof = billed.proof
    return pb.ExplainFeeResponse(
        fee=invoice_fee_to_pb(explanation.invoice, billed),
        metric_code=billed.fee.metric_code or "",
        metric_version=proof.metric_version,
        period=period_to_pb(billed.fee.period),
        watermark=proof.watermark,
        event_count=proof.event_count,
        units=decimal_to_pb(proof.units),
        digest=format(proof.digest, _DIGEST_FORMAT) if proof.metric_id else "",
        events=[
            pb.ExplainFeeResponse.CountedEvent(transaction_id=each.transaction_id, value=each.value)
            for each in explanation.events.items
        ],
        page=page_to_pb(explanation.events),
        shard=proof.shard,
    )


def rebuilt_to_pb(rebuilt: Rebuilt) -> pb.RebuildInvoiceResponse:
    """An invoice computed anew, and how it compares."""
    return pb.RebuildInvoiceResponse(
        rebuilt=invoice_to_pb(rebuilt.invoice), equal=not rebuilt.differences, differences=rebuilt.differences
    )
