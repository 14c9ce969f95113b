"""Billable metrics."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import catalog_service_pb2 as rpc
from farebox.rating.v1.billable_metric_pb2 import BillableMetric
from gateway.dialects.lago.common import Description, Identified, Name
from gateway.projection import patch, project
from gateway.resource import Listing, resource
from gateway.schema import Code, Instant, Words, keys, of

_BARE = ("count", "sum", "max", "unique_count", "latest", "weighted_sum")
AGGREGATION = Words(
    BillableMetric.Aggregation, "AGGREGATION_", suffix="_agg", synonyms={word: f"{word}_agg" for word in _BARE}
)
ROUNDING = Words(BillableMetric.Rounding, "ROUNDING_")

Aggregation = Annotated[str, AGGREGATION.meta, of("aggregation")]
Rounding = Annotated[str, ROUNDING.meta, of("rounding")]
# The interval of a weighted sum. Events are weighted to the microsecond; only Lago's clients look at the word.
WeightedInterval = Literal["seconds"]
# An int32 in the message; more decimals than an amount has would mean nothing.
Precision = Annotated[
    int, Meta(ge=-30, le=30, description="Decimals that are kept; negative rounds to tens and hundreds.")
]


class MetricFilter(Struct, kw_only=True):
    """A property by whose values charges may distinguish prices."""

    key: Code
    values: Annotated[list[str], Meta(min_length=1, max_length=100)]


class MetricChange(Struct, kw_only=True):
    """The content of a metric."""

    NOT_OFFERED: ClassVar = keys("expression")

    code: Code | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    aggregation_type: Aggregation | UnsetType = UNSET
    field_name: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    rounding_function: Rounding | UnsetType | None = UNSET
    rounding_precision: Precision | UnsetType | None = UNSET
    recurring: bool | UnsetType = UNSET
    weighted_interval: WeightedInterval | UnsetType | None = UNSET
    filters: list[MetricFilter] | UnsetType = UNSET


class NewMetric(MetricChange, kw_only=True):
    """A new metric."""

    code: Code
    aggregation_type: Aggregation


class Metric(Identified, kw_only=True):
    """What is counted, and how."""

    code: str
    name: str
    description: str | None
    aggregation_type: Annotated[str, AGGREGATION.told, of("aggregation")] | None
    field_name: str | None
    recurring: bool
    rounding_function: Rounding | None
    rounding_precision: int | None
    weighted_interval: WeightedInterval | None
    expression: None = None
    filters: list[MetricFilter]
    version: int
    created_at: Instant | None


def metric_to_api(metric: BillableMetric) -> Metric:
    """A metric as Lago's clients read it."""
    is_weighted = metric.aggregation == BillableMetric.AGGREGATION_WEIGHTED_SUM
    return project(
        Metric,
        metric,
        rounding_precision=metric.rounding_precision if metric.rounding else None,
        weighted_interval="seconds" if is_weighted else None,
    )


def _from_api(metric: BillableMetric, body: MetricChange) -> list[str]:
    # The interval is not kept: there is only one, and its word was checked.
    return patch(metric, body, skip=("weighted_interval",))[1]


def _complete(metric: BillableMetric) -> None:
    metric.name = metric.name or metric.code


OPERATIONS = resource(
    "/billable_metrics",
    root="billable_metric",
    plural="billable_metrics",
    creates=NewMetric,
    changes=MetricChange,
    answers=Metric,
    to_api=metric_to_api,
    from_api=_from_api,
    complete=_complete,
    create=rpc.CreateBillableMetricRequest,
    get=rpc.GetBillableMetricRequest,
    list=Listing(rpc.ListBillableMetricsRequest),
    update=rpc.UpdateBillableMetricRequest,
    delete=rpc.DeleteBillableMetricRequest,
)
