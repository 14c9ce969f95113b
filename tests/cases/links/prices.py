"""The kinds of cases about prices alone: a quantity and a charge model, a metric's rounding, an aggregation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from tests.cases.cases import Case, Figures, instant
from tests.cases.customer import RECURRING_SUM, SUM, Customer, Events, Json, fees_of, standard
from tests.cases.links.link import Link
from tests.support.accounts.account import Fee

# A month of thirty days.
_APRIL, _MAY = instant("2024-04-01"), instant("2024-05-01")
_DAYS = 30
_FREE = {"amount_cents": 0}
_DAY = timedelta(days=1)


def _price(case: Case, customer: Customer) -> Figures:
    """A quantity under a charge model, as a month invoices it."""
    given = case["given"]
    fee = _fee(customer, given, _events(given))
    return {
        "amount": fee.precise_amount,
        "unit_amount": _average(fee),
        "unit_amount_approx": _average(fee),
        "amount_2dp": Decimal(fee.amount_cents).scaleb(-2),
    }


def _average(fee: Fee) -> Decimal:
    return fee.precise_amount / fee.units if fee.units else Decimal(0)


def _fee(customer: Customer, charge: Json, events: Events, metric: Json = SUM) -> Fee:
    """The fee of one charge in April."""
    prorated = charge.get("prorated", False)
    model = {"charge_model": charge["charge_model"], "properties": charge.get("properties", {}), "prorated": prorated}
    customer.open(_APRIL)
    customer.metric(RECURRING_SUM if prorated else metric)
    customer.plan(_FREE, model)
    customer.subscribe()
    for event in events:
        customer.use([event])
    customer.advance(_MAY)
    (fee,) = fees_of(customer.invoices(), "charge")
    return fee


def _events(given: Json) -> Events:
    """Usage that comes to a case's units: by the values it names, by days held, or in equal parts."""
    if given.get("prorated"):
        return _held(given["event_full_units"], given["event_prorated_units"])
    values = given.get("event_values") or [_part(given)] * (given.get("events_count") or 1)
    precise = {}
    if "precise_total_amount_cents" in given:
        precise = {"precise_total_amount_cents": given["precise_total_amount_cents"]}
    return [
        (_APRIL + timedelta(seconds=number), {"amount": str(value), **precise}) for number, value in enumerate(values)
    ]


def _part(given: Json) -> Decimal:
    return Decimal(given["units"]) / (given.get("events_count") or 1)


def _held(full: Sequence[float], prorated: Sequence[float]) -> Events:
    """Changes of a running value; each on the day from which its share of thirty days is left."""
    return [
        (_APRIL + _DAY * (_DAYS - round(share / units * _DAYS)), {"amount": str(units)})
        for units, share in zip(full, prorated, strict=True)
    ]


def _tier(case: Case, customer: Customer) -> Figures:
    """The middle tier of three, of which the case gives one."""
    given = case["given"]
    tier, start = given["range"], Decimal(given["range"]["from_value"])
    price = "rate" if "rate" in tier else "per_unit_amount"
    below = start if given.get("adjacent") else start - 1
    ranges = [{"from_value": 0, "to_value": str(below), price: "0", "flat_amount": "0"}] if start else []
    ranges += [tier, {"from_value": str(tier["to_value"]), "to_value": None, price: "0", "flat_amount": "0"}]
    model = "graduated_percentage" if price == "rate" else "graduated"
    charge = {"charge_model": model, "properties": {f"{model}_ranges": ranges}}
    fee = _fee(customer, charge, [(_APRIL, {"amount": given["total_units"]})])
    line = fee.lines[1 if start else 0]
    return {
        "units": line.units,
        "per_unit_total_amount": line.amount - line.flat_amount,
        "total_with_flat_amount": line.amount,
    }


def _metric_rounding(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    metric = {**SUM, **{name: given[name] for name in ("rounding_function", "rounding_precision")}}
    fee = _fee(customer, standard("1"), [(_APRIL, {"amount": given["units"]})], metric)
    return {"units": fee.units}


def _aggregation(case: Case, customer: Customer) -> Figures:
    """The units that the period is invoiced for; a carried value was brought by the period before."""
    given = case["given"]
    start = instant(given["period"]["from"])
    carried = [(start - _DAY, {"value": given["carried_value"]})] if "carried_value" in given else []
    customer.open(start - _DAY if carried else start)
    customer.metric(
        {"aggregation_type": given["aggregation_type"], "recurring": given["recurring"], "field_name": "value"}
    )
    groups = {"pricing_group_keys": given["group_by"]} if "group_by" in given else {}
    customer.plan(_FREE, {"charge_model": "standard", "properties": {"amount": "1", **groups}})
    customer.subscribe()
    customer.use([*carried, *((instant(event["timestamp"]), {**event}) for event in given["events"])])
    customer.advance(start + timedelta(days=given["period"]["charges_duration_days"]))
    fees = fees_of(customer.invoices()[-1:], "charge")
    return {
        "units_5dp": sum((fee.units for fee in fees), Decimal(0)),
        "events_count": sum(fee.event_count for fee in fees),
        "total_aggregated_units": sum((fee.total_aggregated_units for fee in fees), Decimal(0)),
        "groups": {fee.group["region"]: fee.units for fee in fees if fee.group},
    }


# By kind.
LINKS: Mapping[str, Link] = {
    "charge_model": _price,
    "charge_model_tier": _tier,
    "metric_rounding": _metric_rounding,
    "aggregation": _aggregation,
}
