"""Charge models: messages to domain and back, one pair of functions for each model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from farebox.rating.v1 import charge_pb2 as pb
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.money import ZERO
from services.rating.pricing.charges import (
    ChargeModel,
    Dynamic,
    Graduated,
    GraduatedPercentage,
    Package,
    Percentage,
    PercentageTier,
    Standard,
    Tier,
    Volume,
    model_name,
)
from services.wire.values import decimal_of, decimal_or_none_of, decimal_to_pb

_ONE = Decimal(1)
# The domain's names for the fields of a percentage, and the caller's.
_PERCENTAGE_NAMES = {
    "free_events": "free_event_count",
    "free_amount": "free_units",
    "per_transaction_min_amount": "per_event_min_amount",
    "per_transaction_max_amount": "per_event_max_amount",
}


def model_from_pb(message: pb.ChargeModel, path: str) -> ChargeModel:
    """The price, or a refusal that names its fields under `path`, e.g. `plan.charges[2].model`."""
    kind = message.WhichOneof("model")
    if kind is None:
        raise InvalidArgumentError.of_field(path, "value_is_mandatory", "says how units become an amount")
    read: Callable[[Any, str], ChargeModel] = _READERS[kind]
    return read(getattr(message, kind), f"{path}.{kind}")


def model_to_pb(model: ChargeModel) -> pb.ChargeModel:
    """The price as it is."""
    kind = model_name(model)
    return pb.ChargeModel(**{kind: _WRITERS[kind](model)})


def _standard(message: pb.ChargeModel.Standard, path: str) -> Standard:
    with inside(path):
        return Standard(decimal_of(message, "unit_amount"))


def _graduated(message: pb.ChargeModel.Graduated, path: str) -> Graduated:
    tiers = _tiers(message.tiers, path)
    with inside(path):
        return Graduated(tiers)


def _volume(message: pb.ChargeModel.Volume, path: str) -> Volume:
    tiers = _tiers(message.tiers, path)
    with inside(path):
        return Volume(tiers)


def _package(message: pb.ChargeModel.Package, path: str) -> Package:
    with inside(path) as checks:
        return Package(
            checks.read(ZERO, decimal_of, message, "package_amount"),
            checks.read(_ONE, decimal_of, message, "package_size"),
            checks.read(None, decimal_or_none_of, message, "free_units") or ZERO,
        )


def _percentage(message: pb.ChargeModel.Percentage, path: str) -> Percentage:
    with inside(path, _PERCENTAGE_NAMES) as checks:
        return Percentage(
            rate_percent=checks.read(ZERO, decimal_of, message, "rate_percent"),
            fixed_amount=checks.read(None, decimal_or_none_of, message, "fixed_amount") or ZERO,
            # An allowance of nothing is no allowance; SDKs send 0 for it.
            free_events=message.free_event_count or None,
            free_amount=checks.read(None, decimal_or_none_of, message, "free_units") or None,
            per_transaction_min_amount=checks.read(None, decimal_or_none_of, message, "per_event_min_amount"),
            per_transaction_max_amount=checks.read(None, decimal_or_none_of, message, "per_event_max_amount"),
        )


def _graduated_percentage(message: pb.ChargeModel.GraduatedPercentage, path: str) -> GraduatedPercentage:
    with inside(path) as checks:
        tiers = tuple(
            PercentageTier(
                checks.read(None, decimal_or_none_of, tier, "up_to", f"tiers[{number}]"),
                checks.read(ZERO, decimal_of, tier, "rate_percent", f"tiers[{number}]"),
                checks.read(None, decimal_or_none_of, tier, "flat_amount", f"tiers[{number}]") or ZERO,
            )
            for number, tier in enumerate(message.tiers)
        )
    with inside(path):
        return GraduatedPercentage(tiers)


def _dynamic(_: pb.ChargeModel.Dynamic, __: str) -> Dynamic:
    return Dynamic()


def _tiers(messages: Iterable[pb.Tier], path: str) -> tuple[Tier, ...]:
    """The tiers; all their numbers are read first, since checking their order needs all of them."""
    with inside(path) as checks:
        return tuple(
            Tier(
                checks.read(None, decimal_or_none_of, tier, "up_to", f"tiers[{number}]"),
                checks.read(None, decimal_or_none_of, tier, "unit_amount", f"tiers[{number}]") or ZERO,
                checks.read(None, decimal_or_none_of, tier, "flat_amount", f"tiers[{number}]") or ZERO,
            )
            for number, tier in enumerate(messages)
        )


def _tiers_to_pb(tiers: tuple[Tier, ...]) -> list[pb.Tier]:
    return [
        pb.Tier(
            up_to=decimal_to_pb(tier.up_to),
            unit_amount=decimal_to_pb(tier.unit_amount),
            flat_amount=decimal_to_pb(tier.flat_amount),
        )
        for tier in tiers
    ]


def _percentage_to_pb(model: Percentage) -> pb.ChargeModel.Percentage:
    return pb.ChargeModel.Percentage(
        rate_percent=decimal_to_pb(model.rate_percent),
        fixed_amount=decimal_to_pb(model.fixed_amount),
        free_event_count=model.free_events,
        free_units=decimal_to_pb(model.free_amount),
        per_event_min_amount=decimal_to_pb(model.per_transaction_min_amount),
        per_event_max_amount=decimal_to_pb(model.per_transaction_max_amount),
    )


def _graduated_percentage_to_pb(model: GraduatedPercentage) -> pb.ChargeModel.GraduatedPercentage:
    return pb.ChargeModel.GraduatedPercentage(
        tiers=[
            pb.PercentTier(
                up_to=decimal_to_pb(tier.up_to),
                rate_percent=decimal_to_pb(tier.rate_percent),
                flat_amount=decimal_to_pb(tier.flat_amount),
            )
            for tier in model.tiers
        ]
    )


def _package_to_pb(model: Package) -> pb.ChargeModel.Package:
    return pb.ChargeModel.Package(
        package_amount=decimal_to_pb(model.package_amount),
        package_size=decimal_to_pb(model.package_size),
        free_units=decimal_to_pb(model.free_units),
    )


_READERS: dict[str, Callable[[Any, str], ChargeModel]] = {
    "standard": _standard,
    "graduated": _graduated,
    "volume": _volume,
    "package": _package,
    "percentage": _percentage,
    "graduated_percentage": _graduated_percentage,
    "dynamic": _dynamic,
}
_WRITERS: dict[str, Callable[[Any], Any]] = {
    "standard": lambda model: pb.ChargeModel.Standard(unit_amount=decimal_to_pb(model.unit_amount)),
    "graduated": lambda model: pb.ChargeModel.Graduated(tiers=_tiers_to_pb(model.tiers)),
    "volume": lambda model: pb.ChargeModel.Volume(tiers=_tiers_to_pb(model.tiers)),
    "package": _package_to_pb,
    "percentage": _percentage_to_pb,
    "graduated_percentage": _graduated_percentage_to_pb,
    "dynamic": lambda _: pb.ChargeModel.Dynamic(),
}
