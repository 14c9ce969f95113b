"""Charge models: reading what was written gives the same model."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from farebox.rating.v1.charge_pb2 import ChargeModel
from gateway.dialects.nozle.charge_models import model_name, read_model, write_model
from gateway.dialects.nozle.charges import read_charge
from gateway.dialects.nozle.read import Reader
from gateway.problem import Problem

RANGES = [
    {"from_value": 0, "to_value": 100, "per_unit_amount": "0.10", "flat_amount": "5"},
    {"from_value": 101, "to_value": None, "per_unit_amount": "0.05", "flat_amount": "0"},
]
PERCENT_RANGES = [
    {"from_value": 0, "to_value": 1000, "rate": "1.5", "flat_amount": "0.25"},
    {"from_value": 1001, "to_value": None, "rate": "1", "flat_amount": "0"},
]
MODELS: dict[str, dict[str, Any]] = {
    "standard": {"amount": "0.002"},
    "graduated": {"graduated_ranges": RANGES},
    "volume": {"volume_ranges": RANGES},
    "package": {"amount": "30", "package_size": 1000, "free_units": 100},
    "percentage": {
        "rate": "2.9",
        "fixed_amount": "0.30",
        "free_units_per_events": 3,
        "free_units_per_total_aggregation": "250",
        "per_transaction_min_amount": "0.5",
        "per_transaction_max_amount": "10",
    },
    "graduated_percentage": {"graduated_percentage_ranges": PERCENT_RANGES},
    "dynamic": {},
}


def as_json(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value), type=Any)


def normal(value: Any) -> Any:
    """Amounts by value: `0.10` is `0.1`."""
    match value:
        case dict():
            return {name: normal(held) for name, held in value.items()}
        case list():
            return [normal(held) for held in value]
        case str():
            return Decimal(value)
        case _:
            return value


@pytest.mark.parametrize("name", MODELS)
def test_what_is_read_is_written_back(name: str) -> None:
    model = read_model(name, Reader(MODELS[name]))
    assert model_name(model) == name
    assert normal(as_json(write_model(model))) == normal(MODELS[name])


def test_ranges_become_tiers_with_an_inclusive_end() -> None:
    tiers = read_model("graduated", Reader(MODELS["graduated"])).graduated.tiers
    assert [(tier.up_to.value, tier.unit_amount.value, tier.flat_amount.value) for tier in tiers] == [
        ("100", "0.1", "5"),
        ("", "0.05", "0"),
    ]
    assert not tiers[-1].HasField("up_to")


def test_ranges_between_fractions_touch() -> None:
    properties = {"volume_ranges": [{"to_value": "0.5", "per_unit_amount": "1"}, {"per_unit_amount": "2"}]}
    written = as_json(write_model(read_model("volume", Reader(properties))))
    assert written["volume_ranges"][1]["from_value"] == 0.5


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(Problem) as problem:
        read_model("auction", Reader({}, "charges[0].properties"))
    assert problem.value.fields == {"charges[0].properties.charge_model": ["value_is_invalid"]}


def charge(**fields: Any) -> Reader:
    return Reader({"billable_metric_id": "api_call", "charge_model": "standard", **fields}, "charges[0]")


def test_a_charge_names_its_metric_by_code_or_by_id() -> None:
    identity = "0198c0de-0000-7000-8000-0000000000aa"
    assert read_charge(charge(), {}).metric_code == "api_call"
    assert read_charge(charge(billable_metric_id=identity), {identity: "tokens"}).metric_code == "tokens"
    with pytest.raises(Problem) as unknown:
        read_charge(charge(billable_metric_id=identity), {})
    assert (unknown.value.status, unknown.value.reason) == (404, "billable_metrics_not_found")


@pytest.mark.parametrize("name", ["pricing_group_keys", "grouped_by"])
def test_groups_have_two_names(name: str) -> None:
    assert list(read_charge(charge(properties={"amount": "1", name: ["region"]}), {}).group_by) == ["region"]


def test_a_filter_has_its_own_price_of_the_same_model() -> None:
    body = charge(filters=[{"values": {"model": ["gpt-4o", "o1"]}, "properties": {"amount": "3"}}])
    (filtered,) = read_charge(body, {}).filters
    assert list(filtered.values["model"].values) == ["gpt-4o", "o1"]
    assert filtered.model == ChargeModel(standard=ChargeModel.Standard(unit_amount={"value": "3"}))


def test_a_term_that_is_not_offered_is_not_ignored() -> None:
    with pytest.raises(Problem) as problem:
        read_charge(charge(invoiceable=False), {})
    assert problem.value.fields == {"invoiceable": ["not_available"]}
