"""Invoices: domain to messages, and callers' requests to domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from farebox.rating.v1 import invoice_pb2 as pb
from farebox.rating.v1 import invoice_service_pb2 as service_pb2
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import SubscriptionId
from services.kernel.money import ZERO
from services.rating.customers.convert import customer_to_pb
from services.rating.invoicing.commands.one_off import ANY_ADD_ON, OneOffItem, check_items
from services.rating.invoicing.convert.fees import invoice_fee_to_pb
from services.rating.invoicing.convert.words import day_from_pb, id_from_pb, words_from_pb
from services.rating.invoicing.invoice import BilledSubscription, Invoice, InvoiceKind, InvoiceState, PaymentState
from services.rating.invoicing.queries.rebuild import Rebuilt
from services.rating.invoicing.store.listing import InvoicesWanted
from services.rating.invoicing.totals import Totals
from services.rating.pricing.tax import InvoiceTax
from services.wire.values import decimal_from_pb, decimal_to_pb, instant_to_pb, optional_int_of, period_to_pb

_STATES = {
    InvoiceState.DRAFT: pb.Invoice.STATE_DRAFT,
    InvoiceState.FINALIZED: pb.Invoice.STATE_FINALIZED,
    InvoiceState.VOIDED: pb.Invoice.STATE_VOIDED,
}
_PAYMENT_STATES = {
    PaymentState.PENDING: pb.Invoice.PAYMENT_STATE_PENDING,
    PaymentState.SUCCEEDED: pb.Invoice.PAYMENT_STATE_SUCCEEDED,
    PaymentState.FAILED: pb.Invoice.PAYMENT_STATE_FAILED,
}
_KINDS = {
    InvoiceKind.SUBSCRIPTION: pb.Invoice.KIND_SUBSCRIPTION,
    InvoiceKind.ONE_OFF: pb.Invoice.KIND_ONE_OFF,
}
_STATES_FROM: Mapping[int, InvoiceState] = {message: state for state, message in _STATES.items()}
_PAYMENT_STATES_FROM: Mapping[int, PaymentState] = {message: state for state, message in _PAYMENT_STATES.items()}
_KINDS_FROM: Mapping[int, InvoiceKind] = {message: kind for kind, message in _KINDS.items()}


def invoice_to_pb(invoice: Invoice, at: datetime) -> pb.Invoice:
    """The invoice at an instant, which decides whether it is overdue."""
    totals = invoice.totals
    return pb.Invoice(
        id=invoice.invoice_id,
        number=invoice.number or "",
        kind=_KINDS[invoice.kind],
        state=_STATES[invoice.state],
        payment_state=_PAYMENT_STATES[invoice.payment_state],
        customer=customer_to_pb(invoice.customer),
        currency=invoice.currency.code,
        fees=[invoice_fee_to_pb(invoice, fee) for fee in invoice.fees],
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
        dispute_lost_at=instant_to_pb(invoice.dispute_lost_at),
        issuing_date=invoice.issuing_date.isoformat(),
        payment_due_date=invoice.payment_due_date.isoformat(),
        applied_taxes=[_tax_to_pb(tax, invoice) for tax in totals.taxes],
        subscription_ids=invoice.subscription_ids,
        sequential_id=invoice.sequential_id or 0,
        paid_amount_cents=invoice.paid_amount_cents,
        due_amount_cents=invoice.due_amount_cents,
        is_overdue=invoice.is_overdue(at),
        net_payment_term_days=invoice.net_payment_term_days,
        applied_credits=_credits_to_pb(totals),
        billed_subscriptions=[
            _billed_subscription_to_pb(subscription) for subscription in invoice.billed_subscriptions
        ],
    )


def _tax_to_pb(applied: InvoiceTax, invoice: Invoice) -> pb.AppliedTax:
    return pb.AppliedTax(
        code=applied.tax.code,
        name=applied.tax.name,
        rate_percent=decimal_to_pb(applied.tax.rate_percent),
        base_amount_cents=invoice.currency.to_minor(applied.base_amount),
        amount_cents=applied.amount_cents,
    )


def _credits_to_pb(totals: Totals) -> Iterator[pb.AppliedCredit]:
    """What reduced the invoice, coupons first; those that took nothing off are left out."""
    for credit in totals.coupons:
        if credit.amount_cents:
            kind = pb.AppliedCredit.KIND_COUPON
            yield pb.AppliedCredit(kind=kind, code=credit.coupon.code, amount_cents=credit.amount_cents)
    for balance in totals.credit_notes:
        kind = pb.AppliedCredit.KIND_CREDIT_NOTE
        yield pb.AppliedCredit(kind=kind, id=balance.balance_id, amount_cents=balance.amount_cents)


def _billed_subscription_to_pb(billed: BilledSubscription) -> pb.BilledSubscription:
    return pb.BilledSubscription(
        subscription_id=billed.subscription_id or "",
        external_id=billed.external_id,
        plan_code=billed.plan_code,
        base_period=period_to_pb(billed.base_period),
        usage_period=period_to_pb(billed.usage_period),
    )


def invoices_wanted_from_pb(request: service_pb2.ListInvoicesRequest) -> InvoicesWanted:
    """The filters of a list of invoices, or a refusal that names every wrong one."""
    with inside() as checks:
        subscription_id = checks.read("", id_from_pb, request.subscription_id, "subscription_id")
        return InvoicesWanted(
            external_customer_id=request.external_customer_id,
            states=checks.read((), words_from_pb, request.states, _STATES_FROM, "states"),
            payment_states=checks.read(
                (), words_from_pb, request.payment_states, _PAYMENT_STATES_FROM, "payment_states"
            ),
            issued_from=checks.read(None, day_from_pb, request.issued_from, "issued_from"),
            issued_until=checks.read(None, day_from_pb, request.issued_until, "issued_until"),
            subscription_id=SubscriptionId(subscription_id) if subscription_id else None,
            currency=request.currency,
            kinds=checks.read((), words_from_pb, request.kinds, _KINDS_FROM, "kinds"),
            is_overdue=request.is_overdue if request.HasField("is_overdue") else None,
            amount_from_cents=optional_int_of(request, "amount_from_cents"),
            amount_until_cents=optional_int_of(request, "amount_until_cents"),
            without_fees=request.without_fees,
        )


def one_off_from_pb(request: service_pb2.CreateOneOffInvoiceRequest) -> tuple[str, str, list[OneOffItem]]:
    """Customer, currency and items of a one-off invoice, or a refusal that names every wrong field of them."""
    with inside() as checks:
        items = [
            OneOffItem(
                name=item.name,
                code=item.code,
                units=checks.read(ZERO, decimal_from_pb, item.units, f"items[{index}].units"),
                unit_amount_cents=None if item.add_on_price else item.unit_amount_cents,
                tax_codes=tuple(item.tax_codes),
            )
            for index, item in enumerate(request.items)
        ]
        # The command completes items by their add-ons and checks them again.
        checks(check_items, [item.completed(ANY_ADD_ON) if item.code else item for item in items])
        return request.external_customer_id, request.currency, items


def payment_state_to_pb(state: PaymentState) -> pb.Invoice.PaymentState:
    """The payment state of an invoice."""
    return _PAYMENT_STATES[state]


def payment_state_from_pb(state: int) -> PaymentState:
    """The outcome of a payment."""
    if state not in _PAYMENT_STATES_FROM:
        raise InvalidArgumentError.of_field("payment_state", "value_is_mandatory", "is required")
    return _PAYMENT_STATES_FROM[state]


def rebuilt_to_pb(rebuilt: Rebuilt) -> service_pb2.RebuildInvoiceResponse:
    """An invoice that was computed again, and how it compares; it is shown as of the day on which it was made."""
    return service_pb2.RebuildInvoiceResponse(
        rebuilt=invoice_to_pb(rebuilt.invoice, rebuilt.invoice.created_at),
        equal=not rebuilt.differences,
        differences=rebuilt.differences,
    )
