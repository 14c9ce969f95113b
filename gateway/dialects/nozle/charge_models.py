"""Charge models: Lago's `properties` with ranges `from_value … to_value`, ours with tiers `up_to`.

`from_value` is not read: it repeats the tier before it. It is written as Lago's clients show it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from farebox.rating.v1.charge_pb2 import ChargeModel, PercentTier, Tier
from gateway.dialects.nozle import write
from gateway.dialects.nozle.read import Reader

_ONE = Decimal(1)


def read_model(name: str, properties: Reader) -> ChargeModel:
    """The charge model of this name with these properties.

    Raises:
        Problem: 422, the model is unknown or a property cannot be read.
    """
    read = _READERS.get(name)
    if read is None:
        raise properties.refusal("charge_model", "value_is_invalid", f"must be one of {', '.join(_READERS)}")
    return read(properties)


def model_name(model: ChargeModel) -> str:
    """Lago's name of a charge model, which is ours too."""
    return model.WhichOneof("model") or ""


def write_model(model: ChargeModel) -> dict[str, Any]:
    """The `properties` of a charge model."""
    name = model_name(model)
    return _WRITERS[name](getattr(model, name)) if name else {}


def _read_standard(properties: Reader) -> ChargeModel:
    return ChargeModel(standard=ChargeModel.Standard(unit_amount=properties.decimal("amount")))


def _read_graduated(properties: Reader) -> ChargeModel:
    return ChargeModel(graduated=ChargeModel.Graduated(tiers=_read_tiers(properties, "graduated_ranges")))


def _read_volume(properties: Reader) -> ChargeModel:
    return ChargeModel(volume=ChargeModel.Volume(tiers=_read_tiers(properties, "volume_ranges")))


def _read_package(properties: Reader) -> ChargeModel:
    return ChargeModel(
        package=ChargeModel.Package(
            package_amount=properties.decimal("amount"),
            package_size=properties.decimal("package_size"),
            free_units=properties.decimal("free_units"),
        )
    )


def _read_percentage(properties: Reader) -> ChargeModel:
    free_events = properties.integer("free_units_per_events")
    return ChargeModel(
        percentage=ChargeModel.Percentage(
            rate_percent=properties.decimal("rate"),
            fixed_amount=properties.decimal("fixed_amount"),
            free_event_count=free_events or None,
            free_units=properties.decimal("free_units_per_total_aggregation"),
            per_event_min_amount=properties.decimal("per_transaction_min_amount"),
            per_event_max_amount=properties.decimal("per_transaction_max_amount"),
        )
    )


def _read_graduated_percentage(properties: Reader) -> ChargeModel:
    tiers = [
        PercentTier(
            up_to=each.decimal("to_value"), rate_percent=each.decimal("rate"), flat_amount=each.decimal("flat_amount")
        )
        for each in properties.objects("graduated_percentage_ranges")
    ]
    return ChargeModel(graduated_percentage=ChargeModel.GraduatedPercentage(tiers=tiers))


def _read_dynamic(_: Reader) -> ChargeModel:
    return ChargeModel(dynamic=ChargeModel.Dynamic())


def _read_tiers(properties: Reader, name: str) -> list[Tier]:
    return [
        Tier(
            up_to=each.decimal("to_value"),
            unit_amount=each.decimal("per_unit_amount"),
            flat_amount=each.decimal("flat_amount"),
        )
        for each in properties.objects(name)
    ]


_READERS: dict[str, Callable[[Reader], ChargeModel]] = {
    "standard": _read_standard,
    "graduated": _read_graduated,
    "volume": _read_volume,
    "package": _read_package,
    "percentage": _read_percentage,
    "graduated_percentage": _read_graduated_percentage,
    "dynamic": _read_dynamic,
}


def _write_standard(model: ChargeModel.Standard) -> dict[str, Any]:
    return {"amount": write.decimal(model, "unit_amount")}


def _write_package(model: ChargeModel.Package) -> dict[str, Any]:
    return {
        "amount": write.decimal(model, "package_amount"),
        "package_size": write.number(model, "package_size"),
        "free_units": write.number(model, "free_units") or 0,
    }


def _write_percentage(model: ChargeModel.Percentage) -> dict[str, Any]:
    return {
        "rate": write.decimal(model, "rate_percent"),
        "fixed_amount": write.decimal(model, "fixed_amount"),
        "free_units_per_events": model.free_event_count if model.HasField("free_event_count") else None,
        "free_units_per_total_aggregation": write.decimal(model, "free_units"),
        "per_transaction_min_amount": write.decimal(model, "per_event_min_amount"),
        "per_transaction_max_amount": write.decimal(model, "per_event_max_amount"),
    }


def _write_tiers(tiers: Sequence[Tier]) -> list[dict[str, Any]]:
    return [
        {
            **bounds,
            "per_unit_amount": write.decimal(tier, "unit_amount") or "0",
            "flat_amount": write.decimal(tier, "flat_amount") or "0",
        }
        for tier, bounds in zip(tiers, _bounds(tiers), strict=True)
    ]


def _write_percent_tiers(tiers: Sequence[PercentTier]) -> list[dict[str, Any]]:
    return [
        {
            **bounds,
            "rate": write.decimal(tier, "rate_percent") or "0",
            "flat_amount": write.decimal(tier, "flat_amount") or "0",
        }
        for tier, bounds in zip(tiers, _bounds(tiers), strict=True)
    ]


def _bounds(tiers: Sequence[Tier] | Sequence[PercentTier]) -> list[dict[str, Any]]:
    """`from_value` and `to_value` of each tier; after a whole number the next tier begins one higher, as in Lago."""
    bounds, start = [], Decimal(0)
    for tier in tiers:
        bounds.append({"from_value": write.json_number(start), "to_value": write.number(tier, "up_to")})
        end = write.exact(tier.up_to)
        start = end + _ONE if end == end.to_integral_value() else end
    return bounds


_WRITERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "standard": _write_standard,
    "graduated": lambda model: {"graduated_ranges": _write_tiers(model.tiers)},
    "volume": lambda model: {"volume_ranges": _write_tiers(model.tiers)},
    "package": _write_package,
    "percentage": _write_percentage,
    "graduated_percentage": lambda model: {"graduated_percentage_ranges": _write_percent_tiers(model.tiers)},
    "dynamic": lambda _: {},
}
