"""Billable metrics: messages to domain and back."""

from __future__ import annotations

from datetime import UTC, datetime

from farebox.rating.v1 import billable_metric_pb2 as pb
from farebox.rating.v1 import catalog_service_pb2
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import BillableMetricId
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.metric import Aggregation, BillableMetric, MetricFilter, Rounding, RoundingFunction
from services.rating.shared.limits import require_code, require_name
from services.wire.masks import patched
from services.wire.values import instant_to_pb

PATH = "billable_metric"
# The fields that Farebox sets and nobody can change.
_GIVEN = ("id", "version", "created_at")
# A draft has no identity, version and creation time yet: the command sets all three.
NOT_YET = datetime.min.replace(tzinfo=UTC)

_AGGREGATIONS = {
    pb.BillableMetric.AGGREGATION_COUNT: Aggregation.COUNT,
    pb.BillableMetric.AGGREGATION_SUM: Aggregation.SUM,
    pb.BillableMetric.AGGREGATION_MAX: Aggregation.MAX,
    pb.BillableMetric.AGGREGATION_UNIQUE_COUNT: Aggregation.UNIQUE_COUNT,
    pb.BillableMetric.AGGREGATION_LATEST: Aggregation.LATEST,
    pb.BillableMetric.AGGREGATION_WEIGHTED_SUM: Aggregation.WEIGHTED_SUM,
}
_ROUNDINGS = {
    pb.BillableMetric.ROUNDING_ROUND: RoundingFunction.ROUND,
    pb.BillableMetric.ROUNDING_CEIL: RoundingFunction.CEIL,
    pb.BillableMetric.ROUNDING_FLOOR: RoundingFunction.FLOOR,
}
AGGREGATIONS_TO_PB = {value: key for key, value in _AGGREGATIONS.items()}
_ROUNDINGS_TO_PB = {value: key for key, value in _ROUNDINGS.items()}


def metric_from_pb(message: pb.BillableMetric) -> MetricVersion:
    """The draft of a metric, or a refusal that names every wrong field."""
    with inside(PATH) as checks:
        checks(require_code, "code", message.code)
        checks(require_name, "name", message.name)
        return MetricVersion(
            metric_id=BillableMetricId(""),
            version=1,
            definition=BillableMetric(
                code=message.code,
                aggregation=checks.read(Aggregation.COUNT, _aggregation_from_pb, message),
                field_name=message.field_name or None,
                filters=tuple(
                    MetricFilter(metric_filter.key, tuple(metric_filter.values)) for metric_filter in message.filters
                ),
                rounding=checks.read(None, _rounding_from_pb, message),
                recurring=message.recurring,
            ),
            name=message.name,
            description=message.description,
            created_at=NOT_YET,
        )


def revised_metric_from_pb(
    request: catalog_service_pb2.UpdateBillableMetricRequest, current: MetricVersion
) -> MetricVersion:
    """The new content of a metric after a request that changes it in full or in part, or a refusal with its fields."""
    return metric_from_pb(patched(metric_to_pb(current), request, PATH, given=_GIVEN))


def _aggregation_from_pb(message: pb.BillableMetric) -> Aggregation:
    aggregation = _AGGREGATIONS.get(message.aggregation)
    if aggregation is None:
        reason = "value_is_invalid" if message.aggregation else "value_is_mandatory"
        raise InvalidArgumentError.of_field("aggregation", reason, "is not a known aggregation")
    return aggregation


def _rounding_from_pb(message: pb.BillableMetric) -> Rounding | None:
    if not message.rounding:
        return None
    function = _ROUNDINGS.get(message.rounding)
    if function is None:
        raise InvalidArgumentError.of_field("rounding", "value_is_invalid", "is not a known rounding")
    return Rounding(function, message.rounding_precision)


def metric_to_pb(version: MetricVersion) -> pb.BillableMetric:
    """The metric as it is."""
    metric = version.definition
    return pb.BillableMetric(
        id=version.metric_id,
        code=metric.code,
        name=version.name,
        description=version.description,
        aggregation=AGGREGATIONS_TO_PB[metric.aggregation],
        field_name=metric.field_name or "",
        rounding=_ROUNDINGS_TO_PB[metric.rounding.function] if metric.rounding else None,
        rounding_precision=metric.rounding.precision if metric.rounding else 0,
        filters=[
            pb.BillableMetric.Filter(key=metric_filter.key, values=metric_filter.values)
            for metric_filter in metric.filters
        ],
        recurring=metric.recurring,
        created_at=instant_to_pb(version.created_at),
        version=version.version,
    )
