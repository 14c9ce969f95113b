"""Charges: reading what was written gives the same price, and no property is dropped."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from farebox.rating.v1.charge_pb2 import Charge as ChargeMessage
from farebox.rating.v1.charge_pb2 import ChargeModel
from gateway.decode import structs
from gateway.decode.body import parse
from gateway.decode.refusals import Refusals
from gateway.dialects.lago.charge import CHARGE_NAMES, NewCharge, charge_to_api, say_charges
from gateway.operation import ENCODER, callers_field

METRIC_ID = "0198c0de-0000-7000-8000-0000000000aa"
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


def read(**fields: Any) -> tuple[ChargeMessage, dict[str, list[str]]]:
    """The message that a charge becomes, and what is refused of it."""
    refusals, message = Refusals(), ChargeMessage()
    body = {"billable_metric_id": "api_call", "charge_model": "standard", **fields}
    charge = structs.read(NewCharge, parse(msgspec.json.encode(body)), refusals, path="charges[0]")  # type: ignore[arg-type]
    if charge is not None:
        say_charges([message], [charge], refusals)
    return message, refusals.fields


def charge(**fields: Any) -> ChargeMessage:
    message, refused = read(**fields)
    assert not refused
    return message


def told(message: ChargeMessage) -> Any:
    return msgspec.json.decode(ENCODER.encode(charge_to_api(message, None)))


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
    """Every property of every model is written back, and no property of another model."""
    message = charge(charge_model=name, properties=MODELS[name])
    assert message.model.WhichOneof("model") == name
    answer = told(message)
    assert answer["charge_model"] == name
    assert normal(answer["properties"]) == normal(MODELS[name])


def test_what_was_told_may_be_said_again() -> None:
    """A client that reads a plan and sends it back with a change is not refused for what we wrote."""
    for name, properties in MODELS.items():
        answer = told(charge(charge_model=name, properties=properties))
        sent = {field: answer[field] for field in answer if field in NewCharge.__struct_fields__}
        assert told(charge(**sent)) == answer


def test_ranges_become_tiers_with_an_inclusive_end() -> None:
    tiers = charge(charge_model="graduated", properties=MODELS["graduated"]).model.graduated.tiers
    assert [(tier.up_to.value, tier.unit_amount.value, tier.flat_amount.value) for tier in tiers] == [
        ("100", "0.1", "5"),
        ("", "0.05", "0"),
    ]
    assert not tiers[-1].HasField("up_to")


def test_ranges_between_fractions_touch() -> None:
    properties = {"volume_ranges": [{"to_value": "0.5", "per_unit_amount": "1"}, {"per_unit_amount": "2"}]}
    answer = told(charge(charge_model="volume", properties=properties))
    assert answer["properties"]["volume_ranges"][1]["from_value"] == 0.5


@pytest.mark.parametrize(
    ("starts", "wrong"),
    [
        ([0, 11, 21], None),
        ([1, 11, 21], None),
        ([0, 10, 20], None),
        ([None, None, None], None),
        ([0, 12, 21], 1),
        ([0, 11, 20.5], 2),
        ([5, 11, 21], 0),
    ],
)
def test_ranges_leave_no_gap(starts: list[Any], wrong: int | None) -> None:
    """A range that does not begin where the one before ends would be priced differently from its text."""
    ranges = [
        {"from_value": start, "to_value": end, "per_unit_amount": "1"}
        for start, end in zip(starts, (10, 20, None), strict=True)
    ]
    _, refused = read(charge_model="graduated", properties={"graduated_ranges": ranges})
    path = f"charges[0].properties.graduated_ranges[{wrong}].from_value"
    assert refused == ({} if wrong is None else {path: ["value_is_invalid"]})


def test_a_property_of_another_model_is_refused() -> None:
    """A percentage with a price for each unit would be dropped in silence."""
    _, refused = read(charge_model="percentage", properties={"rate": "1", "amount": "2", "free_units": 3})
    assert refused == {
        "charges[0].properties.amount": ["value_is_invalid"],
        "charges[0].properties.free_units": ["value_is_invalid"],
    }
    _, refused = read(properties={"amount": "2", "presentation_group_keys": ["a"]})
    assert refused == {"charges[0].properties.presentation_group_keys": ["not_available"]}


def test_a_charge_names_its_metric_by_code_or_by_id() -> None:
    assert charge().metric_code == "api_call"
    by_id = charge(billable_metric_id=METRIC_ID)
    assert (by_id.metric_id, by_id.metric_code) == (METRIC_ID, "")
    both = charge(billable_metric_id=METRIC_ID, billable_metric_code="tokens")
    assert (both.metric_id, both.metric_code) == (METRIC_ID, "tokens")
    _, refused = read(billable_metric_code="tokens")
    assert refused == {"charges[0].billable_metric_id": ["value_is_invalid"]}


@pytest.mark.parametrize("name", ["pricing_group_keys", "grouped_by"])
def test_groups_have_two_names(name: str) -> None:
    assert list(charge(properties={"amount": "1", name: ["region"]}).group_by) == ["region"]
    other = {"pricing_group_keys": ["region"], "grouped_by": ["zone"]}
    assert read(properties={"amount": "1", **other})[1] == {"charges[0].properties.grouped_by": ["value_is_invalid"]}


def test_a_filter_has_its_own_price_of_the_same_model() -> None:
    message = charge(
        properties={"amount": "1"},
        filters=[{"values": {"model": ["gpt-4o", "o1"]}, "properties": {"amount": "3"}, "invoice_display_name": "Big"}],
    )
    (filtered,) = message.filters
    assert list(filtered.values["model"].values) == ["gpt-4o", "o1"]
    assert filtered.model == ChargeModel(standard=ChargeModel.Standard(unit_amount={"value": "3"}))
    (answer,) = told(message)["filters"]
    assert {name: value for name, value in answer.items() if value is not None} == {
        "invoice_display_name": "Big",
        "properties": {"amount": "3"},
        "values": {"model": ["gpt-4o", "o1"]},
    }


def test_a_filter_is_checked_as_its_charge_is() -> None:
    price = {"values": {"a": ["b"]}, "properties": {"rate": "1", "pricing_group_keys": ["c"]}}
    assert read(filters=[price])[1] == {
        "charges[0].filters[0].properties.rate": ["value_is_invalid"],
        "charges[0].filters[0].properties.pricing_group_keys": ["not_available"],
    }


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"invoiceable": False}, "invoiceable"),
        ({"id": METRIC_ID}, "id"),
        ({"regroup_paid_fees": "invoice"}, "regroup_paid_fees"),
        ({"applied_pricing_unit": {"code": "token"}}, "applied_pricing_unit"),
        ({"accepts_target_wallet": True}, "accepts_target_wallet"),
        ({"cascade_updates": True}, "cascade_updates"),
    ],
)
def test_a_term_that_is_not_offered_is_not_ignored(fields: Any, refused: str) -> None:
    assert read(**fields)[1] == {f"charges[0].{refused}": ["not_available"]}


def test_terms_with_money_or_time_in_them_are_offered() -> None:
    message = charge(min_amount_cents=100, pay_in_advance=True, prorated=True, tax_codes=["vat"], code="c")
    assert (message.min_amount_cents, message.pay_in_advance, message.prorated) == (100, True, True)
    assert (list(message.tax_codes), message.code) == (["vat"], "c")
    answer = told(message)
    assert (answer["tax_codes"], answer["min_amount_cents"], answer["invoiceable"]) == (["vat"], 100, True)
    assert "taxes" not in answer, "which taxes there are is not known here"


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("metric_code", "billable_metric_id"),
        ("metric_id", "billable_metric_id"),
        ("model", "charge_model"),
        ("model.standard.unit_amount", "properties.amount"),
        ("model.package.package_amount", "properties.amount"),
        ("model.percentage.free_event_count", "properties.free_units_per_events"),
        ("model.percentage.per_event_max_amount", "properties.per_transaction_max_amount"),
        ("model.volume.tiers[3].up_to", "properties.volume_ranges[3].to_value"),
        ("model.graduated.tiers", "properties.graduated_ranges"),
        ("model.graduated.tiers[0].unit_amount", "properties.graduated_ranges[0].per_unit_amount"),
        (
            "model.graduated_percentage.tiers[1].rate_percent",
            "properties.graduated_percentage_ranges[1].rate",
        ),
        ("filters[2].values", "filters[2].values"),
        ("filters[2].model.volume.tiers[1].flat_amount", "filters[2].properties.volume_ranges[1].flat_amount"),
        ("group_by[1]", "properties.pricing_group_keys[1]"),
        ("tax_codes[1]", "tax_codes[1]"),
        ("min_amount_cents", "min_amount_cents"),
    ],
)
def test_names_in_refusals_are_the_callers(field: str, name: str) -> None:
    """A service says `model.standard.unit_amount`; the caller wrote `properties.amount`."""
    assert callers_field(CHARGE_NAMES, field) == name
