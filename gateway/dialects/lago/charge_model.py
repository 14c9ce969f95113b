"""Charge models: Lago's `properties` with ranges `from_value … to_value`, and ours with tiers `up_to`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, ClassVar, Literal, cast

from google.protobuf.message import Message
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from farebox.rating.v1.charge_pb2 import ChargeModel as ChargeModelMessage
from farebox.rating.v1.charge_pb2 import PercentTier, Tier
from gateway.decode.refusals import Refusals
from gateway.projection import callers_names, exact, given, json_number, patch, project
from gateway.schema import Code, DecimalInput, DecimalText, ExactNumber, keys, of
from services.kernel.money import ZERO, plain

ChargeModel = Literal["standard", "graduated", "volume", "package", "percentage", "graduated_percentage", "dynamic"]

# Which properties each model has, and our message's names for them.
FIELDS: Mapping[str, Mapping[str, str]] = {
    "standard": {"amount": "unit_amount"},
    "graduated": {"graduated_ranges": "tiers"},
    "volume": {"volume_ranges": "tiers"},
    "package": {"amount": "package_amount", "package_size": "package_size", "free_units": "free_units"},
    "percentage": {
        "rate": "rate_percent",
        "fixed_amount": "fixed_amount",
        "free_units_per_events": "free_event_count",
        "free_units_per_total_aggregation": "free_units",
        "per_transaction_min_amount": "per_event_min_amount",
        "per_transaction_max_amount": "per_event_max_amount",
    },
    "graduated_percentage": {"graduated_percentage_ranges": "tiers"},
    "dynamic": {},
}
# Properties of every model.
_SHARED = ("pricing_group_keys", "grouped_by")
# Decimals that Lago writes as JSON numbers; all others are texts.
_NUMBERS = ("package_size", "free_units")
_ONE = Decimal(1)
# More than a price can have; the service decides the exact limit.
_MOST = Meta(max_length=1000)

From = Annotated[DecimalInput, Meta(description="The end of the previous range, or one more; 0 for the first.")]
To = Annotated[DecimalInput, Meta(description="Last unit of the range; null for the last range."), of("up_to")]
Flat = Annotated[DecimalInput, Meta(description="Due once the range is entered, in major units.")]
Price = Annotated[DecimalInput, Meta(description="In major units, exact.")]
Rate = Annotated[DecimalInput, Meta(description="Percent, e.g. 2.9.")]


class NewTier(Struct, kw_only=True):
    """A step of a graduated or volume price."""

    from_value: From | UnsetType | None = UNSET
    to_value: To | UnsetType | None = UNSET
    per_unit_amount: Annotated[Price, of("unit_amount")] | UnsetType | None = UNSET
    flat_amount: Flat | UnsetType | None = UNSET


class NewPercentTier(Struct, kw_only=True):
    """A step of a graduated percentage."""

    from_value: From | UnsetType | None = UNSET
    to_value: To | UnsetType | None = UNSET
    rate: Annotated[Rate, of("rate_percent")] | UnsetType | None = UNSET
    flat_amount: Flat | UnsetType | None = UNSET


class NewChargeProperties(Struct, kw_only=True):
    """The price of a charge; its `charge_model` decides which properties it has.

    `standard`: amount. `package`: amount, package_size, free_units. `percentage`: rate, fixed_amount, the free units,
    per_transaction_min_amount and per_transaction_max_amount. The others have their ranges; `dynamic` has none.
    """

    NOT_OFFERED: ClassVar = keys("presentation_group_keys")

    amount: Annotated[Price, Meta(description="The price of one unit, or of one package.")] | UnsetType | None = UNSET
    package_size: Annotated[DecimalInput, Meta(description="Units in a package.")] | UnsetType | None = UNSET
    free_units: Annotated[DecimalInput, Meta(description="Units that cost nothing.")] | UnsetType | None = UNSET
    rate: Rate | UnsetType | None = UNSET
    fixed_amount: Annotated[Price, Meta(description="For each event that is not free.")] | UnsetType | None = UNSET
    free_units_per_events: (
        Annotated[int, Meta(ge=0, description="How many events are free at first.")] | UnsetType | None
    ) = UNSET
    free_units_per_total_aggregation: Price | UnsetType | None = UNSET
    per_transaction_min_amount: Price | UnsetType | None = UNSET
    per_transaction_max_amount: Price | UnsetType | None = UNSET
    graduated_ranges: Annotated[list[NewTier], _MOST] | UnsetType | None = UNSET
    volume_ranges: Annotated[list[NewTier], _MOST] | UnsetType | None = UNSET
    graduated_percentage_ranges: Annotated[list[NewPercentTier], _MOST] | UnsetType | None = UNSET
    pricing_group_keys: Annotated[list[Code], _MOST] | UnsetType | None = UNSET
    grouped_by: Annotated[list[Code], _MOST] | UnsetType | None = UNSET


class ChargeTier(Struct, kw_only=True):
    """A step of a graduated or volume price; amounts are in major units."""

    from_value: ExactNumber
    to_value: Annotated[ExactNumber | None, of("up_to")]
    per_unit_amount: Annotated[DecimalText, of("unit_amount")]
    flat_amount: DecimalText


class ChargePercentTier(Struct, kw_only=True):
    """A step of a graduated percentage; `rate` is in percent, `flat_amount` in major units."""

    from_value: ExactNumber
    to_value: Annotated[ExactNumber | None, of("up_to")]
    rate: Annotated[DecimalText, of("rate_percent")]
    flat_amount: DecimalText


class ChargeProperties(Struct, kw_only=True):
    """The price of a charge, with the properties of its model; amounts are in major units, `rate` in percent."""

    amount: DecimalText | UnsetType | None = UNSET
    package_size: ExactNumber | UnsetType | None = UNSET
    free_units: ExactNumber | UnsetType | None = UNSET
    rate: DecimalText | UnsetType | None = UNSET
    fixed_amount: DecimalText | UnsetType | None = UNSET
    free_units_per_events: int | UnsetType | None = UNSET
    free_units_per_total_aggregation: DecimalText | UnsetType | None = UNSET
    per_transaction_min_amount: DecimalText | UnsetType | None = UNSET
    per_transaction_max_amount: DecimalText | UnsetType | None = UNSET
    graduated_ranges: list[ChargeTier] | UnsetType = UNSET
    volume_ranges: list[ChargeTier] | UnsetType = UNSET
    graduated_percentage_ranges: list[ChargePercentTier] | UnsetType = UNSET
    pricing_group_keys: list[str] | UnsetType = UNSET


def say_model(
    model: ChargeModelMessage, name: ChargeModel, properties: NewChargeProperties, path: str, refusals: Refusals
) -> None:
    """Fill the message of a price from its properties; properties of another model are refused.

    Args:
        model: the message, which is filled.
        name: the name of the model.
        properties: the properties of the price.
        path: their place in the request.
        refusals: collects what is wrong.
    """
    message, fields = getattr(model, name), FIELDS[name]
    message.SetInParent()
    for key in NewChargeProperties.__struct_fields__:
        value = given(getattr(properties, key))
        if value is None or key in _SHARED:
            continue
        if key not in fields:
            refusals.add(f"{path}.{key}", "value_is_invalid", f"does not belong to a {name} price")
        elif isinstance(value, list):
            _say_tiers(message.tiers.add, value, f"{path}.{key}", refusals)
        elif isinstance(value, Decimal):
            getattr(message, fields[key]).value = plain(value)
        else:
            setattr(message, fields[key], value)


def _say_tiers(
    add: Callable[[], Tier | PercentTier],
    ranges: Sequence[NewTier | NewPercentTier],
    path: str,
    refusals: Refusals,
) -> None:
    """Write the ranges as tiers; `from_value` adds no information, so it is only compared."""
    end: Decimal | None = ZERO
    for number, step in enumerate(ranges):
        start = given(step.from_value)
        if start is not None and end is not None and start not in _starts_after(end):
            refusals.add(f"{path}[{number}].from_value", "value_is_invalid", f"does not follow {plain(end)}")
        patch(add(), step, skip=("from_value",))
        end = given(step.to_value)


def _starts_after(end: Decimal) -> tuple[Decimal, ...]:
    """Where a range may begin: at the previous end, or after a whole number one higher, as Lago counts."""
    return (end + _ONE, end) if end == end.to_integral_value() else (end,)


def model_of(model: ChargeModelMessage) -> ChargeModel:
    """The name of a price's model."""
    return cast("ChargeModel", model.WhichOneof("model"))


def properties_to_api(model: ChargeModelMessage, group_by: list[str]) -> ChargeProperties:
    """The `properties` of a charge, or of a filter."""
    name = model.WhichOneof("model")
    told = ChargeProperties(pricing_group_keys=group_by or UNSET)
    for key, field in FIELDS[name].items() if name else ():
        setattr(told, key, _tell(getattr(model, name), key, field))
    return told


def _tell(message: Message, key: str, field: str) -> object:
    value = getattr(message, field)
    if field == "tiers":
        kind = ChargePercentTier if key == "graduated_percentage_ranges" else ChargeTier
        return [project(kind, tier, from_value=start) for tier, start in zip(value, _starts(value), strict=True)]
    if not message.HasField(field):
        return json_number(ZERO) if key == "free_units" else None
    if isinstance(value, int):
        return value
    return json_number(exact(value)) if key in _NUMBERS else plain(exact(value))


def _starts(tiers: Sequence[Tier | PercentTier]) -> Iterator[Raw]:
    start = ZERO
    for tier in tiers:
        yield json_number(start)
        start = _starts_after(exact(tier.up_to))[0]


def _names() -> Iterator[tuple[str, str]]:
    yield "", "charge_model"
    for model, fields in FIELDS.items():
        for key, field in fields.items():
            yield f".{model}.{field}", f"properties.{key}"
            if field == "tiers":
                is_percent = model == "graduated_percentage"
                names = callers_names(NewPercentTier, PercentTier) if is_percent else callers_names(NewTier, Tier)
                yield f".{model}.tiers[]", f"properties.{key}[]"
                yield from (
                    (f".{model}.tiers[].{inner}", f"properties.{key}[].{outer}") for inner, outer in names.items()
                )


# The caller's names for the fields of a model's message: `.standard.unit_amount` is `properties.amount`.
MODEL_NAMES = dict(_names())
