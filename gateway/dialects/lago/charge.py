"""A plan's charges: which metric, at which price, for which events. Amounts are in major units, as exact decimals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1.charge_pb2 import Charge as ChargeMessage
from gateway.decode.refusals import Refusals
from gateway.dialects.lago.charge_model import (
    MODEL_NAMES,
    ChargeModel,
    ChargeProperties,
    NewChargeProperties,
    properties_to_api,
    say_model,
)
from gateway.dialects.lago.common import Identified
from gateway.projection import callers_names, given, patch, project
from gateway.schema import Cents, Code, Instant, keys, of
from services.kernel.ids import uuid_or_none

# More than a plan can have; the service decides the exact limit.
_MOST = Meta(max_length=1000)
Label = Annotated[str, Meta(max_length=255, description="Name on the invoice.")]
MinAmount = Annotated[Cents, Meta(description="The least that the charge costs in a full period, in minor units.")]
MetricId = Annotated[Code, Meta(description="The metric, by its `lago_id` or by its code.")]
Values = Annotated[
    dict[Code, list[str]], Meta(description="The values that match, by property; all properties must match.")
]


class ChargeFilterChange(Struct, kw_only=True):
    """The content of a filter: a price of its own for the events whose properties match.

    It has the charge's model and no groups of its own.
    """

    FIXED: ClassVar = {"cascade_updates": False}

    values: Values | UnsetType = UNSET
    properties: NewChargeProperties | UnsetType = UNSET
    invoice_display_name: Label | UnsetType | None = UNSET


class NewChargeFilter(ChargeFilterChange, kw_only=True):
    """A new filter."""

    values: Values
    properties: NewChargeProperties


class ChargeChange(Struct, kw_only=True):
    """The content of a charge: a price on a metric. `filters` and `properties` are replaced as a whole."""

    NOT_OFFERED: ClassVar = keys("applied_pricing_unit id regroup_paid_fees")
    FIXED: ClassVar = {"accepts_target_wallet": False, "cascade_updates": False, "invoiceable": True}

    billable_metric_id: MetricId | UnsetType | None = UNSET
    billable_metric_code: Annotated[Code, of("metric_code")] | UnsetType | None = UNSET
    code: Code | UnsetType | None = UNSET
    charge_model: ChargeModel | UnsetType = UNSET
    properties: NewChargeProperties | UnsetType | None = UNSET
    filters: Annotated[list[NewChargeFilter], _MOST] | UnsetType | None = UNSET
    invoice_display_name: Label | UnsetType | None = UNSET
    min_amount_cents: MinAmount | UnsetType | None = UNSET
    pay_in_advance: bool | UnsetType | None = UNSET
    prorated: bool | UnsetType | None = UNSET
    tax_codes: Annotated[list[Code], _MOST] | UnsetType | None = UNSET


class NewCharge(ChargeChange, kw_only=True):
    """A new charge. Charges are distinguished by their codes; a charge without one is named after its metric."""

    charge_model: ChargeModel


class ChargeFilter(Identified, kw_only=True):
    """A price of its own for the events whose properties match. Its id follows from its `values`."""

    created_at: Instant | None
    invoice_display_name: str | None
    properties: ChargeProperties
    values: dict[str, list[str]]


class Charge(Identified, kw_only=True):
    """A price on a metric."""

    lago_billable_metric_id: Annotated[str | None, of("metric_id")]
    billable_metric_code: Annotated[str, of("metric_code")]
    code: str | None
    invoice_display_name: str | None
    created_at: Instant | None
    charge_model: str
    properties: ChargeProperties
    filters: list[ChargeFilter]
    min_amount_cents: Cents
    pay_in_advance: bool
    prorated: bool
    invoiceable: bool = True
    tax_codes: list[str]


# The caller's names for the fields of a filter's message, and of a charge's, from the filter and the charge on.
FILTER_NAMES = callers_names(NewChargeFilter, ChargeMessage.FilteredPrice) | {
    f"model{field}": name for field, name in MODEL_NAMES.items()
}
CHARGE_NAMES = callers_names(NewCharge, ChargeMessage) | {
    "metric_id": "billable_metric_id",
    "metric_code": "billable_metric_id",
    "group_by": "properties.pricing_group_keys",
    "group_by[]": "properties.pricing_group_keys[]",
    **{f"model{field}": name for field, name in MODEL_NAMES.items()},
    **{f"filters[].{field}": f"filters[].{name}" for field, name in FILTER_NAMES.items()},
    "filters[].model": "charge_model",
}


def say_charges(messages: Sequence[ChargeMessage], bodies: Sequence[NewCharge], refusals: Refusals) -> None:
    """Fill messages of charges from bodies."""
    for number, (message, body) in enumerate(zip(messages, bodies, strict=True)):
        say_charge(message, body, body.charge_model, f"charges[{number}].", refusals)


def say_charge(
    charge: ChargeMessage, body: ChargeChange, model: ChargeModel, path: str, refusals: Refusals
) -> list[str]:
    """Fill a message from a body, and return the names of its fields: an update mask.

    Args:
        charge: the message.
        body: what the caller says of it.
        model: the charge's model: the body's, or the one that the charge has.
        path: what comes before the names of the body's fields, in the caller's words.
        refusals: collects what is wrong.
    """
    _, paths = patch(charge, body, skip=("billable_metric_id", "charge_model", "properties", "filters"))
    named = given(body.billable_metric_id)
    if named is not None and uuid_or_none(named):
        charge.metric_id = named
    elif named is not None and charge.metric_code not in {"", named}:
        refusals.add(f"{path}billable_metric_id", "value_is_invalid", "is another metric than billable_metric_code")
    else:
        charge.metric_code = charge.metric_code or named or ""
    if charge.metric_id or charge.metric_code:
        paths += ["metric_id", "metric_code"]
    if given(body.charge_model) is not None or given(body.properties) is not None:
        properties = given(body.properties) or NewChargeProperties()
        say_model(charge.model, model, properties, f"{path}properties", refusals)
        charge.group_by.extend(_group_by(properties, f"{path}properties", refusals))
        paths += ["model", "group_by"]
    for number, filtered in enumerate(given(body.filters) or ()):
        say_filter(charge.filters.add(), filtered, model, f"{path}filters[{number}].", refusals)
    if body.filters is not UNSET:
        paths.append("filters")
    return list(dict.fromkeys(paths))


def say_filter(
    price: ChargeMessage.FilteredPrice, body: ChargeFilterChange, model: ChargeModel, path: str, refusals: Refusals
) -> list[str]:
    """Fill the message of a filter from a body, and return the names of its fields; see `say_charge`."""
    _, paths = patch(price, body, skip=("values", "properties"))
    if body.values is not UNSET:
        for name, values in body.values.items():
            price.values[name].values.extend(values)
        paths.append("values")
    if body.properties is not UNSET:
        say_model(price.model, model, body.properties, f"{path}properties", refusals)
        if _group_by(body.properties, f"{path}properties", refusals):
            refusals.add(f"{path}properties.pricing_group_keys", "not_available", "can be set only on the charge")
        paths.append("model")
    return paths


def _group_by(properties: NewChargeProperties, path: str, refusals: Refusals) -> list[str]:
    """The grouping under Lago's name for it, or under its older name."""
    groups, older = given(properties.pricing_group_keys), given(properties.grouped_by)
    if groups is not None and older is not None and groups != older:
        refusals.add(f"{path}.grouped_by", "value_is_invalid", "differs from pricing_group_keys, its newer name")
    return groups or older or []


def charge_to_api(charge: ChargeMessage, created_at: Instant | None) -> Charge:
    """A charge as Lago's clients read it.

    Args:
        charge: a charge of a plan.
        created_at: when the plan version was created; a charge has no time of its own.
    """
    return project(
        Charge,
        charge,
        created_at=created_at,
        charge_model=charge.model.WhichOneof("model") or "",
        properties=properties_to_api(charge.model, list(charge.group_by)),
        filters=[filter_to_api(price, created_at) for price in charge.filters],
    )


def filter_to_api(price: ChargeMessage.FilteredPrice, created_at: Instant | None) -> ChargeFilter:
    """A filter of a charge as Lago's clients read it; see `charge_to_api`."""
    return project(
        ChargeFilter,
        price,
        created_at=created_at,
        properties=properties_to_api(price.model, []),
        values={name: list(accepted.values) for name, accepted in sorted(price.values.items())},
    )
