"""Usage of the running period, of closed ones, and of the running one stretched to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import grpc

from farebox.rating.v1 import usage_service_pb2 as service
from farebox.rating.v1.billable_metric_pb2 import BillableMetric
from farebox.rating.v1.catalog_service_pb2 import GetBillableMetricRequest
from farebox.rating.v1.fee_pb2 import Fee
from gateway.call import Call
from gateway.dialects.lago.metric import AGGREGATION
from gateway.dialects.nozle import pages, write
from gateway.dialects.nozle.read import Reader
from services.kernel.money import ZERO, plain

Metrics = Mapping[str, BillableMetric]
# An issuing date is the day the period ends, written like `2024-02-01`.
_DATE_LENGTH = 10


async def current(call: Call) -> Any:
    """`GET /customers/{external_customer_id}/current_usage`."""
    request = service.GetCurrentUsageRequest(**_whose(call))
    summary = (await call.ask(call.clients.usage.GetCurrentUsage, request)).usage
    return {"customer_usage": usage_json(summary, await _metrics(call, summary.fees))}


async def past(call: Call) -> Any:
    """`GET /customers/{external_customer_id}/past_usage`: closed periods, newest first."""
    count = Reader(call.query).integer("periods_count")
    request = service.ListPastUsageRequest(**_whose(call), period_count=count)
    summaries = (await call.ask(call.clients.usage.ListPastUsage, request)).usage
    known = await _metrics(call, [fee for summary in summaries for fee in summary.fees])
    periods = [usage_json(summary, known) for summary in summaries]
    return {"usage_periods": periods, "meta": pages.one_page(len(periods))}


async def projected(call: Call) -> Any:
    """`GET /customers/{external_customer_id}/projected_usage`."""
    request = service.GetProjectedUsageRequest(**_whose(call))
    answer = await call.ask(call.clients.usage.GetProjectedUsage, request)
    known = await _metrics(call, [*answer.usage.fees, *answer.projected.fees])
    return {"customer_projected_usage": _projected_json(answer, known)}


def usage_json(summary: service.UsageSummary, known: Metrics) -> dict[str, Any]:
    """The usage of one period as Lago's clients read it.

    Args:
        summary: of the period.
        known: metrics by code.
    """
    return {
        "from_datetime": write.first_instant(summary.period),
        "to_datetime": write.last_second(summary.period),
        "issuing_date": (write.instant(summary.period, "end") or "")[:_DATE_LENGTH],
        "lago_invoice_id": summary.invoice_id or None,
        "currency": summary.currency,
        "amount_cents": summary.amount_cents,
        "taxes_amount_cents": summary.taxes_amount_cents,
        "total_amount_cents": summary.amount_cents + summary.taxes_amount_cents,
        "charges_usage": [_charge_json(fees, known) for fees in _by_charge(summary.fees).values()],
    }


def _whose(call: Call) -> dict[str, Any]:
    return {
        "external_customer_id": call.path["external_customer_id"],
        "external_subscription_id": call.query.get("external_subscription_id", ""),
    }


async def _metrics(call: Call, fees: Iterable[Fee]) -> Metrics:
    """The metrics of fees by code, as far as they still exist: a fee carries no name and aggregation of its metric."""
    codes = sorted({fee.metric_code for fee in fees if fee.metric_code})
    found = await asyncio.gather(*(_metric_or_none(call, code) for code in codes))
    return {metric.code: metric for metric in found if metric is not None}


async def _metric_or_none(call: Call, code: str) -> BillableMetric | None:
    try:
        request = GetBillableMetricRequest(code=code)
        return (await call.ask(call.clients.catalog.GetBillableMetric, request)).billable_metric
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            return None
        raise


def _by_charge(fees: Iterable[Fee]) -> dict[str, list[Fee]]:
    charges: dict[str, list[Fee]] = {}
    for fee in fees:
        charges.setdefault(fee.charge_id or fee.metric_code, []).append(fee)
    return charges


def _charge_json(fees: Sequence[Fee], known: Metrics) -> dict[str, Any]:
    """The usage of one charge: the sum of its fees, and each filter and group on its own."""
    first = fees[0]
    return {
        **_amounts(fees),
        "amount_currency": first.currency,
        "charge": {
            **write.ids(first.charge_id),
            "lago_id": first.charge_id,
            "charge_model": first.charge_model,
            "invoice_display_name": first.name or None,
        },
        "billable_metric": _metric_json(first, known),
        "filters": _filters(fees),
        "grouped_usage": [
            {**_amounts(group), "grouped_by": dict(group[0].group), "filters": _filters(group)}
            for group in _by_group(fees)
        ],
    }


def _amounts(fees: Sequence[Fee]) -> dict[str, Any]:
    units = plain(sum((write.exact(fee.units) for fee in fees), ZERO))
    return {
        "units": units,
        "total_aggregated_units": units,
        "events_count": sum(fee.event_count for fee in fees),
        "amount_cents": sum(fee.amount_cents for fee in fees),
    }


def _filters(fees: Sequence[Fee]) -> list[dict[str, Any]]:
    """One entry a filter, and one for what no filter matched; none where the charge has no filters."""
    if not any(fee.filter_name for fee in fees):
        return []
    names = dict.fromkeys(fee.filter_name for fee in fees)
    return [
        {
            **_amounts([fee for fee in fees if fee.filter_name == name]),
            "invoice_display_name": name or None,
            "values": {},
        }
        for name in names
    ]


def _by_group(fees: Sequence[Fee]) -> list[list[Fee]]:
    groups: dict[tuple[tuple[str, str], ...], list[Fee]] = {}
    for fee in fees:
        if fee.group:
            groups.setdefault(tuple(sorted(fee.group.items())), []).append(fee)
    return list(groups.values())


def _metric_json(fee: Fee, known: Metrics) -> dict[str, Any]:
    metric = known.get(fee.metric_code)
    return {
        **write.ids(fee.metric_id),
        "lago_id": fee.metric_id,
        "code": fee.metric_code,
        "name": metric.name if metric else fee.metric_code,
        "aggregation_type": (AGGREGATION.word(metric.aggregation) if metric else None) or "",
    }


def _projected_json(answer: service.GetProjectedUsageResponse, known: Metrics) -> dict[str, Any]:
    """Both usages side by side; they have the same charges, filters and groups."""
    usage, projected = usage_json(answer.usage, known), usage_json(answer.projected, known)
    projected_charges = {each["charge"]["lago_id"]: each for each in projected["charges_usage"]}
    return {
        **usage,
        "projected_amount_cents": projected["amount_cents"],
        "charges_usage": [
            _side_by_side(each, projected_charges.get(each["charge"]["lago_id"], each))
            for each in usage["charges_usage"]
        ],
    }


def _side_by_side(now: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
    both = {**now, "projected_units": then["units"], "projected_amount_cents": then["amount_cents"]}
    for name, identity in (("filters", "invoice_display_name"), ("grouped_usage", "grouped_by")):
        if name in now:
            both[name] = [
                _side_by_side(each, next((other for other in then[name] if other[identity] == each[identity]), each))
                for each in now[name]
            ]
    return both
