"""Margins, and the requests for them."""

from __future__ import annotations

from farebox.common.v1 import period_pb2
from farebox.margin.v1 import margin_pb2, margin_service_pb2
from services.kernel.errors import InvalidArgumentError
from services.margin.domain.margin import Margin, MarginState
from services.margin.domain.step import Granularity
from services.margin.queries.margin import Span
from services.margin.store.figure import GroupBy
from services.wire.values import decimal_to_pb, instant_or_none_of, period_to_pb

_GROUPS = {
    getattr(margin_service_pb2.ListMarginsRequest, f"GROUP_BY_{group.name}"): group
    for group in GroupBy
    if group is not GroupBy.NOTHING
}
_GRANULARITIES = {
    getattr(margin_service_pb2.GetMarginTrendRequest, f"GRANULARITY_{granularity.name}"): granularity
    for granularity in Granularity
} | {margin_service_pb2.GetMarginTrendRequest.GRANULARITY_UNSPECIFIED: Granularity.DAY}
_STATES = {state: getattr(margin_pb2.Margin, f"STATE_{state.name}") for state in MarginState}


def span_from_pb(message: period_pb2.Period) -> Span:
    """The span of a request; either end may be missing."""
    return Span(instant_or_none_of(message, "start", "period"), instant_or_none_of(message, "end", "period"))


def group_by_from_pb(number: int) -> GroupBy:
    """The grouping of figures, or an error that names the field."""
    if number not in _GROUPS:
        raise InvalidArgumentError.of_field("group_by", "value_is_mandatory", "names a grouping")
    return _GROUPS[number]


def granularity_from_pb(number: int) -> Granularity:
    """How long a step is, or an error that names the field."""
    if number not in _GRANULARITIES:
        raise InvalidArgumentError.of_field("granularity", "value_is_invalid", "is not a length of steps")
    return _GRANULARITIES[number]


def margin_to_pb(margin: Margin) -> margin_pb2.Margin:
    """The figures of a group; a cost, percentage or coverage that does not exist is left out."""
    figures = margin.figures
    return margin_pb2.Margin(
        group=margin.group,
        period=period_to_pb(margin.period),
        currency=margin.currency,
        revenue=decimal_to_pb(figures.revenue),
        cost=decimal_to_pb(figures.cost),
        margin=decimal_to_pb(figures.margin),
        margin_percent=decimal_to_pb(figures.margin_percent),
        state=_STATES[figures.state],
        coverage_ratio=decimal_to_pb(figures.coverage_ratio),
        unpriced_count=figures.unpriced_count,
        units=decimal_to_pb(figures.units),
    )
