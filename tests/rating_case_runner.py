"""Runs one case of tests/cases/rating_cases.json through the pure rating domain.

`outcome(case)` gives the figures the domain arrives at, under the names the case expects them by; `same` compares both.
Prices in the cases have the shape of Lago's API; they are turned into charge models here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from services.kernel.cadence import MONTHLY, Alignment, Cadence, interval_named, period_containing
from services.kernel.ids import ChargeId, SubscriptionId
from services.kernel.money import CURRENCIES
from services.kernel.period import Period
from services.rating.pricing.charge_filter import Bucket, ChargeFilter, bucket_of
from services.rating.pricing.charge_usage import ChargeUsage, Window
from services.rating.pricing.charges import (
    ChargeModel,
    Dynamic,
    Graduated,
    GraduatedPercentage,
    Package,
    Percentage,
    PercentageTier,
    Standard,
    Step,
    Tier,
    Transactions,
    Usage,
    Volume,
    price,
)
from services.rating.pricing.fee import Fee
from services.rating.pricing.metric import (
    Aggregation,
    BillableMetric,
    Measurement,
    MetricFilter,
    Rounding,
    RoundingFunction,
)
from services.rating.pricing.plan import Charge
from services.rating.pricing.rate import RatedFor, rate_charge
from services.rating.pricing.tax import Tax

Case = Mapping[str, Any]

CASES_FILE = Path(__file__).parent / "cases" / "rating_cases.json"
EUR = CURRENCIES["EUR"]
SUBSCRIPTION = SubscriptionId("00000000-0000-7000-8000-000000000001")
CHARGE = ChargeId("00000000-0000-7000-8000-000000000002")
# An arbitrary month for cases without dates.
_START = datetime(2024, 2, 1, tzinfo=UTC)


def load_cases() -> list[dict[str, Any]]:
    """All cases, in the order of the file."""
    cases: list[dict[str, Any]] = json.loads(CASES_FILE.read_text())["cases"]
    return cases


def same(expected: object, actual: object) -> bool:
    """Whether a figure is the expected one: numbers by value, to as many decimals as are expected."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return all(key in actual and same(value, actual[key]) for key, value in expected.items())
    if isinstance(expected, list):
        return isinstance(actual, list) and len(expected) == len(actual) and all(map(same, expected, actual))
    if isinstance(actual, Decimal) and isinstance(expected, str):
        return Decimal(expected) == actual.quantize(Decimal(expected), rounding=ROUND_HALF_UP)
    return bool(expected == actual)


def instant(text: str) -> datetime:
    """An instant of a case; without a zone it is UTC."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def major(cents: float | str | None) -> Decimal:
    """Minor units of a case in major units."""
    return Decimal(str(cents or 0)).scaleb(-2)


def taxes_at(rate: int | None) -> tuple[Tax, ...]:
    """The tax of a case, if it has one."""
    return (Tax(f"tax-{rate}", Decimal(rate)),) if rate is not None else ()


# --- prices ---------------------------------------------------------------------------------------------------------


def model_from_properties(charge_model: str, properties: Mapping[str, Any]) -> ChargeModel:
    """The charge model that Lago-shaped properties describe."""
    return _CONVERTERS[charge_model](properties)


def _number(value: object) -> Decimal:
    return Decimal(str(value))


def _up_to(tier: Mapping[str, Any]) -> Decimal | None:
    return None if tier["to_value"] is None else _number(tier["to_value"])


def _tiers(ranges: list[Mapping[str, Any]]) -> tuple[Tier, ...]:
    return tuple(Tier(_up_to(each), _number(each["per_unit_amount"]), _number(each["flat_amount"])) for each in ranges)


def _rate_tiers(ranges: list[Mapping[str, Any]]) -> tuple[PercentageTier, ...]:
    return tuple(PercentageTier(_up_to(each), _number(each["rate"]), _number(each["flat_amount"])) for each in ranges)


def _percentage(properties: Mapping[str, Any]) -> Percentage:
    free_amount = _number(properties.get("free_units_per_total_aggregation") or 0)
    least, most = properties.get("per_transaction_min_amount"), properties.get("per_transaction_max_amount")
    return Percentage(
        rate_percent=_number(properties["rate"]),
        fixed_amount=_number(properties.get("fixed_amount") or 0),
        # Zero means "no allowance" there; here an allowance is absent.
        free_events=properties.get("free_units_per_events") or None,
        free_amount=free_amount or None,
        per_transaction_min_amount=None if least is None else _number(least),
        per_transaction_max_amount=None if most is None else _number(most),
    )


_CONVERTERS: dict[str, Callable[[Mapping[str, Any]], ChargeModel]] = {
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


# --- charge models --------------------------------------------------------------------------------------------------


def _charge_model(case: Case) -> dict[str, object]:
    given = case["given"]
    model = model_from_properties(given["charge_model"], given.get("properties", {}))
    priced = price(model, _usage(model, given))
    return {
        "amount": priced.amount,
        "unit_amount": priced.unit_amount,
        "unit_amount_approx": priced.unit_amount,
        "amount_2dp": priced.amount,
        "amount_ceil_2dp": priced.amount.quantize(Decimal("0.01"), rounding=ROUND_CEILING),
    }


def _usage(model: ChargeModel, given: Case) -> Usage:
    units, transactions, steps = _number(given.get("units", 0)), None, None
    if given.get("prorated"):
        units = _number(given["full_units_number"])
        pairs = zip(given["event_full_units"], given["event_prorated_units"], strict=True)
        steps = tuple(Step(_number(full), _number(prorated)) for full, prorated in pairs)
    if isinstance(model, Percentage) and "event_values" in given:
        transactions = Transactions(model.terms).add(measurements(given["event_values"]))
    return Usage(
        units, given.get("events_count", 0), transactions, steps, major(given.get("precise_total_amount_cents"))
    )


def measurements(values: list[str]) -> list[Measurement]:
    """Events with these values, a second apart."""
    return [
        Measurement(f"event-{number}", _START + timedelta(seconds=number), _number(value))
        for number, value in enumerate(values)
    ]


def _charge_model_tier(case: Case) -> dict[str, object]:
    """The middle tier of three, of which the case gives one."""
    given = case["given"]
    tier, start = given["range"], _number(given["range"]["from_value"])
    unit = "rate" if "rate" in tier else "per_unit_amount"
    below = start if given.get("adjacent") else start - 1
    ranges = [{"to_value": below, unit: 0, "flat_amount": 0}] if start else []
    ranges += [tier, {"to_value": None, unit: 0, "flat_amount": 0}]
    model = GraduatedPercentage(_rate_tiers(ranges)) if unit == "rate" else Graduated(_tiers(ranges))
    line = price(model, Usage(_number(given["total_units"]))).lines[1 if start else 0]
    return {
        "units": line.units,
        "per_unit_total_amount": line.units * line.unit_amount,
        "total_with_flat_amount": line.amount,
    }


# --- metrics --------------------------------------------------------------------------------------------------------


def _metric_rounding(case: Case) -> dict[str, object]:
    given = case["given"]
    function = given["rounding_function"]
    rounding = Rounding(RoundingFunction(function), given["rounding_precision"] or 0) if function else None
    metric = BillableMetric("m", Aggregation.COUNT, rounding=rounding)
    return {"units": metric.round_units(_number(given["units"]))}


def _aggregation(case: Case) -> dict[str, object]:
    given = case["given"]
    metric = metric_from(given | {"field_name": "value"})
    group_keys = given.get("group_by", [])
    start = instant(given["period"]["from"])
    period = Period(start, start + timedelta(days=given["period"]["charges_duration_days"]))
    window = Window(period, period, "UTC")
    usages: dict[Bucket, ChargeUsage] = {}
    if "carried_value" in given:
        before = Measurement("carried", start - timedelta(days=1), _number(given["carried_value"]))
        usages[Bucket()] = ChargeUsage.empty(metric, Dynamic()).add([before]).carry()
    for number, event in enumerate(given["events"]):
        bucket = bucket_of((), group_keys, event)
        measured = metric.measure(event_id=str(number), at=instant(event["timestamp"]), properties=event)
        usages[bucket] = usages.get(bucket, ChargeUsage.empty(metric, Dynamic())).add([measured])
    rated = {bucket: usage.usage(metric, window) for bucket, usage in usages.items()}
    last = next(reversed(rated.values()))
    aggregate = next(reversed(usages.values())).aggregate
    return {
        "units_5dp": last.units,
        "events_count": last.event_count,
        "total_aggregated_units": aggregate.units,
        "variation": aggregate.units - _number(given.get("carried_value", 0)),
        "groups": {bucket.group[0][1]: usage.units for bucket, usage in rated.items() if bucket.group},
    }


def metric_from(given: Mapping[str, Any], *, recurring: bool | None = None) -> BillableMetric:
    """The billable metric of a case."""
    aggregation = Aggregation(given["aggregation_type"].removesuffix("_agg"))
    return BillableMetric(
        code="metric",
        aggregation=aggregation,
        field_name=None if aggregation is Aggregation.COUNT else given.get("field_name", "amount"),
        filters=tuple(MetricFilter(each["key"], tuple(each["values"])) for each in given.get("filters", [])),
        recurring=given.get("recurring", False) if recurring is None else recurring,
    )


def charge_from(given: Mapping[str, Any]) -> Charge:
    """The charge of a case."""
    properties = given["properties"]
    filters = [
        ChargeFilter(
            key="/".join(value for values in each["values"].values() for value in values),
            conditions=tuple((name, tuple(values)) for name, values in each["values"].items()),
            model=model_from_properties(given["charge_model"], each["properties"]),
        )
        for each in given.get("filters", [])
    ]
    return Charge(
        charge_id=CHARGE,
        metric_code="metric",
        model=model_from_properties(given["charge_model"], properties),
        filters=tuple(filters),
        group_by=tuple(properties.get("pricing_group_keys", ())),
        prorated=given.get("prorated", False),
        in_advance=given.get("pay_in_advance", False),
    )


# --- usage of a period ----------------------------------------------------------------------------------------------


def window_of(start: datetime, interval: str = "monthly", timezone: str = "UTC") -> Window:
    """The full calendar period of an instant."""
    cadence = Cadence(interval_named(interval), Alignment.CALENDAR, start, timezone)
    period = period_containing(cadence, start)
    return Window(period, period, timezone)


def collect(
    charge: Charge, metric: BillableMetric, events: list[tuple[datetime, Mapping[str, Any]]]
) -> dict[Bucket, ChargeUsage]:
    """Usage of a charge by bucket, from events with their properties."""
    usages: dict[Bucket, ChargeUsage] = {}
    for number, (at, properties) in enumerate(events):
        bucket = bucket_of(charge.filters, charge.group_keys(metric), properties)
        model = charge.model_for(bucket.filter_key)
        usage = usages.get(bucket) or ChargeUsage.empty(metric, model, prorated=charge.prorated)
        measured = metric.measure(event_id=f"event-{number}", at=at, properties=properties)
        usages[bucket] = usage.add([measured])
    return usages


def rated_for(window: Window) -> RatedFor:
    """The one subscription of every case."""
    return RatedFor(SUBSCRIPTION, "plan", EUR, window)


def _current_usage(case: Case) -> dict[str, object]:
    given = case["given"]
    metric, charge = metric_from(given["metric"]), charge_from(given["charge"])
    usages = collect(charge, metric, list(_events(given["events"], metric.field_name)))
    fees = rate_charge(charge, metric, usages, rated_for(window_of(_START)))
    amount_cents = sum(fee.amount_cents for fee in fees)
    taxes = sum(EUR.to_minor(tax.of(EUR.to_major(amount_cents))) for tax in taxes_at(given.get("tax_rate")))
    return {
        "units": sum((fee.units for fee in fees), Decimal(0)),
        "amount_cents": amount_cents,
        "total_amount_cents": amount_cents + taxes,
        "events_count": sum(fee.event_count for fee in fees),
        "filters": {fee.filter_key: {"units": fee.units, "amount_cents": fee.amount_cents} for fee in fees},
    }


def _events(given: Mapping[str, Any], field_name: str | None) -> Iterator[tuple[datetime, dict[str, Any]]]:
    properties = given.get("events") or [{field_name: value} for value in given.get("values", [])]
    properties = properties or [{}] * given.get("count", 0)
    for number, each in enumerate(properties):
        yield _START + timedelta(days=1, seconds=number), each


def cents_of(fees: Iterator[Fee] | tuple[Fee, ...] | list[Fee]) -> list[int]:
    """The amounts of fees, in minor units."""
    return [fee.amount_cents for fee in fees]


def charge_runners() -> dict[str, Callable[[Case], dict[str, object]]]:
    """The runners of this module by kind of case."""
    return {
        "charge_model": _charge_model,
        "charge_model_tier": _charge_model_tier,
        "metric_rounding": _metric_rounding,
        "aggregation": _aggregation,
        "current_usage": _current_usage,
    }


def default_interval(given: Mapping[str, Any]) -> Any:
    """The interval of a case's plan, monthly unless it says otherwise."""
    return interval_named(given["interval"]) if "interval" in given else MONTHLY
