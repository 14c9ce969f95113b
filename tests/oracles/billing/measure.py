"""Aggregations: how the usage events of a period become units.

A recurring metric (sum, unique count, weighted sum) starts from what all earlier events left; any other from nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any, NamedTuple

from tests.oracles.billing.days import Span
from tests.oracles.billing.money import exact, nearest

_INSTANT = timedelta(microseconds=1)
_ROUNDINGS: Mapping[str, Callable[[Fraction], int]] = {"round": nearest, "ceil": ceil, "floor": floor}


class Event(NamedTuple):
    """A usage event. Events sort by time; of two at one instant by their id."""

    at: datetime
    identity: str
    code: str
    properties: Mapping[str, Any]
    precise_cents: Fraction = Fraction(0)


class Usage(NamedTuple):
    """What is known when a period is priced.

    Attributes:
        before: events before it, oldest first; of interest to recurring metrics alone.
        within: its events, oldest first.
        span: the period, as far as the plan was in force.
        nominal: the full period it lies in.
    """

    before: Sequence[Event]
    within: Sequence[Event]
    span: Span
    nominal: Span


def text_of(value: object) -> str:
    """A property as text: 1 and "1" are the same."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal):
        return f"{Decimal(str(value)).normalize():f}"
    return str(value)


def value_of(metric: Mapping[str, Any], event: Event) -> Fraction:
    """The number that an event carries; to a count every event is 1."""
    return Fraction(1) if metric["aggregation_type"] == "count_agg" else exact(event.properties[metric["field_name"]])


def units(metric: Mapping[str, Any], usage: Usage) -> Fraction:
    """The units of a period, before the metric rounds them."""
    before = usage.before if metric.get("recurring") else ()
    values = [value_of(metric, event) for event in usage.within] if _is_numeric(metric) else []
    kind = metric["aggregation_type"]
    if kind == "count_agg":
        return Fraction(len(usage.within))
    if kind == "sum_agg":
        return total(metric, before) + sum(values)
    if kind == "max_agg":
        return max(values, default=Fraction(0))
    if kind == "latest_agg":
        return max(Fraction(0), values[-1]) if values else Fraction(0)
    if kind == "unique_count_agg":
        return Fraction(len(present(metric, [*before, *usage.within])))
    assert kind == "weighted_sum_agg"
    return _weighted(metric, before, usage)


def total(metric: Mapping[str, Any], events: Sequence[Event]) -> Fraction:
    """What the values of events sum to: the running value of a recurring sum."""
    return sum((value_of(metric, event) for event in events), Fraction(0))


def present(metric: Mapping[str, Any], events: Sequence[Event]) -> set[str]:
    """The distinct values that are present at the end: the last event about a value counts."""
    found: set[str] = set()
    for event in events:
        value = text_of(event.properties[metric["field_name"]])
        if event.properties.get("operation_type") == "remove":
            found.discard(value)
        else:
            found.add(value)
    return found


def rounded(metric: Mapping[str, Any], quantity: Fraction) -> Fraction:
    """Units as charges see them: the metric rounds the aggregate, not the single events."""
    if not metric.get("rounding_function"):
        return quantity
    scale = Fraction(10) ** (metric.get("rounding_precision") or 0)
    return _ROUNDINGS[metric["rounding_function"]](quantity * scale) / scale


def microseconds(length: timedelta) -> int:
    """A length of time."""
    return length // _INSTANT


def _is_numeric(metric: Mapping[str, Any]) -> bool:
    return metric["aggregation_type"] != "unique_count_agg"


def _weighted(metric: Mapping[str, Any], before: Sequence[Event], usage: Usage) -> Fraction:
    """Each level times the share of the full period for which it was held."""
    level, since, held = total(metric, before), usage.span.start, Fraction(0)
    for event in usage.within:
        held += level * microseconds(event.at - since)
        level, since = level + value_of(metric, event), event.at
    held += level * microseconds(usage.span.end - since)
    return held / microseconds(usage.nominal.end - usage.nominal.start)
