"""What is sold in a random price sheet: taxes, coupons, metrics, plans, in the words of the REST interface.

Nothing here knows what anything costs. Only what a plan may not be is left out (`services/rating/pricing/plan.py`
refuses it): a prorated charge needs a recurring sum, a percentage and a dynamic price need a sum or a count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.oracles.model_check.chance import Chance

Body = dict[str, Any]

AGGREGATIONS = (
    "count_agg",
    "sum_agg",
    "sum_agg",
    "sum_agg",
    "max_agg",
    "latest_agg",
    "unique_count_agg",
    "unique_count_agg",
    "weighted_sum_agg",
    "weighted_sum_agg",
)
RECURRING = {"sum_agg", "unique_count_agg", "weighted_sum_agg"}
BY_EVENT = {"sum_agg", "count_agg"}
MODELS_OF_UNITS = ("standard", "graduated", "volume", "package", "graduated_percentage")
MODELS = ("standard", "graduated", "volume", "package", "percentage", "graduated_percentage", "dynamic")
# Properties that filters and groups look at, and what events say of them; "" stands for an event without it.
FILTERED = {"region": ("eu", "us"), "tier": ("gold", "basic", "1")}
GROUPED = ("team", "region")
CURRENCIES = ("USD", "EUR", "USD", "JPY", "KWD")
# Lengths of plans that go together in one story, so that none of them has hundreds of periods in it.
LENGTHS = (
    (("weekly", 1), ("day", 5), ("day", 10), ("week", 2), ("day", 1)),
    (("monthly", 1), ("monthly", 1), ("month", 2), ("quarterly", 1), ("day", 45), ("weekly", 1)),
    (("monthly", 1), ("quarterly", 1), ("semiannual", 1), ("yearly", 1), ("month", 5)),
)


def taxes(chance: Chance) -> list[Body]:
    """Up to three taxes; some are the organization's own, which everybody pays who has no others."""
    rates = chance.some(["20", "5.5", "2.125", "0", "19", "33.3333"], 3) if chance.happens(0.4) else []
    return [
        {"name": f"Tax {number}", "code": f"tax_{number}", "rate": rate, "applied_to_organization": chance.happens(0.4)}
        for number, rate in enumerate(rates)
    ]


def tax_codes(chance: Chance, known: list[Body]) -> Body:
    """The tax codes of a charge, a plan or a customer, where it has any of its own."""
    codes = chance.some([tax["code"] for tax in known], 2) if chance.happens(0.3) else []
    return {"tax_codes": sorted(codes)} if codes else {}


def coupons(chance: Chance, currency: str, metrics: list[Body], plans: list[Body]) -> list[Body]:
    """Up to four coupons: of an amount or a percentage; once, for some invoices, or for ever; limited or not."""
    count = chance.number(1, 4) if chance.happens(0.4) else 0
    return [_coupon(chance, f"coupon_{number}", currency, metrics, plans) for number in range(count)]


def _coupon(chance: Chance, code: str, currency: str, metrics: list[Body], plans: list[Body]) -> Body:
    body: Body = {"name": code, "code": code, "frequency": chance.one(["once", "recurring", "forever"])}
    if body["frequency"] == "recurring":
        body["frequency_duration"] = chance.number(1, 4)
    if chance.happens(0.5):
        body |= {"coupon_type": "percentage", "percentage_rate": chance.one(["10", "33.33", "100", "0.5", "12.345"])}
    else:
        amount_cents = chance.one([1, 500, 1000, 99_999, chance.number(1, 5000)])
        body |= {"coupon_type": "fixed_amount", "amount_cents": amount_cents, "amount_currency": currency}
    if chance.happens(0.3):
        body["applies_to"] = {"billable_metric_codes": [chance.one(metrics)["code"]]}
    elif chance.happens(0.4):
        body["applies_to"] = {"plan_codes": [chance.one(plans)["code"]]}
    return body


def metric(chance: Chance, code: str) -> Body:
    """A metric of any aggregation, recurring or not, rounded or not."""
    aggregation = chance.one(AGGREGATIONS)
    body: Body = {"name": code, "code": code, "aggregation_type": aggregation}
    if aggregation != "count_agg":
        body["field_name"] = "value"
    if aggregation in RECURRING and chance.happens(0.5):
        body["recurring"] = True
    if chance.happens(0.3):
        body["rounding_function"] = chance.one(["round", "ceil", "floor"])
        body["rounding_precision"] = chance.one([0, 0, 1, 2, -1])
    if chance.happens(0.4):
        body["filters"] = [{"key": key, "values": list(values)} for key, values in FILTERED.items()]
    return body


def plan(chance: Chance, code: str, length: tuple[str, int], sold: Mapping[str, Any]) -> Body:
    """A plan; `sold` says the currency, the metrics and the taxes there are."""
    interval, every = length
    is_named = interval not in {"day", "week", "month"}
    body: Body = {
        "name": code,
        "code": code,
        **({"interval": interval} if is_named else {"interval": "custom", "interval_unit": interval}),
        **({} if is_named else {"interval_count": every}),
        "amount_cents": chance.one([0, 100, 2900, 3001, 9999, 10_000, chance.number(1, 100_000)]),
        "amount_currency": sold["currency"],
        "pay_in_advance": chance.happens(0.5),
        "charges": [charge(chance, sold) for _ in range(chance.one([0, 1, 1, 2, 3]))],
        **tax_codes(chance, sold["taxes"]),
    }
    if interval in {"quarterly", "semiannual", "yearly", "month"} and chance.happens(0.5):
        body["bill_charges_monthly"] = True
    if chance.happens(0.3):
        body["trial_period"] = chance.one([1, 3, 7, 14, 30, 31, 45])
        body["bill_usage_in_trial"] = chance.happens(0.5)
    if chance.happens(0.3):
        body["minimum_commitment"] = {"amount_cents": chance.one([1, 3100, 10_000, chance.number(1, 200_000)])}
    return body


def charge(chance: Chance, sold: Mapping[str, Any]) -> Body:
    """A charge on any of the metrics, with a model that the metric can feed."""
    measured = chance.one(sold["metrics"])
    aggregation, is_recurring = measured["aggregation_type"], measured.get("recurring", False)
    is_prorated = aggregation == "sum_agg" and is_recurring and chance.happens(0.5)
    # What needs a sum or a count meets few metrics, so it is drawn the more often where it can be.
    possible = [*MODELS, "percentage", "percentage"] if aggregation in BY_EVENT else MODELS_OF_UNITS
    model = chance.one(["standard", "graduated"] if is_prorated else possible)
    body: Body = {
        "billable_metric_id": measured["code"],
        "charge_model": model,
        "properties": properties(chance, model),
        **tax_codes(chance, sold["taxes"]),
    }
    if is_prorated:
        body["prorated"] = True
    if chance.happens(0.3):
        keys = chance.one([("team",), ("team",), ("region",), GROUPED])
        body["properties"]["pricing_group_keys"] = list(keys)
    if measured.get("filters") and chance.happens(0.7):
        body["filters"] = _filters(chance, model)
    if chance.happens(0.25):
        body["min_amount_cents"] = chance.one([1, 1000, 3100, chance.number(1, 50_000)])
    elif chance.happens(0.2):
        body["pay_in_advance"] = True
    return body


def _filters(chance: Chance, model: str) -> list[Body]:
    """One to three filters of a charge, no two of the same values; no values accept any."""
    found: list[Body] = []
    for number in range(chance.number(1, 3)):
        keys = chance.one([("region",), ("tier",), ("region", "tier")])
        values = {key: sorted(chance.some(FILTERED[key], 2)) for key in keys}
        if all(values != known["values"] for known in found):
            found.append(
                {
                    "values": values,
                    "properties": properties(chance, model),
                    "invoice_display_name": f"filter {number}",
                }
            )
    return found


def properties(chance: Chance, model: str) -> Body:
    """The prices of a charge model."""
    if model == "standard":
        return {"amount": chance.price()}
    if model == "package":
        size = chance.one([1, 2, 3, 10, 100])
        return {"amount": chance.price(), "package_size": size, "free_units": chance.one([0, 0, 1, 5, 10])}
    if model == "percentage":
        return _percentage(chance)
    return {f"{model}_ranges": _ranges(chance, model)} if model != "dynamic" else {}


def _percentage(chance: Chance) -> Body:
    body: Body = {"rate": chance.one(["1", "2.9", "10", "0.5", "100", "0", "33.333"])}
    if chance.happens(0.5):
        body["fixed_amount"] = chance.price()
    if chance.happens(0.4):
        body["free_units_per_events"] = chance.number(1, 4)
    if chance.happens(0.4):
        body["free_units_per_total_aggregation"] = chance.one(["1", "5", "10", "100", chance.decimal(1, 50, 2)])
    if chance.happens(0.3):
        body["per_transaction_min_amount"] = chance.one(["0", "0.1", "0.5", "1.75"])
    if chance.happens(0.3):
        body["per_transaction_max_amount"] = chance.one(["2", "5", "12.5", "1000000"])
    return body


def _ranges(chance: Chance, model: str) -> list[Body]:
    """One to four tiers, the last one open."""
    drawn = {chance.one([1, 2, 5, 10, 100, chance.number(1, 60)]) for _ in range(chance.number(0, 3))}
    bounds = [f"{bound}.5" if chance.happens(0.2) else bound for bound in sorted(drawn)]
    found: list[Body] = []
    above: object = 0
    for up_to in (*bounds, None):
        price = (
            {"rate": chance.one(["1", "2.5", "10", "0"])}
            if model == "graduated_percentage"
            else {"per_unit_amount": chance.price()}
        )
        flat_amount = chance.one(["0", "0", "1", "2.5", "10"])
        found.append({"from_value": above, "to_value": up_to, **price, "flat_amount": flat_amount})
        above = up_to
    return found
