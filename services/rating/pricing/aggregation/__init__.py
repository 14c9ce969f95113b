"""Aggregations: how the measurements of a period become units; one file for each aggregation."""

from __future__ import annotations

from services.rating.pricing.aggregation.aggregate import Aggregate
from services.rating.pricing.aggregation.count import Count
from services.rating.pricing.aggregation.daily_sum import DailySum
from services.rating.pricing.aggregation.latest import Latest, Reading
from services.rating.pricing.aggregation.max import Max
from services.rating.pricing.aggregation.sum import Sum
from services.rating.pricing.aggregation.unique_count import Presence, UniqueCount
from services.rating.pricing.aggregation.weighted_sum import WeightedSum
from services.rating.pricing.metric import Aggregation

__all__ = [
    "AGGREGATES",
    "Aggregate",
    "Count",
    "DailySum",
    "Latest",
    "Max",
    "Presence",
    "Reading",
    "Sum",
    "UniqueCount",
    "WeightedSum",
    "empty_aggregate",
]

AGGREGATES: dict[Aggregation, type[Count | Sum | Max | UniqueCount | Latest | WeightedSum]] = {
    Aggregation.COUNT: Count,
    Aggregation.SUM: Sum,
    Aggregation.MAX: Max,
    Aggregation.UNIQUE_COUNT: UniqueCount,
    Aggregation.LATEST: Latest,
    Aggregation.WEIGHTED_SUM: WeightedSum,
}


def empty_aggregate(aggregation: Aggregation) -> Aggregate:
    """The state before the first event."""
    return AGGREGATES[aggregation]()
