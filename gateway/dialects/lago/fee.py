"""Fees: the computed amounts on invoices, each with lines from which it can be recalculated by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.common.v1.period_pb2 import Period
from farebox.rating.v1 import invoice_service_pb2 as rpc
from farebox.rating.v1.fee_pb2 import Fee as FeeMessage
from farebox.rating.v1.fee_pb2 import FeeLine as FeeLineMessage
from gateway.dialects.lago.common import Identified, first_instant, last_second
from gateway.engine.paging import PageQuery, page_meta, page_request
from gateway.limit_terms import Budget
from gateway.listing import listed
from gateway.operation import ById, Listed, Nothing, PageMeta, Request, operation
from gateway.problem import not_found
from gateway.projection import exact, project
from gateway.schema import Cents, Code, DecimalText, ExactNumber, Instant, InstantInput, Words, keys, of
from services.kernel.money import plain

PAYMENT_STATE = Words(FeeMessage.PaymentState, "PAYMENT_STATE_")
KIND = Words(FeeMessage.Kind, "KIND_")
# Lago's words for the items of an invoice; it has none for a correction of an earlier period.
_ITEM_TYPES = {
    FeeMessage.KIND_SUBSCRIPTION: ("subscription", "Subscription"),
    FeeMessage.KIND_CHARGE: ("charge", "BillableMetric"),
    FeeMessage.KIND_TRUE_UP: ("charge", "BillableMetric"),
    FeeMessage.KIND_COMMITMENT: ("commitment", "Commitment"),
    FeeMessage.KIND_ADJUSTMENT: ("charge", "BillableMetric"),
    FeeMessage.KIND_ADD_ON: ("add_on", "AddOn"),
}

Values = dict[str, list[str]]


class FeeQuery(PageQuery, kw_only=True):
    """Which fees."""

    NOT_OFFERED: ClassVar = keys(
        "event_transaction_id succeeded_at_from succeeded_at_to failed_at_from failed_at_to refunded_at_from "
        "refunded_at_to billing_entity_codes"
    )

    external_customer_id: Code | UnsetType = UNSET
    external_subscription_id: Code | UnsetType = UNSET
    billable_metric_code: Annotated[Code, of("metric_code")] | UnsetType = UNSET
    currency: Annotated[str, Meta(max_length=3)] | UnsetType = UNSET
    fee_type: Annotated[str, KIND.meta, of("kinds")] | UnsetType = UNSET
    payment_status: Annotated[str, PAYMENT_STATE.meta, of("payment_states")] | UnsetType = UNSET
    created_at_from: Annotated[InstantInput, of("created_from")] | UnsetType = UNSET
    created_at_to: Annotated[InstantInput, of("created_until")] | UnsetType = UNSET
    lago_invoice_id: Annotated[Code, of("invoice_id")] | UnsetType = UNSET


class FeeLine(Struct, kw_only=True):
    """One step of the calculation; amounts are exact, in major units."""

    description: str
    units: DecimalText | None
    unit_amount: DecimalText | None
    flat_amount: DecimalText | None
    amount: DecimalText | None


class FeeDetails(Struct):
    """How the amount came about; the lines' amounts sum to the precise amount."""

    lines: list[FeeLine]


class FeeItem(Struct, kw_only=True):
    """What the fee is for."""

    type: str
    code: str | None
    name: str
    invoice_display_name: str
    filter_invoice_display_name: str | None
    filters: Values | None
    lago_item_id: str | None
    item_type: str
    grouped_by: dict[str, str]


class FeeTax(Struct, kw_only=True):
    """A tax on the fee; the rate is in percent."""

    tax_code: Annotated[str, of("code")]
    tax_name: Annotated[str, of("name")]
    tax_rate: Annotated[ExactNumber, of("rate_percent")]
    amount_cents: Cents


class Fee(Identified, kw_only=True):
    """A computed amount of one charge, base price or item in one period."""

    lago_invoice_id: Annotated[str | None, of("invoice_id")]
    lago_charge_id: Annotated[str | None, of("charge_id")]
    lago_subscription_id: Annotated[str | None, of("subscription_id")]
    lago_customer_id: Annotated[str | None, of("customer_id")]
    external_subscription_id: str | None
    external_customer_id: str | None
    invoice_number: str | None
    fee_type: Annotated[str, KIND.told, of("kind")] | None
    item: FeeItem
    amount_cents: Cents
    amount_currency: Annotated[str, of("currency")]
    precise_amount: DecimalText
    precise_coupons_amount_cents: DecimalText
    taxes_amount_cents: Cents
    taxes_rate: Annotated[ExactNumber, of("taxes_rate_percent")]
    sub_total_excluding_taxes_amount_cents: Annotated[Cents, of("amount_cents")]
    sub_total_excluding_taxes_precise_amount_cents: DecimalText
    total_amount_cents: Cents
    total_amount_currency: Annotated[str, of("currency")]
    units: DecimalText
    total_aggregated_units: Annotated[DecimalText, of("units")]
    precise_unit_amount: DecimalText | None
    events_count: Annotated[int, of("event_count")]
    payment_status: Annotated[str, PAYMENT_STATE.told, of("payment_state")] | None
    from_date: Instant | None
    to_date: Instant | None
    created_at: Instant | None
    applied_taxes: list[FeeTax]
    amount_details: FeeDetails


class ExplainedUsage(Struct, kw_only=True):
    """An event that was counted, and what it added; for a count that is 1."""

    transaction_id: str
    value: str


class Explanation(Struct, kw_only=True):
    """How a fee was computed, with a page of the events behind it."""

    fee: Fee
    billable_metric_code: Annotated[str | None, of("metric_code")]
    billable_metric_version: Annotated[int, of("metric_version")]
    from_datetime: Instant | None
    to_datetime: Instant | None
    shard: int
    watermark: int
    events_count: Annotated[int, of("event_count")]
    units: DecimalText | None
    digest: str | None
    events: list[ExplainedUsage]


class ExplainedFee(Struct, kw_only=True):
    """An explanation, and the place of its page of events."""

    explanation: Explanation
    meta: PageMeta


async def find(request: Request[ById, Nothing, Nothing]) -> Fee:
    """Find a fee by its id."""
    call, asked = request.call, rpc.ListFeesRequest(fee_id=request.path.id)
    fees = (await call.ask(call.clients.invoices.ListFees, asked)).fees
    if not fees:
        raise not_found("fee", f"no fee has the id {request.path.id}")
    return fee_to_api(fees[0])


async def find_all(request: Request[Nothing, FeeQuery, Nothing]) -> Listed[Fee]:
    """List fees, newest first."""
    return await listed(request.call, rpc.ListFeesRequest, request.query, fee_to_api)


async def explain(request: Request[ById, PageQuery, Nothing]) -> ExplainedFee:
    """Explain a fee: its lines, and a page of the events that it counted."""
    call, query = request.call, request.query
    asked = rpc.ExplainFeeRequest(fee_id=request.path.id, page=page_request(query))
    answer = await call.ask(call.clients.invoices.ExplainFee, asked)
    explanation = project(Explanation, answer, fee=fee_to_api(answer.fee), **span(answer.period, "_datetime"))
    return ExplainedFee(explanation=explanation, meta=page_meta(query, answer.page, len(answer.events)))


def fee_to_api(fee: FeeMessage) -> Fee:
    """A fee as Lago's clients read it, with our lines in `amount_details`."""
    has_period, coupons_cents = fee.HasField("period"), exact(fee.precise_coupons_amount_cents)
    return project(
        Fee,
        fee,
        item=_item(fee),
        sub_total_excluding_taxes_precise_amount_cents=plain(fee.amount_cents - coupons_cents),
        total_amount_cents=fee.amount_cents + fee.taxes_amount_cents,
        precise_unit_amount=_unit_amount(fee.lines[0]) if len(fee.lines) == 1 else None,
        amount_details=FeeDetails([project(FeeLine, line) for line in fee.lines]),
        **span(fee.period if has_period else None, "_date"),
    )


def span(period: Period | None, suffix: str) -> dict[str, datetime | None]:
    """A span under Lago's names for its ends: the first instant, and the last second."""
    if period is None:
        return {f"from{suffix}": None, f"to{suffix}": None}
    return {f"from{suffix}": first_instant(period), f"to{suffix}": last_second(period)}


def filter_values(fee: FeeMessage) -> Values:
    """The values of the filter that matched; empty for the charge's own price."""
    return {name: list(values.values) for name, values in sorted(fee.filter_values.items())}


def _item(fee: FeeMessage) -> FeeItem:
    kind, item_type = _ITEM_TYPES.get(fee.kind, ("charge", "BillableMetric"))
    return FeeItem(
        type=kind,
        code=fee.metric_code or fee.item_code or fee.plan_code or None,
        name=fee.name,
        invoice_display_name=fee.name,
        filter_invoice_display_name=fee.filter_name or None,
        filters=filter_values(fee) or None,
        lago_item_id=fee.metric_id or fee.charge_id or fee.subscription_id or None,
        item_type=item_type,
        grouped_by=dict(fee.group),
    )


def _unit_amount(line: FeeLineMessage) -> str | None:
    return plain(exact(line.unit_amount)) if line.HasField("unit_amount") else None


OPERATIONS = (
    operation("GET", "/fees", find_all, answer_root="fees"),
    operation("GET", "/fees/{id}", find, answer_root="fee"),
    operation("GET", "/fees/{id}/explanation", explain, budget=Budget.FORECASTS),
)
