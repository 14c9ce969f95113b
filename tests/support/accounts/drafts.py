"""REST bodies as rating's domain knows them: metrics, plans, coupons, taxes and items as drafts of what is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from services.kernel.cadence import INTERVALS, CadenceUnit, Interval
from services.kernel.ids import BillableMetricId, ChargeId, PlanId
from services.kernel.money import CURRENCIES, Currency
from services.rating.invoicing.commands.one_off import OneOffItem
from services.rating.pricing.catalog import CatalogTax, Coupon, MetricVersion, PlanVersion
from services.rating.pricing.charge_filter import ChargeFilter
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
)
from services.rating.pricing.coupon import CouponFrequency, CouponTerms
from services.rating.pricing.metric import Aggregation, BillableMetric, MetricFilter, Rounding, RoundingFunction
from services.rating.pricing.plan import Charge, Plan
from services.rating.pricing.tax import Tax

Body = Mapping[str, Any]
# Placeholder in a draft for the instant that the command sets.
_LATER = datetime(2000, 1, 1, tzinfo=UTC)


def metric_draft(body: Body) -> MetricVersion:
    """The draft of a metric."""
    function = body.get("rounding_function")
    definition = BillableMetric(
        code=body["code"],
        aggregation=Aggregation(body["aggregation_type"].removesuffix("_agg")),
        field_name=body.get("field_name"),
        filters=tuple(MetricFilter(given["key"], tuple(given["values"])) for given in body.get("filters", [])),
        rounding=Rounding(RoundingFunction(function), body.get("rounding_precision") or 0) if function else None,
        recurring=body.get("recurring", False),
    )
    return MetricVersion(BillableMetricId(body["code"]), 1, definition, body.get("name", body["code"]), "", _LATER)


def plan_draft(body: Body) -> PlanVersion:
    """The draft of a plan."""
    currency = CURRENCIES[body["amount_currency"]]
    commitment = body.get("minimum_commitment", {})
    charges = [_charge(given, number, body, currency) for number, given in enumerate(body.get("charges", []))]
    plan = Plan(
        code=body["code"],
        currency=currency,
        interval=_interval(body),
        base_amount=currency.to_major(body["amount_cents"]),
        in_advance=body.get("pay_in_advance", False),
        charges=tuple(charges),
        bill_charges_monthly=body.get("bill_charges_monthly", False),
        trial_days=body.get("trial_period", 0),
        minimum_commitment_amount=currency.to_major(commitment.get("amount_cents", 0)),
        name=body.get("name", body["code"]),
    )
    return PlanVersion(
        PlanId(f"{body['code']}"),
        plan,
        _LATER,
        tax_codes=tuple(body.get("tax_codes", ())),
        bill_usage_in_trial=body.get("bill_usage_in_trial", True),
    )


def coupon_draft(body: Body) -> Coupon:
    """The draft of a coupon."""
    limits = body.get("applies_to", {})
    is_percentage = body["coupon_type"] == "percentage"
    terms = CouponTerms(
        code=body["code"],
        frequency=CouponFrequency(body["frequency"]),
        amount_cents=None if is_percentage else body["amount_cents"],
        rate_percent=Decimal(body["percentage_rate"]) if is_percentage else None,
        invoices_left=body.get("frequency_duration"),
        plan_codes=tuple(limits.get("plan_codes", ())),
        metric_codes=tuple(limits.get("billable_metric_codes", ())),
    )
    currency = "" if is_percentage else body["amount_currency"]
    return Coupon(body["code"], body.get("name", body["code"]), terms, currency, _LATER)


def tax_draft(body: Body) -> CatalogTax:
    """The draft of a tax."""
    tax = Tax(body["code"], Decimal(body["rate"]), body.get("name", body["code"]))
    return CatalogTax(body["code"], tax, _LATER, "", body.get("applied_to_organization", False))


def item_draft(body: Body) -> OneOffItem:
    """An item that is sold once, as it is asked for."""
    return OneOffItem(
        name=body["name"],
        units=_number(body["units"]),
        unit_amount_cents=body["unit_amount_cents"],
        tax_codes=tuple(body.get("tax_codes", ())),
        code=body.get("add_on_code", ""),
    )


def model_of(charge_model: str, properties: Body) -> ChargeModel:
    """The charge model that Lago-shaped properties describe."""
    return _MODELS[charge_model](properties)


def _number(value: object) -> Decimal:
    return Decimal(str(value))


def _up_to(tier: Body) -> Decimal | None:
    return None if tier["to_value"] is None else _number(tier["to_value"])


def _tiers(ranges: Sequence[Body]) -> tuple[Tier, ...]:
    return tuple(Tier(_up_to(tier), _number(tier["per_unit_amount"]), _number(tier["flat_amount"])) for tier in ranges)


def _rate_tiers(ranges: Sequence[Body]) -> tuple[PercentageTier, ...]:
    return tuple(PercentageTier(_up_to(tier), _number(tier["rate"]), _number(tier["flat_amount"])) for tier in ranges)


def _percentage(properties: Body) -> Percentage:
    least, most = properties.get("per_transaction_min_amount"), properties.get("per_transaction_max_amount")
    return Percentage(
        rate_percent=_number(properties["rate"]),
        fixed_amount=_number(properties.get("fixed_amount") or 0),
        # Zero means "no allowance" in a body; in the domain an allowance is absent.
        free_events=properties.get("free_units_per_events") or None,
        free_amount=_number(properties.get("free_units_per_total_aggregation") or 0) or None,
        per_transaction_min_amount=None if least is None else _number(least),
        per_transaction_max_amount=None if most is None else _number(most),
    )


_MODELS: dict[str, Callable[[Body], ChargeModel]] = {
    "standard": lambda given: Standard(_number(given["amount"])),
    "graduated": lambda given: Graduated(_tiers(given["graduated_ranges"])),
    "volume": lambda given: Volume(_tiers(given["volume_ranges"])),
    "package": lambda given: Package(
        _number(given["amount"]), _number(given["package_size"]), _number(given.get("free_units") or 0)
    ),
    "percentage": _percentage,
    "graduated_percentage": lambda given: GraduatedPercentage(_rate_tiers(given["graduated_percentage_ranges"])),
    "dynamic": lambda _: Dynamic(),
}


def _interval(body: Body) -> Interval:
    if body["interval"] != "custom":
        return INTERVALS[body["interval"]]
    return Interval(CadenceUnit(body["interval_unit"]), body["interval_count"])


def _charge(body: Body, number: int, plan: Body, currency: Currency) -> Charge:
    name, properties = body["charge_model"], body["properties"]
    filters = [
        ChargeFilter(
            key=f"filter-{index}",
            conditions=tuple((key, tuple(values)) for key, values in sorted(given["values"].items())),
            model=model_of(name, given["properties"]),
            description=given.get("invoice_display_name", ""),
        )
        for index, given in enumerate(body.get("filters", []))
    ]
    return Charge(
        charge_id=ChargeId(f"{plan['code']}-{number}"),
        metric_code=body["billable_metric_id"],
        model=model_of(name, properties),
        filters=tuple(filters),
        group_by=tuple(properties.get("pricing_group_keys", ())),
        minimum_amount=currency.to_major(body.get("min_amount_cents", 0)),
        prorated=body.get("prorated", False),
        in_advance=body.get("pay_in_advance", False),
        tax_codes=tuple(body.get("tax_codes", ())),
    )
