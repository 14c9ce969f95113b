"""Billable metrics."""

from __future__ import annotations

from typing import Any

from farebox.rating.v1 import catalog_service_pb2 as service
from farebox.rating.v1.billable_metric_pb2 import BillableMetric
from gateway.call import Call
from gateway.dialects.nozle import pages, write
from gateway.dialects.nozle.read import Reader
from gateway.errors import not_available

# The first word of each value is the one that answers use.
AGGREGATIONS = {
    "count_agg": BillableMetric.AGGREGATION_COUNT,
    "sum_agg": BillableMetric.AGGREGATION_SUM,
    "max_agg": BillableMetric.AGGREGATION_MAX,
    "unique_count_agg": BillableMetric.AGGREGATION_UNIQUE_COUNT,
    "latest_agg": BillableMetric.AGGREGATION_LATEST,
    "weighted_sum_agg": BillableMetric.AGGREGATION_WEIGHTED_SUM,
    "count": BillableMetric.AGGREGATION_COUNT,
    "sum": BillableMetric.AGGREGATION_SUM,
    "max": BillableMetric.AGGREGATION_MAX,
    "unique_count": BillableMetric.AGGREGATION_UNIQUE_COUNT,
    "latest": BillableMetric.AGGREGATION_LATEST,
    "weighted_sum": BillableMetric.AGGREGATION_WEIGHTED_SUM,
}
ROUNDINGS = {
    "round": BillableMetric.ROUNDING_ROUND,
    "ceil": BillableMetric.ROUNDING_CEIL,
    "floor": BillableMetric.ROUNDING_FLOOR,
}


async def create(call: Call) -> Any:
    """`POST /billable_metrics`."""
    metric = apply(Reader(call.wrapped("billable_metric")), BillableMetric())
    request = service.CreateBillableMetricRequest(request_id=call.mutation_id, billable_metric=metric)
    answer = await call.ask(call.clients.catalog.CreateBillableMetric, request)
    return {"billable_metric": metric_json(answer.billable_metric)}


async def update(call: Call) -> Any:
    """`PUT /billable_metrics/{code}`: fields that are not given stay."""
    metric = apply(Reader(call.wrapped("billable_metric")), await get(call, call.path["code"]))
    request = service.UpdateBillableMetricRequest(request_id=call.mutation_id, billable_metric=metric)
    answer = await call.ask(call.clients.catalog.UpdateBillableMetric, request)
    return {"billable_metric": metric_json(answer.billable_metric)}


async def find(call: Call) -> Any:
    """`GET /billable_metrics/{code}`."""
    return {"billable_metric": metric_json(await get(call, call.path["code"]))}


async def find_all(call: Call) -> Any:
    """`GET /billable_metrics`."""
    page = pages.read(call.query)
    answer = await call.ask(call.clients.catalog.ListBillableMetrics, service.ListBillableMetricsRequest(page=page))
    metrics = [metric_json(metric) for metric in answer.billable_metrics]
    return {"billable_metrics": metrics, "meta": pages.meta(page, answer.page, len(metrics))}


async def delete(call: Call) -> Any:
    """`DELETE /billable_metrics/{code}`."""
    request = service.DeleteBillableMetricRequest(request_id=call.mutation_id, code=call.path["code"])
    answer = await call.ask(call.clients.catalog.DeleteBillableMetric, request)
    return {"billable_metric": metric_json(answer.billable_metric)}


async def get(call: Call, code: str) -> BillableMetric:
    """The metric with this code."""
    request = service.GetBillableMetricRequest(code=code)
    metric: BillableMetric = (await call.ask(call.clients.catalog.GetBillableMetric, request)).billable_metric
    return metric


def apply(body: Reader, metric: BillableMetric) -> BillableMetric:
    """The metric with what the body says of it; what it does not name stays as it is.

    Raises:
        Problem: 422, a field cannot be read, or is one that is not offered.
    """
    if body.text("expression"):
        raise not_available("expression")
    metric.code = body.text("code", metric.code)
    metric.name = body.text("name", metric.name) or metric.code
    metric.description = body.text("description", metric.description)
    metric.aggregation = body.choice("aggregation_type", AGGREGATIONS, metric.aggregation)
    metric.field_name = body.text("field_name", metric.field_name)
    metric.rounding = body.choice("rounding_function", ROUNDINGS, metric.rounding)
    metric.rounding_precision = body.integer("rounding_precision", metric.rounding_precision)
    metric.recurring = body.flag("recurring", default=metric.recurring)
    if body.has("filters"):
        del metric.filters[:]
        metric.filters.extend(
            BillableMetric.Filter(key=each.required("key"), values=each.texts("values"))
            for each in body.objects("filters")
        )
    return metric


def metric_json(metric: BillableMetric) -> dict[str, Any]:
    """A metric as Lago's clients read it."""
    is_weighted = metric.aggregation == BillableMetric.AGGREGATION_WEIGHTED_SUM
    return {
        **write.ids(metric.id),
        "name": metric.name,
        "code": metric.code,
        "description": metric.description or None,
        "aggregation_type": aggregation_word(metric),
        "field_name": metric.field_name or None,
        "recurring": metric.recurring,
        "rounding_function": write.word(ROUNDINGS, metric.rounding),
        "rounding_precision": metric.rounding_precision if metric.rounding else None,
        "weighted_interval": "seconds" if is_weighted else None,
        "expression": None,
        "filters": [{"key": each.key, "values": list(each.values)} for each in metric.filters],
        "version": metric.version,
        "created_at": write.instant(metric, "created_at"),
    }


def aggregation_word(metric: BillableMetric) -> str | None:
    """Lago's word for how a metric aggregates."""
    return write.word(AGGREGATIONS, metric.aggregation)
