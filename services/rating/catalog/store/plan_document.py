"""A plan's content as one JSON document: decimals as text, a charge model with its name.

Documents are written once and read for as long as an invoice may be rebuilt, so the meaning of a name never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import msgspec

from services.kernel.cadence import CadenceUnit, Interval, ResetWindow
from services.kernel.ids import ChargeId
from services.kernel.money import CURRENCIES
from services.rating.pricing.charge_filter import ChargeFilter
from services.rating.pricing.charges import CHARGE_MODELS, ChargeModel, model_name
from services.rating.pricing.plan import Charge, Plan, PlanEntitlement

_KIND = "kind"


def plan_to_document(plan: Plan) -> dict[str, Any]:
    """Everything of a plan except its code, version, currency and taxes, which have columns or rows of their own."""
    return {
        "name": plan.name,
        "interval": {"unit": plan.interval.unit.value, "every": plan.interval.every},
        "base_amount": str(plan.base_amount),
        "in_advance": plan.in_advance,
        "bill_charges_monthly": plan.bill_charges_monthly,
        "trial_days": plan.trial_days,
        "minimum_commitment_amount": str(plan.minimum_commitment_amount),
        "charges": [_charge_to_document(charge) for charge in plan.charges],
        "entitlements": [_entitlement_to_document(entitlement) for entitlement in plan.entitlements],
    }


def plan_from_document(code: str, version: int, currency: str, document: Mapping[str, Any]) -> Plan:
    """The plan that a document describes."""
    interval = document["interval"]
    return Plan(
        code=code,
        currency=CURRENCIES[currency],
        interval=Interval(CadenceUnit(interval["unit"]), interval["every"]),
        version=version,
        base_amount=Decimal(document["base_amount"]),
        in_advance=document["in_advance"],
        charges=tuple(_charge_from_document(charge) for charge in document["charges"]),
        bill_charges_monthly=document["bill_charges_monthly"],
        trial_days=document["trial_days"],
        minimum_commitment_amount=Decimal(document["minimum_commitment_amount"]),
        entitlements=tuple(_entitlement_from_document(entitlement) for entitlement in document["entitlements"]),
        name=document["name"],
    )


def model_to_document(model: ChargeModel) -> dict[str, Any]:
    """A charge model with its name."""
    fields: dict[str, Any] = msgspec.to_builtins(asdict(model))
    return {_KIND: model_name(model), **fields}


def model_from_document(document: Mapping[str, Any]) -> ChargeModel:
    """The charge model that a document describes."""
    fields = {name: value for name, value in document.items() if name != _KIND}
    return msgspec.convert(fields, type=CHARGE_MODELS[document[_KIND]])


def _charge_to_document(charge: Charge) -> dict[str, Any]:
    return {
        "charge_id": charge.charge_id,
        "code": charge.code,
        "metric_code": charge.metric_code,
        "description": charge.description,
        "model": model_to_document(charge.model),
        "filters": [_filter_to_document(charge_filter) for charge_filter in charge.filters],
        "group_by": None if charge.group_by is None else list(charge.group_by),
        "minimum_amount": str(charge.minimum_amount),
        "prorated": charge.prorated,
        "in_advance": charge.in_advance,
        "tax_codes": list(charge.tax_codes),
        "metric_id": charge.metric_id,
    }


def _charge_from_document(document: Mapping[str, Any]) -> Charge:
    group_by = document["group_by"]
    return Charge(
        charge_id=ChargeId(document["charge_id"]),
        metric_code=document["metric_code"],
        model=model_from_document(document["model"]),
        filters=tuple(_filter_from_document(charge_filter) for charge_filter in document["filters"]),
        group_by=None if group_by is None else tuple(group_by),
        minimum_amount=Decimal(document["minimum_amount"]),
        prorated=document["prorated"],
        in_advance=document["in_advance"],
        description=document["description"],
        code=document["code"],
        # Older documents, from before charges had taxes and their metric's id, lack both.
        tax_codes=tuple(document.get("tax_codes", ())),
        metric_id=document.get("metric_id", ""),
    )


def _filter_to_document(charge_filter: ChargeFilter) -> dict[str, Any]:
    return {
        "key": charge_filter.key,
        "conditions": [[name, list(values)] for name, values in charge_filter.conditions],
        "model": model_to_document(charge_filter.model),
        "description": charge_filter.description,
    }


def _filter_from_document(document: Mapping[str, Any]) -> ChargeFilter:
    return ChargeFilter(
        key=document["key"],
        conditions=tuple((name, tuple(values)) for name, values in document["conditions"]),
        model=model_from_document(document["model"]),
        description=document["description"],
    )


def _entitlement_to_document(entitlement: PlanEntitlement) -> dict[str, Any]:
    """A number is stored as text under a name of its own, so that it is never taken for a configuration's text."""
    value = (
        {"limit": str(entitlement.value)} if isinstance(entitlement.value, Decimal) else {"value": entitlement.value}
    )
    return {
        "feature_code": entitlement.feature_code,
        **value,
        "is_soft": entitlement.is_soft,
        "reset": entitlement.reset.value,
        "metric_code": entitlement.metric_code,
    }


def _entitlement_from_document(document: Mapping[str, Any]) -> PlanEntitlement:
    limit = document.get("limit")
    return PlanEntitlement(
        feature_code=document["feature_code"],
        value=document.get("value") if limit is None else Decimal(limit),
        is_soft=document["is_soft"],
        reset=ResetWindow(document["reset"]),
        metric_code=document["metric_code"],
    )
