"""Fees: domain to messages, and requests for lists of them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from farebox.rating.v1 import billable_metric_pb2, charge_pb2
from farebox.rating.v1 import fee_pb2 as pb
from farebox.rating.v1 import invoice_service_pb2 as service_pb2
from services.chassis.page import read_page
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.money import Currency
from services.rating.catalog.convert.metrics import AGGREGATIONS_TO_PB
from services.rating.invoicing.convert.words import id_from_pb, words_from_pb
from services.rating.invoicing.invoice import Invoice, InvoiceState, PaymentState
from services.rating.invoicing.invoice_fee import InvoiceFee
from services.rating.invoicing.queries.invoices import Explanation
from services.rating.invoicing.store.listing import FeesWanted
from services.rating.pricing.charges import Line
from services.rating.pricing.fee import FeeKind
from services.wire.values import decimal_to_pb, instant_or_none_of, instant_to_pb, page_to_pb, period_to_pb

_KINDS = {
    FeeKind.SUBSCRIPTION: pb.Fee.KIND_SUBSCRIPTION,
    FeeKind.CHARGE: pb.Fee.KIND_CHARGE,
    FeeKind.TRUE_UP: pb.Fee.KIND_TRUE_UP,
    FeeKind.COMMITMENT: pb.Fee.KIND_COMMITMENT,
    FeeKind.ADJUSTMENT: pb.Fee.KIND_ADJUSTMENT,
    FeeKind.ADD_ON: pb.Fee.KIND_ADD_ON,
}
_PAYMENT_STATES = {
    PaymentState.PENDING: pb.Fee.PAYMENT_STATE_PENDING,
    PaymentState.SUCCEEDED: pb.Fee.PAYMENT_STATE_SUCCEEDED,
    PaymentState.FAILED: pb.Fee.PAYMENT_STATE_FAILED,
}
_KINDS_FROM: Mapping[int, FeeKind] = {message: kind for kind, message in _KINDS.items()}
_PAYMENT_STATES_FROM: Mapping[int, PaymentState] = {message: state for state, message in _PAYMENT_STATES.items()}
# The digest as its 16 bytes in hexadecimal.
_DIGEST_FORMAT = "032x"


def fee_to_pb(billed: InvoiceFee, currency: Currency, customer: tuple[str, str], *, invoice_id: str = "") -> pb.Fee:
    """A fee with its lines, its proof, and what and whose it is.

    Args:
        billed: the fee; without an identity as long as it is on no invoice.
        currency: the currency of its amounts.
        customer: the billed customer, by Farebox id and by the organization's.
        invoice_id: the invoice it is on; empty if it is on none.
    """
    fee, proof = billed.fee, billed.proof
    return pb.Fee(
        id=billed.fee_id,
        kind=_KINDS[fee.kind],
        name=fee.description,
        subscription_id=fee.subscription_id or "",
        charge_id=fee.charge_id or "",
        metric_code=fee.metric_code or "",
        period=period_to_pb(fee.period),
        units=decimal_to_pb(fee.units),
        event_count=fee.event_count,
        precise_amount=decimal_to_pb(fee.precise_amount),
        amount_cents=fee.amount_cents,
        currency=currency.code,
        lines=[_line_to_pb(line) for line in fee.lines],
        group=dict(fee.group),
        filter_name=proof.filter_name,
        taxes_amount_cents=billed.taxes_amount_cents,
        taxes_rate_percent=decimal_to_pb(billed.taxes_rate_percent),
        precise_coupons_amount_cents=decimal_to_pb(_minor(billed.coupons_amount, currency)),
        invoice_id=invoice_id,
        digest=_digest(billed),
        metric_id=proof.metric_id,
        charge_model=proof.charge_model,
        metric_version=proof.metric_version,
        external_subscription_id=billed.external_subscription_id,
        external_customer_id=customer[1],
        customer_id=customer[0],
        plan_code=fee.plan_code,
        charge_code=proof.charge_code,
        metric_name=proof.metric_name,
        metric_aggregation=_aggregation_to_pb(billed),
        filter_values={name: charge_pb2.Charge.PropertyValues(values=values) for name, values in proof.filter_values},
        adjusts=_KINDS[fee.adjusts] if fee.adjusts is not None else None,
        item_code=fee.item_code,
        applied_taxes=_taxes_to_pb(billed, currency),
    )


def invoice_fee_to_pb(invoice: Invoice, billed: InvoiceFee) -> pb.Fee:
    """A fee on its invoice."""
    customer = invoice.customer_id, invoice.customer.external_id
    message = fee_to_pb(billed, invoice.currency, customer, invoice_id=invoice.invoice_id)
    message.invoice_number = invoice.number or ""
    if invoice.state is InvoiceState.FINALIZED:
        message.payment_state = _PAYMENT_STATES[invoice.payment_state]
    message.created_at.CopyFrom(instant_to_pb(invoice.created_at))
    return message


def _aggregation_to_pb(billed: InvoiceFee) -> billable_metric_pb2.BillableMetric.Aggregation | None:
    aggregation = billed.proof.aggregation
    return AGGREGATIONS_TO_PB[aggregation] if aggregation is not None else None


def _taxes_to_pb(billed: InvoiceFee, currency: Currency) -> list[pb.FeeTax]:
    return [
        pb.FeeTax(code=tax.code, name=tax.name, rate_percent=decimal_to_pb(tax.rate_percent), amount_cents=amount_cents)
        for tax, amount_cents in billed.taxes(currency)
    ]


def _digest(billed: InvoiceFee) -> str:
    return format(billed.proof.digest, _DIGEST_FORMAT) if billed.proof.metric_id else ""


def _minor(amount: Decimal, currency: Currency) -> Decimal:
    return amount.scaleb(currency.exponent)


def _line_to_pb(line: Line) -> pb.FeeLine:
    return pb.FeeLine(
        description=line.description,
        units=decimal_to_pb(line.units),
        unit_amount=decimal_to_pb(line.unit_amount),
        flat_amount=decimal_to_pb(line.flat_amount),
        amount=decimal_to_pb(line.amount),
    )


def fees_wanted_from_pb(request: service_pb2.ListFeesRequest) -> FeesWanted:
    """The filters of a list of fees, or a refusal that names every wrong one."""
    with inside() as checks:
        return FeesWanted(
            external_customer_id=request.external_customer_id,
            external_subscription_id=request.external_subscription_id,
            metric_code=request.metric_code,
            fee_id=checks.read("", id_from_pb, request.fee_id, "fee_id"),
            invoice_id=checks.read("", id_from_pb, request.invoice_id, "invoice_id"),
            currency=request.currency,
            kinds=checks.read((), words_from_pb, request.kinds, _KINDS_FROM, "kinds"),
            payment_states=checks.read(
                (), words_from_pb, request.payment_states, _PAYMENT_STATES_FROM, "payment_states"
            ),
            created_from=checks.read(None, instant_or_none_of, request, "created_from"),
            created_until=checks.read(None, instant_or_none_of, request, "created_until"),
        )


def explain_page_from_pb(request: service_pb2.ExplainFeeRequest) -> tuple[int, str]:
    """The size of a page of events, and the log's own token for its beginning."""
    page = read_page(request.page.page_size, "", request.page.skip)
    if page.skip:
        raise InvalidArgumentError.of_field("page.skip", "value_is_invalid", "is not possible here; follow the token")
    return page.size, request.page.page_token


def explanation_to_pb(explanation: Explanation) -> service_pb2.ExplainFeeResponse:
    """How a fee was computed, with a page of its events."""
    billed = explanation.fee
    proof = billed.proof
    return service_pb2.ExplainFeeResponse(
        fee=invoice_fee_to_pb(explanation.invoice, billed),
        metric_code=billed.fee.metric_code or "",
        metric_version=proof.metric_version,
        period=period_to_pb(billed.fee.period),
        watermark=proof.watermark,
        event_count=proof.event_count,
        units=decimal_to_pb(proof.units),
        digest=_digest(billed),
        events=[
            service_pb2.ExplainFeeResponse.CountedEvent(transaction_id=event.transaction_id, value=event.value)
            for event in explanation.events.items
        ],
        page=page_to_pb(explanation.events),
        shard=proof.shard,
    )
