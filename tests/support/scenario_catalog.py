"""What scenarios sell, as rating's domain knows it: the REST bodies of metrics and plans become drafts of versions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from services.kernel.cadence import CadenceUnit, Interval, interval_named
from services.kernel.ids import BillableMetricId, ChargeId, PlanId
from services.kernel.money import CURRENCIES, Currency, plain
from services.rating.pricing.catalog import MetricVersion, PlanVersion
from services.rating.pricing.charge_filter import ChargeFilter
from services.rating.pricing.fee import Fee as DomainFee
from services.rating.pricing.fee import FeeKind
from services.rating.pricing.metric import Aggregation, BillableMetric, MetricFilter
from services.rating.pricing.plan import Charge, Plan
from tests.rating_case_runner import model_from_properties
from tests.support.scenarios import Fee

# Stands in a draft for the instant that the command gives.
_LATER = datetime(2000, 1, 1, tzinfo=UTC)


def metric_draft(body: Mapping[str, Any]) -> MetricVersion:
    """A metric as it is asked for."""
    metric = BillableMetric(
        code=body["code"],
        aggregation=Aggregation(body["aggregation_type"].removesuffix("_agg")),
        field_name=body.get("field_name"),
        filters=tuple(MetricFilter(each["key"], tuple(each["values"])) for each in body.get("filters", [])),
        recurring=body.get("recurring", False),
    )
    return MetricVersion(BillableMetricId(body["code"]), 1, metric, body["name"], "", _LATER)


def plan_draft(body: Mapping[str, Any]) -> PlanVersion:
    """A plan as it is asked for."""
    currency = CURRENCIES[body["amount_currency"]]
    commitment = body.get("minimum_commitment", {})
    plan = Plan(
        code=body["code"],
        currency=currency,
        interval=_interval(body),
        base_amount=currency.to_major(body["amount_cents"]),
        in_advance=body.get("pay_in_advance", False),
        charges=tuple(_charge(each, number, body, currency) for number, each in enumerate(body.get("charges", []))),
        bill_charges_monthly=body.get("bill_charges_monthly", False),
        trial_days=body.get("trial_period", 0),
        minimum_commitment_amount=currency.to_major(commitment.get("amount_cents", 0)),
        name=body["name"],
    )
    return PlanVersion(PlanId(body["code"]), plan, _LATER)


def billed_fee(fee: DomainFee, filter_name: str = "") -> Fee:
    """A fee as a scenario writes it."""
    code = "" if fee.kind is FeeKind.SUBSCRIPTION else fee.metric_code or fee.plan_code
    return Fee(fee.kind, code, fee.amount_cents, plain(fee.units), filter_name, fee.group)


def _interval(body: Mapping[str, Any]) -> Interval:
    if body["interval"] != "custom":
        return interval_named(body["interval"])
    return Interval(CadenceUnit(body["interval_unit"]), body["interval_count"])


def _charge(body: Mapping[str, Any], number: int, plan: Mapping[str, Any], currency: Currency) -> Charge:
    name, properties = body["charge_model"], body["properties"]
    filters = [
        ChargeFilter(
            key=f"filter-{index}",
            conditions=tuple((key, tuple(values)) for key, values in sorted(each["values"].items())),
            model=model_from_properties(name, each["properties"]),
            description=each.get("invoice_display_name", ""),
        )
        for index, each in enumerate(body.get("filters", []))
    ]
    groups = properties.get("pricing_group_keys")
    return Charge(
        charge_id=ChargeId(f"{plan['code']}-{number}"),
        metric_code=body["billable_metric_id"],
        model=model_from_properties(name, properties),
        filters=tuple(filters),
        group_by=None if groups is None else tuple(groups),
        minimum_amount=Decimal(currency.to_major(body.get("min_amount_cents", 0))),
        prorated=body.get("prorated", False),
    )
