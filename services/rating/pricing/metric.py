"""Billable metrics: what is counted, from which property, and how a usage event becomes a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import NamedTuple

from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.money import ZERO, decimal_or_none, is_within_limits, plain

# The property that says whether a unique value joins or leaves, and the word for leaving.
OPERATION_PROPERTY = "operation_type"
OPERATION_REMOVE = "remove"
# Units are kept to 38 digits; with a higher precision on either side of the point there is nothing to round.
MAX_ROUNDING_PRECISION = 38
_ONE = Decimal(1)


class Aggregation(StrEnum):
    """How the measurements of a period become units."""

    COUNT = "count"
    SUM = "sum"
    MAX = "max"
    UNIQUE_COUNT = "unique_count"
    LATEST = "latest"
    WEIGHTED_SUM = "weighted_sum"


# Only with these does a running value mean anything in the next period.
RECURRING_AGGREGATIONS = frozenset({Aggregation.SUM, Aggregation.UNIQUE_COUNT, Aggregation.WEIGHTED_SUM})


class RoundingFunction(StrEnum):
    """How units are rounded; `round` is half away from zero."""

    ROUND = "round"
    CEIL = "ceil"
    FLOOR = "floor"


_ROUNDING_MODES = {
    RoundingFunction.ROUND: ROUND_HALF_UP,
    RoundingFunction.CEIL: ROUND_CEILING,
    RoundingFunction.FLOOR: ROUND_FLOOR,
}


@dataclass(frozen=True, slots=True)
class Rounding:
    """Rounding of a metric's units.

    Attributes:
        function: round, ceil or floor.
        precision: decimals kept; negative rounds to tens, hundreds and so on.
    """

    function: RoundingFunction
    precision: int = 0

    def __post_init__(self) -> None:
        """Refuse a precision beyond the digits of any number that is kept."""
        if abs(self.precision) > MAX_ROUNDING_PRECISION:
            raise InvalidArgumentError.of_field(
                "rounding_precision",
                "value_is_out_of_range",
                f"is at most {MAX_ROUNDING_PRECISION} either way",
            )

    def apply(self, units: Decimal) -> Decimal:
        """The rounded units, written without exponent."""
        rounded = units.scaleb(self.precision).to_integral_value(rounding=_ROUNDING_MODES[self.function])
        return rounded.scaleb(-self.precision) + ZERO


@dataclass(frozen=True, slots=True)
class MetricFilter:
    """A property by which charges of this metric may be priced differently.

    Attributes:
        key: name of the property.
        values: the values that charges may name.
    """

    key: str
    values: tuple[str, ...]


class Measurement(NamedTuple):
    """The measurement of one usage event by one metric.

    Attributes:
        event_id: identity of the event within its organization; breaks ties of time.
        at: instant of the event, aware, in UTC.
        number: the measured number; 1 for a count, 0 for a unique value.
        text: the unique value; empty for other aggregations.
        is_removal: whether the unique value leaves; otherwise it joins.
        precise_amount: the price the event itself carries for a dynamic charge, in major currency units.
    """

    event_id: str
    at: datetime
    number: Decimal = _ONE
    text: str = ""
    is_removal: bool = False
    precise_amount: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class BillableMetric:
    """What is counted, and how.

    Attributes:
        code: the organization's own name for it; usage events carry it.
        aggregation: how measurements become units.
        field_name: the measured property; None only for a count.
        filters: properties by which charges may differ.
        group_by: properties that split usage into groups with a fee each, unless a charge says otherwise.
        rounding: applied to the aggregate, not to single events; None keeps the exact units.
        recurring: whether the running value is carried into the next period instead of starting from zero.
    """

    code: str
    aggregation: Aggregation
    field_name: str | None = None
    filters: tuple[MetricFilter, ...] = ()
    group_by: tuple[str, ...] = ()
    rounding: Rounding | None = None
    recurring: bool = False

    def __post_init__(self) -> None:
        """Refuse a metric that could never be measured; the InvalidArgumentError names the fields."""
        with inside() as checks:
            if not self.code:
                checks.refuse("code", "value_is_mandatory", "names the metric")
            if not self.field_name and self.aggregation is not Aggregation.COUNT:
                what = f"names the property a {self.aggregation} measures"
                checks.refuse("field_name", "value_is_mandatory", what)
            if self.recurring and self.aggregation not in RECURRING_AGGREGATIONS:
                checks.refuse("recurring", "value_is_invalid", f"has no meaning for a {self.aggregation}")

    def measure(
        self, *, event_id: str, at: datetime, properties: Mapping[str, object], precise_amount: Decimal = ZERO
    ) -> Measurement:
        """What this metric reads from one usage event.

        Raises:
            InvalidArgumentError: `PROPERTY_MISSING` or `PROPERTY_NOT_NUMERIC`; the event belongs in
                quarantine.
        """
        if self.aggregation is Aggregation.COUNT:
            return Measurement(event_id, at, precise_amount=precise_amount)
        name = self.field_name or ""
        if self.aggregation is Aggregation.UNIQUE_COUNT:
            text = property_text(properties.get(name))
            if text is None:
                raise InvalidArgumentError("PROPERTY_MISSING", f"the event has no property {name!r}", property=name)
            is_removal = properties.get(OPERATION_PROPERTY) == OPERATION_REMOVE
            return Measurement(event_id, at, ZERO, text, is_removal, precise_amount)
        return Measurement(event_id, at, _number(name, properties), precise_amount=precise_amount)

    def round_units(self, units: Decimal) -> Decimal:
        """The units as charges see them, after rounding."""
        return units if self.rounding is None else self.rounding.apply(units)


def property_text(value: object) -> str | None:
    """A property as text, so that 1 and "1" are the same value; None if it is absent or not a scalar."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal) and is_within_limits(value):
        return plain(value)
    return None


def _number(name: str, properties: Mapping[str, object]) -> Decimal:
    """The numeric property of an event. Floats never get here, so any other type is not a number."""
    value = properties.get(name)
    if value is None:
        raise InvalidArgumentError("PROPERTY_MISSING", f"the event has no property {name!r}", property=name)
    number = None
    if isinstance(value, str):
        number = decimal_or_none(value)
    elif isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        number = Decimal(value)
        number = number if is_within_limits(number) else None
    if number is None:
        raise InvalidArgumentError(
            "PROPERTY_NOT_NUMERIC",
            f"property {name!r} is not a number Farebox can keep exactly",
            property=name,
        )
    return number
