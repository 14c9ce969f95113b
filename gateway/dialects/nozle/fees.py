"""Fees: the computed amounts on invoices, each with its lines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from farebox.rating.v1 import invoice_service_pb2 as service
from farebox.rating.v1 import subscription_service_pb2
from farebox.rating.v1.fee_pb2 import Fee
from farebox.rating.v1.subscription_pb2 import Subscription
from gateway.call import Call
from gateway.dialects.nozle import pages, write
from gateway.dialects.nozle.read import Reader
from gateway.problem import not_found
from services.kernel.money import plain

# Lago's words for what an item on an invoice is; it has none for a correction of an earlier period.
ITEM_TYPES = {
    Fee.KIND_SUBSCRIPTION: ("subscription", "Subscription"),
    Fee.KIND_CHARGE: ("charge", "BillableMetric"),
    Fee.KIND_TRUE_UP: ("charge", "BillableMetric"),
    Fee.KIND_COMMITMENT: ("commitment", "Commitment"),
    Fee.KIND_ADJUSTMENT: ("charge", "BillableMetric"),
    Fee.KIND_ADD_ON: ("add_on", "AddOn"),
}


async def find(call: Call) -> Any:
    """`GET /fees/{id}`."""
    request = service.ListFeesRequest(fee_id=call.path["id"])
    fees = (await call.ask(call.clients.invoices.ListFees, request)).fees
    if not fees:
        raise not_found("fee", f"no fee has the id {call.path['id']}")
    return {"fee": fee_json(fees[0], await subscriptions_of(call, fees))}


async def find_all(call: Call) -> Any:
    """`GET /fees`: by customer, subscription and metric."""
    query, page = Reader(call.query), pages.read(call.query)
    request = service.ListFeesRequest(
        page=page,
        external_customer_id=query.text("external_customer_id"),
        external_subscription_id=query.text("external_subscription_id"),
        metric_code=query.text("billable_metric_code"),
    )
    answer = await call.ask(call.clients.invoices.ListFees, request)
    held = await subscriptions_of(call, answer.fees)
    fees = [fee_json(fee, held) for fee in answer.fees]
    return {"fees": fees, "meta": pages.meta(page, answer.page, len(fees))}


async def explain(call: Call) -> Any:
    """`GET /fees/{id}/explanation`: the lines of a fee, and a page of the events it counted."""
    page = pages.read(call.query)
    request = service.ExplainFeeRequest(fee_id=call.path["id"], page=page)
    answer = await call.ask(call.clients.invoices.ExplainFee, request)
    events = [{"transaction_id": each.transaction_id, "value": each.value} for each in answer.events]
    return {
        "explanation": {
            "fee": fee_json(answer.fee, await subscriptions_of(call, [answer.fee])),
            "billable_metric_code": answer.metric_code or None,
            "billable_metric_version": answer.metric_version,
            "from_datetime": write.first_instant(answer.period),
            "to_datetime": write.last_second(answer.period),
            "shard": answer.shard,
            "watermark": answer.watermark,
            "events_count": answer.event_count,
            "units": write.decimal(answer, "units"),
            "digest": answer.digest or None,
            "events": events,
        },
        "meta": pages.meta(page, answer.page, len(events)),
    }


async def subscriptions_of(call: Call, fees: Iterable[Fee]) -> Mapping[str, Subscription]:
    """The subscriptions of fees by Farebox id: fees know no id of the organization's."""
    wanted = sorted({fee.subscription_id for fee in fees if fee.subscription_id})
    get = call.clients.subscriptions.GetSubscription
    requests = (subscription_service_pb2.GetSubscriptionRequest(id=identity) for identity in wanted)
    answers = await asyncio.gather(*(call.ask(get, request) for request in requests))
    return {answer.subscription.id: answer.subscription for answer in answers}


def fee_json(fee: Fee, held: Mapping[str, Subscription]) -> dict[str, Any]:
    """A fee as Lago's clients read it, with our lines in `amount_details`.

    Args:
        fee: of an invoice.
        held: subscriptions by Farebox id.
    """
    subscription = held.get(fee.subscription_id, Subscription())
    total = fee.amount_cents + fee.taxes_amount_cents
    coupons = write.exact(fee.precise_coupons_amount_cents)
    return {
        **write.ids(fee.id),
        "lago_invoice_id": fee.invoice_id or None,
        "lago_charge_id": fee.charge_id or None,
        "lago_subscription_id": fee.subscription_id or None,
        "lago_customer_id": subscription.customer_id or None,
        "external_subscription_id": subscription.external_id or None,
        "external_customer_id": subscription.external_customer_id or None,
        "fee_type": Fee.Kind.Name(fee.kind).removeprefix("KIND_").lower(),
        "item": _item(fee, subscription),
        "amount_cents": fee.amount_cents,
        "amount_currency": fee.currency,
        "precise_amount": write.decimal(fee, "precise_amount"),
        "precise_coupons_amount_cents": write.decimal(fee, "precise_coupons_amount_cents") or "0",
        "taxes_amount_cents": fee.taxes_amount_cents,
        "taxes_rate": write.number(fee, "taxes_rate_percent") or 0,
        "sub_total_excluding_taxes_amount_cents": fee.amount_cents,
        "sub_total_excluding_taxes_precise_amount_cents": plain(fee.amount_cents - coupons),
        "total_amount_cents": total,
        "total_amount_currency": fee.currency,
        "units": write.decimal(fee, "units") or "0",
        "total_aggregated_units": write.decimal(fee, "units") or "0",
        "precise_unit_amount": write.decimal(fee.lines[0], "unit_amount") if len(fee.lines) == 1 else None,
        "events_count": fee.event_count,
        "pay_in_advance": False,
        "invoiceable": True,
        "from_date": write.first_instant(fee.period) if fee.HasField("period") else None,
        "to_date": write.last_second(fee.period) if fee.HasField("period") else None,
        "amount_details": {"lines": [_line(line) for line in fee.lines]},
    }


def _item(fee: Fee, subscription: Subscription) -> dict[str, Any]:
    kind, item_type = ITEM_TYPES.get(fee.kind, ("charge", "BillableMetric"))
    return {
        "type": kind,
        "code": fee.metric_code or subscription.plan_code or None,
        "name": fee.name,
        "invoice_display_name": fee.name,
        "filter_invoice_display_name": fee.filter_name or None,
        "lago_item_id": fee.metric_id or fee.charge_id or fee.subscription_id or None,
        "item_type": item_type,
        "grouped_by": dict(fee.group),
    }


def _line(line: Any) -> dict[str, Any]:
    return {
        "description": line.description,
        "units": write.decimal(line, "units"),
        "unit_amount": write.decimal(line, "unit_amount"),
        "flat_amount": write.decimal(line, "flat_amount"),
        "amount": write.decimal(line, "amount"),
    }
